//! Greedy slimming (AutoSlim, arXiv 1903.11728, section 3.3), by several measures of what a removal hurts.

use super::budget::BudgetSet;
use super::explorer::Explorer;
use super::problem::{Cost, Estimate, Score};
use super::{Options, SearchError};
use crate::network::{Channels, Graph};
use reports::record::Resource;

/// Which removal hurts least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The one that leaves the best answers.
    Harm(Score),
    /// The one that adds the least divergence for the latency that it saves.
    DivergencePerLatency,
}

/// Descends from the widest network, each step by the last bins of the unit that hurts least, until every goal is
/// met; returns per goal the first network that meets it, as indices of visits.
///
/// Of removals that hurt alike, the first unit's is taken. The path does not depend on the goals, so that one descent
/// serves any number of them.
pub(super) fn descend(
    explorer: &mut Explorer<'_, '_>,
    goals: &[BudgetSet],
    options: &Options,
    rule: Rule,
) -> Result<Vec<usize>, SearchError> {
    explorer.check_possible(goals)?;
    let mut current = explorer.estimate(&explorer.graph().widest())?;
    let widest_usage = usages(explorer, goals, current);
    let mut answers: Vec<Option<usize>> = vec![None; goals.len()];
    loop {
        explorer.pass(current);
        let cost = explorer.estimated(current).0.cost;
        for (goal, answer) in goals.iter().zip(&mut answers) {
            if answer.is_none() && goal.is_met_by(&cost) {
                *answer = Some(current);
            }
        }
        explorer.end_step(share_done(&widest_usage, &usages(explorer, goals, current)))?;
        if let Some(answers) = answers.iter().copied().collect() {
            return Ok(answers);
        }
        current = best_removal(explorer, current, options.bins_per_step, rule)?;
    }
}

fn best_removal(
    explorer: &mut Explorer<'_, '_>,
    current: usize,
    bins_per_step: usize,
    rule: Rule,
) -> Result<usize, SearchError> {
    let (visit, before) = explorer.estimated(current);
    let (channels, cost) = (visit.channels.clone(), visit.cost);
    let mut best: Option<((f64, f64), usize)> = None;
    for candidate in removals(explorer.graph(), &channels, bins_per_step) {
        let visit_idx = explorer.estimate(&candidate)?;
        let (visit, after) = explorer.estimated(visit_idx);
        let hurt = rule.hurt((&cost, &before), (&visit.cost, &after));
        if best.is_none_or(|best| hurt < best.0) {
            best = Some((hurt, visit_idx));
        }
    }
    Ok(best.expect("the smallest network meets every goal, so that one that does not can shrink").1)
}

impl Rule {
    /// What it hurts to go from one network to a smaller one; lower is better, the second figure decides where the first
    /// is the same.
    fn hurt(self, before: (&Cost, &Estimate), after: (&Cost, &Estimate)) -> (f64, f64) {
        match self {
            Rule::Harm(score) => after.1.harm(score),
            Rule::DivergencePerLatency => {
                let added = after.1.kl - before.1.kl;
                let saved = saved(before.0, after.0);
                (if saved > 0.0 { added / saved } else { f64::INFINITY }, added)
            }
        }
    }
}

/// The share of latency that the smaller network saves; of MACs where the larger one has no latency.
fn saved(before: &Cost, after: &Cost) -> f64 {
    let resource = if before.latency.is_some() { Resource::Latency } else { Resource::Macs };
    1.0 - after.amount(resource) / before.amount(resource)
}

/// The networks with the last bins of one unit removed, in the order of units; a unit at its smallest has none.
fn removals(graph: &Graph, channels: &Channels, bins_per_step: usize) -> Vec<Channels> {
    let mut removals = Vec::new();
    for (unit_idx, unit) in graph.units.iter().enumerate() {
        let bin = unit.bins.partition_point(|&b| b < channels.0[unit_idx]);
        if bin > 0 {
            let mut smaller = channels.clone();
            smaller.0[unit_idx] = unit.bins[bin.saturating_sub(bins_per_step.max(1))];
            removals.push(smaller);
        }
    }
    removals
}

fn usages(explorer: &Explorer<'_, '_>, goals: &[BudgetSet], visit: usize) -> Vec<f64> {
    let cost = explorer.estimated(visit).0.cost;
    goals.iter().map(|goal| goal.usage(&cost)).collect()
}

/// Of the way from the widest network to the goal that is farthest.
fn share_done(widest: &[f64], current: &[f64]) -> f64 {
    let shares = widest.iter().zip(current).filter(|(widest, _)| **widest > 1.0);
    shares.map(|(widest, current)| (widest - current) / (widest - 1.0)).fold(1.0, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::synthetic::units;

    #[test]
    fn only_the_last_bins_of_units_that_can_shrink_are_removed() {
        let graph = units(&[&[8, 16, 24], &[4], &[8, 10]]);
        let from = |c: &[usize], n| -> Vec<Vec<usize>> {
            removals(&graph, &Channels(c.to_vec()), n).into_iter().map(|c| c.0).collect()
        };
        assert_eq!(from(&[24, 4, 10], 1), [[16, 4, 10], [24, 4, 8]]);
        assert_eq!(from(&[24, 4, 10], 2), [[8, 4, 10], [24, 4, 8]]);
        assert_eq!(from(&[8, 4, 10], 1), [[8, 4, 8]]);
        assert!(from(&[8, 4, 8], 1).is_empty());
    }

    #[test]
    fn the_farthest_goal_tells_how_much_is_done() {
        assert_eq!(share_done(&[2.0, 4.0], &[1.0, 2.5]), 0.5);
        assert_eq!(share_done(&[0.5], &[0.5]), 1.0);
    }
}
