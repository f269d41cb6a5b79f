//! Accuracy over multiply-accumulates: US-Net, S-Net and I-Nets (US-Net, arXiv 1903.05134, figure 1).

use super::lab::{Lab, Measured};
use super::{ACCURACY, MACS, Outcome, SMALLEST, finding, gains, line, means, ratios};
use crate::train::sandwich::GRADIENT_SCALE;
use crate::train::{Sandwich, Switches, System};
use anyhow::Result;
use reports::experiment::{Finding, Panel, Scale};

/// Networks whose curves are drawn, and the paper's figures.
const NETWORKS: [(&str, &str); 2] = [
    (
        "mobilenet-v2",
        "US-Net, 1903.05134: x1/x0.75/x0.5/x0.35 errors 28.5/30.4/34.9/37.7 %, S-Net 29.5/31.1/35.6/40.3 %, alone \
         28.2/30.2/34.6/39.7 %",
    ),
    (
        "mobilenet-v1",
        "US-Net, 1903.05134: x1/x0.75/x0.5/x0.25 errors 28.2/30.5/35.8/44.3 %, S-Net 28.5/30.5/35.2/46.9 %, alone \
         29.1/31.6/36.7/50.2 %",
    ),
];

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let (mut panels, mut findings) = (Vec::new(), Vec::new());
    for (network, source) in NETWORKS {
        let graph = lab.network(network, [SMALLEST, 1.0])?;
        let widths = ratios(&graph, &Switches::RATIOS);
        let alone = lab.measure_alone(&format!("{network} i-net"), &graph, &widths)?;
        let switches = Switches { gradient_scale: GRADIENT_SCALE, ..Switches::of(widths.clone()) };
        let switched = lab.measure(&format!("{network} s-net"), &graph, &System::SNet(switches), &widths)?;
        let system = System::UsNet(Sandwich::default());
        let universal = lab.measure(&format!("{network} us-net"), &graph, &system, &system.widths(&graph))?;
        let curves = [("I-Net", &alone), ("S-Net", &switched), ("US-Net", &universal)];
        let series = curves.map(|(name, curve)| line(name, curve, Measured::by_macs)).to_vec();
        let (title, x, y) = (network.into(), MACS.into(), ACCURACY.into());
        panels.push(Panel { title, x, x_scale: Scale::Log, y, series });
        let is_switch = |m: &&Measured| widths.iter().any(|width| width.channels == m.width.channels);
        let universal: Vec<Measured> = universal.iter().filter(is_switch).cloned().collect();
        findings.extend(claims((network, source), &alone, &switched, &universal));
    }
    Ok(Outcome {
        title: "One network for all widths, four widths, or one".into(),
        board: None,
        images: None,
        panels,
        findings,
    })
}

/// All at the same four widths, the least first.
fn claims(
    (network, source): (&str, &str),
    alone: &[Measured],
    switched: &[Measured],
    universal: &[Measured],
) -> [Finding; 2] {
    let gain = |places: std::ops::Range<usize>| -> Vec<f64> {
        let pairs = means(&universal[places.clone()]).into_iter().zip(means(&alone[places]));
        pairs.map(|(universal, alone)| universal - alone).collect()
    };
    [
        gains(
            &format!("{network}: US-Net is better than an S-Net at the switches' own widths"),
            source,
            "mean accuracy over four widths, US-Net less S-Net, points",
            universal,
            switched,
        ),
        finding(
            &format!("{network}: the narrowest width gains most over a network alone"),
            source,
            "what x0.25 gains as a US-Net over an I-Net, less what the other widths gain on average, points",
            &gain(0..1),
            &gain(1..alone.len()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Channels;

    fn curve(accuracies: [f64; 4]) -> Vec<Measured> {
        let one = |accuracy: f64| Measured {
            width: Channels(vec![8]).into(),
            macs: 1.0,
            accuracies: vec![accuracy, accuracy + 1.0],
        };
        accuracies.map(one).to_vec()
    }

    #[test]
    fn a_universal_network_that_is_better_agrees_with_the_paper() {
        let (alone, switched) = (curve([70.0, 80.0, 84.0, 88.0]), curve([71.0, 81.0, 85.0, 87.0]));
        let universal = curve([76.0, 82.0, 86.0, 88.0]);
        let [over_switched, narrowest] = claims(("a", "b"), &alone, &switched, &universal);
        assert_eq!(over_switched.found.mean, 2.0, "5, 1, 1 and 1");
        assert!((narrowest.found.mean - (6.0 - 4.0 / 3.0)).abs() < 1e-12, "6 less the mean of 2, 2 and 0");
    }
}
