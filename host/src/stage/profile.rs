//! `profile`: the network's layers on the board → `cost-table.csv`.

use super::Context;
use crate::board::{BoardError, Link};
use crate::config::ProfileConfig;
use crate::memory;
use crate::network::lower::{all_specs, lower};
use crate::profile::{Profile, Progress, provenance};
use crate::quantize::{encode, made_up};
use crate::run::Stage;
use crate::ui::Ui;
use crate::{board, firmware};
use anyhow::{Context as _, Result};
use cost_tables::price::{HeldOut, Prices};
use cost_tables::table::CostTable;
use device_bench::LayerSpec;
use device_bench::kernels::KERNEL_REVISION;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Sum of the layers against the whole network, in the table's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Reconciled {
    /// Prices of the layers of the full network, added.
    pub sum: f64,
    /// The same network measured in one go.
    pub whole: f64,
}

/// Measures what is missing of the cost table.
///
/// # Errors
/// [`crate::profile::ProfileError`]; the table keeps what was measured. A table given by `--cost-table` that was
/// not measured on this board.
pub fn profile(ctx: &Context) -> Result<()> {
    if ctx.given_table.is_some() {
        ctx.ui.say(format!("profile: using {}", ctx.table_path().display()));
        return super::search::table(ctx).map(drop);
    }
    // How long it may take is left out: a table that was cut short is used as it is.
    let ProfileConfig { samples, warmups, time_s: _ } = ctx.config.profile;
    let compiler = firmware::compiler(&ctx.board.target);
    let config = (&ctx.graph, &ctx.board, samples, warmups, ctx.config.seed, KERNEL_REVISION, compiler);
    let outputs = [ctx.table_path()];
    let stage = Stage { name: "profile", config: &config, inputs: &[], outputs: &outputs };
    let outcome = ctx.dir.stage(&stage, || {
        let specs = all_specs(&ctx.graph);
        let partial = ctx.dir.path("cost-table.partial.csv");
        let table = measure(ctx, &specs, &partial)?;
        table.write(&outputs[0])?;
        ctx.ui.say(format!("profile: {} of {} layers measured", table.len(), specs.len()));
        if let Some(HeldOut { median, p90, .. }) = Prices::new(&table).held_out_error()
            && table.len() < specs.len()
        {
            let (median, p90) = (100.0 * median, 100.0 * p90);
            ctx.ui.say(format!(
                "profile: the others are interpolated; of the measured ones, left out in turn, half come out within \
                 {median:.2} % and nine in ten within {p90:.2} %"
            ));
        }
        let Reconciled { sum, whole } = reconcile(ctx, &table)?;
        let (unit, off) = (&table.provenance.unit, 100.0 * (sum / whole - 1.0));
        ctx.ui.say(format!("profile: sum of the layers {sum:.0}, whole network {whole:.0} {unit} ({off:+.2} %)"));
        let _ = std::fs::remove_file(&partial);
        Ok(())
    })?;
    ctx.tell("profile", outcome);
    Ok(())
}

/// Goes on from `partial`, or from the layers of the last table that are still asked for.
fn measure(ctx: &Context, specs: &[LayerSpec], partial: &Path) -> Result<CostTable> {
    let bar = ctx.ui.bar("profile", specs.len());
    let opened = Opened::new(&ctx.board)?;
    let seed = ctx.config.seed as u32;
    let mut first = Some(opened.open()?);
    let wanted =
        first.as_ref().map(|link| provenance(&ctx.board, link.info(), seed)).context("just opened")?;
    let mut table = CostTable::new(wanted);
    let last = ctx.table_path();
    let earlier = if partial.exists() { partial } else { &last };
    if partial.exists() || ctx.dir.wrote("profile", &last) {
        match CostTable::read(earlier) {
            Ok(known) if known.provenance == table.provenance => {
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
        seed,
        open: &mut || first.take().map_or_else(|| opened.open(), Ok),
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

/// Measures the layers of a list; `out` has what was measured whenever it ends.
///
/// # Errors
/// Where a layer cannot be run, the board fails, or `stop` is set.
pub fn profile_list(
    board: &board::BoardFile,
    specs: &[LayerSpec],
    seed: u64,
    out: Option<&Path>,
    (ui, stop): (Ui, &AtomicBool),
) -> Result<CostTable> {
    let bar = ui.bar("profile", specs.len());
    let opened = Opened::new(board)?;
    let mut first = Some(opened.open()?);
    let wanted =
        first.as_ref().map(|link| provenance(board, link.info(), seed as u32)).context("just opened")?;
    let mut table = CostTable::new(wanted);
    Profile {
        config: &ProfileConfig::default(),
        seed: seed as u32,
        open: &mut || first.take().map_or_else(|| opened.open(), Ok),
        save: &mut |table| out.map_or(Ok(()), |out| table.write(out)),
        watch: &mut |progress| bar.set_position(progress.measured as u64),
        stop,
    }
    .run(specs, &mut table)?;
    bar.finish_and_clear();
    Ok(table)
}

/// The full network with made-up weights, layer by layer from the table and in one go on the board.
fn reconcile(ctx: &Context, table: &CostTable) -> Result<Reconciled> {
    let lowered = lower(&ctx.graph, &ctx.graph.full())?;
    let sum = Prices::new(table).total(lowered.layers.iter().map(|layer| &layer.spec));
    let sum = sum.context("too few layers were measured to price the full network; give --time more")?.value;
    let blob = encode(&made_up(&lowered), &memory::plan(&lowered).layout)?;
    let mut link = ctx.open_board()?;
    link.load_model(blob.bytes())?;
    Ok(Reconciled { sum, whole: link.time_model()?.whole as f64 })
}

/// A board whose firmware is built.
struct Opened<'a> {
    board: &'a board::BoardFile,
    elf: PathBuf,
}

impl<'a> Opened<'a> {
    fn new(board: &'a board::BoardFile) -> Result<Self> {
        Ok(Opened { board, elf: firmware::build(board, &board.memory()?)? })
    }

    fn open(&self) -> Result<Link, BoardError> {
        Link::open(self.board, &self.elf)
    }
}
