//! Whether a supernet tells which networks are good: its estimates against the accuracies after retraining
//! (AutoSlim, arXiv 1903.11728, section 3.2).

use super::lab::Lab;
use super::{Outcome, SMALLEST, finding};
use crate::network::Graph;
use crate::train::sandwich::random_subnet;
use crate::train::{Sandwich, System, Width, evaluate_widths};
use anyhow::{Context as _, Result};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reports::experiment::{Mark, Panel, Point, Scale, Series};
use reports::interval::{Interval, kendall_tau};

const NETWORK: &str = "mobilenet-v1";
const SOURCE: &str = "AutoSlim, 1903.11728, section 3.2: the slimmable network's accuracy stands for that of a network trained alone";
const ALIKE: &str = "all choices are as good as each other; train longer";

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let graph = lab.network(NETWORK, [SMALLEST, 1.0])?;
    let choices = choices(&graph, lab.scale.choices);
    let retrained = lab.measure_alone("retrain", &graph, &choices)?;
    let system = System::Nonuniform(Sandwich::default());
    let macs: Vec<f64> = retrained.iter().map(|m| m.macs).collect();
    let (mut series, mut of_supernet, mut of_macs) = (Vec::new(), Vec::new(), Vec::new());
    for (place, &seed) in lab.scale.seeds.iter().enumerate() {
        let trained = lab.train("supernet", &graph, &system, seed)?;
        let calibration = lab.calibration(lab.scale.calibration_images);
        let estimates = evaluate_widths(&*trained.engine, &system, &choices, &lab.held_out, calibration)?;
        let estimates: Vec<f64> = estimates.iter().map(|estimate| 100.0 * estimate.accuracy).collect();
        let accuracies: Vec<f64> = retrained.iter().map(|m| m.accuracies[place]).collect();
        let points = retrained.iter().zip(&estimates).zip(&accuracies).map(|((m, &x), &accuracy)| {
            let y = Interval { mean: accuracy, ends: None, n: 1 };
            Point { label: m.width.to_string(), x, y, more: vec![("macs".into(), m.macs)] }
        });
        series.push(Series { name: format!("seed {seed}"), mark: Mark::Dots, points: points.collect() });
        of_supernet.push(kendall_tau(&estimates, &accuracies).context(ALIKE)?);
        of_macs.push(kendall_tau(&macs, &accuracies).context(ALIKE)?);
    }
    let panel = Panel {
        title: NETWORK.into(),
        x: "accuracy as a part of the supernet, on held-out images (%)".into(),
        x_scale: Scale::Linear,
        y: "accuracy retrained, on test images (%)".into(),
        series,
    };
    let n = choices.len();
    let findings = vec![
        finding(
            "a supernet orders networks as retraining does",
            SOURCE,
            &format!("Kendall's τ over {n} channel choices of all sizes"),
            &of_supernet,
            &vec![0.0; of_supernet.len()],
        ),
        finding(
            "a supernet orders networks better than their multiply-accumulates do",
            SOURCE,
            &format!(
                "Kendall's τ over {n} channel choices, the supernet's less that of multiply-accumulates"
            ),
            &of_supernet,
            &of_macs,
        ),
    ];
    Ok(Outcome {
        title: "A supernet's estimates against retrained networks".into(),
        board: None,
        images: None,
        panels: vec![panel],
        findings,
    })
}

/// `n` channel choices, each unit at a random bin around a random ratio of its own network, so that small and large
/// networks are among them.
fn choices(graph: &Graph, n: usize) -> Vec<Width> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let [least, largest] = graph.ratios();
    let mut choices: Vec<Width> = Vec::new();
    while choices.len() < n {
        let [around, other] =
            [graph.at_ratio(rng.random_range(least..=largest)), random_subnet(graph, &mut rng)];
        let mix = |(&a, &b): (&usize, &usize)| if rng.random_range(0..3) == 0 { b } else { a };
        let width = Width::from(crate::network::Channels(around.0.iter().zip(&other.0).map(mix).collect()));
        if !choices.contains(&width) {
            choices.push(width);
        }
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, zoo};

    #[test]
    fn choices_are_different_networks_of_all_sizes() {
        let options = zoo::ZooOptions { min_width: 0.25, max_width: 1.0, bin_multiple: 4 };
        let graph = zoo::network("mobilenet-v1", Shape { h: 28, w: 28, c: 1 }, 10, options).unwrap();
        let choices = choices(&graph, 24);
        let mut macs: Vec<u64> = choices.iter().map(|width| graph.counts(&width.channels).macs).collect();
        macs.sort_unstable();
        assert!(macs.len() == 24 && macs[23] > 4 * macs[0], "{macs:?}");
        assert!(choices.iter().all(|width| width.channels.0.len() == graph.units.len()));
    }
}
