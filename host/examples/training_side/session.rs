//! One network with its parameters, and the steps that are timed on it.

use std::time::Instant;

use anyhow::{Result, bail};
use candle_core::{Device, Tensor};
use edgeslim::engine::{BN_EPSILON, CandleEngine, CpuEngine, Engine, Mode, Params};
use edgeslim::network::graph::Shape;
use edgeslim::network::zoo::{ZooOptions, network};
use edgeslim::network::{Channels, Graph, Unit};
use edgeslim::train::plain::plain_step;
use edgeslim::train::recalibrate::recalibrate;
use edgeslim::train::sandwich::{GRADIENT_SCALE, N_SUBNETS, Sandwich, random_subnet, sandwich_step};
use edgeslim::train::{NesterovSgd, SgdParams};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::What;
use crate::work::{Work, work};

/// Of every network.
pub const CLASSES: usize = 10;
/// Of every step.
pub const SGD: SgdParams = SgdParams { learning_rate: 1e-3, momentum: 0.9, weight_decay: 1e-4 };
/// The subnet that is evaluated is drawn from it: every unit at any of its bins.
const EVALUATED: u64 = 11;

/// Which engine runs the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// edgeslim's own kernels.
    Cpu,
    /// Candle's operators, on the CPU.
    Candle,
}

/// A network that is open.
pub struct Session {
    engine: Box<dyn Engine>,
    simd: Option<String>,
    sgd: NesterovSgd,
    /// The last batch that was asked for.
    batch: Option<(Tensor, Tensor)>,
    /// The subnet that the statistics are of.
    calibrated: Option<Channels>,
}

/// The zoo's network that the benchmark calls `name`, at the image it is compared on.
fn graph(name: &str) -> Result<Graph> {
    let (zoo_name, side, c) = match name {
        "mb28" => ("mobilenet-v1", 28, 1),
        "mb32" => ("mobilenet-v1", 32, 3),
        "mobilenet-v1" => ("mobilenet-v1-imagenet", 32, 3),
        "demo" => ("mobilenet-v1-tiny", 28, 1),
        "mobilenet-v2" | "resnet-8" | "resnet-20" => (name, 32, 3),
        _ => bail!("no network of the benchmark is called `{name}`"),
    };
    Ok(network(zoo_name, Shape { h: side, w: side, c }, CLASSES, ZooOptions::default())?)
}

/// Everything that another program needs to build and train the same network.
pub fn describe(name: &str) -> Result<Value> {
    let graph = graph(name)?;
    let params = Params::new(&graph, 1, &Device::Cpu)?;
    let shapes: Vec<Value> = params
        .vars()
        .iter()
        .map(|(name, var)| json!({ "name": name, "shape": var.dims(), "decays": params.decays(name) }))
        .collect();
    Ok(json!({
        "graph": graph,
        "params": shapes,
        "bn_epsilon": BN_EPSILON,
        "sandwich_gradient_scale": GRADIENT_SCALE,
        "learning_rate": SGD.learning_rate,
        "momentum": SGD.momentum,
        "weight_decay": SGD.weight_decay,
    }))
}

impl Session {
    /// Draws parameters and makes an engine of `threads`.
    pub fn open(name: &str, threads: usize, kind: EngineKind) -> Result<Session> {
        let graph = graph(name)?;
        let params = Params::new(&graph, 1, &Device::Cpu)?;
        let sgd = NesterovSgd::for_network(&params, SGD);
        let (engine, simd): (Box<dyn Engine>, _) = match kind {
            EngineKind::Cpu => {
                let engine = CpuEngine::new(graph, params, threads)?;
                let simd = engine.isa().to_string();
                (Box::new(engine), Some(simd))
            }
            EngineKind::Candle => (Box::new(CandleEngine::new(graph, params, Device::Cpu)?), None),
        };
        Ok(Session { engine, simd, sgd, batch: None, calibrated: None })
    }

    /// The instruction set that the engine computes with; Candle does not tell its own.
    pub fn simd(&self) -> Option<&str> {
        self.simd.as_deref()
    }

    /// Milliseconds of one step a seed.
    pub fn run(&mut self, what: What, batch: usize, seeds: &[u64]) -> Result<Vec<f64>> {
        let channels = if what == What::Evaluate { self.evaluated() } else { self.engine.graph().widest() };
        self.run_at(what, batch, &channels, seeds)
    }

    /// Milliseconds of one step of the subnet `channels` a seed; a sandwich step chooses its own.
    pub fn run_at(
        &mut self,
        what: What,
        batch: usize,
        channels: &Channels,
        seeds: &[u64],
    ) -> Result<Vec<f64>> {
        let (images, labels) = self.batch(batch)?;
        if what == What::Evaluate && self.calibrated.as_ref() != Some(channels) {
            self.calibrate(&images, channels)?;
        }
        let engine = &*self.engine;
        let mut ms = Vec::with_capacity(seeds.len());
        for &seed in seeds {
            let start = Instant::now();
            match what {
                What::Plain => {
                    plain_step(engine, channels, &images, &labels, &mut self.sgd)?;
                }
                What::Sandwich => {
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    let (sandwich, sgd) = (Sandwich::default(), &mut self.sgd);
                    sandwich_step(engine, &sandwich, random_subnet, &images, &labels, sgd, &mut rng)?;
                }
                What::Evaluate => {
                    engine.logits(&images, channels, Mode::Evaluate)?.to_vec2::<f32>()?;
                }
            }
            ms.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(ms)
    }

    /// Milliseconds of `steps` at a width, and the work of one.
    pub fn width(&mut self, what: What, batch: usize, width: f64, steps: usize) -> Result<Value> {
        let channels = self.uniform(width);
        let ms = self.run_at(what, batch, &channels, &vec![0; steps])?;
        let Work { flops, bytes } = work(self.engine.graph(), &channels, batch, what != What::Evaluate);
        Ok(json!({ "ms": ms, "flops": flops, "bytes": bytes }))
    }

    /// Per seed the subnets that its sandwich step trains after the widest, in order; and the one that is evaluated.
    pub fn subnets(&self, seeds: &[u64]) -> Value {
        let steps: Vec<Vec<Channels>> = seeds.iter().map(|&seed| self.narrower(seed)).collect();
        json!({ "steps": steps, "evaluated": self.evaluated() })
    }

    /// Mean work of the steps of `seeds`.
    pub fn work(&self, what: What, batch: usize, seeds: &[u64]) -> Value {
        let graph = self.engine.graph();
        let of = |channels: &Channels| work(graph, channels, batch, what != What::Evaluate);
        let total: Work = match what {
            What::Plain => of(&graph.widest()),
            What::Evaluate => of(&self.evaluated()),
            What::Sandwich => {
                let narrower = seeds.iter().flat_map(|&seed| self.narrower(seed));
                let sum = narrower.map(|channels| of(&channels)).fold(Work::default(), Work::plus);
                sum.scaled(1.0 / seeds.len().max(1) as f64).plus(of(&graph.widest()))
            }
        };
        json!({ "flops": total.flops, "bytes": total.bytes })
    }

    /// Images `(n, h, w, c)` of noise and labels `(n, classes)`, the same for every call.
    pub fn batch(&mut self, n: usize) -> Result<(Tensor, Tensor)> {
        if let Some((images, labels)) = &self.batch
            && images.dim(0)? == n
        {
            return Ok((images.clone(), labels.clone()));
        }
        let made = self.noise(n, 2)?;
        Ok(self.batch.insert(made).clone())
    }

    /// Images `(n, h, w, c)` of noise and labels `(n, classes)`.
    pub fn noise(&self, n: usize, seed: u64) -> Result<(Tensor, Tensor)> {
        let Shape { h, w, c } = self.engine.graph().input;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let pixels: Vec<f32> = (0..n * h * w * c).map(|_| rng.random_range(-1.0..1.0)).collect();
        let classes: Vec<u32> = (0..n).map(|_| rng.random_range(0..CLASSES as u32)).collect();
        let classes = Tensor::new(classes, &Device::Cpu)?;
        let labels = candle_nn::encoding::one_hot(classes, CLASSES, 1.0f32, 0.0)?;
        Ok((Tensor::from_vec(pixels, (n, h, w, c), &Device::Cpu)?, labels))
    }

    /// The engine.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// The engine and its optimiser.
    pub fn parts(&mut self) -> (&dyn Engine, &mut NesterovSgd) {
        (&*self.engine, &mut self.sgd)
    }

    /// The subnet that is evaluated.
    pub fn evaluated(&self) -> Channels {
        random_subnet(self.engine.graph(), &mut ChaCha8Rng::seed_from_u64(EVALUATED))
    }

    /// The subnet whose units all have the bin nearest to `width` of their full count.
    pub fn uniform(&self, width: f64) -> Channels {
        let nearest = |unit: &Unit| {
            let off = |bin: &&usize| (**bin as f64 - width * unit.full as f64).abs();
            unit.bins.iter().copied().min_by(|a, b| off(&a).total_cmp(&off(&b))).unwrap_or(unit.full)
        };
        Channels(self.engine.graph().units.iter().map(nearest).collect())
    }

    /// Gives a subnet its running statistics.
    pub fn calibrate(&mut self, images: &Tensor, channels: &Channels) -> Result<()> {
        recalibrate(&*self.engine, channels, [Ok(images.clone())])?;
        self.calibrated = Some(channels.clone());
        Ok(())
    }

    /// What [`sandwich_step`] trains besides the widest.
    fn narrower(&self, seed: u64) -> Vec<Channels> {
        let graph = self.engine.graph();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let random = (2..N_SUBNETS).map(|_| random_subnet(graph, &mut rng));
        std::iter::once(graph.smallest()).chain(random).collect()
    }
}
