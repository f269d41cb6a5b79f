//! What loading and augmenting a batch costs beside the steps on it.

use std::time::Instant;

use anyhow::{Result, anyhow};
use edgeslim::dataset::{Augment, Images, Normalisation, TrainSplit, hold_out, one_hot};
use edgeslim::network::Shape;
use edgeslim::train::plain::plain_step;
use edgeslim::train::sandwich::{Sandwich, random_subnet, sandwich_step};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::session::{CLASSES, Session};

const IMAGES: usize = 2000;

/// Milliseconds of loading each of `steps` batches, of a sandwich step and of a plain step on it.
pub fn measure(session: &mut Session, batch: usize, steps: usize) -> Result<Value> {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let (engine, sgd) = session.parts();
    let (graph, device) = (engine.graph(), engine.device());
    let train = noise(graph.input, &mut rng)?;
    let normalisation = Normalisation::of(&train);
    let widest = graph.widest();
    let [mut loading, mut sandwich, mut plain] = [const { Vec::new() }; 3];
    for _ in 0..steps {
        let indices: Vec<usize> = (0..batch).map(|_| rng.random_range(0..IMAGES)).collect();
        let start = Instant::now();
        let images = normalisation.training_batch(&train, &indices, Augment::FlipShift, &mut rng, device)?;
        let labels = one_hot(train.images(), &indices, graph.classes, device)?;
        let loaded = Instant::now();
        sandwich_step(engine, &Sandwich::default(), random_subnet, &images, &labels, sgd, &mut rng)?;
        let trained = Instant::now();
        plain_step(engine, &widest, &images, &labels, sgd)?;
        loading.push((loaded - start).as_secs_f64() * 1e3);
        sandwich.push((trained - loaded).as_secs_f64() * 1e3);
        plain.push(trained.elapsed().as_secs_f64() * 1e3);
    }
    Ok(json!({ "loading_ms": loading, "sandwich_ms": sandwich, "plain_ms": plain }))
}

/// Images of noise.
fn noise(Shape { h, w, c }: Shape, rng: &mut ChaCha8Rng) -> Result<TrainSplit> {
    let pixels = (0..IMAGES * h * w * c).map(|_| rng.random()).collect();
    let labels = (0..IMAGES).map(|_| rng.random_range(0..CLASSES as u8)).collect();
    let images = Images::new(h, w, c, pixels, labels).map_err(|problem| anyhow!(problem))?;
    Ok(hold_out(&images, 0, 1).0)
}
