//! Problems with a known answer, for the tests of the strategies.

use super::parts::choices;
use super::problem::{AccuracyModel, Cost, CostModel, Estimate, Load, Part, Price, Problem};
use super::{BudgetSet, Hooks, Options, Progress, SearchError, Strategy, Trace, search};
use crate::network::{Channels, Graph, Shape, Unit, all_specs};
use cost_tables::price::Prices;
use cost_tables::table::{CostTable, Entry, Provenance};
use reports::record::{Budget, Resource};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A graph of units only; the widest bin is the full count.
pub fn units(bins: &[&[usize]]) -> Graph {
    let unit = |(i, bins): (usize, &&[usize])| Unit {
        name: format!("unit{i}"),
        full: *bins.last().unwrap(),
        bins: bins.to_vec(),
    };
    Graph {
        name: "synthetic".into(),
        input: Shape { h: 1, w: 1, c: 1 },
        classes: 2,
        nodes: vec![],
        units: bins.iter().enumerate().map(unit).collect(),
    }
}

/// The graph with no more than three bins a unit: the first, the middle one and the last.
pub fn few_bins(mut graph: Graph) -> Graph {
    for unit in &mut graph.units {
        let bins = &unit.bins;
        unit.bins = vec![bins[0], bins[bins.len() / 2], *bins.last().unwrap()];
        unit.bins.dedup();
    }
    graph
}

/// Every choice of bins.
pub fn all_networks(graph: &Graph) -> Vec<Channels> {
    choices(graph, &(0..graph.units.len()).collect::<Vec<_>>()).collect()
}

/// Costs by a formula; one part holds them all.
pub struct Costs<'a, F>(pub &'a Graph, pub F);

impl<F: Fn(&[usize]) -> Cost> CostModel for Costs<'_, F> {
    fn cost(&self, channels: &Channels) -> anyhow::Result<Cost> {
        Ok((self.1)(&channels.0))
    }

    fn latency_unit(&self) -> &str {
        "cycles"
    }

    fn parts(&self) -> anyhow::Result<Vec<Part>> {
        let load = |channels: Channels| {
            let cost = (self.1)(&channels.0);
            let latency = cost.amount(Resource::Latency);
            Load { latency, flash: cost.flash, macs: cost.macs, ram: cost.ram }
        };
        let loads = all_networks(self.0).into_iter().map(load).collect();
        Ok(vec![Part { units: (0..self.0.units.len()).collect(), loads }])
    }
}

/// What `parts` take together for some channels.
pub fn summed(graph: &Graph, parts: &[Part], channels: &Channels) -> Load {
    let load = |part: &Part| {
        let bins = |unit: usize| &graph.units[unit].bins;
        let bin = |unit: usize| bins(unit).iter().position(|&bin| bin == channels.0[unit]).unwrap();
        part.loads[part.units.iter().fold(0, |idx, &unit| idx * bins(unit).len() + bin(unit))]
    };
    parts.iter().map(load).sum()
}

/// Prices of every layer of `graph` that no formula explains, some of them uncertain.
pub fn random_prices(graph: &Graph) -> Prices {
    let mut table = CostTable::new(Provenance { unit: "cycles".into(), ..Provenance::default() });
    for spec in all_specs(graph) {
        let digest = blake3::hash(spec.to_string().as_bytes());
        let noise = u64::from(digest.as_bytes()[0]);
        let ticks = 100 + spec.macs() + spec.macs() * noise / 500;
        let entry = Entry { cold: ticks, n_calls: 1, samples: vec![ticks, ticks, ticks + noise % 9] };
        table.insert(spec, entry).unwrap();
    }
    Prices::new(&table)
}

/// An exact latency, equal to every other amount.
pub fn exact(amount: f64) -> Cost {
    let latency = Some(Price { value: amount, low: amount, high: amount });
    Cost { latency, ram: amount, flash: amount, macs: amount }
}

/// Accuracies by a formula, with the loss and divergence `1 - accuracy`.
pub struct Formula<F> {
    accuracy: F,
    /// Estimates taken.
    pub n_taken: usize,
    /// The estimate that sets the stop flag.
    pub stop_at: usize,
    stop: Arc<AtomicBool>,
}

impl<F: Fn(&[usize]) -> f64> Formula<F> {
    pub fn new(accuracy: F) -> Self {
        Formula { accuracy, n_taken: 0, stop_at: usize::MAX, stop: Arc::default() }
    }
}

impl<F: Fn(&[usize]) -> f64> AccuracyModel for Formula<F> {
    fn estimate(&mut self, channels: &Channels) -> anyhow::Result<Estimate> {
        self.n_taken += 1;
        self.stop.store(self.n_taken >= self.stop_at, Ordering::Relaxed);
        let accuracy = (self.accuracy)(&channels.0);
        Ok(Estimate {
            accuracy,
            loss: 1.0 - accuracy,
            kl: 1.0 - accuracy,
            loss_error: 0.0,
            kl_error: 0.0,
            n: 100,
        })
    }

    fn identity(&self) -> String {
        "formula".into()
    }
}

/// Runs a search that goes on from `earlier`; `saved` gets each saved trace as JSON.
pub fn run<F: Fn(&[usize]) -> f64>(
    problem: (&Graph, &dyn CostModel),
    formula: &mut Formula<F>,
    strategy: Strategy,
    budgets: &[BudgetSet],
    earlier: &[Trace],
    saved: &mut Vec<Vec<u8>>,
) -> Result<Trace, SearchError> {
    let options = Options { random_candidates: 20, evolution_candidates: 60, ..Options::default() };
    run_with(&options, problem, formula, strategy, budgets, earlier, saved)
}

/// As [`run`], with these options.
pub fn run_with<F: Fn(&[usize]) -> f64>(
    options: &Options,
    (graph, costs): (&Graph, &dyn CostModel),
    formula: &mut Formula<F>,
    strategy: Strategy,
    budgets: &[BudgetSet],
    earlier: &[Trace],
    saved: &mut Vec<Vec<u8>>,
) -> Result<Trace, SearchError> {
    let stop = formula.stop.clone();
    let mut problem = Problem { graph, costs, accuracy: formula, seed: 7 };
    let mut done = 0.0;
    let mut watch = |p: &Progress| {
        assert!(p.done >= done && p.done <= 1.0, "progress goes from {done} to {}", p.done);
        done = p.done;
    };
    let mut save = |trace: &Trace| {
        saved.push(serde_json::to_vec(trace)?);
        Ok(())
    };
    let hooks = Hooks { stop: &stop, save: &mut save, watch: &mut watch };
    search(&mut problem, strategy, budgets, options, earlier, hooks)
}

/// As [`run`], to the end and from the start.
pub fn run_whole(
    problem: (&Graph, &dyn CostModel),
    accuracy: impl Fn(&[usize]) -> f64,
    strategy: Strategy,
    budgets: &[BudgetSet],
) -> Result<Trace, SearchError> {
    run(problem, &mut Formula::new(accuracy), strategy, budgets, &[], &mut vec![])
}

/// A limit on latency alone.
pub fn latency(limit: f64) -> BudgetSet {
    BudgetSet(vec![Budget { resource: Resource::Latency, limit }])
}
