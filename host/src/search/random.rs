//! Random networks that use up the budget: whether a search finds more than chance does.

use super::budget::BudgetSet;
use super::explorer::Explorer;
use super::problem::Score;
use super::{Options, SearchError};
use crate::network::{Channels, Graph};
use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;

/// Least share of the budget that a candidate uses, unless no unit can grow under it.
const LEAST_USAGE: f64 = 0.9;
/// Draws per candidate before a space counts as exhausted.
const MAX_DRAWS: usize = 20;

/// The best of random networks for each goal, as indices of visits; each goal has the same random numbers,
/// whatever the others are.
pub(super) fn best(
    explorer: &mut Explorer<'_, '_>,
    goals: &[BudgetSet],
    options: &Options,
) -> Result<Vec<usize>, SearchError> {
    explorer.check_possible(goals)?;
    let mut answers = Vec::with_capacity(goals.len());
    for (goal_idx, goal) in goals.iter().enumerate() {
        let mut best: Option<usize> = None;
        let candidates = draw(explorer, goal, options.random_candidates.max(1))?;
        for (idx, channels) in candidates.iter().enumerate() {
            let visit = explorer.estimate(channels)?;
            let harm = |visit: usize| explorer.estimated(visit).1.harm(Score::Accuracy);
            if best.is_none_or(|best| harm(visit) < harm(best)) {
                best = Some(visit);
            }
            let share = (idx + 1) as f64 / candidates.len() as f64;
            explorer.end_step((goal_idx as f64 + share) / goals.len() as f64)?;
        }
        answers.push(best.expect("a draw gives at least one network"));
    }
    Ok(answers)
}

/// Up to `n` different networks under `goal`; fewer where there are no more, the widest alone where it fits.
fn draw(explorer: &Explorer<'_, '_>, goal: &BudgetSet, n: usize) -> Result<Vec<Channels>, SearchError> {
    let widest = explorer.graph().widest();
    if goal.is_met_by(&explorer.price(&widest)?) {
        return Ok(vec![widest]);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(explorer.seed());
    let (mut networks, mut seen) = (Vec::with_capacity(n), HashSet::new());
    for _ in 0..n * MAX_DRAWS {
        let bins = draw_one(explorer, goal, &mut rng)?;
        let channels = channels(explorer.graph(), &bins);
        if seen.insert(channels.clone()) {
            networks.push(channels);
        }
        if networks.len() == n {
            break;
        }
    }
    Ok(networks)
}

/// A random bin for every unit, fitted to `goal`.
pub(super) fn draw_one(
    explorer: &Explorer<'_, '_>,
    goal: &BudgetSet,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<usize>, SearchError> {
    let bins = explorer.graph().units.iter().map(|u| rng.random_range(0..u.bins.len())).collect();
    fit(explorer, goal, bins, rng)
}

/// Shrinks random units until the goal holds, and lets random ones grow into the band below it.
pub(super) fn fit(
    explorer: &Explorer<'_, '_>,
    goal: &BudgetSet,
    mut bins: Vec<usize>,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<usize>, SearchError> {
    let graph = explorer.graph();
    let mut cost = explorer.price(&channels(graph, &bins))?;
    while !goal.is_met_by(&cost) {
        let shrinkable: Vec<usize> = (0..bins.len()).filter(|&u| bins[u] > 0).collect();
        bins[*shrinkable.choose(rng).expect("the smallest network meets every goal")] -= 1;
        cost = explorer.price(&channels(graph, &bins))?;
    }
    let can_grow = |u: &usize, bins: &[usize]| bins[*u] + 1 < graph.units[*u].bins.len();
    let mut growable: Vec<usize> = (0..bins.len()).filter(|u| can_grow(u, &bins)).collect();
    while goal.usage(&cost) < LEAST_USAGE && !growable.is_empty() {
        let choice = rng.random_range(0..growable.len());
        let unit = growable[choice];
        bins[unit] += 1;
        let grown = explorer.price(&channels(graph, &bins))?;
        if goal.is_met_by(&grown) {
            cost = grown;
        } else {
            bins[unit] -= 1;
        }
        if !goal.is_met_by(&grown) || !can_grow(&unit, &bins) {
            growable.remove(choice);
        }
    }
    Ok(bins)
}

/// The channels of one bin per unit.
pub(super) fn channels(graph: &Graph, bins: &[usize]) -> Channels {
    Channels(graph.units.iter().zip(bins).map(|(unit, &bin)| unit.bins[bin]).collect())
}
