//! A whole training of a system: epochs, with checkpoints, resumed where it stopped.

use super::checkpoint::{self, State};
use super::error::Kept;
use super::plain::plain_step;
use super::sandwich::{random_ratio, random_subnet, sandwich_step};
use super::schedule::cosine_with_warm_up;
use super::switches::switches_step;
use super::{Calibration, NesterovSgd, SgdParams, Step, System, TrainError, evaluate_widths, smooth_labels};
use crate::config::Recipe;
use crate::dataset::{Augment, Normalisation, SearchSplit, TrainSplit, one_hot};
use crate::engine::Engine;
use candle_nn::Optimizer as _;
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;
use reports::record::EpochRecord;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const MOMENTUM: f64 = 0.9;

/// Within an epoch a checkpoint is written after so many steps: up to about a minute of work.
const CHECKPOINT_STEPS: usize = 500;

/// When and on what the accuracy of a training is looked at; the weights do not depend on it.
#[derive(Debug, Clone, Copy)]
pub struct Validation<'a> {
    /// The images.
    pub images: &'a SearchSplit,
    /// After every n-th epoch and the last one; at least 1.
    pub every: usize,
    /// Training images of the recalibration before it.
    pub recalibration_images: usize,
    /// Whose accuracies.
    pub networks: Networks,
}

/// Networks of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Networks {
    /// The largest.
    Largest,
    /// All that tell how well it was trained, see [`System::widths`].
    All,
}

/// What a training is made of.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// What is trained.
    pub system: &'a System,
    /// How.
    pub recipe: &'a Recipe,
    /// Where the recipe is written, for errors: `train` or `retrain` in `edgeslim.toml`, or the option of the learning rate.
    pub section: &'static str,
    /// What happens to the images.
    pub augment: Augment,
    /// The images.
    pub data: &'a TrainSplit,
    /// Their mean and deviation.
    pub normalisation: &'a Normalisation,
    /// Decides the order of images, their augmentation and the random subnets.
    pub seed: u64,
    /// Fills the history's accuracies, of the system's largest network.
    pub validation: Option<Validation<'a>>,
}

impl Training<'_> {
    /// Whether the engine can train the system, and the recipe is one.
    fn check(&self, engine: &dyn Engine) -> Result<(), TrainError> {
        let Training { system, recipe, .. } = *self;
        let refuse = |problem| Err(TrainError::System { system: system.name(), problem });
        if let Err(problem) = system.check(engine.graph()) {
            return refuse(problem);
        }
        let (found, wanted) = (engine.params().n_switches(), system.n_switches());
        if found != wanted {
            return refuse(format!("it has {wanted} batch norms a convolution, but the parameters {found}"));
        }
        match recipe.label_smoothing {
            0.0..1.0 => Ok(()),
            smoothing => {
                refuse(format!("a label smoothing of {smoothing}; it must be from 0 to less than 1"))
            }
        }
    }
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
    /// Of the last step.
    pub learning_rate: f64,
    /// Training speed since this call began.
    pub images_per_s: f64,
    /// Time left at that speed, seconds.
    pub left_s: f64,
}

/// Trains until the recipe's last epoch and returns the history; goes on from `checkpoint` if that file exists.
///
/// The engine's parameters have as many switches as the system. The checkpoint, where one is asked for, is written
/// after every epoch, every 500 steps within one, and when `stop` is set. An interrupted training that goes on ends
/// with the same bytes as an uninterrupted one. The engine has no batch-norm statistics afterwards and is at switch 0;
/// [`calibrate_widths`](super::calibrate_widths) makes the system's networks ready.
///
/// # Errors
/// [`TrainError`]; the last checkpoint stays.
pub fn train(
    engine: &dyn Engine,
    training: &Training<'_>,
    checkpoint: Option<&Path>,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(Progress),
) -> Result<Vec<EpochRecord>, TrainError> {
    let mut run = Run::begin(engine, training, checkpoint)?;
    let mut pace = Pace { started: Instant::now(), begin: run.done(), watch };
    while run.state.history.len() < training.recipe.epochs {
        run.epoch(stop, &mut pace)?;
    }
    for switch in (0..engine.params().n_switches()).rev() {
        engine.set_switch(switch)?;
        engine.reset_statistics();
    }
    Ok(run.state.history)
}

/// A training under way.
struct Run<'a> {
    engine: &'a dyn Engine,
    training: &'a Training<'a>,
    checkpoint: Option<&'a Path>,
    identity: String,
    sgd: NesterovSgd,
    state: State,
    /// The checkpoint on disk.
    kept: Option<Kept>,
    /// Images a step.
    batch: usize,
    /// Steps an epoch.
    steps: usize,
}

impl<'a> Run<'a> {
    /// From the start, or from where the checkpoint is.
    fn begin(
        engine: &'a dyn Engine,
        training: &'a Training<'a>,
        checkpoint: Option<&'a Path>,
    ) -> Result<Run<'a>, TrainError> {
        let images = training.data.images();
        let batch = training.recipe.batch.min(images.len());
        if batch == 0 {
            return Err(TrainError::Empty);
        }
        let graph = engine.graph();
        if images.classes() > graph.classes {
            let (network, found, classes) = (graph.name.clone(), images.classes(), graph.classes);
            return Err(TrainError::Classes { network, found, classes });
        }
        training.check(engine)?;
        let identity = identity(engine, training);
        let weight_decay = training.recipe.weight_decay;
        let sgd = SgdParams { learning_rate: 0.0, momentum: MOMENTUM, weight_decay };
        let mut sgd = NesterovSgd::for_network(engine.params(), sgd);
        let steps = images.len() / batch;
        let expected = checkpoint::Expected { identity: &identity, epochs: training.recipe.epochs, steps };
        let state = match checkpoint {
            Some(path) => checkpoint::load(path, engine.params(), &mut sgd, expected)?,
            None => None,
        };
        let kept = checkpoint.zip(state.as_ref()).map(|(path, state)| kept(path, state));
        let state = state.unwrap_or_default();
        Ok(Run { engine, training, checkpoint, identity, sgd, state, kept, batch, steps })
    }

    /// Steps done in the whole training.
    fn done(&self) -> usize {
        self.state.history.len() * self.steps + self.state.step
    }

    /// Trains the rest of an epoch, evaluates it and writes the checkpoint.
    fn epoch(&mut self, stop: &AtomicBool, pace: &mut Pace<'_>) -> Result<(), TrainError> {
        let epoch = self.state.history.len() + 1;
        let order = self.order();
        for indices in order.chunks_exact(self.batch).skip(self.state.step) {
            if stop.load(Ordering::Relaxed) {
                self.save()?;
                return Err(TrainError::Stopped { epoch });
            }
            let Step { loss, n_wrong } = self.step(indices)?;
            self.state.step += 1;
            self.state.loss_sum += f64::from(loss);
            self.state.n_wrong += n_wrong;
            if !loss.is_finite() {
                return Err(self.not_finite());
            }
            pace.report(self, loss);
            if self.state.step.is_multiple_of(CHECKPOINT_STEPS) && self.state.step < self.steps {
                self.save()?;
            }
        }
        let (accuracy, accuracies) = self.accuracies(epoch)?;
        let record = EpochRecord {
            epoch,
            loss: self.state.loss_sum / self.steps as f64,
            accuracy,
            accuracies,
            lr: self.sgd.learning_rate(),
            train_error: Some(self.state.n_wrong as f64 / (self.steps * self.batch) as f64),
        };
        self.state.history.push(record);
        self.state = State { history: std::mem::take(&mut self.state.history), ..State::default() };
        self.save()
    }

    /// One step on the images `indices`.
    fn step(&mut self, indices: &[usize]) -> Result<Step, TrainError> {
        let Training { system, recipe, augment, data, normalisation, .. } = *self.training;
        let (engine, done) = (self.engine, self.done());
        let rate = cosine_with_warm_up(recipe.learning_rate, done, recipe.epochs * self.steps);
        self.sgd.set_learning_rate(rate);
        let mut rng = self.stream(Purpose::Augment, done);
        let images = normalisation.training_batch(data, indices, augment, &mut rng, engine.device())?;
        let mut labels = one_hot(data.images(), indices, engine.graph().classes, engine.device())?;
        if recipe.label_smoothing > 0.0 {
            labels = smooth_labels(&labels, recipe.label_smoothing)?;
        }
        let mut widths = self.stream(Purpose::Widths, done);
        let (images, labels, sgd) = (&images, &labels, &mut self.sgd);
        Ok(match system {
            System::INet(width) => plain_step(engine, &width.channels, images, labels, sgd)?,
            System::SNet(switches) => switches_step(engine, switches, images, labels, sgd)?,
            System::UsNet(s) => sandwich_step(engine, s, random_ratio, images, labels, sgd, &mut widths)?,
            System::Nonuniform(s) => {
                sandwich_step(engine, s, random_subnet, images, labels, sgd, &mut widths)?
            }
        })
    }

    /// On the validation images after `epoch` epochs, where it is due: of the largest, and of all networks that were asked
    /// for.
    fn accuracies(&self, epoch: usize) -> Result<(Option<f64>, Vec<f64>), TrainError> {
        let Training { system, recipe, data, normalisation, validation, .. } = *self.training;
        let due = |v: &Validation<'_>| epoch.is_multiple_of(v.every.max(1)) || epoch == recipe.epochs;
        let Some(Validation { images, recalibration_images, networks, .. }) = validation.filter(due) else {
            return Ok((None, vec![]));
        };
        let graph = self.engine.graph();
        let largest = system.largest(graph);
        let widths = match networks {
            Networks::Largest => vec![largest.clone()],
            Networks::All => system.widths(graph),
        };
        let calibration = Calibration { data, normalisation, n_images: recalibration_images };
        let found = evaluate_widths(self.engine, system, &widths, images, calibration)?;
        let of_largest = widths.iter().zip(&found).find(|(width, _)| width.channels == largest.channels);
        let accuracy = of_largest.map(|(_, evaluation)| evaluation.accuracy);
        let all = found.iter().filter(|_| networks == Networks::All).map(|evaluation| evaluation.accuracy);
        Ok((accuracy, all.collect()))
    }

    /// Writes the checkpoint if one is asked for, unless a weight is no number.
    fn save(&mut self) -> Result<(), TrainError> {
        for (_, var) in self.engine.params().vars() {
            let weights: Vec<f32> = var.as_detached_tensor().flatten_all()?.to_vec1()?;
            if !weights.iter().all(|w| w.is_finite()) {
                return Err(self.not_finite());
            }
        }
        if let Some(path) = self.checkpoint {
            checkpoint::save(path, self.engine.params(), &self.sgd, &self.state, &self.identity)?;
            self.kept = Some(kept(path, &self.state));
        }
        Ok(())
    }

    /// After the step that was done last.
    fn not_finite(&self) -> TrainError {
        let last = self.done().saturating_sub(1);
        let Training { recipe, section, .. } = *self.training;
        let peak = recipe.learning_rate;
        let (epoch, step) = (last / self.steps + 1, last % self.steps + 1);
        TrainError::NotFinite { epoch, step, peak, section, kept: self.kept.clone() }
    }

    /// The images of the epoch under way, shuffled.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.training.data.images().len()).collect();
        order.shuffle(&mut self.stream(Purpose::Order, self.done() - self.state.step));
        order
    }

    /// Random numbers of one step and purpose, whatever was drawn before.
    fn stream(&self, purpose: Purpose, step: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.training.seed);
        rng.set_stream(3 * step as u64 + purpose as u64);
        rng
    }
}

fn kept(path: &Path, state: &State) -> Kept {
    Kept { path: path.to_owned(), epochs: state.history.len(), steps: state.step }
}

/// What random numbers are for.
#[derive(Clone, Copy)]
enum Purpose {
    Order,
    Augment,
    Widths,
}

/// Reports progress; the steps before `begin` were not done by this call.
struct Pace<'a> {
    started: Instant,
    begin: usize,
    watch: &'a mut dyn FnMut(Progress),
}

impl Pace<'_> {
    fn report(&mut self, run: &Run<'_>, loss: f32) {
        let n_epochs = run.training.recipe.epochs;
        let (step, n_steps) = (run.done(), n_epochs * run.steps);
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let done = (step - self.begin) as f64;
        (self.watch)(Progress {
            epoch: run.state.history.len() + 1,
            n_epochs,
            step,
            n_steps,
            loss,
            learning_rate: run.sgd.learning_rate(),
            images_per_s: done * run.batch as f64 / seconds,
            left_s: (n_steps - step) as f64 * seconds / done,
        });
    }
}

/// What two trainings must share for one to go on from the other's checkpoint.
pub fn identity(engine: &dyn Engine, training: &Training<'_>) -> String {
    let Training { system, recipe, augment, data, normalisation, seed, validation, section: _ } = training;
    let validation =
        validation.map(|v| (v.images.images().digest(), v.every, v.recalibration_images, v.networks));
    let images = data.images().digest();
    let parts = (engine.graph(), system, recipe, augment, images, normalisation, seed, validation);
    serde_json::to_string(&parts).expect("plain data becomes JSON")
}

#[cfg(test)]
mod tests;
