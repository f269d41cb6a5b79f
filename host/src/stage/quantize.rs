//! `quantize`: retrained subnets → `subnets/…/int8.model`, the bytes that are deployed.

use super::Context;
use super::retrain::{model_path, seeds, weights_path};
use super::search::SearchRecord;
use crate::memory;
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
    let seed = seeds(ctx)[0];
    let inputs: Vec<_> = subnets.iter().map(|c| ("retrain", weights_path(ctx, c, seed))).collect();
    let outputs: Vec<_> = subnets.iter().map(|c| model_path(ctx, c)).collect();
    let asked = (&ctx.graph, &subnets, ctx.config.data.search_images, ctx.config.seed, &ctx.data.digest);
    let stage = Stage { name: "quantize", config: &asked, inputs: &inputs, outputs: &outputs };
    let outcome = ctx.dir.stage(&stage, || {
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
