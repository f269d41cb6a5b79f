//! `quantize`: retrained subnets → `subnets/…/int8.model`, the bytes that are deployed.

use super::Context;
use super::retrain::{model_path, seeds, weights_path};
use super::search::SearchRecord;
use crate::memory;
use crate::network::Channels;
use crate::network::lower::lower;
use crate::quantize::encode;
use crate::run::{Stage, write_atomic};
use anyhow::{Context as _, Result};
use std::path::PathBuf;

/// Every candidate's name and model file.
///
/// # Errors
/// Where there is no `search.json`.
pub fn models(ctx: &Context) -> Result<Vec<(String, PathBuf)>> {
    let found = SearchRecord::load(ctx, "quantize")?;
    Ok(found.candidates.iter().map(|c| (c.name.clone(), model_path(ctx, &c.channels))).collect())
}

/// Makes the first training of every subnet int8.
///
/// # Errors
/// Where weights are missing or are no numbers.
pub fn quantize(ctx: &Context) -> Result<()> {
    let found = SearchRecord::load(ctx, "quantize")?;
    super::retrain::require(ctx, &found, "quantize")?;
    let subnets = found.subnets();
    let (inputs, outputs) = files(ctx, &subnets);
    let outcome = ctx.dir.stage(&stage(&asked(ctx, &subnets)?, &inputs, &outputs), || {
        let bar = ctx.ui.bar("quantize", subnets.len());
        for (channels, (_, weights)) in subnets.iter().zip(&inputs) {
            let engine = ctx.trained(weights)?;
            let int8 = ctx.make_int8(&*engine, channels).with_context(|| weights.display().to_string())?;
            let layout = memory::plan(&lower(&ctx.graph, channels)?).layout;
            write_atomic(&model_path(ctx, channels), encode(&int8, &layout)?.bytes())?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(())
    })?;
    ctx.tell("quantize", outcome);
    Ok(())
}

/// Refuses models that are missing, edited, or of other weights or another configuration.
pub(super) fn require(ctx: &Context, found: &SearchRecord, reader: &str) -> Result<()> {
    let subnets = found.subnets();
    let (inputs, outputs) = files(ctx, &subnets);
    ctx.dir.require(&stage(&asked(ctx, &subnets)?, &inputs, &outputs), reader)
}

fn stage<'a>(
    asked: &'a serde_json::Value,
    inputs: &'a [(&'static str, PathBuf)],
    outputs: &'a [PathBuf],
) -> Stage<'a, serde_json::Value> {
    Stage { name: "quantize", config: asked, inputs, outputs }
}

/// The weights and the model of every subnet.
fn files(ctx: &Context, subnets: &[Channels]) -> (Vec<(&'static str, PathBuf)>, Vec<PathBuf>) {
    let seed = seeds(ctx)[0];
    let weights = subnets.iter().map(|c| ("retrain", weights_path(ctx, c, seed))).collect();
    (weights, subnets.iter().map(|c| model_path(ctx, c)).collect())
}

fn asked(ctx: &Context, subnets: &[Channels]) -> Result<serde_json::Value> {
    let Context { config, graph, data, .. } = ctx;
    Ok(serde_json::to_value((graph, subnets, config.data.search_images, config.seed, &data.digest))?)
}
