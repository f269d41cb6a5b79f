//! What a person types to make the papers' experiments.

use clap::Args;
use edgeslim::experiment::{Experiment, Lab};
use std::path::PathBuf;

/// Which experiments, and how large.
#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// Their names, or `all`.
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// The folder of records, figures and checkpoints; the page is FOLDER.md.
    #[arg(long, value_name = "FOLDER", default_value = "experiments")]
    pub out: PathBuf,
    /// As small as it can be: whether everything works, not what comes of it.
    #[arg(long)]
    pub smoke: bool,
    /// Trainings of each network, with seeds from 1.
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,
    /// Passes over the training images.
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Images to learn from, at most.
    #[arg(long, value_name = "N")]
    pub train_images: Option<usize>,
}

impl ExperimentArgs {
    /// What repeats one of them; the data set by its name, wherever it lies.
    pub fn command(&self, experiment: Experiment, lab: &Lab) -> String {
        let mut command = format!("edgeslim experiment {} --data {}", experiment.name(), lab.dataset_name());
        if self.smoke {
            command += " --smoke";
        }
        let numbers = [
            ("seeds", self.seeds.map(|n| n as usize)),
            ("epochs", self.epochs),
            ("train-images", self.train_images),
        ];
        for (flag, n) in numbers.into_iter().filter_map(|(flag, n)| Some((flag, n?))) {
            command += &format!(" --{flag} {n}");
        }
        command
    }
}
