//! [`Summary`]: the JSON that a run ends with.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::record::{Budget, CandidateRecord, RunRecord};

/// One candidate of a [`Summary`]; fields as in [`CandidateRecord`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are CandidateRecord's")]
pub struct SummaryCandidate {
    pub name: String,
    pub strategy: String,
    pub budget: Option<Budget>,
    pub channels: Vec<usize>,
    pub macs: u64,
    pub latency_predicted: Option<f64>,
    pub latency_measured: Option<f64>,
    pub ram_bytes_predicted: u64,
    pub ram_bytes_measured: Option<u64>,
    pub flash_bytes: u64,
    pub accuracy_float: Option<f64>,
    pub accuracy_int8_host: Option<f64>,
    pub accuracy_int8_board: Option<f64>,
    pub accuracy_float_all: Option<f64>,
    pub accuracy_int8_all: Option<f64>,
    pub images_compared: usize,
    pub images_equal: usize,
}

/// What `--json` prints at the end of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Board file's name.
    pub board: String,
    /// Unit of latencies.
    pub unit: String,
    /// Whether the board is emulated.
    pub emulated: bool,
    /// What the stages took, with the time before they were interrupted, seconds.
    pub seconds: f64,
    /// The run's candidates.
    pub candidates: Vec<SummaryCandidate>,
    /// Files that were drawn.
    pub charts: Vec<PathBuf>,
}

impl Summary {
    /// The summary of `run`, which took so many seconds, with the files that were drawn for it.
    pub fn new(run: &RunRecord, seconds: f64, charts: Vec<PathBuf>) -> Summary {
        Summary {
            board: run.provenance.board.clone(),
            unit: run.provenance.unit.clone(),
            emulated: run.provenance.emulated,
            seconds,
            candidates: run.candidates.iter().map(summarise).collect(),
            charts,
        }
    }
}

fn summarise(c: &CandidateRecord) -> SummaryCandidate {
    SummaryCandidate {
        name: c.name.clone(),
        strategy: c.strategy.clone(),
        budget: c.budget,
        channels: c.channels.clone(),
        macs: c.macs,
        latency_predicted: c.latency_predicted,
        latency_measured: c.latency_measured,
        ram_bytes_predicted: c.ram_bytes_predicted,
        ram_bytes_measured: c.ram_bytes_measured,
        flash_bytes: c.flash_bytes,
        accuracy_float: c.accuracy_float,
        accuracy_int8_host: c.accuracy_int8_host,
        accuracy_int8_board: c.accuracy_int8_board,
        accuracy_float_all: c.accuracy_float_all,
        accuracy_int8_all: c.accuracy_int8_all,
        images_compared: c.images_compared,
        images_equal: c.images_equal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Resource;

    #[test]
    fn a_summary_names_the_resource_in_lower_case_and_keeps_nulls() {
        let budget = Some(Budget { resource: Resource::Ram, limit: 2.0 });
        let with = CandidateRecord { budget, ..Default::default() };
        let run = RunRecord { candidates: vec![with, CandidateRecord::default()], ..Default::default() };
        let json = serde_json::to_value(Summary::new(&run, 1.5, vec!["a.png".into()])).unwrap();
        assert_eq!(json["candidates"][0]["budget"]["resource"], "ram");
        assert!(json["candidates"][1]["budget"].is_null());
        assert_eq!(json["candidates"][1].as_object().unwrap().len(), 17);
        assert_eq!(json["charts"][0], "a.png");
    }
}
