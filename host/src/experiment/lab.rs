//! Trains and measures networks for experiments; what was trained once is not trained again.

use crate::config::Recipe;
use crate::dataset::{self, Augment, Normalisation, SearchSplit, TestSplit, TrainSplit, hold_out};
use crate::engine::{self, Chosen, DeviceChoice, Engine, Params};
use crate::network::zoo::ZooOptions;
use crate::network::{self, Graph, Shape};
use crate::train::evaluate::is_right;
use crate::train::training::identity;
use crate::train::{
    Calibrated, Calibration, Networks, Progress, System, Training, Validation, Width, calibrate_widths,
    test_logits, train,
};
use crate::ui::Ui;
use anyhow::{Context as _, Result, ensure};
use candle_core::{DType, Device};
use reports::experiment::Point;
use reports::interval::Interval;
use reports::record::EpochRecord;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How large an experiment is.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Images to learn from, at most.
    pub train_images: usize,
    /// Training images held out: what may be looked at.
    pub held_out: usize,
    /// Test images, at most.
    pub test_images: usize,
    /// Passes over the training images.
    pub epochs: usize,
    /// Peak learning rate of every training.
    pub learning_rate: f64,
    /// Training images behind batch-norm statistics.
    pub calibration_images: usize,
    /// Channel choices of the estimator's experiment.
    pub choices: usize,
    /// Networks that the whole pipeline is run for.
    pub searched: &'static [&'static str],
    /// Their channel counts are multiples of it.
    pub searched_multiple: usize,
    /// Their budgets, as shares of the full network's measured latency.
    pub searched_budgets: &'static [&'static str],
    /// Every training is repeated with these.
    pub seeds: Vec<u64>,
}

impl Scale {
    /// Five epochs on all images, three seeds.
    pub fn full() -> Scale {
        Scale {
            train_images: usize::MAX,
            held_out: 5000,
            test_images: usize::MAX,
            epochs: 5,
            learning_rate: 0.1,
            calibration_images: 1000,
            choices: 24,
            searched: &["mobilenet-v1", "mobilenet-v2", "mnasnet-b1", "resnet-50"],
            searched_multiple: 8,
            searched_budgets: &["latency 25%", "latency 50%", "latency 75%"],
            seeds: vec![1, 2, 3],
        }
    }

    /// As small as it can be: whether everything works, not what comes of it.
    pub fn smoke() -> Scale {
        Scale {
            train_images: 128,
            held_out: 40,
            test_images: 100,
            epochs: 1,
            learning_rate: 0.1,
            calibration_images: 64,
            choices: 3,
            searched: &["mobilenet-v1-tiny"],
            searched_multiple: 16,
            searched_budgets: &["latency 60%"],
            seeds: vec![1, 2],
        }
    }
}

const BATCH: usize = 64;
const WEIGHT_DECAY: f64 = 1e-4;
/// Where the learning rate is asked for.
const RATE_OPTION: &str = "--learning-rate";
/// Channel counts are multiples of it, so that ratios are met closely.
pub(super) const BIN_MULTIPLE: usize = 4;

/// Where experiments are made.
pub struct Lab {
    /// How large they are.
    pub scale: Scale,
    /// The data set, as it was written.
    pub dataset: String,
    /// Digest of the data set.
    pub digest: String,
    /// What weights learn from.
    pub train: TrainSplit,
    /// What may be looked at while training and choosing.
    pub held_out: SearchSplit,
    /// What results are taken on.
    pub test: TestSplit,
    /// Of the training images.
    pub normalisation: Normalisation,
    /// Checkpoints and runs.
    pub dir: PathBuf,
    /// Where networks are trained, as it was asked for.
    pub choice: DeviceChoice,
    /// Threads of the CPU engine, 0 for all cores.
    pub threads: usize,
    /// How progress is shown.
    pub ui: Ui,
    /// Set by Ctrl-C.
    pub stop: Arc<AtomicBool>,
    device: Device,
    compute: DType,
    classes: usize,
}

/// A network that was trained and measured with every seed.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub width: Width,
    /// Multiply-accumulates of an image.
    pub macs: f64,
    /// On the test images, percent, one a seed.
    pub accuracies: Vec<f64>,
}

impl Measured {
    /// Networks that are not measured yet.
    pub fn none(graph: &Graph, widths: &[Width]) -> Vec<Measured> {
        let macs = |width: &Width| graph.counts(&width.channels).macs as f64;
        let one = |width: &Width| Measured { width: width.clone(), macs: macs(width), accuracies: vec![] };
        widths.iter().map(one).collect()
    }

    /// At its multiply-accumulates.
    pub fn by_macs(&self) -> Point {
        self.at(self.macs)
    }

    /// At `x` of a panel.
    pub fn at(&self, x: f64) -> Point {
        let y = Interval::of(&self.accuracies).expect("a scale has a seed");
        Point { label: self.width.to_string(), x, y, more: vec![] }
    }
}

/// A system after its training.
pub(super) struct Trained {
    pub engine: Box<dyn Engine>,
    pub history: Vec<EpochRecord>,
}

impl Lab {
    /// Opens the data set and divides it.
    ///
    /// # Errors
    /// Where it is missing, damaged or has too few images.
    pub fn open(
        dataset: &str,
        scale: Scale,
        dir: PathBuf,
        (choice, threads): (DeviceChoice, usize),
        (ui, stop): (Ui, Arc<AtomicBool>),
    ) -> Result<Lab> {
        ensure!(
            dir.file_name().is_some(),
            "{}: give a folder by its name: the page is FOLDER.md",
            dir.display()
        );
        let data = dataset::open(dataset)?;
        let n = data.train.len();
        ensure!(
            n > scale.held_out,
            "{dataset} has {n} training images, but {} are held out, and some must be left to train on; give a larger \
             set with --data, or try --smoke",
            scale.held_out
        );
        let (rest, held_out) = hold_out(&data.train, scale.held_out, 1);
        let n_spare = rest.images().len().saturating_sub(scale.train_images);
        let (train, _) = hold_out(rest.images(), n_spare, 1);
        let test = data.test.images();
        let first: Vec<usize> = (0..test.len().min(scale.test_images)).collect();
        std::fs::create_dir_all(dir.join("trainings")).with_context(|| dir.display().to_string())?;
        let Chosen { device, compute, fallback } = choice.choose()?;
        if let Some(reason) = fallback {
            ui.say(format!("training on the CPU: {reason}"));
        }
        Ok(Lab {
            dataset: dataset.to_owned(),
            digest: data.digest(),
            normalisation: Normalisation::of(&train),
            test: TestSplit::new(test.select(&first)),
            classes: data.class_names.len(),
            train,
            held_out,
            scale,
            dir,
            choice,
            threads,
            ui,
            stop,
            device,
            compute,
        })
    }

    /// What it is called, without where it lies.
    pub fn dataset_name(&self) -> String {
        let name = Path::new(&self.dataset).file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// A network of the zoo for these images, with widths between two multiples of its own.
    ///
    /// # Errors
    /// Where the images are too small for it.
    pub(super) fn network(&self, name: &str, [min_width, max_width]: [f64; 2]) -> Result<Graph> {
        let images = self.train.images();
        let input = Shape { h: images.h(), w: images.w(), c: images.c() };
        let options = ZooOptions { max_width, min_width, bin_multiple: BIN_MULTIPLE };
        Ok(network::open(name, input, self.classes, options)?)
    }

    /// How everything is trained.
    pub(super) fn recipe(&self) -> Recipe {
        Recipe {
            epochs: self.scale.epochs,
            batch: BATCH,
            learning_rate: self.scale.learning_rate,
            weight_decay: WEIGHT_DECAY,
            label_smoothing: 0.0,
        }
    }

    /// The recipe in words.
    pub(super) fn recipe_in_words(&self) -> String {
        let Scale { epochs, learning_rate, .. } = self.scale;
        let s = if epochs == 1 { "" } else { "s" };
        format!(
            "{epochs} epoch{s}, flipped and shifted, {BATCH} images a step, rate {learning_rate} falling as a cosine"
        )
    }

    /// Images behind batch-norm statistics.
    pub(super) fn calibration(&self, n_images: usize) -> Calibration<'_> {
        Calibration { data: &self.train, normalisation: &self.normalisation, n_images }
    }

    /// Trains a system, or takes it from an earlier experiment.
    ///
    /// # Errors
    /// [`TrainError`](crate::train::TrainError); what was trained so far is kept.
    pub(super) fn train(&self, what: &str, graph: &Graph, system: &System, seed: u64) -> Result<Trained> {
        let params = Params::switchable(graph, system.n_switches(), seed, &self.device, DType::F32)?;
        let engine = engine::open(graph.clone(), params, self.threads, self.compute)?;
        let recipe = self.recipe();
        // The histories of all switches are a figure.
        let validation = matches!(system, System::SNet(_)).then_some(Validation {
            images: &self.held_out,
            every: 1,
            recalibration_images: self.scale.calibration_images,
            networks: Networks::All,
        });
        let training = Training {
            section: RATE_OPTION,
            system,
            recipe: &recipe,
            augment: Augment::FlipShift,
            data: &self.train,
            normalisation: &self.normalisation,
            seed,
            validation,
        };
        let identity = identity(&*engine, &training) + env!("CARGO_PKG_VERSION");
        let key = &blake3::hash(identity.as_bytes()).to_hex()[..24];
        let checkpoint = self.dir.join("trainings").join(format!("{key}.safetensors"));
        let bar = self.ui.bar(what, 1);
        let mut watch = |p: Progress| {
            bar.set_length(p.n_steps as u64);
            bar.set_position(p.step as u64);
            bar.set_message(format!("seed {seed}  {:.0} images/s  loss {:.3}", p.images_per_s, p.loss));
        };
        let history = train(&*engine, &training, Some(&checkpoint), &self.stop, &mut watch)?;
        bar.finish_and_clear();
        Ok(Trained { engine, history })
    }

    /// Trains a system with every seed and takes the accuracy of `widths` on the test images.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub(super) fn measure(
        &self,
        what: &str,
        graph: &Graph,
        system: &System,
        widths: &[Width],
    ) -> Result<Vec<Measured>> {
        let mut measured = Measured::none(graph, widths);
        for &seed in &self.scale.seeds {
            let trained = self.train(what, graph, system, seed)?;
            let calibration = self.calibration(self.scale.calibration_images);
            let networks = calibrate_widths(&*trained.engine, system, widths, calibration)?;
            for (network, measured) in networks.iter().zip(&mut measured) {
                measured.accuracies.push(self.accuracy(&*trained.engine, network)?);
            }
        }
        Ok(measured)
    }

    /// I-Nets: each width trained by itself.
    ///
    /// # Errors
    /// As [`Lab::train`].
    pub(super) fn measure_alone(&self, what: &str, graph: &Graph, widths: &[Width]) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for width in widths {
            let what = format!("{what} {width}");
            measured.extend(self.measure(
                &what,
                graph,
                &System::INet(width.clone()),
                std::slice::from_ref(width),
            )?);
        }
        Ok(measured)
    }

    /// Of a calibrated network on the test images, percent.
    pub(super) fn accuracy(&self, engine: &dyn Engine, network: &Calibrated) -> Result<f64> {
        network.load(engine)?;
        let logits = test_logits(engine, &network.width.channels, &self.test, &self.normalisation)?;
        let labels = self.test.images().labels();
        let right =
            logits.iter().zip(labels).filter(|(logits, label)| is_right(logits, usize::from(**label)));
        let n_right = right.count();
        Ok(100.0 * n_right as f64 / labels.len() as f64)
    }
}
