//! What a person types to make the papers' experiments.

use super::Common;
use anyhow::{Result, ensure};
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
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: Option<u64>,
    /// Passes over the training images.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// Peak learning rate of every training.
    #[arg(long, value_name = "RATE")]
    pub learning_rate: Option<f64>,
    /// Images to learn from, at most; not of autoslim-table, which runs the whole pipeline.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub train_images: Option<u32>,
}

impl ExperimentArgs {
    /// What repeats one of them; the data set by its name, wherever it lies.
    pub fn command(&self, experiment: Experiment, lab: &Lab) -> String {
        let mut command = format!("edgeslim experiment {} --data {}", experiment.name(), lab.dataset_name());
        if self.smoke {
            command += " --smoke";
        }
        let numbers = [
            ("seeds", self.seeds.map(|n| n as f64)),
            ("epochs", self.epochs.map(f64::from)),
            ("learning-rate", self.learning_rate),
            ("train-images", self.train_images.map(f64::from)),
        ];
        for (flag, n) in numbers.into_iter().filter_map(|(flag, n)| Some((flag, n?))) {
            command += &format!(" --{flag} {n}");
        }
        command
    }

    /// The experiments that are asked for.
    ///
    /// # Errors
    /// Unknown names; options that do nothing for one of them.
    pub fn experiments(&self, common: &Common) -> Result<Vec<Experiment>> {
        let all = self.names.iter().any(|name| name == "all");
        let names = || self.names.iter().map(|name| Ok(name.parse()?)).collect::<Result<Vec<Experiment>>>();
        let asked = if all { Experiment::ALL.to_vec() } else { names()? };
        ensure!(
            common.seed.is_none(),
            "--seed does nothing for experiments: --seeds N trains with the seeds 1 to N"
        );
        ensure!(
            common.board.is_none() && common.cost_table.is_none(),
            "--board and --cost-table do nothing for experiments: autoslim-table measures on virtual-m4"
        );
        ensure!(
            self.train_images.is_none() || !asked.contains(&Experiment::AutoslimTable),
            "--train-images does nothing for autoslim-table; leave it out, or name the other experiments"
        );
        ensure!(
            self.learning_rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()),
            "--learning-rate is above 0"
        );
        Ok(asked)
    }
}
