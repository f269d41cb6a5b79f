//! What the stages of a run record, and reports draw: the contract between host and reports.
//!
//! Latencies are in [`Provenance::unit`], memory in bytes, accuracies fractions from 0 to 1. `None` means *not
//! measured*, never zero.

use std::path::{Path, PathBuf};

use device_bench::layer::LayerSpec;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

mod training;

pub use crate::summary::{Summary, SummaryCandidate};
pub use training::{EpochRecord, TrainRecord, TrainingRecord, WidthRecord};

/// Where the numbers of a run come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Board file's name, such as `nucleo-l4r5zi`.
    pub board: String,
    /// Processor core, such as `Cortex-M4`.
    pub core: String,
    /// Core clock, Hz; 0 where the board has none (an emulated one).
    #[serde(default)]
    pub core_hz: u64,
    /// The true clock is within so many Hz of `core_hz`, which was measured then; 0 where that is a crystal's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub core_hz_spread: u64,
    /// Its chip, as probe-rs calls it.
    #[serde(default)]
    pub chip: String,
    /// Rust target of the firmware.
    #[serde(default)]
    pub target: String,
    /// Where code and data lie, and which caches are on.
    #[serde(default)]
    pub memory: String,
    /// Whether the board is emulated: its latencies are no time on a real board.
    pub emulated: bool,
    /// Unit of every latency of the run: `cycles`, `instructions` or `modelled_cycles`.
    pub unit: String,
    /// Name and version of the model behind `modelled_cycles`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cycle_model: String,
    /// Revision of the kernels that ran.
    pub kernel_revision: String,
    /// Version of the firmware that ran, with a digest of its sources.
    pub firmware: String,
    /// Compiler of the firmware.
    #[serde(default)]
    pub compiler: String,
    /// Network, as in the run's configuration.
    pub network: String,
    /// Data set, as in the run's configuration.
    pub dataset: String,
    /// The seed that everything random of the run came from.
    pub seed: u64,
    /// Images that accuracies are taken on; 0 if unknown.
    #[serde(default)]
    pub test_images: usize,
    /// Version of edgeslim that ran.
    #[serde(default)]
    pub edgeslim: String,
}

impl Provenance {
    /// The unit of latencies as people read it.
    pub fn unit_in_words(&self) -> String {
        self.unit.replace('_', " ")
    }

    /// What the latencies of an emulated board are, with the model where there is one.
    pub fn emulated_in_words(&self) -> String {
        match self.cycle_model.as_str() {
            "" => self.unit_in_words(),
            model => format!("{} ({model})", self.unit_in_words()),
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One layer of a candidate, in the order of execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The node's name in the graph; unique within a candidate.
    pub name: String,
    /// The layer that was priced and deployed.
    pub spec: LayerSpec,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Predicted latency.
    pub predicted: f64,
    /// Lower bound of the prediction.
    pub low: f64,
    /// Upper bound of the prediction.
    pub high: f64,
    /// Latency measured in the deployed network.
    pub measured: Option<f64>,
}

/// What a budget limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// Latency, in [`Provenance::unit`].
    Latency,
    /// Working memory, bytes.
    Ram,
    /// Packed weights, bytes.
    Flash,
    /// Multiply-accumulates.
    Macs,
}

/// A limit that a candidate was searched under.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// What is limited.
    pub resource: Resource,
    /// Largest allowed amount, in the resource's unit.
    pub limit: f64,
}

/// Accuracy of a candidate retrained from one seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The retraining's seed.
    pub seed: u64,
    /// Float accuracy on the test images.
    pub accuracy_float: f64,
}

/// One choice of channels, from search to board.
///
/// `accuracy_float`, `accuracy_int8_host` and `accuracy_int8_board` are taken on the images that the board ran;
/// the `_all` ones on the whole test set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CandidateRecord {
    /// Unique within a run.
    pub name: String,
    /// `full`, `uniform`, `random`, `autoslim`, `flops`, … .
    pub strategy: String,
    /// The limit it was searched under that charts draw: the latency's, else the first.
    pub budget: Option<Budget>,
    /// All limits it was searched under, those of the board's memory among them.
    #[serde(default)]
    pub budgets: Vec<Budget>,
    /// Channels of each unit: `[units]`.
    pub channels: Vec<usize>,
    /// Name of each unit: `[units]`.
    pub unit_names: Vec<String>,
    /// Channels of each unit of the full network: `[units]`.
    pub full_channels: Vec<usize>,
    /// Multiply-accumulates of an image.
    pub macs: u64,
    /// Predicted latency of an image; `None` if a layer is too large for the board to be measured.
    pub latency_predicted: Option<f64>,
    /// Measured latency of an image with the trained weights: the least of a few runs.
    pub latency_measured: Option<f64>,
    /// Planned working memory, bytes.
    pub ram_bytes_predicted: u64,
    /// Used working memory, bytes.
    pub ram_bytes_measured: Option<u64>,
    /// Model blob, bytes.
    pub flash_bytes: u64,
    /// Float accuracy on the compared images.
    pub accuracy_float: Option<f64>,
    /// Int8 accuracy of the host on the compared images.
    pub accuracy_int8_host: Option<f64>,
    /// Int8 accuracy of the board on the compared images.
    pub accuracy_int8_board: Option<f64>,
    /// Float accuracy on all test images.
    pub accuracy_float_all: Option<f64>,
    /// Int8 accuracy of the host on all test images.
    pub accuracy_int8_all: Option<f64>,
    /// Images that both host and board ran.
    pub images_compared: usize,
    /// Those of them whose logits agreed in every byte.
    pub images_equal: usize,
    /// Retrainings from several seeds.
    #[serde(default)]
    pub seeds: Vec<SeedResult>,
    /// Its layers, in the order of execution; empty if one of them has no price.
    #[serde(default)]
    pub layers: Vec<LayerRecord>,
    /// Latency of one uninterrupted inference, without timing between layers.
    #[serde(default)]
    pub whole_measured: Option<f64>,
}

impl CandidateRecord {
    /// The limits that it is over, as far as measured, else as predicted; of what is not known none.
    pub fn missed(&self) -> Vec<Budget> {
        let over = |budget: &&Budget| {
            let amount = match budget.resource {
                Resource::Latency => self.latency(),
                Resource::Ram => Some(self.ram_bytes_measured.unwrap_or(self.ram_bytes_predicted) as f64),
                Resource::Flash => Some(self.flash_bytes as f64),
                Resource::Macs => Some(self.macs as f64),
            };
            amount.is_some_and(|amount| amount > budget.limit)
        };
        self.budgets.iter().filter(over).copied().collect()
    }

    /// Its best known latency: whole, else measured, else predicted.
    pub fn latency(&self) -> Option<f64> {
        self.whole_measured.or(self.latency_measured).or(self.latency_predicted)
    }

    /// Its best known accuracy: float on all images, else on the compared ones, else the mean of its seeds.
    pub fn accuracy(&self) -> Option<f64> {
        let seeds = self.seeds.iter().map(|s| s.accuracy_float);
        let mean = (!self.seeds.is_empty()).then(|| seeds.sum::<f64>() / self.seeds.len() as f64);
        self.accuracy_float_all.or(self.accuracy_float).or(mean)
    }
}

/// One round of verification: what the board said, and how prices were corrected.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifyRound {
    /// Number of the round, from 1; 0 for the full network, of which percentages are.
    pub round: usize,
    /// Name of the candidate that ran.
    pub candidate: String,
    /// Predicted latency.
    pub latency_predicted: f64,
    /// Measured latency, with made-up weights.
    pub latency_measured: f64,
    /// Whether the measured network meets its budget.
    pub budget_met: bool,
    /// Factor on prices that the round's measurement asks for.
    pub correction: f64,
}

/// Verification on the board: `verify.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct VerifyRecord {
    /// Where the measurements come from.
    pub provenance: Provenance,
    /// Rounds of search and verification in order.
    pub rounds: Vec<VerifyRound>,
    /// The verified candidates.
    pub candidates: Vec<CandidateRecord>,
}

/// All that a report shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Where the numbers come from.
    pub provenance: Provenance,
    /// Trainings, in order.
    #[serde(default)]
    pub trainings: Vec<TrainingRecord>,
    /// Candidates, the full network among them.
    #[serde(default)]
    pub candidates: Vec<CandidateRecord>,
    /// Rounds of search and verification.
    #[serde(default)]
    pub rounds: Vec<VerifyRound>,
}

/// A record that can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file can't be opened or read.
    #[error("{path}: cannot read the record: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file isn't a record of this kind.
    #[error("{path}:{line}:{column}: not a record of this version: {source}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong there.
        source: serde_json::Error,
    },
    /// A figure out of its range.
    #[error("{of}: {what} of {found:?}, it lies {range}; run `edgeslim verify` again")]
    Figure {
        /// The candidate, layer or training.
        of: String,
        /// What the figure is.
        what: &'static str,
        /// Its value.
        found: f64,
        /// Where it must lie.
        range: &'static str,
    },
    /// The file can't be written.
    #[error("{path}: cannot write: {source}; {next}", path = path.display(), next = cost_tables::file::next_step(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Reads a record from JSON.
///
/// # Errors
/// [`RecordError::Read`]; [`RecordError::Parse`] with the line at fault.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, RecordError> {
    let json = std::fs::read(path).map_err(|source| RecordError::Read { path: path.into(), source })?;
    parse(&json, path)
}

/// Reads a record from the bytes of the file `path`, which is only named in errors.
///
/// # Errors
/// [`RecordError::Parse`] with the line at fault.
pub fn parse<T: DeserializeOwned>(json: &[u8], path: &Path) -> Result<T, RecordError> {
    serde_json::from_slice(json).map_err(|source| RecordError::Parse {
        path: path.into(),
        line: source.line(),
        column: source.column(),
        source,
    })
}

/// Writes a record as JSON: to a temporary name, then renamed, so that `path` is never half a record.
///
/// # Errors
/// [`RecordError::Write`].
pub fn save<T: Serialize>(record: &T, path: &Path) -> Result<(), RecordError> {
    let mut json = serde_json::to_vec_pretty(record)
        .map_err(|e| RecordError::Write { path: path.into(), source: e.into() })?;
    json.push(b'\n');
    write_atomically(&json, path)
}

pub(crate) fn write_atomically(bytes: &[u8], path: &Path) -> Result<(), RecordError> {
    cost_tables::file::write_atomic(path, bytes)
        .map_err(|source| RecordError::Write { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_record_loads_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        let budget = Some(Budget { resource: Resource::Latency, limit: 1e6 });
        let candidate = CandidateRecord { name: "a".into(), budget, ..Default::default() };
        let run = RunRecord { candidates: vec![candidate], ..Default::default() };
        save(&run, &path).unwrap();
        assert_eq!(load::<RunRecord>(&path).unwrap(), run);
    }

    #[test]
    fn a_broken_record_is_refused_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        std::fs::write(&path, "{\n\"provenance\": 3}").unwrap();
        let error = load::<RunRecord>(&path).unwrap_err();
        assert!(matches!(error, RecordError::Parse { line: 2, .. }), "{error}");
    }
}
