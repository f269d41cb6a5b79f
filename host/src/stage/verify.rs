//! `verify`: every model on the board against the host → `verify.json`.

use super::Context;
use super::retrain::{model_path, seeds, subnet_dir, weights_path};
use super::search::{Candidate, SearchRecord, table};
use crate::board::{Link, clock};
use crate::firmware;
use crate::network::Channels;
use crate::network::lower::lower;
use crate::profile;
use crate::quantize::Blob;
use crate::run::Stage;
use crate::search::budget::resource_name;
use crate::train::test_logits;
use crate::verify::{accuracy, host_logits, run_on_board};
use anyhow::{Context as _, Result};
use cost_tables::price::Prices;
use reports::record::{self, Budget, CandidateRecord, LayerRecord, Provenance, SeedResult, VerifyRecord};
use serde::{Deserialize, Serialize};

/// What was found out about one subnet: `subnets/CHANNELS/verify.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SubnetRecord {
    accuracy_int8_all: f64,
    /// On all test images, one a seed.
    seeds: Vec<SeedResult>,
    /// `None` if it does not fit the board.
    on_board: Option<BoardRecord>,
}

/// What the board did with one subnet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct BoardRecord {
    images_compared: usize,
    images_equal: usize,
    /// On the compared images: float, int8 on the host, int8 on the board.
    accuracies: [f64; 3],
    latency: f64,
    layers: Vec<f64>,
    ram_bytes: u64,
}

/// Verifies every candidate of the search.
///
/// # Errors
/// Where a model is missing, the board fails or its table was measured on another.
pub fn verify(ctx: &Context) -> Result<()> {
    let found = SearchRecord::load(ctx, "verify")?;
    super::retrain::require(ctx, &found, "verify")?;
    super::quantize::require(ctx, &found, "verify")?;
    for name in &ctx.config.verify.all_images {
        found.candidate(name).context("verify.all_images in edgeslim.toml")?;
    }
    let mut link = None;
    let mut subnets = Vec::new();
    for channels in found.subnets() {
        subnets.push((channels.clone(), subnet(ctx, &found, &channels, &mut link)?));
    }
    let path = ctx.dir.path("verify.json");
    let inputs = [("search", ctx.dir.path("search.json")), ("profile", ctx.table_path())];
    let outputs = [path.clone()];
    let asked = (&ctx.graph, &subnets, &ctx.dataset, ctx.config.seed);
    let stage = Stage { name: "verify", config: &asked, inputs: &inputs, outputs: &outputs };
    let outcome = ctx.dir.stage(&stage, || {
        let table = table(ctx, "verify")?;
        let prices = Prices::new(&table).with_correction(found.correction)?;
        let mut candidates = Vec::new();
        for candidate in &found.candidates {
            let measured = subnets.iter().find(|(channels, _)| *channels == candidate.channels);
            let (_, measured) = measured.context("every candidate's subnet was verified")?;
            candidates.push(describe(ctx, candidate, measured, &prices)?);
        }
        for c in &candidates {
            for Budget { resource, limit } in c.missed() {
                let resource = resource_name(resource);
                ctx.ui.say(format!(
                    "verify: {} is over its {resource} budget of {limit:.0} as measured",
                    c.name
                ));
            }
        }
        let provenance = provenance(ctx, &table.provenance);
        Ok(record::save(&VerifyRecord { provenance, rounds: found.rounds.clone(), candidates }, &path)?)
    })?;
    ctx.tell("verify", outcome);
    Ok(())
}

/// The stage that verifies one subnet.
pub(super) fn stage_name(ctx: &Context, channels: &Channels) -> String {
    format!("verify-{}", subnet_dir(ctx, channels).file_name().unwrap_or_default().to_string_lossy())
}

fn subnet(
    ctx: &Context,
    found: &SearchRecord,
    channels: &Channels,
    link: &mut Option<Link>,
) -> Result<SubnetRecord> {
    let names = found.names_of(channels);
    let all = ctx.config.verify.all_images.iter().any(|wanted| names.contains(&wanted.as_str()));
    let n_test = ctx.data.test.images().len();
    let fits = found.candidates.iter().any(|c| c.channels == *channels && c.latency_measured.is_some());
    let n = match (fits, all) {
        (false, _) => 0,
        (true, true) => n_test,
        (true, false) => ctx.config.verify.images.min(n_test),
    };
    let path = subnet_dir(ctx, channels).join("verify.json");
    let seeds = seeds(ctx);
    let mut inputs = vec![("quantize", model_path(ctx, channels)), ("profile", ctx.table_path())];
    inputs.extend(seeds.iter().map(|&seed| ("retrain", weights_path(ctx, channels, seed))));
    let outputs = [path.clone()];
    let asked = (&ctx.graph, channels, &ctx.board, firmware::version()?, n, seeds, &ctx.data.digest);
    let name = stage_name(ctx, channels);
    let stage = Stage { name: &name, config: &asked, inputs: &inputs, outputs: &outputs };
    ctx.dir.stage(&stage, || {
        if fits && link.is_none() {
            *link = Some(checked_board(ctx)?);
        }
        let link = link.as_mut().filter(|_| fits);
        let measured = measure(ctx, channels, link, n, names[0])?;
        Ok(record::save(&measured, &path)?)
    })?;
    Ok(record::load(&path)?)
}

/// The board, if the table is its own.
pub(super) fn checked_board(ctx: &Context) -> Result<Link> {
    let table = table(ctx, "verify")?;
    let mut link = ctx.open_board()?;
    let (clock, seed) = (clock::check(&mut link)?, table.provenance.seed);
    table.check(&profile::provenance(&ctx.board, link.info(), clock, seed))?;
    Ok(link)
}

/// On the host, and on the board if there is a `link`.
fn measure(
    ctx: &Context,
    channels: &Channels,
    link: Option<&mut Link>,
    n: usize,
    name: &str,
) -> Result<SubnetRecord> {
    let path = model_path(ctx, channels);
    let blob = Blob::copy_of(&std::fs::read(&path).with_context(|| path.display().to_string())?);
    let (test, normalisation) = (&ctx.data.test, &ctx.data.normalisation);
    let labels = test.images().labels();
    let mut seeds_found = Vec::new();
    let mut float = 0.0;
    for (i, seed) in seeds(ctx).into_iter().enumerate() {
        let logits = float_logits(ctx, channels, seed)?;
        if i == 0 {
            float = accuracy(&logits, labels, n);
        }
        let accuracy_float = accuracy(&logits, labels, logits.len());
        seeds_found.push(SeedResult { seed, accuracy_float });
    }
    let threads = if ctx.threads == 0 { std::thread::available_parallelism()?.get() } else { ctx.threads };
    let host =
        host_logits(&blob, test, normalisation, threads).with_context(|| path.display().to_string())?;
    let on_board = match link {
        None => None,
        Some(link) => {
            let bar = ctx.ui.bar("verify", n);
            bar.set_message(name.to_owned());
            let watch = &mut |done| bar.set_position(done as u64);
            let board = run_on_board(link, &blob, (test, normalisation), n, &ctx.stop, watch)?;
            bar.finish_and_clear();
            Some(BoardRecord {
                images_compared: n,
                images_equal: board.logits.iter().zip(&host).filter(|(board, host)| board == host).count(),
                accuracies: [float, accuracy(&host, labels, n), accuracy(&board.logits, labels, n)],
                latency: board.timing.whole as f64,
                layers: board.timing.layers.iter().map(|&ticks| ticks as f64).collect(),
                ram_bytes: u64::from(board.ram.arena),
            })
        }
    };
    Ok(SubnetRecord { accuracy_int8_all: accuracy(&host, labels, host.len()), seeds: seeds_found, on_board })
}

/// Float logits of one training on all test images, with the statistics that its int8 model was made from.
fn float_logits(ctx: &Context, channels: &Channels, seed: u64) -> Result<Vec<Vec<f32>>> {
    let engine = ctx.trained(&weights_path(ctx, channels, seed))?;
    ctx.recalibrate(&*engine, channels)?;
    Ok(test_logits(&*engine, channels, &ctx.data.test, &ctx.data.normalisation)?)
}

fn describe(
    ctx: &Context,
    candidate: &Candidate,
    measured: &SubnetRecord,
    prices: &Prices,
) -> Result<CandidateRecord> {
    let lowered = lower(&ctx.graph, &candidate.channels)?;
    let on_board = measured.on_board.as_ref();
    let mut layers = Vec::new();
    // Without a price of its own a network has at least one layer without one.
    let priced = if candidate.cost.latency.is_some() { &lowered.layers[..] } else { &[] };
    for (i, layer) in priced.iter().enumerate() {
        let price = prices.price(&layer.spec)?;
        let node = &ctx.graph.nodes[layer.node].name;
        let name = match lowered.layers.iter().filter(|other| other.node == layer.node).count() {
            1 => node.clone(),
            _ => format!("{node}.{}", layer.spec.op.name()),
        };
        layers.push(LayerRecord {
            name,
            spec: layer.spec,
            macs: layer.spec.macs(),
            predicted: price.value,
            low: price.low,
            high: price.high,
            measured: on_board.and_then(|board| board.layers.get(i).copied()),
        });
    }
    let compared = |which: usize| on_board.map(|board| board.accuracies[which]);
    let latency = on_board.map(|board| board.latency);
    Ok(CandidateRecord {
        name: candidate.name.clone(),
        strategy: candidate.strategy.clone(),
        budget: candidate.budget(),
        budgets: candidate.budgets.clone(),
        channels: candidate.channels.0.clone(),
        unit_names: ctx.graph.units.iter().map(|unit| unit.name.clone()).collect(),
        full_channels: ctx.graph.full().0,
        macs: lowered.macs(),
        latency_predicted: candidate.cost.latency.map(|_| layers.iter().map(|layer| layer.predicted).sum()),
        latency_measured: latency,
        ram_bytes_predicted: candidate.cost.ram as u64,
        ram_bytes_measured: on_board.map(|board| board.ram_bytes),
        flash_bytes: lowered.flash_bytes(),
        accuracy_float: compared(0),
        accuracy_int8_host: compared(1),
        accuracy_int8_board: compared(2),
        accuracy_float_all: measured.seeds.first().map(|seed| seed.accuracy_float),
        accuracy_int8_all: Some(measured.accuracy_int8_all),
        images_compared: on_board.map_or(0, |board| board.images_compared),
        images_equal: on_board.map_or(0, |board| board.images_equal),
        seeds: measured.seeds.clone(),
        layers,
        whole_measured: latency,
    })
}

fn provenance(ctx: &Context, table: &cost_tables::table::Provenance) -> Provenance {
    Provenance {
        board: table.board.clone(),
        core: table.core.clone(),
        chip: table.chip.clone(),
        target: table.target.clone(),
        memory: table.memory.clone(),
        core_hz: table.core_hz,
        core_hz_spread: table.core_hz_spread,
        emulated: table.emulated,
        unit: table.unit.clone(),
        cycle_model: table.cycle_model.clone(),
        kernel_revision: format!("{} {}", table.kernel_revision, table.kernels),
        firmware: table.firmware.clone(),
        compiler: table.compiler.clone(),
        network: ctx.graph.name.clone(),
        dataset: ctx.dataset.clone(),
        seed: ctx.config.seed,
        test_images: ctx.data.test.images().len(),
        edgeslim: env!("CARGO_PKG_VERSION").into(),
    }
}
