//! What QEMU's plugin counts of a virtual board, priced: its modelled cycles.

use super::{BoardError, BoardFile, LayerTiming, Unit};
use crate::firmware;
use device_bench::bench::N_MODEL_RUNS;
use probe_rs::probe::DebugProbeSelector;
use std::path::PathBuf;
use tempfile::TempDir;
use virtual_board::cycles::{self, Model};

/// Windows around nothing, before the warm-ups and before the samples; see [`device_bench::bench::measure`].
const N_EMPTY: usize = 3;

/// The counts of an open board.
pub(super) struct Counts {
    board: String,
    model: Model,
    plugin: PathBuf,
    folder: TempDir,
    /// Bytes of the file that were read, or are of no interest.
    read: usize,
}

/// A window, or what one takes beyond an empty one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Window {
    instructions: u64,
    cycles: u64,
}

impl Window {
    fn less(self, empty: Window) -> Window {
        Window {
            instructions: self.instructions.saturating_sub(empty.instructions),
            cycles: self.cycles.saturating_sub(empty.cycles),
        }
    }
}

impl Counts {
    /// For a board whose unit is modelled cycles; the plugin is built first.
    ///
    /// # Errors
    /// [`BoardError::Unit`] for a board that is not virtual, [`BoardError::Modelled`].
    pub fn of(board: &BoardFile) -> Result<Option<Counts>, BoardError> {
        if board.unit != Unit::ModelledCycles {
            return Ok(None);
        }
        board.ticks_per_timer_ticks()?;
        let failed = |reason: String| BoardError::Modelled { board: board.name.clone(), reason };
        let model = board.cycle_model().ok_or_else(|| {
            failed(format!("there is no model of a {}; write unit = \"instructions\"", board.core))
        })?;
        let plugin = firmware::build_plugin().map_err(|error| failed(error.to_string()))?;
        let folder = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
        Ok(Some(Counts { board: board.name.clone(), model, plugin, folder, read: 0 }))
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("counts")
    }

    /// The probe of a machine that counts.
    pub fn selector(&self, machine: &str) -> DebugProbeSelector {
        virtual_board::counting_selector(machine, &self.plugin, &self.path())
    }

    fn failed(&self, reason: impl Into<String>) -> BoardError {
        BoardError::Modelled { board: self.board.clone(), reason: reason.into() }
    }

    /// Forgets what was counted so far.
    pub fn skip(&mut self) {
        self.read = std::fs::metadata(self.path()).map_or(0, |file| file.len() as usize);
    }

    /// The windows since the last one that was taken or skipped.
    fn take(&mut self) -> Result<Vec<Window>, BoardError> {
        let text = std::fs::read_to_string(self.path()).map_err(|error| self.failed(error.to_string()))?;
        let new = text.get(self.read..).unwrap_or_default();
        let windows = cycles::parse(new).ok_or_else(|| self.failed("the plugin's file is damaged"))?;
        self.read = text.len();
        let price = |window: &Vec<cycles::Executed>| {
            let cycles = self.model.cycles(window)?;
            Some(Window { instructions: cycles::instructions(window), cycles })
        };
        let priced = windows.iter().map(price).collect::<Option<Vec<_>>>();
        priced.ok_or_else(|| self.failed("the plugin counted what is no instruction"))
    }

    /// The timing of a layer in modelled cycles, out of the board's own in instructions.
    ///
    /// # Errors
    /// [`BoardError::Modelled`] where the plugin and the board's timer do not agree.
    pub fn layer(&mut self, n_warmups: u16, timing: LayerTiming) -> Result<LayerTiming, BoardError> {
        let (cold, samples) = self.measurement(n_warmups, timing.samples.len())?;
        let agree = self.agrees(cold, timing.cold)
            && samples.iter().zip(&timing.samples).all(|(window, &ticks)| self.agrees(*window, ticks));
        if !agree {
            return Err(self.failed("the plugin and the board's timer count other instructions"));
        }
        let cycles = samples.iter().map(|window| window.cycles).collect();
        Ok(LayerTiming { cold: cold.cycles, samples: cycles, ..timing })
    }

    /// A measurement's cold call and samples.
    fn measurement(&mut self, n_warmups: u16, n: usize) -> Result<(Window, Vec<Window>), BoardError> {
        let windows = self.take()?;
        let warm = usize::from(n_warmups.max(1));
        if windows.len() != 1 + N_EMPTY + warm + N_EMPTY + n {
            return Err(self.failed(format!("the plugin saw {} windows", windows.len())));
        }
        let (first, behind) = windows[1..].split_at(N_EMPTY);
        let (second, samples) = behind[warm..].split_at(N_EMPTY);
        let (of_cold, of_samples) = (least(first), least(second));
        Ok((windows[0].less(of_cold), samples.iter().map(|window| window.less(of_samples)).collect()))
    }

    /// A timer of 24 bits that wraps is served in the window, and its rounding adds up.
    fn agrees(&self, window: Window, ticks: u64) -> bool {
        window.instructions.abs_diff(ticks) <= 8 + ticks / 1_000_000
    }

    /// The loaded model as a whole.
    ///
    /// # Errors
    /// As [`Counts::layer`].
    pub fn whole(&mut self, ticks: u64) -> Result<u64, BoardError> {
        let (_, samples) = self.measurement(1, N_MODEL_RUNS.into())?;
        let whole = least(&samples);
        if !self.agrees(whole, ticks) {
            return Err(self.failed("the plugin and the board's timer count other instructions"));
        }
        Ok(whole.cycles)
    }

    /// The `n` layers of the loaded model, timed one by one.
    ///
    /// # Errors
    /// [`BoardError::Modelled`] where the plugin saw other windows.
    pub fn layers(&mut self, n: usize) -> Result<Vec<u64>, BoardError> {
        let windows = self.take()?;
        // Around nothing, then each layer in a run that warms up and those that count.
        let n_runs = 1 + usize::from(N_MODEL_RUNS);
        if windows.len() != 1 + n_runs * n {
            return Err(self.failed(format!("the plugin saw {} windows of {n} layers", windows.len())));
        }
        let (empty, runs) = (windows[0], &windows[1 + n..]);
        let of_layer = |i: usize| {
            let all: Vec<Window> = runs.iter().skip(i).step_by(n).map(|w| w.less(empty)).collect();
            least(&all).cycles
        };
        Ok((0..n).map(of_layer).collect())
    }
}

fn least(windows: &[Window]) -> Window {
    windows.iter().copied().min_by_key(|window| window.cycles).unwrap_or_default()
}
