//! `retrain`: the subnets of `search.json` from scratch by the same recipe, each by itself or all as the switches of one
//! S-Net → `subnets/…/seed-N.safetensors`.

use super::Context;
use super::search::SearchRecord;
use super::train::{Asked, fit};
use crate::network::Channels;
use crate::run::Stage;
use crate::train::checkpoint::save_switch;
use crate::train::{Switches, System, Width};
use anyhow::Result;
use reports::record::{self, TrainingRecord};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `retrain.json`
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrainRecord {
    /// One a subnet and seed, or one a seed for all subnets.
    pub trainings: Vec<Retraining>,
}

/// One training of a subnet, or of several that share weights.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Retraining {
    /// What was trained.
    pub subnets: Vec<Channels>,
    /// Of the weights, the order of images and their augmentation.
    pub seed: u64,
    /// Its history.
    pub training: TrainingRecord,
}

/// Trains every distinct subnet of the search, `retrain.seeds` times, by itself or jointly as `retrain.jointly` says.
///
/// # Errors
/// [`crate::train::TrainError`]; what was trained before is kept.
pub fn retrain(ctx: &Context) -> Result<()> {
    let found = SearchRecord::load(ctx, "retrain")?;
    let (subnets, seeds) = (found.subnets(), seeds(ctx));
    let outputs = outputs(ctx, &subnets);
    let outcome = ctx.dir.stage(&stage(&asked(ctx, &found)?, &outputs), || {
        for channels in &subnets {
            std::fs::create_dir_all(subnet_dir(ctx, channels))?;
        }
        let trainings = match ctx.config.retrain.jointly {
            true => jointly(ctx, &subnets, &seeds)?,
            false => singly(ctx, &found, &subnets, &seeds)?,
        };
        Ok(record::save(&RetrainRecord { trainings }, &outputs[0])?)
    })?;
    ctx.tell("retrain", outcome);
    Ok(())
}

/// Every subnet by itself.
fn singly(
    ctx: &Context,
    found: &SearchRecord,
    subnets: &[Channels],
    seeds: &[u64],
) -> Result<Vec<Retraining>> {
    let mut trainings = Vec::new();
    for (i, channels) in subnets.iter().enumerate() {
        for &seed in seeds {
            let path = weights_path(ctx, channels, seed);
            let what = format!("retrain {}/{}", i + 1, subnets.len());
            let system = System::INet(channels.clone().into());
            let engine = ctx.engine(system.n_switches(), seed)?;
            let epochs = fit(ctx, &*engine, &training(ctx, &what, &system, seed), &path)?;
            let training = TrainingRecord { name: of_seed(found.names_of(channels)[0], seed, seeds), epochs };
            trainings.push(Retraining { subnets: vec![channels.clone()], seed, training });
        }
    }
    Ok(trainings)
}

/// All subnets as the switches of one S-Net (AutoSlim, arXiv 1903.11728), each then written as a network by itself: weights
/// are shared while they are trained, and a deployed network is one switch.
fn jointly(ctx: &Context, subnets: &[Channels], seeds: &[u64]) -> Result<Vec<Retraining>> {
    let widths = subnets.iter().map(|channels| Width::from(channels.clone())).collect();
    let system = System::SNet(Switches::of(widths));
    let mut trainings = Vec::new();
    for &seed in seeds {
        let engine = ctx.engine(system.n_switches(), seed)?;
        let path = ctx.dir.path(&format!("subnets/jointly-seed-{seed}.safetensors"));
        let epochs = fit(ctx, &*engine, &training(ctx, "retrain", &system, seed), &path)?;
        for (switch, channels) in subnets.iter().enumerate() {
            save_switch(&weights_path(ctx, channels, seed), &ctx.graph, engine.params(), switch)?;
        }
        let training = TrainingRecord { name: of_seed("s-net of all candidates", seed, seeds), epochs };
        trainings.push(Retraining { subnets: subnets.to_vec(), seed, training });
    }
    Ok(trainings)
}

fn training<'a>(ctx: &'a Context, what: &'a str, system: &'a System, seed: u64) -> Asked<'a> {
    Asked { what, section: "retrain", system, recipe: &ctx.config.retrain.recipe, seed }
}

fn of_seed(name: &str, seed: u64, seeds: &[u64]) -> String {
    if seed == seeds[0] { name.to_owned() } else { format!("{name}, seed {seed}") }
}

/// Refuses subnets that are half trained, or of another configuration.
pub(super) fn require(ctx: &Context, found: &SearchRecord, reader: &str) -> Result<()> {
    let outputs = outputs(ctx, &found.subnets());
    ctx.dir.require(&stage(&asked(ctx, found)?, &outputs), reader)
}

fn stage<'a>(asked: &'a serde_json::Value, outputs: &'a [PathBuf]) -> Stage<'a, serde_json::Value> {
    Stage { name: "retrain", config: asked, inputs: &[], outputs }
}

/// The record, then the weights of every subnet and seed.
fn outputs(ctx: &Context, subnets: &[Channels]) -> Vec<PathBuf> {
    let seeds = seeds(ctx);
    let weights = subnets.iter().flat_map(|c| seeds.iter().map(|&seed| weights_path(ctx, c, seed)));
    std::iter::once(ctx.dir.path("retrain.json")).chain(weights).collect()
}

fn asked(ctx: &Context, found: &SearchRecord) -> Result<serde_json::Value> {
    let Context { config, graph, data, .. } = ctx;
    let named: Vec<(&str, &Channels)> =
        found.candidates.iter().map(|c| (c.name.as_str(), &c.channels)).collect();
    let images =
        (config.data.augment, config.data.search_images, config.search.recalibration_images, &data.digest);
    Ok(serde_json::to_value((graph, named, &config.retrain, images, config.seed))?)
}

/// The seeds of a subnet's trainings; the first one is deployed.
pub(super) fn seeds(ctx: &Context) -> Vec<u64> {
    (0..ctx.config.retrain.seeds as u64).map(|i| ctx.config.seed.wrapping_add(i)).collect()
}

/// The folder of a subnet, whatever strategy found it.
pub(super) fn subnet_dir(ctx: &Context, channels: &Channels) -> PathBuf {
    ctx.dir.path("subnets").join(key(channels))
}

/// The checkpoint of a subnet's training.
pub(super) fn weights_path(ctx: &Context, channels: &Channels, seed: u64) -> PathBuf {
    subnet_dir(ctx, channels).join(format!("seed-{seed}.safetensors"))
}

/// The longest folder name that shows the channels themselves.
const MAX_KEY: usize = 120;

fn key(channels: &Channels) -> String {
    let key = channels.0.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
    match key.len() {
        0..=MAX_KEY => key,
        _ => blake3::hash(key.as_bytes()).to_hex()[..32].to_owned(),
    }
}

/// The model that is deployed, beside the weights it came from.
pub(super) fn model_path(ctx: &Context, channels: &Channels) -> PathBuf {
    subnet_dir(ctx, channels).join("int8.model")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnets_folder_shows_its_channels_unless_they_are_too_many() {
        assert_eq!(key(&Channels(vec![8, 16, 24])), "8-16-24");
        let (a, b) = (key(&Channels(vec![16; 90])), key(&Channels(vec![24; 90])));
        assert!(a.len() == 32 && a != b, "{a} {b}");
    }
}
