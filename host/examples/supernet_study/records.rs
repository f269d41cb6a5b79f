//! The study's file: a line of JSON a training, appended as it ends, so that a study that was stopped goes on.

use crate::measure::On;
use anyhow::{Context as _, Result, ensure};
use edgeslim::config::Recipe;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::Path;

/// What trainings must share to be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Hash of the images.
    pub digest: String,
    /// Images to learn from.
    pub n_train: usize,
    /// Images held out of the training set.
    pub n_search: usize,
    /// Which images were measured on.
    pub on: On,
    /// Flips and shifts.
    pub augment: bool,
    /// The network.
    pub network: String,
    /// Its channel counts, of every unit.
    pub bins: Vec<Vec<usize>>,
    /// The baseline's recipe.
    pub recipe: Recipe,
    /// Of the recalibration.
    pub recalibration_images: usize,
}

/// A subnet that was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubnetRecord {
    /// `largest`, `x0.5`, `random 1`, …
    pub name: String,
    /// Multiply-accumulates of an image.
    pub macs: f64,
    /// Share of images.
    pub accuracy: f64,
    /// Mean cross-entropy, nats.
    pub loss: f64,
}

/// One variant trained with one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Of what.
    pub setup: Setup,
    /// The variant's name.
    pub variant: String,
    /// Of the split, the weights, the order of images, their augmentation and the random subnets.
    pub seed: u64,
    /// Passes over the images.
    pub epochs: usize,
    /// Updates.
    pub steps: usize,
    /// Multiply-accumulates forward of the training.
    pub trained_macs: f64,
    /// Seconds of processor of the training, where the system tells.
    pub cpu_s: Option<f64>,
    /// What was measured.
    pub subnets: Vec<SubnetRecord>,
}

/// The file's records; none if there is no file.
///
/// # Errors
/// If it cannot be read, or a line is no record of `setup`.
pub fn load(path: &Path, setup: &Setup) -> Result<Vec<Record>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let file = path.display();
    let text = std::fs::read_to_string(path).with_context(|| file.to_string())?;
    let parse = |(i, line): (usize, &str)| {
        let record: Record =
            serde_json::from_str(line).with_context(|| format!("{file}: line {} is no record", i + 1))?;
        ensure!(record.setup == *setup, "{file}: line {} is of another study; choose another file", i + 1);
        Ok(record)
    };
    text.lines().enumerate().map(parse).collect()
}

/// Adds a record to the file.
///
/// # Errors
/// If it cannot be written.
pub fn append(path: &Path, record: &Record) -> Result<()> {
    let line = serde_json::to_string(record)? + "\n";
    let file = std::fs::File::options().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes())).with_context(|| path.display().to_string())
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A training whose subnets all have one accuracy.
    pub fn record(variant: &str, seed: u64, accuracy: f64) -> Record {
        let setup = Setup {
            digest: "d".into(),
            n_train: 10,
            n_search: 5,
            on: On::Search,
            augment: true,
            network: "n".into(),
            bins: vec![vec![8, 16]],
            recipe: Recipe {
                epochs: 2,
                batch: 8,
                learning_rate: 0.1,
                weight_decay: 1e-3,
                label_smoothing: 0.0,
            },
            recalibration_images: 5,
        };
        let subnet = |name: &str| SubnetRecord { name: name.into(), macs: 1e6, accuracy, loss: 1.0 / 3.0 };
        Record {
            setup,
            variant: variant.into(),
            seed,
            epochs: 2,
            steps: 4,
            trained_macs: 1e9,
            cpu_s: None,
            subnets: vec![subnet("largest"), subnet("smallest")],
        }
    }

    #[test]
    fn records_come_back_and_those_of_another_study_are_refused() {
        let record = record("baseline", 1, 0.1 + 0.2);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("study.jsonl");
        assert_eq!(load(&path, &record.setup).unwrap(), []);
        for _ in 0..2 {
            append(&path, &record).unwrap();
        }
        assert_eq!(load(&path, &record.setup).unwrap(), [record.clone(), record.clone()]);
        let other = Setup { on: On::Test, ..record.setup };
        assert!(load(&path, &other).unwrap_err().to_string().contains("line 1 is of another study"));
    }
}
