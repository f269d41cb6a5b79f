//! Trains a supernet in many ways, each as long as the baseline, and tells what is better: `docs/supernet.md`.

mod cost;
mod divergence;
mod figure;
mod fit;
mod measure;
mod records;
mod sampling;
mod statistics;
mod step;
mod table;
mod variants;

use anyhow::{Context as _, Result, bail, ensure};
use candle_core::{DType, Device};
use clap::Parser;
use edgeslim::config::{Recipe, RunConfig};
use edgeslim::dataset::{self, Augment, Dataset, Normalisation, hold_out};
use edgeslim::engine::{self, Params};
use edgeslim::network::zoo::ZooOptions;
use edgeslim::network::{self, Graph, Shape};
use measure::{Measured, On};
use records::{Record, Setup};
use std::path::PathBuf;
use variants::Method;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
struct Arguments {
    /// Network, data and recipe of the baseline.
    #[arg(long, default_value = "xtask/src/demo.toml")]
    config: PathBuf,
    /// A data set instead of the configuration's.
    #[arg(long)]
    data: Option<String>,
    /// A network instead of the configuration's.
    #[arg(long)]
    network: Option<String>,
    /// Images to learn from; all that are not held out where it is left out.
    #[arg(long)]
    train_images: Option<usize>,
    /// Images held out, instead of the configuration's.
    #[arg(long)]
    search_images: Option<usize>,
    /// Epochs of the baseline, instead of the configuration's.
    #[arg(long)]
    epochs: Option<usize>,
    /// Images a step, instead of the configuration's.
    #[arg(long)]
    batch: Option<usize>,
    /// Images as they are.
    #[arg(long)]
    no_augmentation: bool,
    /// Variants, separated by semicolons; all where it is left out. The baseline is always trained.
    #[arg(long, value_delimiter = ';')]
    variants: Vec<String>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Seeds a variant.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Images to measure on.
    #[arg(long, value_enum, default_value_t = On::Search)]
    on: On,
    /// Threads of a training; results do not depend on it.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// The file of results; what is in it is not trained again.
    #[arg(long, default_value = "supernet-study.jsonl")]
    out: PathBuf,
    /// Draws the differences, as PNG.
    #[arg(long)]
    figure: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let chosen = chosen(&arguments.variants)?;
    let study = Study::open(&arguments)?;
    let mut records = records::load(&arguments.out, &study.setup)?;
    for seed in arguments.first_seed..arguments.first_seed + arguments.seeds {
        for (name, method) in &chosen {
            if records.iter().any(|r| r.variant == *name && r.seed == seed) {
                continue;
            }
            let record = study.run(name, method, seed)?;
            let largest = &record.subnets[0];
            let (accuracy, cpu_s) = (largest.accuracy * 100.0, record.cpu_s.unwrap_or(f64::NAN));
            eprintln!("{name}, seed {seed}: {} epochs, {cpu_s:.1} s, largest {accuracy:.2} %", record.epochs);
            records::append(&arguments.out, &record)?;
            records.push(record);
        }
    }
    println!("{}", table::table(&records));
    match &arguments.figure {
        Some(path) => Ok(figure::draw(&figure::series(&records)?, path)?),
        None => Ok(()),
    }
}

/// The variants of these names after the baseline; all if there are no names.
fn chosen(names: &[String]) -> Result<Vec<(&'static str, Method)>> {
    let all = variants::all();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|(known, _)| known != name)) {
        let known: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
        bail!("no variant is called `{unknown}`; there are: {}", known.join("; "));
    }
    let asked =
        |name: &str| names.is_empty() || name == variants::BASELINE || names.iter().any(|n| n == name);
    Ok(all.into_iter().filter(|(name, _)| asked(name)).collect())
}

/// What every training of a study shares.
struct Study {
    setup: Setup,
    dataset: Dataset,
    graph: Graph,
    threads: usize,
}

impl Study {
    fn open(arguments: &Arguments) -> Result<Study> {
        let config = RunConfig::load(&arguments.config)?;
        let dataset = dataset::open(arguments.data.as_ref().unwrap_or(&config.data.path))?;
        let n_search = arguments.search_images.unwrap_or(config.data.search_images);
        let left = dataset.train.len().saturating_sub(n_search);
        let n_train = arguments.train_images.unwrap_or(left);
        ensure!(
            n_train > 0 && n_train <= left,
            "{n_train} images to learn from, but {left} are not held out"
        );
        let input = Shape { h: dataset.train.h(), w: dataset.train.w(), c: dataset.train.c() };
        let network = arguments.network.as_ref().unwrap_or(&config.network.name);
        let options = ZooOptions {
            max_width: config.network.max_width,
            min_width: config.network.min_width,
            bin_multiple: config.network.bin_multiple,
        };
        let graph = network::open(network, input, dataset.class_names.len(), options)?;
        let recipe = Recipe {
            epochs: arguments.epochs.unwrap_or(config.train.recipe.epochs),
            batch: arguments.batch.unwrap_or(config.train.recipe.batch),
            ..config.train.recipe
        };
        let setup = Setup {
            digest: dataset.digest(),
            n_train,
            n_search,
            on: arguments.on,
            augment: config.data.augment && !arguments.no_augmentation,
            network: graph.name.clone(),
            bins: graph.units.iter().map(|unit| unit.bins.clone()).collect(),
            recipe,
            recalibration_images: config.search.recalibration_images,
        };
        Ok(Study { setup, dataset, graph, threads: arguments.threads })
    }

    /// Trains a variant and measures it. The seed decides the split too.
    fn run(&self, name: &str, method: &Method, seed: u64) -> Result<Record> {
        let Study { setup, dataset, graph, threads } = self;
        let (rest, search) = hold_out(&dataset.train, setup.n_search, seed);
        let (train, _) = hold_out(rest.images(), rest.images().len() - setup.n_train, seed);
        let normalisation = Normalisation::of(&train);
        let params = Params::new(graph, seed, &Device::Cpu)?;
        let engine = engine::open(graph.clone(), params, *threads, DType::F32)?;
        let augment = if setup.augment { Augment::FlipShift } else { Augment::None };
        let data = fit::Data { train: &train, normalisation: &normalisation, augment };
        let recipe = Recipe { epochs: cost::epochs(graph, method, setup.recipe.epochs), ..setup.recipe };
        let before = cost::cpu_s();
        let steps = fit::fit(&*engine, &data, &recipe, method, seed).with_context(|| name.to_owned())?;
        let cpu_s = before.zip(cost::cpu_s()).map(|(before, after)| after - before);
        let images = Measured {
            train: &train,
            recalibration_images: setup.recalibration_images,
            normalisation: &normalisation,
            search: &search,
            test: &dataset.test,
            on: setup.on,
        };
        let subnets = measure::subnets(graph);
        let n_measured = if method.is_plain() { 1 } else { subnets.len() };
        let measured =
            subnets[..n_measured].iter().map(|(name, c)| measure::measure(&*engine, name, c, &images));
        Ok(Record {
            setup: setup.clone(),
            variant: name.to_owned(),
            seed,
            epochs: recipe.epochs,
            steps,
            trained_macs: cost::image_macs(graph, method) * (recipe.epochs * train.images().len()) as f64,
            cpu_s,
            subnets: measured.collect::<Result<_>>()?,
        })
    }
}
