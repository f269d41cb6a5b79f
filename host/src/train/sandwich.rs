//! One step of a universally slimmable network, uniform (US-Net, arXiv 1903.05134) or not (AutoSlim, 1903.11728).
//!
//! Sandwich rule: each step trains the largest, the smallest and `n − 2` random subnets. In-place distillation:
//! the largest learns from the labels, its detached softmax is the only target of the others.

use super::soft_cross_entropy;
use super::step::Step;
use super::switches::check_scale;
use crate::engine::{Engine, Mode};
use crate::network::{Channels, Graph};
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use candle_nn::Optimizer;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Subnets a step, the papers' n.
pub const N_SUBNETS: usize = 4;

/// The sum of the subnets' gradients is scaled by this, where nothing else is asked for: four losses would otherwise
/// take a step that the learning rate of one network was not chosen for.
pub const GRADIENT_SCALE: f64 = 0.5;

/// How a supernet is trained.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sandwich {
    /// Subnets a step, the largest and the smallest among them.
    pub n_subnets: usize,
    /// What all but the largest learn from.
    pub target: Target,
    /// The sum of the subnets' gradients is scaled by this, 1 in the papers.
    pub gradient_scale: f64,
}

/// What a subnet learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The largest's softmax on the same batch, a constant: in-place distillation.
    Largest,
    /// The labels, as the largest does.
    Labels,
}

impl Default for Sandwich {
    /// Four subnets, in-place distillation, [`GRADIENT_SCALE`].
    fn default() -> Sandwich {
        Sandwich { n_subnets: N_SUBNETS, target: Target::Largest, gradient_scale: GRADIENT_SCALE }
    }
}

impl Sandwich {
    pub(super) fn check(&self) -> std::result::Result<(), String> {
        match self.n_subnets {
            2.. => check_scale(self.gradient_scale),
            n => Err(format!("{n} subnets a step; it takes at least 2, the largest and the smallest")),
        }
    }
}

/// Draws a subnet of a graph.
pub type Draw = fn(&Graph, &mut ChaCha8Rng) -> Channels;

/// A bin for every unit, each as likely as the others.
pub fn random_subnet(graph: &Graph, rng: &mut ChaCha8Rng) -> Channels {
    Channels(graph.units.iter().map(|unit| unit.bins[rng.random_range(0..unit.bins.len())]).collect())
}

/// One ratio for all units, from the least to the largest that the graph has, each as likely as the others.
pub fn random_ratio(graph: &Graph, rng: &mut ChaCha8Rng) -> Channels {
    let [least, largest] = graph.ratios();
    graph.at_ratio(rng.random_range(least..=largest))
}

/// Trains the largest, the smallest and subnets that `draw` gives on one batch. Tells of the largest.
///
/// - `images`: `(n, h, w, c)`
/// - `labels`: `(n, classes)`, probabilities
///
/// # Errors
/// What the engine or the optimiser returns.
pub fn sandwich_step(
    engine: &dyn Engine,
    sandwich: &Sandwich,
    draw: Draw,
    images: &Tensor,
    labels: &Tensor,
    optimizer: &mut impl Optimizer,
    rng: &mut ChaCha8Rng,
) -> Result<Step> {
    let (graph, scale) = (engine.graph(), sandwich.gradient_scale);
    let logits = engine.logits(images, &graph.widest(), Mode::Train)?; // (n, classes)
    let targets = match sandwich.target {
        Target::Largest => candle_nn::ops::softmax(&logits.detach(), 1)?,
        Target::Labels => labels.clone(),
    };
    let loss = soft_cross_entropy(&logits, labels)?;
    loss.affine(scale, 0.0)?.backward()?;
    let random = (2..sandwich.n_subnets).map(|_| draw(graph, rng));
    for subnet in std::iter::once(graph.smallest()).chain(random) {
        let logits = engine.logits(images, &subnet, Mode::Train)?;
        soft_cross_entropy(&logits, &targets)?.affine(scale, 0.0)?.backward()?;
    }
    let mut grads = GradStore::default();
    engine.take_grads(&mut grads)?;
    optimizer.step(&grads)?;
    Step::new(&loss, &logits, labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::CandleEngine;
    use crate::network::{Shape, zoo};
    use crate::search::uniform_networks;
    use crate::train::tests::{Recorder, batch, tiny_engine};
    use crate::train::{NesterovSgd, SgdParams, recalibrate};
    use candle_core::Device;
    use rand::SeedableRng as _;
    use std::collections::BTreeSet;

    const SGD: SgdParams = SgdParams { learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-4 };

    #[test]
    fn one_batch_is_learnt_by_the_largest_and_the_smallest_subnet() -> Result<()> {
        let engine = tiny_engine(1);
        let (images, labels) = batch();
        let mut sgd = NesterovSgd::for_network(engine.params(), SGD);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let sandwich = Sandwich::default();
        let mut step =
            || sandwich_step(&engine, &sandwich, random_subnet, &images, &labels, &mut sgd, &mut rng);
        let first = step()?.loss;
        for _ in 0..60 {
            step()?;
        }
        for subnet in [engine.graph().widest(), engine.graph().smallest()] {
            recalibrate::recalibrate(&engine, &subnet, [Ok(images.clone())])?;
            let loss = soft_cross_entropy(&engine.logits(&images, &subnet, Mode::Evaluate)?, &labels)?;
            let loss = loss.to_scalar::<f32>()?;
            assert!(loss < 0.3 * first, "{subnet:?}: {first} -> {loss}");
        }
        Ok(())
    }

    /// The bias gradient of a sandwich step, worked by hand: of a mean cross-entropy it is the mean of
    /// (probability − target).
    fn expected_bias_gradient(
        engine: &CandleEngine,
        images: &Tensor,
        labels: &Tensor,
        subnets: &[Channels],
        sandwich: &Sandwich,
    ) -> Result<Vec<f32>> {
        let probabilities = |subnet: &Channels| -> Result<Tensor> {
            candle_nn::ops::softmax(&engine.logits(images, subnet, Mode::Train)?.detach(), 1)
        };
        let largest = probabilities(&engine.graph().widest())?;
        let target = if sandwich.target == Target::Largest { &largest } else { labels };
        let mut sum = (&largest - labels)?;
        for subnet in subnets {
            sum = (sum + (probabilities(subnet)? - target)?)?;
        }
        sum.mean(0)?.affine(sandwich.gradient_scale, 0.0)?.to_vec1()
    }

    #[test]
    fn the_smaller_subnets_learn_from_the_largest_or_the_labels_as_asked() -> Result<()> {
        let engine = tiny_engine(1);
        let (images, _) = batch();
        let labels = Tensor::new(&[1.0f32, 0.0], &Device::Cpu)?.broadcast_as((8, 2))?.contiguous()?;
        let of = |target, n_subnets, gradient_scale| Sandwich { n_subnets, target, gradient_scale };
        let bias = engine.params().get("head.bias")?;
        for draw in [random_subnet as Draw, random_ratio] {
            for asked in [
                Sandwich::default(),
                of(Target::Labels, 4, 0.5),
                of(Target::Largest, 3, 1.0),
                of(Target::Labels, 2, 0.25),
            ] {
                let mut twin = ChaCha8Rng::seed_from_u64(5);
                let mut subnets = vec![engine.graph().smallest()];
                subnets.extend((2..asked.n_subnets).map(|_| draw(engine.graph(), &mut twin)));
                let mut recorder = Recorder::of(&engine);
                let rng = &mut ChaCha8Rng::seed_from_u64(5);
                sandwich_step(&engine, &asked, draw, &images, &labels, &mut recorder, rng)?;
                let seen: Vec<f32> = recorder.grad(bias).to_vec1()?;
                let gap = |sandwich: &Sandwich| -> Result<f32> {
                    let expected = expected_bias_gradient(&engine, &images, &labels, &subnets, sandwich)?;
                    Ok(expected.iter().zip(&seen).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
                };
                let other = match asked.target {
                    Target::Largest => Target::Labels,
                    Target::Labels => Target::Largest,
                };
                let (right, wrong) = (gap(&asked)?, gap(&Sandwich { target: other, ..asked })?);
                assert!(right < 1e-6 && wrong > 1e-3, "{right} {wrong}: {asked:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn weight_decay_touches_dense_weights_only() -> Result<()> {
        let engine = tiny_engine(1);
        let mut sgd = NesterovSgd::for_network(engine.params(), SgdParams { weight_decay: 0.5, ..SGD });
        let mut zero = GradStore::default();
        let vars = engine.params().vars();
        for (_, var) in &vars {
            zero.insert(var, var.zeros_like()?);
        }
        let before: Vec<Tensor> = vars.iter().map(|(_, var)| var.copy()).collect::<Result<_>>()?;
        sgd.step(&zero)?;
        for ((name, var), old) in vars.iter().zip(before) {
            let moved = (var.as_tensor() - old)?.abs()?.max_all()?.to_scalar::<f32>()? > 0.0;
            assert_eq!(moved, name.ends_with(".weight"), "{name}");
        }
        Ok(())
    }

    #[test]
    fn a_random_ratio_is_the_same_for_all_units_and_every_uniform_network_is_drawn() {
        let shape = Shape { h: 28, w: 28, c: 1 };
        let graph = zoo::network("mobilenet-v1-tiny", shape, 10, zoo::ZooOptions::default()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: BTreeSet<Channels> = (0..2000).map(|_| random_ratio(&graph, &mut rng)).collect();
        assert_eq!(drawn, uniform_networks(&graph).into_iter().collect());
        assert_ne!(random_ratio(&graph, &mut rng), random_ratio(&graph, &mut rng));
    }

    #[test]
    fn random_subnets_take_every_bin() {
        let graph = tiny_engine(1).graph().clone();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let seen: std::collections::BTreeSet<usize> =
            (0..100).map(|_| random_subnet(&graph, &mut rng).0[0]).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [2, 4, 6]);
    }
}
