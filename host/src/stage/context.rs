//! What the stages of a run share, opened once.

use crate::board::{self, BoardFile, Link, ProbeOptions};
use crate::config::RunConfig;
use crate::dataset::{self, Normalisation, SearchSplit, TestSplit, TrainSplit, hold_out};
use crate::engine::{self, Chosen, DeviceChoice, Engine, Params};
use crate::network::zoo::ZooOptions;
use crate::network::{self, Channels, Graph, Shape};
use crate::run::{Outcome, RunDir};
use crate::train::checkpoint::restore_weights;
use crate::train::{System, recalibrate_on};
use crate::ui::Ui;
use crate::{firmware, quantize};
use anyhow::{Context as _, Result, bail, ensure};
use candle_core::{DType, Device};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What the command line says instead of `edgeslim.toml`.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// A board's name or file.
    pub board: Option<String>,
    /// Its debug probe.
    pub probe: ProbeOptions,
    /// A cost table to use instead of measuring one.
    pub cost_table: Option<PathBuf>,
    /// A data set.
    pub data: Option<String>,
    /// The seed.
    pub seed: Option<u64>,
    /// A training system.
    pub system: Option<String>,
    /// Seconds of the profile.
    pub time_s: Option<f64>,
    /// Budgets; replaces the file's unless empty.
    pub budgets: Vec<String>,
    /// Strategies; replaces the file's unless empty.
    pub strategies: Vec<String>,
    /// Where networks are trained.
    pub device: DeviceChoice,
    /// Threads of the CPU engine, 0 for all cores.
    pub threads: usize,
}

/// Images in their three splits.
#[derive(Debug)]
pub struct Data {
    /// What weights learn from.
    pub train: TrainSplit,
    /// What the search estimates on.
    pub search: SearchSplit,
    /// What only verification sees.
    pub test: TestSplit,
    /// Of the training images.
    pub normalisation: Normalisation,
    /// Of all images and labels.
    pub digest: String,
}

/// A run that is worked on.
pub struct Context {
    /// The file's, with the command line's changes.
    pub config: RunConfig,
    /// Its folder.
    pub dir: RunDir,
    /// The board.
    pub board: BoardFile,
    /// Its debug probe; figures do not depend on it.
    pub probe: ProbeOptions,
    /// The supernet's graph.
    pub graph: Graph,
    /// What `train` trains.
    pub system: System,
    /// The images.
    pub data: Data,
    /// What the images are called in records: the path as it was written.
    pub dataset: String,
    /// Where networks are trained.
    pub device: Device,
    /// What activations and products are computed in.
    pub compute: DType,
    /// Threads of the CPU engine.
    pub threads: usize,
    /// How progress is shown.
    pub ui: Ui,
    /// Set by Ctrl-C: the stage ends at the next safe point.
    pub stop: Arc<AtomicBool>,
    /// A table from elsewhere.
    pub given_table: Option<PathBuf>,
}

impl Context {
    /// Opens the run in `root`: its `edgeslim.toml`, board, data and network.
    ///
    /// # Errors
    /// Where one of them is missing or damaged.
    pub fn open(root: &Path, flags: &Overrides, ui: Ui, stop: Arc<AtomicBool>) -> Result<Context> {
        let (config, dataset_name) = configure(root, flags)?;
        let board = board::load(&config.board)?;
        let dataset = dataset::open(&config.data.path)?;
        let digest = dataset.digest();
        let (n_train, n_search) = (dataset.train.len(), config.data.search_images);
        ensure!(
            n_search < n_train,
            "data.search_images is {n_search}, but {} has {n_train} training images, and some must be left to train on; \
             lower it",
            config.data.path
        );
        let (train, search) = hold_out(&dataset.train, config.data.search_images, config.seed);
        let normalisation = Normalisation::of(&train);
        let images = train.images();
        let input = Shape { h: images.h(), w: images.w(), c: images.c() };
        let options = ZooOptions {
            max_width: config.network.max_width,
            min_width: config.network.min_width,
            bin_multiple: config.network.bin_multiple,
        };
        let graph = network::open(&config.network.name, input, dataset.class_names.len(), options)?;
        let system = config.train.system(&graph, &config.network)?;
        let data = Data { train, search, test: dataset.test, normalisation, digest };
        let dir = RunDir::open(root)?;
        let (threads, given_table) = (flags.threads, flags.cost_table.clone());
        let Chosen { device, compute, fallback } = flags.device.choose()?;
        if let Some(reason) = fallback {
            ui.say(format!("training on the CPU: {reason}"));
        }
        Ok(Context {
            config,
            dir,
            board,
            probe: flags.probe.clone(),
            graph,
            system,
            data,
            dataset: dataset_name,
            device,
            compute,
            threads,
            ui,
            stop,
            given_table,
        })
    }

    /// The cost table that this run uses.
    pub fn table_path(&self) -> PathBuf {
        self.given_table.clone().unwrap_or_else(|| self.dir.path("cost-table.csv"))
    }

    /// Builds the firmware, starts it on the board and checks its protocol.
    ///
    /// # Errors
    /// What the compiler or the probe says.
    pub fn open_board(&self) -> Result<Link> {
        let elf = firmware::build(&self.board, &self.board.memory()?)?;
        Ok(Link::open(&self.board, &elf, &self.probe)?)
    }

    /// A network with new weights of this seed, and `n_switches` batch norms a convolution.
    ///
    /// # Errors
    /// Where the device fails.
    pub fn engine(&self, n_switches: usize, seed: u64) -> Result<Box<dyn Engine>> {
        let params = Params::switchable(&self.graph, n_switches, seed, &self.device, DType::F32)?;
        Ok(engine::open(self.graph.clone(), params, self.threads, self.compute)?)
    }

    /// A network with the weights of a checkpoint.
    ///
    /// # Errors
    /// Where the file is missing, damaged or of another network.
    pub fn trained(&self, checkpoint: &Path) -> Result<Box<dyn Engine>> {
        let params = Params::new(&self.graph, 0, &self.device)?;
        let file = checkpoint.display();
        let bytes = std::fs::read(checkpoint).with_context(|| file.to_string())?;
        if let Err(problem) = restore_weights(&bytes, &params) {
            bail!("{file}: no weights of {}: {problem}; delete the file to train again", self.graph.name);
        }
        Ok(engine::open(self.graph.clone(), params, self.threads, self.compute)?)
    }

    /// Batch-norm statistics of a subnet that is deployed, left in the engine.
    ///
    /// # Errors
    /// What the engine returns.
    pub fn recalibrate(&self, engine: &dyn Engine, channels: &Channels) -> Result<()> {
        let Data { train, normalisation, .. } = &self.data;
        Ok(recalibrate_on(engine, channels, train, normalisation, RECALIBRATION_IMAGES)?)
    }

    /// Batch-norm statistics of a subnet from training images, then the subnet folded and made int8.
    ///
    /// The engine is left with these statistics.
    ///
    /// # Errors
    /// Where a weight or activation is no number.
    pub fn make_int8(&self, engine: &dyn Engine, channels: &Channels) -> Result<quantize::Int8Network> {
        self.recalibrate(engine, channels)?;
        let folded = quantize::fold(&self.graph, channels, engine.params(), &engine.statistics())?;
        let Data { train, normalisation, .. } = &self.data;
        let pixels = |idx| normalisation.apply(train.images().pixels(idx));
        let calibration: Vec<Vec<f32>> = train.spread(CALIBRATION_IMAGES).into_iter().map(pixels).collect();
        let observed = folded.calibrate(calibration.iter().map(Vec::as_slice), CLIP)?;
        Ok(quantize::quantize(&folded, &observed)?)
    }

    /// Tells of a stage that had nothing to do.
    pub fn tell(&self, stage: &str, outcome: Outcome) {
        if outcome == Outcome::Unchanged {
            self.ui.say(format!("{stage}: unchanged"));
        }
    }
}

/// Training images behind the batch-norm statistics of a network that is deployed.
const RECALIBRATION_IMAGES: usize = 2000;
/// Training images behind the ranges of its activations.
const CALIBRATION_IMAGES: usize = 200;
/// Share of each image's activations that may saturate, at either end.
const CLIP: f64 = 0.0;

/// The configuration, and the data's path as it was written. Paths in the file are relative to it, those of the
/// command line to where it was typed.
fn configure(root: &Path, flags: &Overrides) -> Result<(RunConfig, String)> {
    let mut config = RunConfig::load(&root.join("edgeslim.toml"))?;
    let dataset = flags.data.clone().unwrap_or_else(|| config.data.path.clone());
    let beside = |name: &mut String| {
        if root.join(&*name).exists() {
            *name = root.join(&*name).to_string_lossy().into_owned();
        }
    };
    beside(&mut config.board);
    beside(&mut config.data.path);
    beside(&mut config.network.name);
    if let Some(board) = &flags.board {
        config.board.clone_from(board);
    }
    if let Some(data) = &flags.data {
        config.data.path.clone_from(data);
    }
    config.seed = flags.seed.unwrap_or(config.seed);
    if let Some(system) = &flags.system {
        config.train.system.clone_from(system);
    }
    config.profile.time_s = flags.time_s.or(config.profile.time_s);
    if !flags.budgets.is_empty() {
        config.search.budgets.clone_from(&flags.budgets);
    }
    if !flags.strategies.is_empty() {
        config.search.strategies.clone_from(&flags.strategies);
    }
    Ok((config, dataset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_file() -> Result<()> {
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("edgeslim.toml"), RunConfig::TEMPLATE)?;
        let flags = Overrides { seed: Some(9), budgets: vec!["ram 20kB".into()], ..Overrides::default() };
        let (config, dataset) = configure(dir.path(), &flags)?;
        assert_eq!((config.seed, config.search.budgets), (9, vec!["ram 20kB".to_owned()]));
        assert_eq!((config.board.as_str(), dataset.as_str()), ("virtual-m4", "embedded"), "the file's");
        Ok(())
    }
}
