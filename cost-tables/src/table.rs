//! [`CostTable`]: what was measured of every layer, and what the figures depend on.

mod csv;
mod entry;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use device_bench::LayerSpec;
use serde_json::{Value, json};

use crate::file::{next_step, write_atomic};
pub use csv::Problem;
pub(crate) use entry::median;
pub use entry::{Entry, EntryError};

/// How far two core clocks may be apart and still be one: an oscillator's clock is measured, not known.
pub const CORE_HZ_TOLERANCE: f64 = 0.01;

/// What the figures of a table depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Provenance {
    /// Board file's name, such as `nucleo-l4r5zi`.
    pub board: String,
    /// probe-rs's name of the chip.
    pub chip: String,
    /// Processor core, such as `Cortex-M4F`.
    pub core: String,
    /// Target triple of the firmware.
    pub target: String,
    /// Core clock, Hz; 0 where the board has none (an emulated one).
    pub core_hz: u64,
    /// The true clock is within so many Hz of `core_hz`; 0 where that is a crystal's, or there is none.
    pub core_hz_spread: u64,
    /// Whether the board is emulated: its latencies are no time on a real board.
    pub emulated: bool,
    /// Unit of every figure: `cycles`, `instructions` or `modelled_cycles`.
    pub unit: String,
    /// Name and version of the model behind `modelled_cycles`; empty for another unit.
    pub cycle_model: String,
    /// Where code and weights run from, and the caches, such as `run from ram, no caches`.
    pub memory: String,
    /// Kernel set: `dsp` or `portable`.
    pub kernels: String,
    /// Revision of the kernels.
    pub kernel_revision: u32,
    /// Version of the firmware, with a digest of its sources.
    pub firmware: String,
    /// Compiler of the firmware, with its flags.
    pub compiler: String,
    /// Seed of the data that the layers were timed on.
    pub seed: u32,
    /// Version of edgeslim that measured.
    pub edgeslim: String,
    /// What latency did where the code was moved within the flash's lines, such as `-0.10 % to +2.30 %`; empty where
    /// that was not measured. No price holds it.
    pub alignment: String,
}

impl Provenance {
    /// Key and value of every field that the file always has, in its order.
    fn fields(&self) -> [(&'static str, Value); 14] {
        [
            ("board", json!(self.board)),
            ("chip", json!(self.chip)),
            ("core", json!(self.core)),
            ("target", json!(self.target)),
            ("core_hz", json!(self.core_hz)),
            ("emulated", json!(self.emulated)),
            ("unit", json!(self.unit)),
            ("memory", json!(self.memory)),
            ("kernels", json!(self.kernels)),
            ("kernel_revision", json!(self.kernel_revision)),
            ("firmware", json!(self.firmware)),
            ("compiler", json!(self.compiler)),
            ("seed", json!(self.seed)),
            ("edgeslim", json!(self.edgeslim)),
        ]
    }

    /// The same with what only some tables have, as far as it must agree.
    fn compared(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.fields().into_iter().chain([("cycle_model", json!(self.cycle_model))])
    }

    fn same_clock(&self, other: &Provenance) -> bool {
        let (a, b) = (self.core_hz as f64, other.core_hz as f64);
        (a - b).abs() <= CORE_HZ_TOLERANCE * a.max(b)
    }
}

/// Latencies of the layers of one board, one kernel library and one memory set-up.
///
/// Every layer is valid and every entry has samples. A profile that was cut short leaves a table of the layers
/// that it got to; measuring the same ones again needs no other list than [`CostTable::iter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CostTable {
    /// What the figures depend on.
    pub provenance: Provenance,
    entries: BTreeMap<LayerSpec, Entry>,
}

/// A table that can't be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file can't be opened, or isn't UTF-8.
    #[error("{path}: cannot read the cost table: {source}; `edgeslim profile` writes one", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file can't be written; what it held is unchanged.
    #[error("{path}: cannot write the cost table: {source}; {next}", path = path.display(), next = next_step(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file isn't a cost table of this version.
    #[error("{path}:{line}: {problem}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        problem: Problem,
    },
    /// The table belongs to something else than what it would be used for.
    #[error(
        "the cost table of {board} was measured with {field} {found}, but {field} {wanted} is in use; \
         run `edgeslim profile`"
    )]
    Differs {
        /// The table's board.
        board: String,
        /// The first field that differs.
        field: &'static str,
        /// Its value in the table.
        found: String,
        /// Its value in use.
        wanted: String,
    },
}

impl CostTable {
    /// A table without entries.
    pub fn new(provenance: Provenance) -> CostTable {
        CostTable { provenance, entries: BTreeMap::new() }
    }

    /// Reads a table from its file.
    ///
    /// # Errors
    /// [`TableError::Read`]; [`TableError::Parse`] with the line and what is wrong there.
    pub fn read(path: &Path) -> Result<CostTable, TableError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TableError::Read { path: path.to_path_buf(), source })?;
        CostTable::parse(&text, path)
    }

    /// Reads a table from the text of the file `path`, which is only named in errors.
    ///
    /// # Errors
    /// [`TableError::Parse`] with the line and what is wrong there.
    pub fn parse(text: &str, path: &Path) -> Result<CostTable, TableError> {
        csv::parse(text).map_err(|(line, problem)| TableError::Parse {
            path: path.to_path_buf(),
            line,
            problem,
        })
    }

    /// The table's text; equal tables have equal bytes.
    pub fn to_csv(&self) -> String {
        csv::format(self)
    }

    /// Writes the table, whole or not at all.
    ///
    /// # Errors
    /// [`TableError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), TableError> {
        write_atomic(path, self.to_csv().as_bytes())
            .map_err(|source| TableError::Write { path: path.to_path_buf(), source })
    }

    /// Adds a layer, or replaces what was measured of it.
    ///
    /// # Errors
    /// [`EntryError`] if no kernel can run the layer or the entry holds no figure; the table is unchanged.
    pub fn insert(&mut self, spec: LayerSpec, entry: Entry) -> Result<(), EntryError> {
        spec.check()?;
        entry.check()?;
        self.entries.insert(spec, entry);
        Ok(())
    }

    /// What was measured of a layer.
    pub fn get(&self, spec: &LayerSpec) -> Option<&Entry> {
        self.entries.get(spec)
    }

    /// Every layer in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&LayerSpec, &Entry)> {
        self.entries.iter()
    }

    /// Layers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the table has no layer.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the figures hold for `wanted`.
    ///
    /// All that moves latency must agree, firmware and compiler included; clocks within [`CORE_HZ_TOLERANCE`], whatever their spread.
    /// The seed (a kernel's speed hardly depends on its data) and the version of edgeslim may differ.
    ///
    /// # Errors
    /// [`TableError::Differs`] with the first field that differs.
    pub fn check(&self, wanted: &Provenance) -> Result<(), TableError> {
        for ((field, found), (_, other)) in self.provenance.compared().zip(wanted.compared()) {
            let same = match field {
                "seed" | "edgeslim" => true,
                "core_hz" => self.provenance.same_clock(wanted),
                _ => found == other,
            };
            if !same {
                let board = self.provenance.board.clone();
                return Err(TableError::Differs {
                    board,
                    field,
                    found: found.to_string(),
                    wanted: other.to_string(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
