//! `search`: cost table and supernet → channels under the budgets, `search.json`.
//!
//! What a subnet costs does not depend on its weights, so candidates are timed on the board before anything is
//! retrained: a budget that the *measured* network misses corrects the prices, and the search runs again.

mod record;

pub use record::{Candidate, SearchRecord};

use super::Context;
use super::verify::checked_board;
use crate::board::Link;
use crate::memory::{self, Capacity};
use crate::network::lower::lower;
use crate::profile::provenance_on_file;
use crate::quantize::{encode, made_up};
use crate::run::{RunError, Stage};
use crate::search::{
    AccuracyModel as _, BudgetSet, BudgetSetSpec, Cost, CostModel as _, Hooks, LatencyUnit, Options, Price,
    Problem, Strategy, SupernetAccuracy, TableCosts, Trace, check_parts, check_possible, deployed,
    search as run_search,
};
use crate::train::System;
use anyhow::{Result, bail};
use cost_tables::price::Prices;
use cost_tables::table::CostTable;
use reports::record::{Budget, Resource, VerifyRound, load, save};
use std::time::Instant;

/// Searches in a row that a correction may ask for.
const MAX_ROUNDS: usize = 3;
/// A latency so far over its budget is over it whatever the full network takes as measured.
const CLEARLY_OVER: f64 = 1.05;
/// The full network, which every other is compared with.
const FULL: &str = "full";

/// Reads the cost table and refuses one of another board, as far as that is known without the board.
///
/// # Errors
/// Where there is none, it is damaged, or it was measured elsewhere, with the field that differs.
pub(super) fn table(ctx: &Context, stage: &str) -> Result<CostTable> {
    let path = ctx.table_path();
    if !path.exists() && ctx.given_table.is_none() {
        return Err(RunError::MissingInput { stage: stage.into(), path, producer: "profile" }.into());
    }
    let table = CostTable::read(&path)?;
    table.check(&provenance_on_file(&ctx.board, &table.provenance)?)?;
    Ok(table)
}

/// Refuses strategies and budgets that the search could not use, before anything is trained for it.
///
/// # Errors
/// As [`search`].
pub(super) fn check_budgets(ctx: &Context) -> Result<()> {
    let strategies = strategies(ctx)?;
    let table = table(ctx, "search")?;
    let lowered = lower(&ctx.graph, &ctx.graph.full())?;
    // A profile that has ended prices the full network unless that does not fit the board.
    let prices = Prices::new(&table);
    let latency = prices.total(lowered.layers.iter().map(|layer| &layer.spec)).ok();
    let mut budgets = resolve(&budgets(ctx)?, &deployed(&lowered, latency), &table)?;
    // Where it does not fit the board, `profile` has said so.
    let costs = TableCosts::new(&ctx.graph, &prices, Capacity::UNLIMITED);
    // Percentages will be of the full network as measured, which only the search does.
    let smallest = costs.cost(&ctx.graph.smallest())?.amount(Resource::Latency);
    let clear = |b: &Budget| b.resource != Resource::Latency || smallest > CLEARLY_OVER * b.limit;
    budgets.iter_mut().for_each(|set| set.0.retain(clear));
    // How many choices there are does not depend on prices, and for a board that holds nothing no layer needs one.
    let unpriced = Capacity { arena_bytes: 0, model_bytes: 0 };
    for &strategy in &strategies {
        check_parts(&ctx.graph, &TableCosts::new(&ctx.graph, &prices, unpriced), strategy)?;
    }
    // Those that limit MACs have other budgets.
    for strategy in strategies.into_iter().filter(|&strategy| !strategy.limits_macs()) {
        check_possible(&ctx.graph, &costs, strategy, &budgets)?;
    }
    Ok(())
}

/// Refuses a system whose subnets are not trained to be what the strategies choose from.
///
/// # Errors
/// With the systems or strategies that may be named instead.
pub(super) fn check_system(ctx: &Context) -> Result<()> {
    let strategies = strategies(ctx)?;
    match &ctx.system {
        System::Nonuniform(_) => Ok(()),
        System::UsNet(_) => match strategies.into_iter().find(|&strategy| strategy != Strategy::Uniform) {
            Some(other) => bail!(
                "search.strategies: {other} gives each unit a width of its own, but the system us-net trains one ratio for \
                 all; name uniform alone, or train.system nonuniform"
            ),
            None => Ok(()),
        },
        other => bail!(
            "search needs a supernet whose units were trained apart: train.system nonuniform (or us-net for the strategy \
             uniform alone), not {}",
            other.name()
        ),
    }
}

fn strategies(ctx: &Context) -> Result<Vec<Strategy>> {
    Ok(ctx.config.search.strategies.iter().map(|name| name.parse()).collect::<Result<_, _>>()?)
}

fn budgets(ctx: &Context) -> Result<Vec<BudgetSetSpec>> {
    Ok(ctx.config.search.budgets.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)
}

fn resolve(specs: &[BudgetSetSpec], full: &Cost, table: &CostTable) -> Result<Vec<BudgetSet>> {
    let provenance = &table.provenance;
    let unit = LatencyUnit { board: &provenance.board, unit: &provenance.unit, core_hz: provenance.core_hz };
    Ok(specs.iter().map(|spec| spec.resolve(full, unit)).collect::<Result<_, _>>()?)
}

/// Finds channels for every strategy and budget.
///
/// # Errors
/// An impossible budget, with the smallest cost that there is; a unit that the table does not have.
pub fn search(ctx: &Context) -> Result<()> {
    let config = &ctx.config;
    let inputs = [("profile", ctx.table_path()), ("train", ctx.dir.path("supernet.safetensors"))];
    let outputs = [ctx.dir.path("search.json")];
    check_system(ctx)?;
    let table = table(ctx, "search")?;
    super::train::require(ctx, "search")?;
    let asked = (&ctx.graph, &config.search, config.data.search_images, config.seed, &ctx.data.digest);
    let stage = Stage { name: "search", config: &asked, inputs: &inputs, outputs: &outputs };
    let outcome = ctx.dir.stage(&stage, || {
        let (strategies, budgets) = (strategies(ctx)?, budgets(ctx)?);
        let engine = ctx.trained(&inputs[1].1)?;
        let weights = blake3::hash(&std::fs::read(&inputs[1].1)?).to_hex();
        let mut accuracy = SupernetAccuracy {
            engine: &*engine,
            train: &ctx.data.train,
            search: &ctx.data.search,
            normalisation: &ctx.data.normalisation,
            recalibration_images: config.search.recalibration_images,
            digest: format!("weights {weights}, data {}", ctx.data.digest),
            reference: None,
        };
        let found = in_rounds(ctx, &table, &mut accuracy, &strategies, &budgets)?;
        Ok(save(&found, &outputs[0])?)
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
    let capacity = Capacity::from(link.info());
    capacity.check(&ctx.graph, &ctx.board.name)?;
    let prices = Prices::new(table);
    let mut full = full(&TableCosts::new(&ctx.graph, &prices, capacity), ctx, accuracy)?;
    time(ctx, &mut link, &mut full)?;
    // Percentages are of what the full network takes as measured; the limits hold for all rounds.
    let mut measured = full.cost;
    let price = full.latency_measured.map(|value| Price { value, low: value, high: value });
    measured.latency = price.or(measured.latency);
    let mut budgets = resolve(specs, &measured, table)?;
    budgets.iter_mut().for_each(|set| set.0.extend(capacity.budgets()));
    let rounds = told(0, &full).into_iter().collect();
    let mut found = SearchRecord { correction: 1.0, rounds, candidates: vec![] };
    for round in 1..=MAX_ROUNDS {
        let prices = prices.clone().with_correction(found.correction)?;
        let costs = TableCosts::new(&ctx.graph, &prices, capacity);
        let mut problem = Problem { graph: &ctx.graph, costs: &costs, accuracy, seed: ctx.config.seed };
        found.candidates = candidates(ctx, &mut problem, strategies, specs, &budgets)?;
        for candidate in &mut found.candidates {
            time(ctx, &mut link, candidate)?;
        }
        found.rounds.extend(found.candidates.iter().filter_map(|c| told(round, c)));
        // What was searched by MACs may miss a latency: that is what it shows.
        let by_latency = |c: &&Candidate| c.strategy.parse().is_ok_and(|s: Strategy| !s.limits_macs());
        let missed = found.candidates.iter().filter(|c| !c.meets).filter(by_latency);
        let factors = missed.filter_map(|c| Some(c.latency_measured? / c.cost.latency?.high));
        let Some(factor) = factors.reduce(f64::max) else { break };
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
fn full(costs: &TableCosts<'_>, ctx: &Context, accuracy: &mut SupernetAccuracy<'_>) -> Result<Candidate> {
    let channels = ctx.graph.full();
    Ok(Candidate {
        name: FULL.into(),
        strategy: FULL.into(),
        budgets: vec![],
        cost: costs.cost(&channels)?,
        estimate: accuracy.estimate(&channels)?,
        channels,
        latency_measured: None,
        meets: true,
        gap: None,
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
        let gap = trace.found.iter().filter_map(|found| found.gap).fold(0.0, f64::max);
        if gap > 0.0 {
            ctx.ui.say(format!(
                "search: {strategy}: an answer may be {gap:.1e} nats above the best sum; see search.json"
            ));
        }
        candidates.extend(trace.found.into_iter().zip(specs).map(|(found, spec)| Candidate {
            name: format!("{strategy}-{}", spec.to_string().replace(' ', "-")),
            strategy: strategy.name().into(),
            budgets: found.budgets.0,
            channels: found.channels,
            cost: found.cost,
            estimate: found.estimate,
            latency_measured: None,
            meets: found.meets,
            gap: found.gap,
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
    let earlier: Vec<Trace> = Strategy::ALL.into_iter().filter_map(|s| load(&path(s)).ok()).collect();
    let bar = ctx.ui.bar("search", 1000);
    let (began, mut n_new) = (Instant::now(), 0);
    let hooks = Hooks {
        stop: &ctx.stop,
        save: &mut |trace| Ok(save(trace, &path(strategy))?),
        watch: &mut |progress| {
            n_new = progress.n_new;
            bar.set_position((progress.done * 1000.0) as u64);
            let accuracy = progress.visit.estimate.map_or(0.0, |e| 100.0 * e.accuracy);
            bar.set_message(format!("{strategy}: {} estimates, {accuracy:.1} %", progress.n_estimates));
        },
    };
    let trace = run_search(problem, strategy, budgets, &Options::default(), &earlier, hooks)?;
    bar.finish_and_clear();
    ctx.ui.say(format!("search: {strategy}: {n_new} new estimates, {:.1} s", began.elapsed().as_secs_f64()));
    Ok(trace)
}

/// Times a candidate with made-up weights, if it fits the board.
fn time(ctx: &Context, link: &mut Link, candidate: &mut Candidate) -> Result<()> {
    let lowered = lower(&ctx.graph, &candidate.channels)?;
    if !Capacity::from(link.info()).holds(&lowered) {
        let (name, board, Cost { ram, flash, .. }) = (&candidate.name, &ctx.board.name, candidate.cost);
        ctx.ui.say(format!(
            "search: {name} does not fit {board}: it needs {ram} bytes of RAM and {flash} of model memory; it is not measured"
        ));
        return Ok(());
    }
    let blob = encode(&made_up(&lowered), &memory::plan(&lowered).layout)?;
    link.load_model(blob.bytes())?;
    let latency = link.time_model()?.whole as f64;
    candidate.latency_measured = Some(latency);
    let held = |b: &Budget| match b.resource {
        Resource::Latency => latency <= b.limit,
        other => candidate.cost.amount(other) <= b.limit,
    };
    candidate.meets = candidate.budgets.iter().all(held);
    Ok(())
}

/// What timing a candidate told; nothing without a price and a time.
fn told(round: usize, c: &Candidate) -> Option<VerifyRound> {
    let (predicted, measured) = (c.cost.latency?.value, c.latency_measured?);
    Some(VerifyRound {
        round,
        candidate: c.name.clone(),
        latency_predicted: predicted,
        latency_measured: measured,
        budget_met: c.meets,
        correction: measured / predicted,
    })
}
