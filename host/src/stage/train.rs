//! `train`: images → the weights of a training system, and `train.json`: its history and how well its widths answer.

use super::Context;
use crate::config::Recipe;
use crate::dataset::Augment;
use crate::engine::Engine;
use crate::network::lower::lower;
use crate::run::Stage;
use crate::train::{
    self, Calibration, Networks, Progress, System, TrainError, Training, Validation, evaluate_widths,
};
use anyhow::Result;
use indicatif::HumanBytes;
use reports::record::{self, EpochRecord, TrainRecord, TrainingRecord, WidthRecord};
use std::path::{Path, PathBuf};

/// Epochs of a training after which its accuracy is looked at, at most.
const VALIDATIONS: usize = 10;

/// Trains the system, or goes on from its checkpoint, and evaluates its widths; those of a nonuniform supernet are the
/// search's.
///
/// # Errors
/// [`TrainError`]; the last checkpoint is kept.
pub fn train(ctx: &Context) -> Result<()> {
    let Context { config, system, .. } = ctx;
    let outputs = outputs(ctx);
    let outcome = ctx.dir.stage(&stage(&asked(ctx)?, &outputs), || {
        let engine = ctx.engine(system.n_switches(), config.seed)?;
        let seed = config.seed;
        let asked = Asked { what: "train", section: "train", system, recipe: &config.train.recipe, seed };
        let epochs = fit(ctx, &*engine, &asked, &outputs[0])?;
        let calibration = calibration(ctx);
        let record = TrainRecord {
            system: system.name().into(),
            options: serde_json::to_value(system)?,
            network: ctx.graph.name.clone(),
            dataset: ctx.dataset.clone(),
            seed,
            edgeslim: env!("CARGO_PKG_VERSION").into(),
            training: TrainingRecord { name: weights_name(system).into(), epochs },
            calibration_images: calibration.n_images.min(ctx.data.train.images().len()),
            search_images: ctx.data.search.images().len(),
            widths: widths(ctx, &*engine, calibration)?,
        };
        Ok(record::save(&record, &outputs[1])?)
    })?;
    ctx.tell("train", outcome);
    Ok(())
}

/// Refuses a supernet that is half trained, or of another configuration.
pub(super) fn require(ctx: &Context, reader: &str) -> Result<()> {
    let outputs = outputs(ctx);
    ctx.dir.require(&stage(&asked(ctx)?, &outputs), reader)
}

fn stage<'a>(asked: &'a serde_json::Value, outputs: &'a [PathBuf]) -> Stage<'a, serde_json::Value> {
    Stage { name: "train", config: asked, inputs: &[], outputs }
}

/// The weights and the record.
fn outputs(ctx: &Context) -> [PathBuf; 2] {
    let weights = format!("{}.safetensors", weights_name(&ctx.system));
    [ctx.dir.path(&weights), ctx.dir.path("train.json")]
}

/// What a search can look at is a supernet.
fn weights_name(system: &System) -> &'static str {
    match system {
        System::UsNet(_) | System::Nonuniform(_) => "supernet",
        other => other.name(),
    }
}

fn asked(ctx: &Context) -> Result<serde_json::Value> {
    let Context { config, graph, data, system, .. } = ctx;
    let images =
        (config.data.augment, config.data.search_images, config.search.recalibration_images, &data.digest);
    Ok(serde_json::to_value((graph, system, &config.train.recipe, images, config.seed))?)
}

fn calibration(ctx: &Context) -> Calibration<'_> {
    Calibration {
        data: &ctx.data.train,
        normalisation: &ctx.data.normalisation,
        n_images: ctx.config.search.recalibration_images,
    }
}

fn widths(ctx: &Context, engine: &dyn Engine, calibration: Calibration<'_>) -> Result<Vec<WidthRecord>> {
    let Context { system, graph, .. } = ctx;
    if let System::Nonuniform(_) = system {
        return Ok(Vec::new());
    }
    let widths = system.widths(graph);
    let found = evaluate_widths(engine, system, &widths, &ctx.data.search, calibration)?;
    let describe = |(width, found): (&train::Width, train::Evaluation)| {
        Ok(WidthRecord {
            name: width.to_string(),
            ratio: width.ratio,
            channels: width.channels.0.clone(),
            macs: lower(graph, &width.channels)?.macs(),
            accuracy: found.accuracy,
            loss: found.loss,
        })
    };
    widths.iter().zip(found).map(describe).collect()
}

/// A training of a stage.
pub(super) struct Asked<'a> {
    /// What its live line says.
    pub what: &'a str,
    /// As [`Training::section`].
    pub section: &'static str,
    /// What is trained.
    pub system: &'a System,
    /// How.
    pub recipe: &'a Recipe,
    /// As [`Training::seed`].
    pub seed: u64,
}

/// One training with a live line; a checkpoint of another training is moved to `….previous`.
pub(super) fn fit(
    ctx: &Context,
    engine: &dyn Engine,
    asked: &Asked<'_>,
    checkpoint: &Path,
) -> Result<Vec<EpochRecord>> {
    let Asked { what, section, system, recipe, seed } = *asked;
    let validation = Validation {
        images: &ctx.data.search,
        every: recipe.epochs.div_ceil(VALIDATIONS),
        recalibration_images: ctx.config.search.recalibration_images,
        networks: Networks::Largest,
    };
    let training = Training {
        system,
        recipe,
        section,
        augment: if ctx.config.data.augment { Augment::FlipShift } else { Augment::None },
        data: &ctx.data.train,
        normalisation: &ctx.data.normalisation,
        seed,
        validation: Some(validation),
    };
    if let Some(bytes) = engine.training_memory(recipe.batch.min(ctx.data.train.images().len())) {
        ctx.ui.say(format!("{what}: a step takes {} of memory", HumanBytes(bytes as u64)));
    }
    let bar = ctx.ui.bar(what, 1);
    let mut watch = |p: Progress| {
        bar.set_length(p.n_steps as u64);
        bar.set_position(p.step as u64);
        bar.set_message(format!(
            "epoch {}/{}  {:.0} images/s  loss {:.3}  rate {:.4}",
            p.epoch, p.n_epochs, p.images_per_s, p.loss, p.learning_rate
        ));
    };
    let mut result = train::train(engine, &training, Some(checkpoint), &ctx.stop, &mut watch);
    if let Err(TrainError::OtherTraining { path }) = &result {
        let previous = path.with_extension("safetensors.previous");
        std::fs::rename(path, &previous)?;
        ctx.ui.say(format!(
            "{what}: the configuration has changed; the old weights are {}",
            previous.display()
        ));
        result = train::train(engine, &training, Some(checkpoint), &ctx.stop, &mut watch);
    }
    bar.finish_and_clear();
    Ok(result?)
}
