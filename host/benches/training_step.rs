//! One training step on the CPU engine, optimiser and losses included: `cargo bench -p edgeslim`.
//!
//! A plain step trains the widest subnet, a sandwich step the widest, the smallest and two others, the same in every
//! step. Other programs on the machine disturb the mean; compare the lowest of the three figures.

use std::time::Duration;

use candle_core::{Device, Result, Tensor};
use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use edgeslim::engine::{CpuEngine, Engine, Params};
use edgeslim::network::graph::Shape;
use edgeslim::network::zoo::{ZooOptions, network};
use edgeslim::train::plain::plain_step;
use edgeslim::train::sandwich::{Sandwich, random_subnet, sandwich_step};
use edgeslim::train::{NesterovSgd, SgdParams};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const INPUT: Shape = Shape { h: 28, w: 28, c: 1 };
const CLASSES: usize = 10;
const SGD: SgdParams = SgdParams { learning_rate: 1e-3, momentum: 0.9, weight_decay: 1e-4 };

fn engine(name: &str, threads: usize) -> Result<CpuEngine> {
    let graph = network(name, INPUT, CLASSES, ZooOptions::default()).expect("a network of the zoo");
    let params = Params::new(&graph, 1, &Device::Cpu)?;
    CpuEngine::new(graph, params, threads)
}

/// Images `(n, h, w, c)` of noise and labels `(n, classes)`.
fn batch(n: usize) -> Result<(Tensor, Tensor)> {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let pixels: Vec<f32> = (0..n * INPUT.h * INPUT.w).map(|_| rng.random_range(-1.0..1.0)).collect();
    let classes: Vec<u32> = (0..n).map(|_| rng.random_range(0..CLASSES as u32)).collect();
    let labels = candle_nn::encoding::one_hot(Tensor::new(classes, &Device::Cpu)?, CLASSES, 1.0f32, 0.0)?;
    Ok((Tensor::from_vec(pixels, (n, INPUT.h, INPUT.w, INPUT.c), &Device::Cpu)?, labels))
}

fn training_step(criterion: &mut Criterion) {
    for (name, n) in [("mobilenet-v1", 64), ("mobilenet-v1-tiny", 32)] {
        let (images, labels) = batch(n).expect("a batch");
        let mut group = criterion.benchmark_group(format!("{name}, batch {n}"));
        group.sampling_mode(SamplingMode::Flat).sample_size(30).measurement_time(Duration::from_secs(3));
        for threads in [1, 2] {
            let engine = engine(name, threads).expect("an engine");
            let widest = engine.graph().widest();
            let mut sgd = NesterovSgd::for_network(engine.params(), SGD);
            group.bench_function(BenchmarkId::new("plain", threads), |bencher| {
                bencher.iter(|| plain_step(&engine, &widest, &images, &labels, &mut sgd).expect("a step"));
            });
            group.bench_function(BenchmarkId::new("sandwich", threads), |bencher| {
                let step = |mut rng: ChaCha8Rng| {
                    let (sandwich, draw) = (Sandwich::default(), random_subnet);
                    sandwich_step(&engine, &sandwich, draw, &images, &labels, &mut sgd, &mut rng)
                        .expect("a step")
                };
                bencher.iter_batched(|| ChaCha8Rng::seed_from_u64(3), step, BatchSize::SmallInput);
            });
        }
    }
}

criterion_group!(benches, training_step);
criterion_main!(benches);
