//! Measures layers on a board and fills a cost table; goes on after a lost probe, and where an earlier call stopped.

pub mod alignment;
pub mod list;
mod measure;

use crate::board::clock::ClockEstimate;
use crate::board::{BoardError, BoardFile, BoardInfo, Link, ProbeKind, RunFrom, Unit};
use crate::config::ProfileConfig;
use crate::firmware::{self, FirmwareError};
use cost_tables::price::{Prices, next_to_measure};
use cost_tables::table::{CostTable, Provenance};
use device_bench::LayerSpec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Layers between two writes of the table.
const SAVE_EVERY: usize = 16;
/// Layers between two measurements of the sentinel, the first layer of the table that was gone on from or of this one; it
/// is measured at the end too.
const SENTINEL_EVERY: usize = 64;
/// A sentinel that moved by more than this share spoils the table.
const MAX_DRIFT: f64 = 0.01;

/// A profile that does not reach its end; the table holds what was measured.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The board cannot measure this layer.
    #[error("{layer}: {source}")]
    Board {
        /// The layer that was being measured.
        layer: LayerSpec,
        /// What failed.
        source: BoardError,
    },
    /// The probe or the board was lost, and opening it again did not help.
    #[error(
        "{layer}: the board was lost, also after opening it again {} times; check cable and supply, then run \
         it again",
        measure::MAX_REOPENED
    )]
    Lost {
        /// The layer that was being measured.
        layer: LayerSpec,
        /// What failed the last time.
        source: BoardError,
    },
    /// The board is not what it was.
    #[error(
        "the same layer took {now:.0} {unit} after {before:.0} at the start; keep clock and supply steady and profile again"
    )]
    Drift {
        /// At the start, per run.
        before: f64,
        /// Now, per run.
        now: f64,
        /// The board's unit.
        unit: String,
    },
    /// The board's answer is no measurement.
    #[error("{layer}: {problem}; build edgeslim again")]
    Entry {
        /// The layer that was being measured.
        layer: LayerSpec,
        /// What is wrong.
        problem: cost_tables::table::EntryError,
    },
    /// The stop flag was set.
    #[error("stopped after {measured} of {wanted} layers; run it again to go on from there")]
    Stopped {
        /// Layers in the table.
        measured: usize,
        /// Layers asked for.
        wanted: usize,
    },
    /// The table cannot be written.
    #[error(transparent)]
    Table(#[from] cost_tables::table::TableError),
}

/// Where a profile is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Layers in the table.
    pub measured: usize,
    /// Layers asked for.
    pub wanted: usize,
    /// The layer that was measured last.
    pub layer: &'a LayerSpec,
}

/// How layers are measured.
pub struct Profile<'a> {
    /// Samples, warm-ups and the time there is.
    pub config: &'a ProfileConfig,
    /// Seed of the made-up data.
    pub seed: u32,
    /// Opens the board, again where the probe was lost.
    pub open: &'a mut dyn FnMut() -> Result<Link, BoardError>,
    /// Keeps what was measured so far.
    pub save: &'a mut dyn FnMut(&CostTable) -> Result<(), cost_tables::table::TableError>,
    /// Is told of every layer.
    pub watch: &'a mut dyn FnMut(Progress<'_>),
    /// Ends the profile after the current layer.
    pub stop: &'a AtomicBool,
}

/// What the figures of this board and firmware depend on. A clock that the board file names counts for more than its
/// measurement.
pub fn provenance(
    board: &BoardFile,
    info: &BoardInfo,
    measured: Option<ClockEstimate>,
    seed: u32,
) -> Provenance {
    let (core_hz, core_hz_spread) = match (board.core_hz, measured) {
        (Some(core_hz), _) => (core_hz, 0),
        (None, Some(measured)) => (measured.core_hz, measured.spread_hz),
        (None, None) => (0, 0),
    };
    let run_from = match board.run_from {
        RunFrom::Flash => "flash",
        RunFrom::Ram => "ram",
    };
    let caches = if board.caches.is_empty() { "none".to_owned() } else { board.caches_in_words() };
    Provenance {
        alignment: String::new(),
        board: board.name.clone(),
        chip: board.chip.clone(),
        core: board.core.clone(),
        target: board.target.clone(),
        core_hz: core_hz.into(),
        core_hz_spread: core_hz_spread.into(),
        emulated: board.probe == ProbeKind::Virtual,
        unit: board.unit.name().into(),
        cycle_model: match board.unit {
            Unit::ModelledCycles => board.cycle_model().map(|model| model.to_string()).unwrap_or_default(),
            Unit::Cycles | Unit::Instructions => String::new(),
        },
        memory: format!("code and weights in {run_from}, caches {caches}"),
        kernels: info.kernels.clone(),
        kernel_revision: info.kernel_revision,
        firmware: info.firmware.clone(),
        compiler: info.compiler.clone(),
        seed,
        edgeslim: env!("CARGO_PKG_VERSION").into(),
    }
}

/// What is known of them without the board: compiler, kernel set and a clock that the board file does not name are taken
/// from `table`, the kernels' revision and the firmware are those that would be built now.
///
/// # Errors
/// [`FirmwareError`] if the firmware's sources cannot be read.
pub fn provenance_on_file(board: &BoardFile, table: &Provenance) -> Result<Provenance, FirmwareError> {
    let info = BoardInfo {
        kernels: table.kernels.clone(),
        kernel_revision: device_bench::kernels::KERNEL_REVISION,
        firmware: firmware::version()?,
        compiler: table.compiler.clone(),
        ..BoardInfo::default()
    };
    let wanted =
        Provenance { edgeslim: table.edgeslim.clone(), ..provenance(board, &info, None, table.seed) };
    if board.core_hz.is_none() && board.probe != ProbeKind::Virtual {
        return Ok(Provenance { core_hz: table.core_hz, core_hz_spread: table.core_hz_spread, ..wanted });
    }
    Ok(wanted)
}

impl Profile<'_> {
    /// Measures those of `specs` that `table` lacks. Where the time is limited the most telling come first, and it
    /// ends no sooner than all others can be interpolated.
    ///
    /// # Errors
    /// [`ProfileError`]; `save` has seen what was measured before, unless the board drifted: then `table` is empty.
    pub fn run(&mut self, specs: &[LayerSpec], table: &mut CostTable) -> Result<(), ProfileError> {
        match self.measure_all(specs, table) {
            Err(error @ ProfileError::Drift { .. }) => {
                *table = CostTable::new(table.provenance.clone());
                (self.save)(table)?;
                Err(error)
            }
            ended => (self.save)(table).map_err(Into::into).and(ended),
        }
    }

    fn measure_all(&mut self, specs: &[LayerSpec], table: &mut CostTable) -> Result<(), ProfileError> {
        let mut lacking: Vec<LayerSpec> =
            specs.iter().filter(|spec| table.get(spec).is_none()).copied().collect();
        let started = Instant::now();
        let mut link = None;
        let mut sentinel = table.iter().next().map(|(spec, entry)| (*spec, entry.median()));
        if let (Some((spec, before)), false) = (sentinel, lacking.is_empty()) {
            self.check_drift(&mut link, &spec, before, table)?;
        }
        let mut n_measured = 0;
        loop {
            let late = self.config.time_s.is_some_and(|limit| started.elapsed().as_secs_f64() >= limit);
            if lacking.is_empty() || late && all_priced(table, &lacking) {
                return match sentinel.filter(|_| n_measured % SENTINEL_EVERY != 0) {
                    Some((spec, before)) => self.check_drift(&mut link, &spec, before, table),
                    None => Ok(()),
                };
            }
            let batch = match self.config.time_s {
                None => std::mem::take(&mut lacking),
                Some(_) => next_to_measure(table, specs, SAVE_EVERY),
            };
            for spec in &batch {
                let entry = self.measure(&mut link, spec)?;
                let (sentinel_spec, before) = *sentinel.get_or_insert((*spec, entry.median()));
                table
                    .insert(*spec, entry)
                    .map_err(|problem| ProfileError::Entry { layer: *spec, problem })?;
                n_measured += 1;
                (self.watch)(Progress { measured: table.len(), wanted: specs.len(), layer: spec });
                if n_measured % SENTINEL_EVERY == 0 {
                    self.check_drift(&mut link, &sentinel_spec, before, table)?;
                }
                if self.stop.load(Ordering::Relaxed) {
                    return Err(ProfileError::Stopped { measured: table.len(), wanted: specs.len() });
                }
                if n_measured % SAVE_EVERY == 0 {
                    (self.save)(table)?;
                }
            }
            lacking.retain(|spec| table.get(spec).is_none());
        }
    }

    fn check_drift(
        &mut self,
        link: &mut Option<Link>,
        spec: &LayerSpec,
        before: f64,
        table: &CostTable,
    ) -> Result<(), ProfileError> {
        let now = self.measure(link, spec)?.median();
        if (now - before).abs() > MAX_DRIFT * before {
            return Err(ProfileError::Drift { before, now, unit: table.provenance.unit.clone() });
        }
        Ok(())
    }
}

fn all_priced(table: &CostTable, specs: &[LayerSpec]) -> bool {
    let prices = Prices::new(table);
    specs.iter().all(|spec| prices.price(spec).is_ok())
}
