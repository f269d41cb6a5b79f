//! Whether a supernet tells which networks are good: its estimates against the accuracies after retraining
//! (AutoSlim, arXiv 1903.11728, section 3.2).

use super::lab::Lab;
use super::{Outcome, SMALLEST};
use crate::network::Graph;
use crate::train::sandwich::random_subnet;
use crate::train::{Sandwich, System, Width, evaluate_widths};
use anyhow::{Context as _, Result};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use reports::experiment::{Finding, Mark, Panel, Point, Scale, Series};
use reports::interval::{Interval, kendall_tau};

const NETWORK: &str = "mobilenet-v1";

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let graph = lab.network(NETWORK, [SMALLEST, 1.0])?;
    let choices = choices(&graph, lab.scale.choices);
    let retrained = lab.measure_alone("retrain", &graph, &choices)?;
    let system = System::Nonuniform(Sandwich::default());
    let (mut series, mut taus) = (Vec::new(), Vec::new());
    for (place, &seed) in lab.scale.seeds.iter().enumerate() {
        let trained = lab.train("supernet", &graph, &system, seed, None)?;
        let calibration = lab.calibration(lab.scale.calibration_images);
        let estimates = evaluate_widths(&*trained.engine, &system, &choices, &lab.held_out, calibration)?;
        let estimates: Vec<f64> = estimates.iter().map(|estimate| 100.0 * estimate.accuracy).collect();
        let accuracies: Vec<f64> = retrained.iter().map(|m| m.accuracies[place]).collect();
        let points = retrained.iter().zip(&estimates).zip(&accuracies).map(|((m, &x), &accuracy)| {
            let y = Interval { mean: accuracy, ends: None, n: 1 };
            Point { label: m.width.to_string(), x, y, more: vec![("macs".into(), m.macs)] }
        });
        series.push(Series { name: format!("seed {seed}"), mark: Mark::Dots, points: points.collect() });
        taus.extend(kendall_tau(&estimates, &accuracies));
    }
    let panel = Panel {
        title: NETWORK.into(),
        x: "accuracy as a part of the supernet, on held-out images (%)".into(),
        x_scale: Scale::Linear,
        y: "accuracy retrained, on test images (%)".into(),
        series,
    };
    let finding = Finding {
        claim: "a supernet orders networks as retraining does".into(),
        source: "AutoSlim, 1903.11728, section 3.2: the slimmable network's accuracy stands for that of a network trained alone".into(),
        quantity: format!("Kendall's τ over {} channel choices", choices.len()),
        found: Interval::of(&taus).context("all choices are as good as each other; train longer")?,
    };
    Ok(Outcome {
        title: "A supernet's estimates against retrained networks".into(),
        board: None,
        panels: vec![panel],
        findings: vec![finding],
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
