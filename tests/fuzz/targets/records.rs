//! JSON that later stages read.

use edgeslim::search::Trace;
use edgeslim::stage::retrain::RetrainRecord;
use edgeslim::stage::search::SearchRecord;
use reports::record::{self, RunRecord, TrainingRecord, VerifyRecord};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::path::Path;

/// As any of the records; the figures of one that reports draw are prepared.
pub fn parse(input: &[u8]) -> bool {
    let verified = read::<VerifyRecord>(input);
    let known = verified.is_some()
        | read::<SearchRecord>(input).is_some_and(|found| found.subnets().len() <= found.candidates.len())
        | read::<Trace>(input).is_some()
        | read::<RetrainRecord>(input).is_some()
        | read::<TrainingRecord>(input).is_some();
    if let Some(VerifyRecord { provenance, rounds, candidates }) = verified {
        let run = RunRecord { provenance, rounds, candidates, ..RunRecord::default() };
        let _ = (run.check().map_err(|error| error.to_string()), reports::chart_names(&run));
    }
    known
}

fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(input: &[u8]) -> Option<T> {
    let found: T = record::parse(input, Path::new("input")).map_err(|error| error.to_string()).ok()?;
    let json = serde_json::to_vec(&found).expect("records become JSON");
    assert_eq!(record::parse::<T>(&json, Path::new("again")).ok().as_ref(), Some(&found));
    Some(found)
}
