//! Prices and estimates candidates, remembers every one, saves, stops, and tells how far it is.

use super::SearchError;
use super::budget::{BudgetSet, resource_name};
use super::problem::{AccuracyModel, Cost, CostModel, Estimate, Problem};
use super::strategy::Strategy;
use super::trace::{Answer, Found, Trace, Visit};
use crate::network::{Channels, Graph};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// What a search calls while it runs.
pub struct Hooks<'a> {
    /// Ends the search before its next estimate.
    pub stop: &'a AtomicBool,
    /// Called after each step and at the end, also a failed one, with all that is known so far.
    pub save: &'a mut dyn FnMut(&Trace) -> anyhow::Result<()>,
    /// Called after each estimate.
    pub watch: &'a mut dyn FnMut(&Progress),
}

/// Refuses budgets that the smallest network does not meet.
///
/// # Errors
/// [`SearchError::Impossible`] with the smallest cost; [`SearchError::Cost`], [`SearchError::Unsound`].
pub fn check_possible(
    graph: &Graph,
    costs: &dyn CostModel,
    strategy: Strategy,
    budgets: &[BudgetSet],
) -> Result<(), SearchError> {
    let cost = price(costs, &graph.smallest())?;
    for &budget in budgets.iter().flat_map(|set| &set.0) {
        let smallest = cost.amount(budget.resource);
        if smallest > budget.limit {
            return Err(SearchError::Impossible {
                strategy,
                network: graph.name.clone(),
                resource: resource_name(budget.resource),
                unit: super::unit_of(budget.resource, costs.latency_unit()),
                limit: budget.limit,
                smallest,
            });
        }
    }
    Ok(())
}

fn price(costs: &dyn CostModel, channels: &Channels) -> Result<Cost, SearchError> {
    let failed = |source| SearchError::Cost { channels: channels.clone(), source };
    let cost = costs.cost(channels).map_err(failed)?;
    if cost.is_sound() { Ok(cost) } else { Err(SearchError::Unsound { channels: channels.clone(), cost }) }
}

/// Where a search is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What searches.
    pub strategy: Strategy,
    /// Candidates estimated so far, those of earlier searches included.
    pub n_estimates: usize,
    /// Those of them that no earlier search had.
    pub n_new: usize,
    /// Share of the search that is done, 0 to 1.
    pub done: f64,
    /// Time left at the present speed, seconds; `None` before there is one.
    pub left_s: Option<f64>,
    /// The latest candidate.
    pub visit: Visit,
}

/// One search in the making.
///
/// A search is resumed by running it again: what it decides depends on costs, estimates and the seed only, and
/// estimates that are known are not taken again.
pub(super) struct Explorer<'p, 'h> {
    graph: &'p Graph,
    costs: &'p dyn CostModel,
    accuracy: &'p mut dyn AccuracyModel,
    hooks: Hooks<'h>,
    known: HashMap<Channels, Estimate>,
    visit_idx: HashMap<Channels, usize>,
    trace: Trace,
    n_new: usize,
    unsaved: bool,
    done: f64,
    began: Option<(Instant, f64)>,
}

impl<'p, 'h> Explorer<'p, 'h> {
    pub(super) fn new(
        problem: &'p mut Problem<'_>,
        strategy: Strategy,
        earlier: &[Trace],
        hooks: Hooks<'h>,
    ) -> Self {
        let (graph, costs, accuracy) = (problem.graph, problem.costs, &mut *problem.accuracy);
        let trace = Trace {
            strategy,
            seed: problem.seed,
            network: graph.name.clone(),
            units: graph.units.iter().map(|u| u.name.clone()).collect(),
            estimator: accuracy.identity(),
            latency_unit: costs.latency_unit().to_owned(),
            visits: Vec::new(),
            path: Vec::new(),
            found: Vec::new(),
        };
        let same = |t: &&Trace| {
            t.network == trace.network && t.units == trace.units && t.estimator == trace.estimator
        };
        let visits = earlier.iter().filter(same).flat_map(|t| &t.visits);
        let known = visits.filter_map(|v| Some((v.channels.clone(), v.estimate?))).collect();
        let (visit_idx, n_new, unsaved, done, began) = (HashMap::new(), 0, false, 0.0, None);
        Explorer { graph, costs, accuracy, hooks, known, visit_idx, trace, n_new, unsaved, done, began }
    }

    /// What is searched; outlives any borrow of the explorer.
    pub(super) fn graph(&self) -> &'p Graph {
        self.graph
    }

    pub(super) fn seed(&self) -> u64 {
        self.trace.seed
    }

    pub(super) fn strategy(&self) -> Strategy {
        self.trace.strategy
    }

    /// What candidates cost.
    pub(super) fn costs(&self) -> &'p dyn CostModel {
        self.costs
    }

    /// Prices `channels` without a visit.
    pub(super) fn price(&self, channels: &Channels) -> Result<Cost, SearchError> {
        price(self.costs, channels)
    }

    /// Visits `channels` for their cost only.
    pub(super) fn visit(&mut self, channels: &Channels) -> Result<Cost, SearchError> {
        if let Some(&idx) = self.visit_idx.get(channels) {
            return Ok(self.trace.visits[idx].cost);
        }
        let cost = self.price(channels)?;
        self.visit_idx.insert(channels.clone(), self.trace.visits.len());
        self.trace.visits.push(Visit { channels: channels.clone(), cost, estimate: None });
        Ok(cost)
    }

    /// Visits `channels` and estimates them, unless that is known; the index of the visit.
    pub(super) fn estimate(&mut self, channels: &Channels) -> Result<usize, SearchError> {
        self.visit(channels)?;
        let visit_idx = self.visit_idx[channels];
        if self.trace.visits[visit_idx].estimate.is_none() {
            let known = self.known.get(channels).copied();
            let estimate = known.map_or_else(|| self.new_estimate(channels), Ok)?;
            self.trace.visits[visit_idx].estimate = Some(estimate);
            self.report(visit_idx);
        }
        Ok(visit_idx)
    }

    fn new_estimate(&mut self, channels: &Channels) -> Result<Estimate, SearchError> {
        if self.hooks.stop.load(Ordering::Relaxed) {
            return Err(SearchError::Stopped { n_estimates: self.n_estimates() });
        }
        self.began.get_or_insert_with(|| (Instant::now(), self.done));
        let failed = |source| SearchError::Accuracy { channels: channels.clone(), source };
        let estimate = self.accuracy.estimate(channels).map_err(failed)?;
        if !estimate.is_finite() {
            return Err(SearchError::NotFinite { channels: channels.clone(), estimate });
        }
        self.n_new += 1;
        self.unsaved = true;
        Ok(estimate)
    }

    fn n_estimates(&self) -> usize {
        self.trace.visits.iter().filter(|v| v.estimate.is_some()).count()
    }

    fn report(&mut self, visit_idx: usize) {
        let left_s = self.began.and_then(|(instant, done)| {
            let share = self.done - done;
            (share > 0.0).then(|| instant.elapsed().as_secs_f64() * (1.0 - self.done) / share)
        });
        let progress = Progress {
            strategy: self.trace.strategy,
            n_estimates: self.n_estimates(),
            n_new: self.n_new,
            done: self.done,
            left_s,
            visit: self.trace.visits[visit_idx].clone(),
        };
        (self.hooks.watch)(&progress);
    }

    /// A visit with its estimate.
    pub(super) fn estimated(&self, visit_idx: usize) -> (&Visit, Estimate) {
        let visit = &self.trace.visits[visit_idx];
        (visit, visit.estimate.expect("only indices of estimated visits are handed out"))
    }

    /// The descent passes through a visit.
    pub(super) fn pass(&mut self, visit_idx: usize) {
        self.trace.path.push(visit_idx);
    }

    /// A step ends; `done` is the share of the search behind it.
    pub(super) fn end_step(&mut self, done: f64) -> Result<(), SearchError> {
        self.done = done.clamp(self.done, 1.0);
        self.save_new()
    }

    /// Saves unless all of it was known: a search that goes on never leaves less than it found.
    pub(super) fn save_new(&mut self) -> Result<(), SearchError> {
        if std::mem::take(&mut self.unsaved) {
            (self.hooks.save)(&self.trace).map_err(SearchError::Save)?;
        }
        Ok(())
    }

    /// Refuses budgets that the smallest network does not meet.
    pub(super) fn check_possible(&self, budgets: &[BudgetSet]) -> Result<(), SearchError> {
        check_possible(self.graph, self.costs, self.trace.strategy, budgets)
    }

    /// Ends the search: an answer per set of budgets.
    pub(super) fn end(mut self, budgets: &[BudgetSet], answers: &[Answer]) -> Result<Trace, SearchError> {
        let found = budgets.iter().zip(answers).map(|(budgets, &Answer { visit_idx, gap })| {
            let (visit, estimate) = self.estimated(visit_idx);
            let meets = budgets.is_met_by(&visit.cost);
            let (budgets, channels) = (budgets.clone(), visit.channels.clone());
            Found { budgets, channels, cost: visit.cost, estimate, meets, gap }
        });
        self.trace.found = found.collect();
        (self.hooks.save)(&self.trace).map_err(SearchError::Save)?;
        Ok(self.trace)
    }
}
