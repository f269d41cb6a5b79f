//! `profile`: the network's layers on the board → `cost-table.csv`.

use super::Context;
use crate::board::clock::{self, ClockEstimate};
use crate::board::{BoardError, BoardFile, LayerPlan, Link, ProbeOptions, RunFrom};
use crate::config::ProfileConfig;
use crate::firmware;
use crate::memory::{self, Capacity};
use crate::network::Channels;
use crate::network::lower::{all_specs, lower};
use crate::profile::{Profile, Progress, alignment, provenance};
use crate::quantize::{encode, made_up};
use crate::run::{Stage, check_writable};
use crate::search::uniform_networks;
use crate::ui::Ui;
use anyhow::{Context as _, Result};
use cost_tables::price::{HeldOut, Prices};
use cost_tables::table::{CostTable, Entry, Provenance};
use device_bench::LayerSpec;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Measures what is missing of the cost table.
///
/// # Errors
/// [`crate::profile::ProfileError`]; the table keeps what was measured. A table given by `--cost-table` that was
/// not measured on this board.
pub fn profile(ctx: &Context) -> Result<()> {
    if ctx.given_table.is_some() {
        ctx.ui.say(format!("profile: using {}", ctx.table_path().display()));
        return super::search::table(ctx, "profile").map(drop);
    }
    // How long it may take is left out: a table that was cut short is used as it is.
    let ProfileConfig { samples, warmups, time_s: _ } = ctx.config.profile;
    let compiler = firmware::compiler(&ctx.board.target);
    let config = (&ctx.graph, &ctx.board, samples, warmups, ctx.config.seed, firmware::version()?, compiler);
    let outputs = [ctx.table_path()];
    let stage = Stage { name: "profile", config: &config, inputs: &[], outputs: &outputs };
    let outcome = ctx.dir.stage(&stage, || {
        let mut bench = Bench::start(&ctx.board, &ctx.probe, ctx.config.seed as u32, ctx.ui)?;
        bench.capacity.check(&ctx.graph, &ctx.board.name)?;
        let mut specs = all_specs(&ctx.graph);
        let n_all = specs.len();
        specs.retain(|spec| bench.capacity.measures(spec));
        if specs.len() < n_all {
            ctx.ui.say(format!(
                "profile: {} of {n_all} layers are too large for {}; no network with one of them will be chosen",
                n_all - specs.len(),
                ctx.board.name
            ));
        }
        let partial = ctx.dir.path("cost-table.partial.csv");
        let table = measure(ctx, &mut bench, &specs, &partial)?;
        table.write(&outputs[0])?;
        ctx.ui.say(format!("profile: {} of {} layers measured", table.len(), specs.len()));
        if table.len() < specs.len() {
            ctx.ui.say(format!("profile: the others are interpolated; {}", interpolation(&table)));
        }
        if let Some(told) = outliers(&table) {
            ctx.ui.say(format!("profile: {told}"));
        }
        let (sum, whole) = reconcile(ctx, &mut bench, &table)?;
        let (unit, off) = (&table.provenance.unit, 100.0 * (sum / whole - 1.0));
        ctx.ui.say(format!(
            "profile: sum of the layers {sum:.0}, whole network {whole:.0} {unit} ({off:+.2} %)"
        ));
        if ctx.board.run_from == RunFrom::Flash {
            let table = realign(ctx, &mut bench, table)?;
            table.write(&outputs[0])?;
        }
        let _ = std::fs::remove_file(&partial);
        Ok(())
    })?;
    ctx.tell("profile", outcome);
    Ok(())
}

/// Goes on from `partial`, or from the layers of the last table that are still asked for.
fn measure(ctx: &Context, bench: &mut Bench<'_>, specs: &[LayerSpec], partial: &Path) -> Result<CostTable> {
    let bar = ctx.ui.bar("profile", specs.len());
    let mut table = CostTable::new(bench.provenance.clone());
    let last = ctx.table_path();
    let earlier = if partial.exists() { partial } else { &last };
    if partial.exists() || ctx.dir.wrote("profile", &last) {
        match CostTable::read(earlier) {
            Ok(known) if is_of(&known, &table.provenance) => {
                let samples = usize::from(ctx.config.profile.samples);
                for spec in specs {
                    if let Some(entry) = known.get(spec).filter(|entry| entry.samples.len() == samples) {
                        table.insert(*spec, entry.clone())?;
                    }
                }
            }
            Ok(_) => ctx.ui.say(format!("profile: {} is of another board or firmware", earlier.display())),
            Err(error) => ctx.ui.say(format!("profile: starting anew: {error}")),
        }
    }
    bar.set_position(table.len() as u64);
    Profile {
        config: &ctx.config.profile,
        seed: ctx.config.seed as u32,
        open: &mut || bench.open(),
        save: &mut |table| table.write(partial),
        watch: &mut |Progress { measured, layer, .. }| {
            bar.set_position(measured as u64);
            bar.set_message(layer.to_string());
        },
        stop: &ctx.stop,
    }
    .run(specs, &mut table)?;
    bar.finish_and_clear();
    Ok(table)
}

/// Whether a table can be gone on from: its clock may have been measured a little differently.
fn is_of(known: &CostTable, wanted: &Provenance) -> bool {
    let found = &known.provenance;
    known.check(wanted).is_ok() && (found.seed, &found.edgeslim) == (wanted.seed, &wanted.edgeslim)
}

/// Measures the layers of a list; `out` has what was measured whenever it ends.
///
/// # Errors
/// Where a layer cannot be run, the board fails, or `stop` is set.
pub fn profile_list(
    board: &BoardFile,
    probe: &ProbeOptions,
    specs: &[LayerSpec],
    seed: u64,
    out: Option<&Path>,
    (ui, stop): (Ui, &AtomicBool),
) -> Result<CostTable> {
    out.map_or(Ok(()), check_writable)?;
    let bar = ui.bar("profile", specs.len());
    let mut bench = Bench::start(board, probe, seed as u32, ui)?;
    let mut table = CostTable::new(bench.provenance.clone());
    Profile {
        config: &ProfileConfig::default(),
        seed: seed as u32,
        open: &mut || bench.open(),
        save: &mut |table| out.map_or(Ok(()), |out| table.write(out)),
        watch: &mut |progress| bar.set_position(progress.measured as u64),
        stop,
    }
    .run(specs, &mut table)?;
    bar.finish_and_clear();
    Ok(table)
}

/// Layers with samples that noise does not explain, if there are any; their prices are medians, which those do not move.
fn outliers(table: &CostTable) -> Option<String> {
    let with_some = || table.iter().filter(|(_, entry)| entry.outliers() > 0);
    let furthest =
        |entry: &Entry| (entry.max() / entry.median() - 1.0).max(1.0 - entry.min() / entry.median());
    let (layer, worst) = with_some().max_by(|a, b| furthest(a.1).total_cmp(&furthest(b.1)))?;
    Some(format!(
        "{} of {} layers have samples that noise does not explain; {layer} has {} among {}, as far as {:.1} % from the median",
        with_some().count(),
        table.len(),
        worst.outliers(),
        worst.samples.len(),
        100.0 * furthest(worst)
    ))
}

/// How far interpolated prices are off, as far as that is known.
fn interpolation(table: &CostTable) -> String {
    match Prices::new(table).held_out_error() {
        None => "too few were measured to tell how well, give --time more to know".into(),
        Some(HeldOut { median, p90, .. }) => format!(
            "of the measured ones, left out in turn, half come out within {:.2} % and nine in ten within {:.2} %",
            100.0 * median,
            100.0 * p90
        ),
    }
}

/// The full network with made-up weights, or the widest uniform one that fits: the sum of its layers' prices, and
/// what it takes in one go on the board.
fn reconcile(ctx: &Context, bench: &mut Bench<'_>, table: &CostTable) -> Result<(f64, f64)> {
    let fits = |channels: &Channels| {
        let lowered = lower(&ctx.graph, channels)?;
        let measured = lowered.layers.iter().all(|layer| bench.capacity.measures(&layer.spec));
        anyhow::Ok((measured && bench.capacity.holds(&lowered)).then_some(lowered))
    };
    let networks = std::iter::once(ctx.graph.full()).chain(uniform_networks(&ctx.graph));
    let mut fitting = networks.filter_map(|channels| fits(&channels).transpose());
    let lowered = fitting.next().context("the smallest network fits")??;
    let sum = Prices::new(table).total(lowered.layers.iter().map(|layer| &layer.spec))?.value;
    let blob = encode(&made_up(&lowered), &memory::plan(&lowered).layout)?;
    let mut link = bench.open()?;
    link.load_model(blob.bytes())?;
    Ok((sum, link.time_model()?.whole as f64))
}

/// Tells what the code's place in the flash's lines does to latency, and writes it into the table's provenance.
fn realign(ctx: &Context, bench: &mut Bench<'_>, mut table: CostTable) -> Result<CostTable> {
    let elf = firmware::build_shifted(bench.board, &bench.board.memory()?)?;
    let ProfileConfig { samples, warmups, time_s: _ } = ctx.config.profile;
    let plan = LayerPlan { warmups, samples, seed: ctx.config.seed as u32 };
    let moved = alignment::remeasure(&mut bench.open_with(&elf)?, &table, &plan)?;
    table.provenance.alignment = alignment::range(&moved);
    ctx.ui.say(format!(
        "profile: with its code {} bytes further on, the costliest layer of each operator takes {}",
        firmware::SHIFT_BYTES,
        table.provenance.alignment
    ));
    Ok(table)
}

/// A board whose firmware is built, running unless its link was taken.
struct Bench<'a> {
    board: &'a BoardFile,
    probe: &'a ProbeOptions,
    elf: PathBuf,
    running: Option<Link>,
    /// Of a board that is not emulated.
    clock: Option<ClockEstimate>,
    /// What the figures depend on.
    provenance: Provenance,
    capacity: Capacity,
}

impl<'a> Bench<'a> {
    /// Builds and starts the firmware, and checks the board's clock.
    fn start(board: &'a BoardFile, probe: &'a ProbeOptions, seed: u32, ui: Ui) -> Result<Self> {
        let elf = firmware::build(board, &board.memory()?)?;
        let mut link = Link::open(board, &elf, probe)?;
        let clock = clock::check(&mut link)?;
        ui.say(format!("profile: {}", clock_line(board, clock)));
        let provenance = provenance(board, link.info(), clock, seed);
        let capacity = Capacity::from(link.info());
        Ok(Bench { board, probe, elf, running: Some(link), clock, provenance, capacity })
    }

    /// The running link the first time, then new ones.
    fn open(&mut self) -> Result<Link, BoardError> {
        if let Some(link) = self.running.take() {
            return Ok(link);
        }
        self.open_with(&self.elf)
    }

    fn open_with(&self, elf: &Path) -> Result<Link, BoardError> {
        let mut link = Link::open(self.board, elf, self.probe)?;
        if let Some(clock) = self.clock {
            link.know_clock(clock);
        }
        Ok(link)
    }
}

/// What became of the board's clock.
fn clock_line(board: &BoardFile, measured: Option<ClockEstimate>) -> String {
    match (measured, board.core_hz) {
        (None, _) => format!("{} is emulated: it has no clock to measure", board.name),
        (Some(measured), None) => format!("core clock {measured} as measured: the board file names none"),
        (Some(measured), Some(core_hz)) => {
            format!("core clock {measured} by the host's time, as the board file's {core_hz} Hz")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_are_told_with_the_layer_that_has_the_furthest() {
        let mut table = CostTable::new(Provenance::default());
        let mut measured = |c_in, samples: [u64; 5]| {
            let entry = Entry { cold: 1, n_calls: 1, samples: samples.to_vec() };
            table.insert(LayerSpec::linear(c_in, 1), entry).unwrap();
            outliers(&table)
        };
        assert_eq!(measured(1, [100, 101, 99, 100, 102]), None);
        assert!(measured(2, [1000, 1000, 1000, 1000, 1010]).unwrap().starts_with("1 of 2 layers have"));
        let told = measured(3, [100, 100, 100, 100, 60]).unwrap();
        assert!(
            told.starts_with("2 of 3 layers") && told.contains("linear 1x1x3->1 has 1 among 5"),
            "{told}"
        );
        assert!(told.ends_with("as far as 40.0 % from the median"), "{told}");
    }
}
