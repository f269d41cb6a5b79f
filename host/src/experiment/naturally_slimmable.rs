//! A plainly trained network, narrowed: without statistics of its own it guesses, with them it is far behind
//! (US-Net, arXiv 1903.05134, section 3.3 and table 2).

use super::lab::{Lab, Measured};
use super::{ACCURACY, Outcome, SMALLEST, finding, line};
use crate::engine::{NodeStatistics, Statistics};
use crate::network::{Channels, Graph};
use crate::train::{Calibrated, Sandwich, System, Width, calibrate_widths};
use anyhow::Result;
use reports::experiment::{Panel, Scale};

const NETWORK: &str = "mobilenet-v1";
const SOURCE: &str = "US-Net, 1903.05134: a network that was not trained to be narrowed fails, also with batch norm recalibrated";

pub(super) fn run(lab: &Lab) -> Result<Outcome> {
    let graph = lab.network(NETWORK, [SMALLEST, 1.0])?;
    let universal = System::UsNet(Sandwich::default());
    let widths = universal.widths(&graph);
    let plain = System::INet(Width::of_ratio(&graph, 1.0));
    let (mut cut, mut recalibrated) = (Measured::none(&graph, &widths), Measured::none(&graph, &widths));
    for &seed in &lab.scale.seeds {
        let trained = lab.train("i-net x1", &graph, &plain, seed)?;
        let engine = &*trained.engine;
        let calibration = lab.calibration(lab.scale.calibration_images);
        let full = calibrate_widths(engine, &plain, &plain.widths(&graph), calibration)?;
        for (network, measured) in narrowed(&graph, &full[0].statistics, &widths).iter().zip(&mut cut) {
            measured.accuracies.push(lab.accuracy(engine, network)?);
        }
        // Its weights, each width with statistics of its own, as a supernet's.
        let own = calibrate_widths(engine, &universal, &widths, calibration)?;
        for (network, measured) in own.iter().zip(&mut recalibrated) {
            measured.accuracies.push(lab.accuracy(engine, network)?);
        }
    }
    let trained_for_it = lab.measure("us-net", &graph, &universal, &widths)?;
    let curves = [
        ("trained at x1, narrowed", &cut),
        ("… batch norm recalibrated", &recalibrated),
        ("trained as a US-Net", &trained_for_it),
    ];
    let by_ratio = |m: &Measured| m.at(m.width.ratio.expect("these widths are ratios"));
    let panel = Panel {
        title: NETWORK.into(),
        x: "width ratio of all units".into(),
        x_scale: Scale::Linear,
        y: ACCURACY.into(),
        series: curves.map(|(name, curve)| line(name, curve, by_ratio)).to_vec(),
    };
    let half =
        widths.iter().position(|width| width.ratio == Some(0.5)).expect("steps of an eighth have a half");
    let findings = vec![
        finding(
            "a network that was trained plainly cannot be narrowed",
            SOURCE,
            &format!("accuracy at {}, US-Net less narrowed as it is, points", widths[half]),
            &trained_for_it[half].accuracies,
            &cut[half].accuracies,
        ),
        finding(
            "recalibration of batch norm does not mend it",
            SOURCE,
            &format!("accuracy at {}, US-Net less narrowed and recalibrated, points", widths[half]),
            &trained_for_it[half].accuracies,
            &recalibrated[half].accuracies,
        ),
    ];
    Ok(Outcome {
        title: "A network that was not trained to be narrowed".into(),
        board: None,
        images: None,
        panels: vec![panel],
        findings,
    })
}

/// Networks with those of the full network's `statistics` that belong to their channels.
fn narrowed(graph: &Graph, statistics: &Statistics, widths: &[Width]) -> Vec<Calibrated> {
    let one = |width: &Width| Calibrated {
        width: width.clone(),
        switch: 0,
        statistics: part(graph, statistics, &width.channels),
    };
    widths.iter().map(one).collect()
}

fn part(graph: &Graph, full: &Statistics, channels: &Channels) -> Statistics {
    let (all, kept) = (graph.channel_maps(&graph.full()), graph.channel_maps(channels));
    let of_node = |(node, statistics): (usize, &Option<NodeStatistics>)| {
        let statistics = statistics.as_ref()?;
        // Where each stored channel lies among the full network's.
        let place = |channel: usize| {
            all[node]
                .indices()
                .position(|stored| stored == channel)
                .expect("a narrower network has some of its channels")
        };
        let pick = |values: &[f32]| kept[node].indices().map(|channel| values[place(channel)]).collect();
        Some(NodeStatistics { mean: pick(&statistics.mean), variance: pick(&statistics.variance) })
    };
    Statistics { n_batches: full.n_batches, nodes: full.nodes.iter().enumerate().map(of_node).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, zoo};

    #[test]
    fn a_narrowed_network_has_the_statistics_of_its_own_channels() {
        let graph =
            zoo::network("mobilenet-v1-tiny", Shape { h: 28, w: 28, c: 1 }, 10, zoo::ZooOptions::default())
                .unwrap();
        let counts = graph.node_channels(&graph.full());
        let of = |(node, &n): (usize, &usize)| {
            let mean: Vec<f32> = (0..n).map(|i| (100 * node + i) as f32).collect();
            graph.nodes[node].op.window().map(|_| NodeStatistics { variance: mean.clone(), mean })
        };
        let full = Statistics { n_batches: 3, nodes: counts.iter().enumerate().map(of).collect() };
        let narrow = part(&graph, &full, &graph.smallest());
        for (node, n) in graph.node_channels(&graph.smallest()).into_iter().enumerate() {
            let Some(found) = &narrow.nodes[node] else { continue };
            let expected: Vec<f32> = (0..n).map(|i| (100 * node + i) as f32).collect();
            assert_eq!((&found.mean, &found.variance), (&expected, &expected));
        }
    }
}
