//! `search`: cost table and supernet → channels under the budgets, `search.json`.
//!
//! What a subnet costs does not depend on its weights, so candidates are timed on the board before anything is
//! retrained: a budget that the *measured* network misses corrects the prices, and the search runs again.

use super::Context;
use super::verify::checked_board;
use crate::board::Link;
use crate::memory;
use crate::nearest::did_you_mean;
use crate::network::Channels;
use crate::network::lower::lower;
use crate::profile::provenance_on_file;
use crate::quantize::{encode, made_up};
use crate::run::{RunError, Stage};
use crate::search::{
    AccuracyModel as _, BudgetSet, BudgetSetSpec, Cost, CostModel as _, Estimate, Hooks, LatencyUnit,
    Options, Problem, Strategy, SupernetAccuracy, TableCosts, Trace, search as run_search,
};
use anyhow::{Context as _, Result};
use cost_tables::price::Prices;
use cost_tables::table::CostTable;
use reports::record::{self, Budget, Resource, VerifyRound};
use serde::{Deserialize, Serialize};

/// Searches in a row that a correction may ask for.
const MAX_ROUNDS: usize = 3;
/// The full network, which every other is compared with.
const FULL: &str = "full";

/// `search.json`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchRecord {
    /// Factor on the table's prices that the last round used.
    pub correction: f64,
    /// Candidates timed on the board, round by round.
    pub rounds: Vec<VerifyRound>,
    /// The full network, then the answers by strategy and budget.
    pub candidates: Vec<Candidate>,
}

/// One choice of channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Unique: strategy and budget, such as `autoslim-latency-50%`.
    pub name: String,
    /// Who found it.
    pub strategy: String,
    /// What it was searched under, in absolute limits.
    pub budgets: Vec<Budget>,
    /// One count per unit.
    pub channels: Channels,
    /// What it is predicted to need.
    pub cost: Cost,
    /// How it answers as a part of the supernet, on the search images.
    pub estimate: Estimate,
    /// Its latency on the board.
    pub latency_measured: f64,
    /// Whether all budgets hold, the latency as measured.
    pub meets: bool,
}

impl SearchRecord {
    /// Reads the `search.json` of a run for a later stage.
    ///
    /// # Errors
    /// Where the search has not been run, or found channels that this network does not have.
    pub fn load(ctx: &Context, stage: &str) -> Result<SearchRecord> {
        let path = ctx.dir.path("search.json");
        if !path.exists() {
            return Err(RunError::MissingInput { stage: stage.into(), path, producer: "search" }.into());
        }
        let found: SearchRecord = record::load(&path)?;
        for candidate in &found.candidates {
            let lowered = lower(&ctx.graph, &candidate.channels);
            lowered.with_context(|| format!("{}: candidate `{}`", path.display(), candidate.name))?;
        }
        Ok(found)
    }

    /// Every choice of channels once, in the candidates' order.
    pub fn subnets(&self) -> Vec<Channels> {
        let mut subnets: Vec<Channels> = Vec::new();
        for candidate in &self.candidates {
            if !subnets.contains(&candidate.channels) {
                subnets.push(candidate.channels.clone());
            }
        }
        subnets
    }

    /// The names of the candidates with these channels.
    pub fn names_of(&self, channels: &Channels) -> Vec<&str> {
        self.candidates.iter().filter(|c| c.channels == *channels).map(|c| c.name.as_str()).collect()
    }

    /// The candidate `name`.
    ///
    /// # Errors
    /// If there is none, with the nearest name and all that there are.
    pub fn candidate(&self, name: &str) -> Result<&Candidate> {
        let found = self.candidates.iter().find(|c| c.name == name);
        found.with_context(|| {
            let names: Vec<&str> = self.candidates.iter().map(|c| c.name.as_str()).collect();
            let near = did_you_mean(name, names.iter().copied());
            format!("no candidate is called `{name}`{near}; there are: {}", names.join(", "))
        })
    }
}

impl Candidate {
    /// The limit that charts draw: the latency's, else the first.
    pub fn budget(&self) -> Option<Budget> {
        let latency = self.budgets.iter().find(|b| b.resource == Resource::Latency);
        latency.or(self.budgets.first()).copied()
    }
}

/// Reads the cost table and refuses one of another board, as far as that is known without the board.
///
/// # Errors
/// Where there is none, it is damaged, or it was measured elsewhere, with the field that differs.
pub(super) fn table(ctx: &Context) -> Result<CostTable> {
    let path = ctx.table_path();
    if !path.exists() {
        return Err(RunError::MissingInput { stage: "search".into(), path, producer: "profile" }.into());
    }
    let table = CostTable::read(&path)?;
    table.check(&provenance_on_file(&ctx.board, &table.provenance))?;
    Ok(table)
}

/// Finds channels for every strategy and budget.
///
/// # Errors
/// An impossible budget, with the smallest cost that there is; a unit that the table does not have.
pub fn search(ctx: &Context) -> Result<()> {
    let config = &ctx.config;
    let inputs = [("profile", ctx.table_path()), ("train", ctx.dir.path("supernet.safetensors"))];
    let outputs = [ctx.dir.path("search.json")];
    let table = table(ctx)?;
    super::train::require(ctx, "search")?;
    let asked = (&ctx.graph, &config.search, config.data.search_images, config.seed, &ctx.data.digest);
    let stage = Stage { name: "search", config: &asked, inputs: &inputs, outputs: &outputs };
    let outcome = ctx.dir.stage(&stage, || {
        let strategies: Vec<Strategy> =
            config.search.strategies.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        let budgets: Vec<BudgetSetSpec> =
            config.search.budgets.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
        let engine = ctx.trained(&inputs[1].1)?;
        let weights = blake3::hash(&std::fs::read(&inputs[1].1)?).to_hex();
        let mut accuracy = SupernetAccuracy {
            engine: &*engine,
            train: &ctx.data.train,
            search: &ctx.data.search,
            normalisation: &ctx.data.normalisation,
            recalibration_images: config.search.recalibration_images,
            digest: format!("weights {weights}, data {}", ctx.data.digest),
        };
        let found = in_rounds(ctx, &table, &mut accuracy, &strategies, &budgets)?;
        Ok(record::save(&found, &outputs[0])?)
    })?;
    ctx.tell("search", outcome);
    Ok(())
}

/// Searches, times what was found, and searches again with corrected prices while a budget is missed.
fn in_rounds(
    ctx: &Context,
    table: &CostTable,
    accuracy: &mut SupernetAccuracy<'_>,
    strategies: &[Strategy],
    specs: &[BudgetSetSpec],
) -> Result<SearchRecord> {
    let mut link = checked_board(ctx)?;
    let prices = Prices::new(table);
    let mut full = full(ctx, &prices, accuracy)?;
    time(ctx, &mut link, &mut full)?;
    // Percentages are of what the full network takes as measured; the limits hold for all rounds.
    let mut measured = full.cost;
    measured.latency.value = full.latency_measured;
    let provenance = &table.provenance;
    let unit = LatencyUnit { board: &provenance.board, unit: &provenance.unit, core_hz: provenance.core_hz };
    let budgets: Vec<BudgetSet> =
        specs.iter().map(|s| s.resolve(&measured, unit)).collect::<Result<_, _>>()?;
    let mut found = SearchRecord { correction: 1.0, rounds: vec![told(0, &full)], candidates: vec![] };
    for round in 1..=MAX_ROUNDS {
        let prices = prices.clone().with_correction(found.correction)?;
        let costs = TableCosts::new(&ctx.graph, &prices);
        let mut problem = Problem { graph: &ctx.graph, costs: &costs, accuracy, seed: ctx.config.seed };
        found.candidates = candidates(ctx, &mut problem, strategies, specs, &budgets)?;
        for candidate in &mut found.candidates {
            time(ctx, &mut link, candidate)?;
        }
        found.rounds.extend(found.candidates.iter().map(|c| told(round, c)));
        // What was searched by MACs may miss a latency: that is what it shows.
        let missed = found.candidates.iter().filter(|c| !c.meets && c.strategy != Strategy::Flops.name());
        let Some(factor) = missed.map(|c| c.latency_measured / c.cost.latency.high).reduce(f64::max) else {
            break;
        };
        if round == MAX_ROUNDS {
            ctx.ui.say(format!(
                "search: after {round} rounds a budget is still missed as measured; see search.json"
            ));
            break;
        }
        ctx.ui.say(format!("search: a budget is missed as measured; prices × {factor:.4}, searching again"));
        found.correction *= factor;
    }
    found.candidates.insert(0, full);
    Ok(found)
}

/// The full network.
fn full(ctx: &Context, prices: &Prices, accuracy: &mut SupernetAccuracy<'_>) -> Result<Candidate> {
    let channels = ctx.graph.full();
    Ok(Candidate {
        name: FULL.into(),
        strategy: FULL.into(),
        budgets: vec![],
        cost: TableCosts::new(&ctx.graph, prices).cost(&channels)?,
        estimate: accuracy.estimate(&channels)?,
        channels,
        latency_measured: 0.0,
        meets: true,
    })
}

/// What each strategy finds for each set of budgets; not timed yet.
fn candidates(
    ctx: &Context,
    problem: &mut Problem<'_>,
    strategies: &[Strategy],
    specs: &[BudgetSetSpec],
    budgets: &[BudgetSet],
) -> Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for &strategy in strategies {
        let trace = strategy_trace(ctx, problem, strategy, budgets)?;
        candidates.extend(trace.found.into_iter().zip(specs).map(|(found, spec)| Candidate {
            name: format!("{strategy}-{}", spec.to_string().replace(' ', "-")),
            strategy: strategy.name().into(),
            budgets: found.budgets.0,
            channels: found.channels,
            cost: found.cost,
            estimate: found.estimate,
            latency_measured: 0.0,
            meets: found.meets,
        }));
    }
    Ok(candidates)
}

/// Runs one strategy, from its trace if it was stopped; other strategies' estimates serve too.
fn strategy_trace(
    ctx: &Context,
    problem: &mut Problem<'_>,
    strategy: Strategy,
    budgets: &[BudgetSet],
) -> Result<Trace> {
    let path = |strategy: Strategy| ctx.dir.path("search").join(format!("{strategy}.json"));
    let earlier: Vec<Trace> = Strategy::ALL.into_iter().filter_map(|s| record::load(&path(s)).ok()).collect();
    let bar = ctx.ui.bar("search", 1000);
    let hooks = Hooks {
        stop: &ctx.stop,
        save: &mut |trace| Ok(record::save(trace, &path(strategy))?),
        watch: &mut |progress| {
            bar.set_position((progress.done * 1000.0) as u64);
            let accuracy = progress.visit.estimate.map_or(0.0, |e| 100.0 * e.accuracy);
            bar.set_message(format!("{strategy}: {} estimates, {accuracy:.1} %", progress.n_estimates));
        },
    };
    let trace = run_search(problem, strategy, budgets, &Options::default(), &earlier, hooks)?;
    bar.finish_and_clear();
    Ok(trace)
}

/// Times a candidate with made-up weights.
fn time(ctx: &Context, link: &mut Link, candidate: &mut Candidate) -> Result<()> {
    let lowered = lower(&ctx.graph, &candidate.channels)?;
    let blob = encode(&made_up(&lowered), &memory::plan(&lowered).layout)?;
    link.load_model(blob.bytes())?;
    candidate.latency_measured = link.time_model()?.whole as f64;
    let held = |b: &Budget| match b.resource {
        Resource::Latency => candidate.latency_measured <= b.limit,
        other => candidate.cost.amount(other) <= b.limit,
    };
    candidate.meets = candidate.budgets.iter().all(held);
    Ok(())
}

fn told(round: usize, c: &Candidate) -> VerifyRound {
    VerifyRound {
        round,
        candidate: c.name.clone(),
        latency_predicted: c.cost.latency.value,
        latency_measured: c.latency_measured,
        budget_met: c.meets,
        correction: c.latency_measured / c.cost.latency.value,
    }
}
