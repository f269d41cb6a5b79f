//! One training step by a [`Method`].

use crate::divergence::alpha_divergence;
use crate::sampling::Sampler;
use crate::variants::{Method, Target};
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use candle_nn::Optimizer as _;
use edgeslim::engine::{Dropout, Engine, Mode};
use edgeslim::network::Channels;
use edgeslim::train::{NesterovSgd, smooth_labels, soft_cross_entropy};
use rand_chacha::ChaCha8Rng;

/// Images `(n, h, w, c)` and labels `(n, classes)`.
pub struct Batch {
    /// Normalised.
    pub images: Tensor,
    /// Probabilities.
    pub labels: Tensor,
}

/// Trains on one batch. The default method is the library's `sandwich_step`, bit by bit.
///
/// `dropout_seed` is another one for every step.
///
/// # Errors
/// What the engine or the optimiser returns.
pub fn step(
    engine: &dyn Engine,
    method: &Method,
    sampler: &Sampler<'_>,
    batch: &Batch,
    sgd: &mut NesterovSgd,
    rng: &mut ChaCha8Rng,
    dropout_seed: u64,
) -> Result<()> {
    let Batch { images, labels } = batch;
    let rate = Some(method.dropout).filter(|&rate| rate > 0.0);
    engine.set_dropout(rate.map(|rate| Dropout { rate, seed: dropout_seed }))?;
    let logits = engine.logits(images, &engine.graph().widest(), Mode::Train)?; // (n, classes)
    engine.set_dropout(None)?;
    let teacher = candle_nn::ops::softmax(&logits.detach(), 1)?;
    let loss = match method.smoothing {
        0.0 => soft_cross_entropy(&logits, labels)?,
        smoothing => soft_cross_entropy(&logits, &smooth_labels(labels, smoothing)?)?,
    };
    loss.affine(method.largest_scale, 0.0)?.backward()?;
    for subnet in others(engine, method, sampler, rng) {
        let logits = engine.logits(images, &subnet, Mode::Train)?;
        let loss = match method.target {
            Target::Largest => soft_cross_entropy(&logits, &teacher)?,
            Target::Mixed(share) => {
                let mixed = (labels.affine(share, 0.0)? + teacher.affine(1.0 - share, 0.0)?)?;
                soft_cross_entropy(&logits, &mixed)?
            }
            Target::Alpha => alpha_divergence(&logits, &teacher)?,
        };
        loss.affine(method.other_scale, 0.0)?.backward()?;
    }
    let mut grads = GradStore::default();
    engine.take_grads(&mut grads)?;
    if let Some(limit) = method.clip {
        clip(engine, &mut grads, limit)?;
    }
    sgd.step(&grads)
}

/// The smallest, then the random subnets.
fn others(
    engine: &dyn Engine,
    method: &Method,
    sampler: &Sampler<'_>,
    rng: &mut ChaCha8Rng,
) -> Vec<Channels> {
    let random = (2..method.n_subnets).map(|_| sampler.draw(rng));
    let smallest = (!method.is_plain()).then(|| engine.graph().smallest());
    smallest.into_iter().chain(random).collect()
}

/// Scales all gradients so that their norm is at most `limit`.
fn clip(engine: &dyn Engine, grads: &mut GradStore, limit: f64) -> Result<()> {
    let vars = engine.params().vars();
    let mut squares = 0.0;
    for (_, var) in &vars {
        if let Some(grad) = grads.get(var) {
            squares += f64::from(grad.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let norm = squares.sqrt();
    if norm <= limit {
        return Ok(());
    }
    for (_, var) in &vars {
        if let Some(grad) = grads.remove(var) {
            grads.insert(var, grad.affine(limit / norm, 0.0)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::Sampling;
    use candle_core::Device;
    use edgeslim::engine::{CpuEngine, Params};
    use edgeslim::network::{Shape, zoo};
    use edgeslim::train::SgdParams;
    use edgeslim::train::sandwich::{Sandwich, random_subnet, sandwich_step};
    use rand::SeedableRng as _;

    const SGD: SgdParams = SgdParams { learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-4 };

    fn engine() -> CpuEngine {
        let input = Shape { h: 8, w: 8, c: 1 };
        let graph = zoo::network("mobilenet-v1-tiny", input, 2, zoo::ZooOptions::default()).unwrap();
        let params = Params::new(&graph, 3, &Device::Cpu).unwrap();
        CpuEngine::new(graph, params, 1).unwrap()
    }

    fn batch() -> Batch {
        let pixels: Vec<f32> = (0..8 * 64).map(|i| ((i * 7 + i / 64) % 11) as f32 / 5.0 - 1.0).collect();
        let labels: Vec<f32> = (0..8).flat_map(|i| [(i % 2) as f32, 1.0 - (i % 2) as f32]).collect();
        Batch {
            images: Tensor::from_vec(pixels, (8, 8, 8, 1), &Device::Cpu).unwrap(),
            labels: Tensor::from_vec(labels, (8, 2), &Device::Cpu).unwrap(),
        }
    }

    fn weights(engine: &CpuEngine) -> Vec<Vec<f32>> {
        let values = |var: &candle_core::Var| var.flatten_all().unwrap().to_vec1().unwrap();
        engine.params().vars().iter().map(|(_, var)| values(var)).collect()
    }

    fn trained(method: &Method) -> Vec<Vec<f32>> {
        let (engine, batch) = (engine(), batch());
        let sampler = Sampler::new(engine.graph(), Sampling::Units);
        let mut sgd = NesterovSgd::for_network(engine.params(), SGD);
        for seed in 0..3 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            step(&engine, method, &sampler, &batch, &mut sgd, &mut rng, seed).unwrap();
        }
        weights(&engine)
    }

    #[test]
    fn the_default_method_is_the_librarys_step() {
        let (engine, Batch { images, labels }) = (engine(), batch());
        let mut sgd = NesterovSgd::for_network(engine.params(), SGD);
        for seed in 0..3 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let sandwich = Sandwich::default();
            sandwich_step(&engine, &sandwich, random_subnet, &images, &labels, &mut sgd, &mut rng).unwrap();
        }
        assert_eq!(trained(&Method::default()), weights(&engine));
    }

    #[test]
    fn every_option_of_a_step_changes_the_weights() {
        let base = Method::default();
        let options = [
            Method { n_subnets: 3, ..base },
            Method { target: Target::Mixed(0.5), ..base },
            Method { target: Target::Alpha, ..base },
            Method { largest_scale: 1.0, ..base },
            Method { other_scale: 1.0, ..base },
            Method { clip: Some(0.1), ..base },
            Method { smoothing: 0.1, ..base },
            Method { dropout: 0.2, ..base },
        ];
        let before = trained(&base);
        assert_eq!(trained(&Method { clip: Some(1e6), ..base }), before);
        for method in options {
            assert_ne!(trained(&method), before, "{method:?}");
        }
    }
}
