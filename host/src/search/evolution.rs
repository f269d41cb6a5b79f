//! Search by chance: mutations and crossings of networks that use up the budget, kept by divergence.

use super::budget::BudgetSet;
use super::explorer::Explorer;
use super::problem::Score;
use super::random::{channels, draw_one, fit};
use super::{Options, SearchError};
use crate::network::{Channels, Graph};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;

/// Networks that live at a time.
const POPULATION: usize = 24;
/// Networks of which the best has offspring.
const TOURNAMENT: usize = 4;
/// Offspring per estimate before a space counts as exhausted.
const MAX_DRAWS: usize = 20;

/// A network that lives.
struct Member {
    harm: f64,
    bins: Vec<usize>,
    visit: usize,
}

/// The best network that lived for each goal, as indices of visits; each goal has the same random numbers, whatever the
/// others are.
pub(super) fn best(
    explorer: &mut Explorer<'_, '_>,
    goals: &[BudgetSet],
    options: &Options,
) -> Result<Vec<usize>, SearchError> {
    explorer.check_possible(goals)?;
    let mut answers = Vec::with_capacity(goals.len());
    for (goal_idx, goal) in goals.iter().enumerate() {
        let done = |share: f64| (goal_idx as f64 + share) / goals.len() as f64;
        answers.push(evolve(explorer, goal, options.evolution_candidates.max(1), &done)?);
    }
    Ok(answers)
}

fn evolve(
    explorer: &mut Explorer<'_, '_>,
    goal: &BudgetSet,
    n: usize,
    done: &dyn Fn(f64) -> f64,
) -> Result<usize, SearchError> {
    let graph = explorer.graph();
    if goal.is_met_by(&explorer.price(&graph.widest())?) {
        return explorer.estimate(&graph.widest());
    }
    let mut rng = ChaCha8Rng::seed_from_u64(explorer.seed());
    let (mut population, mut seen): (Vec<Member>, HashSet<Channels>) = (Vec::new(), HashSet::new());
    for _ in 0..n * MAX_DRAWS {
        let bins = if population.len() < POPULATION && seen.len() < n {
            draw_one(explorer, goal, &mut rng)?
        } else {
            let child = offspring(graph, &population, &mut rng);
            fit(explorer, goal, child, &mut rng)?
        };
        let candidate = channels(graph, &bins);
        if !seen.insert(candidate.clone()) {
            continue;
        }
        let visit = explorer.estimate(&candidate)?;
        let harm = explorer.estimated(visit).1.harm(Score::Divergence).0;
        admit(&mut population, Member { harm, bins, visit });
        explorer.end_step(done(seen.len() as f64 / n as f64))?;
        if seen.len() == n {
            break;
        }
    }
    let best = population.iter().min_by(|a, b| a.harm.total_cmp(&b.harm));
    Ok(best.expect("the first network that is drawn is a new one").visit)
}

/// The better of the new network and the worst takes a place where there is none left.
fn admit(population: &mut Vec<Member>, new: Member) {
    if population.len() < POPULATION {
        population.push(new);
        return;
    }
    let worst = population.iter_mut().max_by(|a, b| a.harm.total_cmp(&b.harm)).expect("a full population");
    if new.harm < worst.harm {
        *worst = new;
    }
}

/// A network of the tournament's winner, one time in four crossed with another's, with one to three units changed by one or
/// two bins.
fn offspring(graph: &Graph, population: &[Member], rng: &mut ChaCha8Rng) -> Vec<usize> {
    let winner = |rng: &mut ChaCha8Rng| {
        let entrants = (0..TOURNAMENT).map(|_| &population[rng.random_range(0..population.len())]);
        entrants.min_by(|a, b| a.harm.total_cmp(&b.harm)).expect("a tournament has entrants")
    };
    let mut bins = winner(rng).bins.clone();
    if rng.random_range(0..4) == 0 {
        let other = winner(rng);
        for (bin, other) in bins.iter_mut().zip(&other.bins) {
            *bin = if rng.random() { *bin } else { *other };
        }
    }
    for _ in 0..rng.random_range(1..=3) {
        let unit = rng.random_range(0..bins.len());
        let step = rng.random_range(1..=2);
        let most = graph.units[unit].bins.len() - 1;
        bins[unit] =
            if rng.random() { (bins[unit] + step).min(most) } else { bins[unit].saturating_sub(step) };
    }
    bins
}
