//! `run-log.json`, the only file of a run that knows dates and durations.

use super::{RunDir, RunError, write_atomic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A line of `run-log.json`: once that a stage ran, to its end or until it failed or was interrupted.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Logged {
    stage: String,
    asked: String,
    ended_unix_s: u64,
    seconds: f64,
    finished: bool,
}

impl RunDir {
    /// Seconds that the last results of all stages took, with the time before they were interrupted.
    ///
    /// `counts` says which stages are of this run. A process that is killed leaves no time.
    pub fn seconds(&self, counts: impl Fn(&str) -> bool) -> f64 {
        let mut unfinished: BTreeMap<(String, String), f64> = BTreeMap::new();
        let mut last: BTreeMap<String, f64> = BTreeMap::new();
        for Logged { stage, asked, seconds, finished, .. } in self.logged() {
            let taken = unfinished.entry((stage.clone(), asked)).or_default();
            *taken += seconds;
            if finished {
                last.insert(stage, std::mem::take(taken));
            }
        }
        last.iter().filter(|(stage, _)| counts(stage)).map(|(_, seconds)| seconds).sum()
    }

    /// Appends a line.
    pub(super) fn log(&self, stage: &str, asked: &str, seconds: f64, finished: bool) -> Result<(), RunError> {
        let unix_time =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let (stage, asked) = (stage.to_owned(), asked.to_owned());
        let mut log = self.logged();
        log.push(Logged { stage, asked, ended_unix_s: unix_time, seconds, finished });
        let text = serde_json::to_vec_pretty(&log).expect("a list of JSON values serialises");
        write_atomic(&self.path("run-log.json"), &text)
    }

    fn logged(&self) -> Vec<Logged> {
        std::fs::read(self.path("run-log.json"))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Stage;

    #[test]
    fn a_duration_holds_the_time_before_an_interruption_but_no_other_results() -> anyhow::Result<()> {
        let tmp = tempfile::tempdir()?;
        let dir = RunDir::open(tmp.path())?;
        for (stage, asked, seconds, finished) in [
            ("train", "an earlier configuration", 1000.0, false),
            ("train", "this", 100.0, true),
            ("train", "this", 10.0, false),
            ("train", "this", 3.0, true),
            ("search", "this", 0.5, true),
        ] {
            dir.log(stage, asked, seconds, finished)?;
        }
        assert_eq!(dir.seconds(|_| true), 13.5);
        assert_eq!(dir.seconds(|stage| stage != "search"), 13.0);
        let outputs = [dir.path("out")];
        let stage = Stage { name: "retrain", config: &1, inputs: &[], outputs: &outputs };
        dir.stage(&stage, || anyhow::bail!("interrupted")).unwrap_err();
        assert_eq!(dir.seconds(|_| true), 13.5, "a result that is not there yet");
        assert!(dir.logged().iter().any(|l| l.stage == "retrain" && !l.finished));
        Ok(())
    }
}
