//! One width ratio for all units: what slimmable networks do, and the baseline of every search.

use super::SearchError;
use super::budget::BudgetSet;
use super::explorer::Explorer;
use crate::network::{Channels, Graph, Unit};

/// The widest uniform network that meets each goal, as indices of visits. Only those found are estimated.
pub(super) fn widest(
    explorer: &mut Explorer<'_, '_>,
    goals: &[BudgetSet],
) -> Result<Vec<usize>, SearchError> {
    explorer.check_possible(goals)?;
    let networks = uniform_networks(explorer.graph());
    let mut answers = Vec::with_capacity(goals.len());
    for goal in goals {
        let mut widest = None;
        for channels in &networks {
            if goal.is_met_by(&explorer.visit(channels)?) {
                widest = Some(channels);
                break;
            }
        }
        answers
            .push(explorer.estimate(widest.expect("the smallest network is uniform and meets every goal"))?);
        explorer.end_step(answers.len() as f64 / goals.len() as f64)?;
    }
    Ok(answers)
}

/// Every network that a width ratio can give ([`Graph::at_ratio`]), from the widest to the smallest.
pub fn uniform_networks(graph: &Graph) -> Vec<Channels> {
    let mut ratios: Vec<f64> = graph.units.iter().flat_map(steps).collect();
    ratios.sort_by(|a, b| b.total_cmp(a));
    ratios.push(0.0);
    let mut networks: Vec<Channels> = ratios.into_iter().map(|ratio| graph.at_ratio(ratio)).collect();
    networks.dedup();
    networks
}

/// The ratios at which a unit steps up to its next bin: halfway between two. Equal fractions are equal numbers.
fn steps(unit: &Unit) -> impl Iterator<Item = f64> {
    unit.bins.windows(2).map(|pair| (pair[0] + pair[1]) as f64 / (2 * unit.full) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, zoo};

    #[test]
    fn a_scan_over_ratios_gives_the_same_networks() {
        for name in zoo::NAMES {
            let options = zoo::ZooOptions { max_width: 1.5, min_width: 0.25, bin_multiple: 4 };
            let graph = zoo::network(name, Shape { h: 32, w: 32, c: 3 }, 10, options).unwrap();
            let nearest = |unit: &Unit, wanted: f64| {
                let distance = |bin: usize| (bin as f64 - wanted).abs();
                let closer = |a: usize, b: usize| if distance(b) <= distance(a) + 1e-9 { b } else { a };
                unit.bins.iter().copied().reduce(closer).unwrap()
            };
            let mut scanned: Vec<Channels> = (0..=64_000)
                .rev()
                .map(|i| f64::from(i) / 40_000.0)
                .map(|r| Channels(graph.units.iter().map(|u| nearest(u, r * u.full as f64)).collect()))
                .collect();
            scanned.dedup();
            assert_eq!(uniform_networks(&graph), scanned, "{name}");
        }
    }

    #[test]
    fn uniform_networks_go_from_the_widest_to_the_smallest() {
        let graph = zoo::network(
            "resnet-8",
            Shape { h: 32, w: 32, c: 3 },
            10,
            zoo::ZooOptions { max_width: 1.5, ..Default::default() },
        )
        .unwrap();
        let networks = uniform_networks(&graph);
        assert_eq!(networks.first(), Some(&graph.widest()));
        assert_eq!(networks.last(), Some(&graph.smallest()));
        assert!(networks.contains(&graph.full()));
    }
}
