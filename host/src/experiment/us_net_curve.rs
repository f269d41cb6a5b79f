//! Accuracy over multiply-accumulates: US-Net, S-Net and I-Nets (US-Net, arXiv 1903.05134, figure 1).

use super::lab::{Lab, Measured};
use super::{ACCURACY, MACS, Outcome, SMALLEST, SWITCHES, finding, gains, line, ratios};
use crate::train::sandwich::GRADIENT_SCALE;
use crate::train::{Sandwich, Switches, System};
use anyhow::Result;
use reports::experiment::{Finding, Panel, Scale};

/// Networks whose curves are drawn; the first is the paper's.
const NETWORKS: [&str; 2] = ["mobilenet-v2", "mobilenet-v1"];

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let (mut panels, mut findings) = (Vec::new(), Vec::new());
    for network in NETWORKS {
        let graph = lab.network(network, [SMALLEST, 1.0])?;
        let widths = ratios(&graph, &SWITCHES);
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
        findings.extend(claims(network, &alone, &switched, &universal));
    }
    Ok(Outcome {
        title: "One network for all widths, four widths, or one".into(),
        board: None,
        panels,
        findings,
    })
}

/// All at the same four widths, the least first.
fn claims(network: &str, alone: &[Measured], switched: &[Measured], universal: &[Measured]) -> [Finding; 2] {
    [
        gains(
            &format!("{network}: US-Net is better than an S-Net at the switches' own widths"),
            "US-Net, 1903.05134: MobileNet v2 errors 28.5/30.4/34.9/37.7 %, S-Net 29.5/31.1/35.6/40.3 %",
            "mean accuracy over four widths, US-Net less S-Net, points",
            universal,
            switched,
        ),
        finding(
            &format!("{network}: the narrowest width gains most over a network alone"),
            "US-Net, 1903.05134: MobileNet v2 x0.35 37.7 % error, alone 39.7 %",
            "accuracy of x0.25, US-Net less I-Net, points",
            &universal[0].accuracies,
            &alone[0].accuracies,
        ),
    ]
}
