//! `train`: images → `supernet.safetensors`, and its history as `supernet.json`.

use super::Context;
use crate::config::Recipe;
use crate::dataset::Augment;
use crate::engine::Engine;
use crate::run::Stage;
use crate::train::{self, Goal, Progress, TrainError, Training, Validation};
use anyhow::Result;
use indicatif::HumanBytes;
use reports::record::{self, EpochRecord, TrainingRecord};
use std::path::{Path, PathBuf};

/// Epochs of a training after which its accuracy is looked at, at most.
const VALIDATIONS: usize = 10;

/// Trains the supernet, or goes on from its checkpoint.
///
/// # Errors
/// [`TrainError`]; the last checkpoint is kept.
pub fn train(ctx: &Context) -> Result<()> {
    let config = &ctx.config;
    let outputs = outputs(ctx);
    let outcome = ctx.dir.stage(&stage(&asked(ctx)?, &outputs), || {
        let engine = ctx.engine(config.seed)?;
        let epochs = fit(ctx, &*engine, "train", &Goal::Supernet, &config.train, config.seed, &outputs[0])?;
        Ok(record::save(&TrainingRecord { name: "supernet".into(), epochs }, &outputs[1])?)
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

fn outputs(ctx: &Context) -> [PathBuf; 2] {
    [ctx.dir.path("supernet.safetensors"), ctx.dir.path("supernet.json")]
}

fn asked(ctx: &Context) -> Result<serde_json::Value> {
    let Context { config, graph, data, .. } = ctx;
    let images =
        (config.data.augment, config.data.search_images, config.search.recalibration_images, &data.digest);
    Ok(serde_json::to_value((graph, &config.train, images, config.seed))?)
}

/// One training with a live line; a checkpoint of another training is moved to `….previous`.
pub(super) fn fit(
    ctx: &Context,
    engine: &dyn Engine,
    what: &str,
    goal: &Goal,
    recipe: &Recipe,
    seed: u64,
    checkpoint: &Path,
) -> Result<Vec<EpochRecord>> {
    let validation = Validation {
        images: &ctx.data.search,
        every: recipe.epochs.div_ceil(VALIDATIONS),
        recalibration_images: ctx.config.search.recalibration_images,
    };
    let training = Training {
        goal,
        recipe,
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
    let mut result = train::train(engine, &training, checkpoint, &ctx.stop, &mut watch);
    if let Err(TrainError::OtherTraining { path }) = &result {
        let previous = path.with_extension("safetensors.previous");
        std::fs::rename(path, &previous)?;
        ctx.ui.say(format!(
            "{what}: the configuration has changed; the old weights are {}",
            previous.display()
        ));
        result = train::train(engine, &training, checkpoint, &ctx.stop, &mut watch);
    }
    bar.finish_and_clear();
    Ok(result?)
}
