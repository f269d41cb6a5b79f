//! A whole training: epochs of a supernet or of one subnet, with checkpoints, resumed where it stopped.

use super::plain::plain_step;
use super::schedule::cosine_with_warm_up;
use super::supernet::sandwich_step;
use super::{NesterovSgd, SgdParams, checkpoint};
use crate::config::Recipe;
use crate::dataset::{Augment, Normalisation, TrainSplit, one_hot};
use crate::engine::Engine;
use crate::network::Channels;
use candle_nn::Optimizer as _;
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use reports::record::EpochRecord;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const MOMENTUM: f64 = 0.9;

/// A training does not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss is no number any more; the last checkpoint is kept.
    #[error("epoch {epoch}, step {step}: the loss is {loss}; train with a smaller learning rate than {peak}")]
    NotFinite {
        /// From 1.
        epoch: usize,
        /// Of the epoch, from 1.
        step: usize,
        /// The loss.
        loss: f32,
        /// The recipe's learning rate.
        peak: f64,
    },
    /// The stop flag was set; a later call goes on after the last whole epoch.
    #[error("stopped in epoch {epoch}; run it again to go on from there")]
    Stopped {
        /// From 1; it will be trained from its start.
        epoch: usize,
    },
    /// There is nothing to learn from.
    #[error("no training image, or a batch of none")]
    Empty,
    /// A checkpoint cannot be written.
    #[error("{path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A checkpoint is damaged.
    #[error("{path}: {problem}; delete the file to train from the start")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A checkpoint of another network, recipe or seed.
    #[error("{path}: written by another training; delete the file to train from the start")]
    OtherTraining {
        /// The file.
        path: PathBuf,
    },
    /// The engine or the optimiser failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// What is trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Every subnet at once, by the sandwich rule.
    Supernet,
    /// One subnet, from scratch.
    Subnet(Channels),
}

/// What a training is made of.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// What is trained.
    pub goal: &'a Goal,
    /// How.
    pub recipe: &'a Recipe,
    /// What happens to the images.
    pub augment: Augment,
    /// The images.
    pub data: &'a TrainSplit,
    /// Their mean and deviation.
    pub normalisation: &'a Normalisation,
    /// Decides the order of images, their augmentation and the random subnets.
    pub seed: u64,
}

/// Where a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// From 1.
    pub epoch: usize,
    /// Epochs of the recipe.
    pub n_epochs: usize,
    /// Steps done in the whole training.
    pub step: usize,
    /// Steps of the whole training.
    pub n_steps: usize,
    /// Of the last step, nats.
    pub loss: f32,
    /// Training speed since this call began.
    pub images_per_s: f64,
    /// Time left at that speed, seconds.
    pub left_s: f64,
}

/// Trains until the recipe's last epoch and returns the history; goes on from `checkpoint` if that file exists.
///
/// An interrupted training that goes on ends with the same bytes as an uninterrupted one.
///
/// # Errors
/// [`TrainError`]; the checkpoint of the last whole epoch stays.
pub fn train(
    engine: &dyn Engine,
    training: &Training<'_>,
    checkpoint: &Path,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Progress),
) -> Result<Vec<EpochRecord>, TrainError> {
    let recipe = training.recipe;
    let n_images = training.data.images().len();
    let batch = recipe.batch.min(n_images);
    if batch == 0 {
        return Err(TrainError::Empty);
    }
    let identity = identity(engine, training);
    let sgd = SgdParams { learning_rate: 0.0, momentum: MOMENTUM, weight_decay: recipe.weight_decay };
    let mut sgd = NesterovSgd::for_network(engine.params(), sgd);
    let mut history = checkpoint::load(checkpoint, engine.params(), &mut sgd, &identity)?.unwrap_or_default();
    let begin = history.len();
    let mut pace = Pace { started: Instant::now(), batch, steps: n_images / batch, begin, recipe, watch };
    for epoch in begin..recipe.epochs {
        history.push(run_epoch(engine, training, epoch, &mut sgd, stop, &mut pace)?);
        checkpoint::save(checkpoint, engine.params(), &sgd, &history, &identity)?;
    }
    Ok(history)
}

/// Reports progress; `steps` are those of an epoch, the ones before `begin` were not run by this call.
struct Pace<'a> {
    started: Instant,
    batch: usize,
    steps: usize,
    begin: usize,
    recipe: &'a Recipe,
    watch: &'a mut dyn FnMut(Progress),
}

impl Pace<'_> {
    fn report(&mut self, epoch: usize, step: usize, loss: f32) {
        let n_steps = self.recipe.epochs * self.steps;
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let done = (step - self.begin * self.steps) as f64;
        (self.watch)(Progress {
            epoch: epoch + 1,
            n_epochs: self.recipe.epochs,
            step,
            n_steps,
            loss,
            images_per_s: done * self.batch as f64 / seconds,
            left_s: (n_steps - step) as f64 * seconds / done,
        });
    }
}

fn run_epoch(
    engine: &dyn Engine,
    training: &Training<'_>,
    epoch: usize,
    sgd: &mut NesterovSgd,
    stop: &AtomicBool,
    pace: &mut Pace<'_>,
) -> Result<EpochRecord, TrainError> {
    let Training { goal, recipe, augment, data, normalisation, seed } = *training;
    let (mut order_rng, mut width_rng) = (stream(seed, epoch, 0), stream(seed, epoch, 1));
    let mut order: Vec<usize> = (0..data.images().len()).collect();
    order.shuffle(&mut order_rng);
    let (device, classes) = (engine.device(), engine.graph().classes);
    let mut sum = 0f64;
    for (step, indices) in order.chunks_exact(pace.batch).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Err(TrainError::Stopped { epoch: epoch + 1 });
        }
        let done = epoch * pace.steps + step;
        let n_steps = recipe.epochs * pace.steps;
        sgd.set_learning_rate(cosine_with_warm_up(recipe.learning_rate, done, n_steps));
        let images = normalisation.training_batch(data, indices, augment, &mut order_rng, device)?;
        let labels = one_hot(data.images(), indices, classes, device)?;
        let loss = match goal {
            Goal::Supernet => sandwich_step(engine, &images, &labels, sgd, &mut width_rng)?,
            Goal::Subnet(channels) => plain_step(engine, channels, &images, &labels, sgd)?,
        };
        if !loss.is_finite() {
            let peak = recipe.learning_rate;
            return Err(TrainError::NotFinite { epoch: epoch + 1, step: step + 1, loss, peak });
        }
        sum += f64::from(loss);
        pace.report(epoch, done + 1, loss);
    }
    let loss = sum / pace.steps as f64;
    Ok(EpochRecord { epoch: epoch + 1, loss, accuracy: None, lr: sgd.learning_rate() })
}

/// Random numbers of one epoch and purpose, whatever was drawn before.
fn stream(seed: u64, epoch: usize, purpose: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(2 * epoch as u64 + purpose);
    rng
}

/// What two trainings must share for one to go on from the other's checkpoint.
fn identity(engine: &dyn Engine, training: &Training<'_>) -> String {
    let Training { goal, recipe, augment, data, normalisation, seed } = training;
    let parts = (engine.graph(), goal, recipe, augment, data.images().digest(), normalisation, seed);
    serde_json::to_string(&parts).expect("plain data becomes JSON")
}

#[cfg(test)]
mod tests;
