//! The default search: what each unit adds to the divergence, measured alone, and the exact best sum of that under the budgets.
//!
//! One sweep serves all budgets. Every answer is then priced whole; one over its budget (the planner may need more
//! RAM than any layer does) is ruled out, and the choices without it are solved again.

use super::budget::BudgetSet;
use super::explorer::Explorer;
use super::frontier::{Frontier, Limits, Solved};
use super::labels::N_SUMS;
use super::marginals;
use super::problem::{CostModel, Load, Part};
use super::random::channels;
use super::strategy::Strategy;
use super::trace::Answer;
use super::{Options, SearchError};
use crate::network::{Channels, Graph};
use reports::record::Resource;

/// What adds up over layers, in the order of [`Load::sums`].
const SUMS: [Resource; N_SUMS] = [Resource::Latency, Resource::Flash, Resource::Macs];
/// Share of a limit that may be a rounding error of a sum: what is over it by no more is priced whole.
const ROUNDING: f64 = 1e-12;
/// Share of the search that the sweep is.
const SWEEP: f64 = 0.9;
/// Answers over their budget that are ruled out one by one.
const MAX_CUTS: usize = 20;
/// Share of the RAM that is left to each further try after that.
const TIGHTER: f64 = 0.97;

/// The best network for each goal with a proof: by how much, at most, its sum of divergences is above the least; none where
/// not even the smallest network holds the limits.
pub(super) fn best(
    explorer: &mut Explorer<'_, '_>,
    goals: &[BudgetSet],
    options: &Options,
) -> Result<Vec<Answer>, SearchError> {
    explorer.check_possible(goals)?;
    let widest = explorer.price(&explorer.graph().widest())?;
    let tight: Vec<&BudgetSet> = goals.iter().filter(|goal| !goal.is_met_by(&widest)).collect();
    let mut found = solve(explorer, &tight, options)?.into_iter();
    let mut answers = Vec::with_capacity(goals.len());
    for goal in goals {
        let answer = if goal.is_met_by(&widest) { None } else { found.next() };
        let (channels, gap) = answer.unwrap_or_else(|| (explorer.graph().widest(), Some(0.0)));
        answers.push(Answer { visit_idx: explorer.estimate(&channels)?, gap });
        explorer.end_step(SWEEP + (1.0 - SWEEP) * answers.len() as f64 / goals.len() as f64)?;
    }
    Ok(answers)
}

/// Channels and gap for each goal that the widest network does not meet; no gap where no choice is known to hold the limits.
fn solve(
    explorer: &mut Explorer<'_, '_>,
    goals: &[&BudgetSet],
    options: &Options,
) -> Result<Vec<(Channels, Option<f64>)>, SearchError> {
    if goals.is_empty() {
        return Ok(vec![]);
    }
    let (parts, frontier) = added_up(explorer.graph(), explorer.costs(), explorer.strategy())?;
    let scores = marginals::of_widest(explorer, options.measured_bins, SWEEP)?;
    let solver = Solver { explorer, frontier, scores, most: most(&parts), max_labels: options.max_labels };
    goals.iter().map(|goal| solver.answer(goal)).collect()
}

/// Refuses costs that a strategy cannot add up.
///
/// # Errors
/// [`SearchError::Parts`] if `strategy` [adds up costs](Strategy::adds_up_costs) and `costs` are no sum, or too many channels
/// depend on each other.
pub fn check_parts(graph: &Graph, costs: &dyn CostModel, strategy: Strategy) -> Result<(), SearchError> {
    if strategy.adds_up_costs() { added_up(graph, costs, strategy).map(drop) } else { Ok(()) }
}

/// The costs as parts, and as steps.
fn added_up(
    graph: &Graph,
    costs: &dyn CostModel,
    strategy: Strategy,
) -> Result<(Vec<Part>, Frontier), SearchError> {
    let n_bins: Vec<usize> = graph.units.iter().map(|unit| unit.bins.len()).collect();
    let refuse = |source| SearchError::Parts { strategy, source };
    let parts = costs.parts().map_err(refuse)?;
    let frontier = Frontier::new(&n_bins, &parts).map_err(refuse)?;
    Ok((parts, frontier))
}

/// The most of each resource that any choice takes; of RAM, what lives at a time.
fn most(parts: &[Part]) -> Limits {
    let most = |part: &Part, of: &dyn Fn(&Load) -> f64| {
        part.loads.iter().map(of).filter(|amount| amount.is_finite()).fold(0.0, f64::max)
    };
    let sum = |d: usize| parts.iter().map(|part| most(part, &|load| load.sums()[d])).sum();
    Limits {
        sums: std::array::from_fn(sum),
        ram: parts.iter().map(|part| most(part, &|load| load.ram)).fold(0.0, f64::max),
    }
}

/// How far a score may be above the least; `None` where the bound is that of no choice.
fn gap(score: f64, bound: f64) -> Option<f64> {
    bound.is_finite().then(|| (score - bound).max(0.0))
}

/// Solves a problem under any limits.
struct Solver<'e, 'p, 'h> {
    explorer: &'e Explorer<'p, 'h>,
    frontier: Frontier,
    /// `[unit][bin]`
    scores: Vec<Vec<f64>>,
    most: Limits,
    max_labels: usize,
}

/// A region of choices, which is scores that are infinite outside of it.
struct Region {
    scores: Vec<Vec<f64>>,
    solved: Solved,
}

impl Solver<'_, '_, '_> {
    /// The limits of a goal as far as they can bind.
    fn limits(&self, goal: &BudgetSet) -> Limits {
        let least = |resource: Resource| {
            let limits =
                goal.0.iter().filter(|budget| budget.resource == resource).map(|budget| budget.limit);
            limits.fold(f64::INFINITY, f64::min) * (1.0 + ROUNDING)
        };
        let binding = |limit: f64, most: f64| if limit < most { limit } else { f64::INFINITY };
        Limits {
            sums: std::array::from_fn(|d| binding(least(SUMS[d]), self.most.sums[d])),
            ram: binding(least(Resource::Ram), self.most.ram),
        }
    }

    fn region(&self, scores: Vec<Vec<f64>>, limits: &Limits) -> Region {
        let solved = self.frontier.solve(&scores, limits, self.max_labels);
        Region { scores, solved }
    }

    /// The best network that meets `goal` as it is priced whole, and by how much its score may be above the least.
    fn answer(&self, goal: &BudgetSet) -> Result<(Channels, Option<f64>), SearchError> {
        let limits = self.limits(goal);
        let mut open = vec![self.region(self.scores.clone(), &limits)];
        let bound =
            |open: &[Region]| open.iter().map(|region| region.solved.bound).fold(f64::INFINITY, f64::min);
        for _ in 0..=MAX_CUTS {
            let score = |idx: &usize| open[*idx].solved.best.as_ref().map_or(f64::INFINITY, |best| best.1);
            let least = (0..open.len()).min_by(|a, b| score(a).total_cmp(&score(b)));
            let Some((idx, (bins, score))) =
                least.and_then(|idx| Some((idx, open[idx].solved.best.clone()?)))
            else {
                break;
            };
            let network = channels(self.explorer.graph(), &bins);
            if goal.is_met_by(&self.explorer.price(&network)?) {
                return Ok((network, gap(score, bound(&open))));
            }
            let region = open.swap_remove(idx);
            open.extend(self.without(&bins, region.scores, &limits));
        }
        self.tightened(goal, limits, bound(&open))
    }

    /// The regions into which one falls without a choice (Lawler 1972): the first units as there, one not, the others free.
    fn without(&self, bins: &[usize], mut scores: Vec<Vec<f64>>, limits: &Limits) -> Vec<Region> {
        let mut regions = Vec::with_capacity(bins.len());
        for (unit, &bin) in bins.iter().enumerate() {
            let score = std::mem::replace(&mut scores[unit][bin], f64::INFINITY);
            regions.push(self.region(scores.clone(), limits));
            scores[unit].fill(f64::INFINITY);
            scores[unit][bin] = score;
        }
        regions
    }

    /// Where no choice was found, or too many are over the budget only as they are planned: the best under less RAM, else the
    /// smallest network.
    fn tightened(
        &self,
        goal: &BudgetSet,
        mut limits: Limits,
        bound: f64,
    ) -> Result<(Channels, Option<f64>), SearchError> {
        loop {
            limits.ram = limits.ram.min(self.most.ram) * TIGHTER;
            let best = self.frontier.solve(&self.scores, &limits, self.max_labels).best;
            let smallest = || (vec![0; self.scores.len()], self.scores.iter().map(|scores| scores[0]).sum());
            let ended = best.is_none();
            let (bins, score): (_, f64) = best.unwrap_or_else(smallest);
            let network = channels(self.explorer.graph(), &bins);
            if ended || goal.is_met_by(&self.explorer.price(&network)?) {
                return Ok((network, gap(score, bound)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
