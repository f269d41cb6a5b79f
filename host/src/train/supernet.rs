//! One step of a non-uniform universally slimmable network (US-Net, arXiv 1903.05134; AutoSlim, 1903.11728).
//!
//! Sandwich rule: each step trains the largest, the smallest and `n − 2` random subnets. In-place distillation:
//! the largest learns from the labels, its detached softmax is the only target of the others.

use super::soft_cross_entropy;
use crate::engine::{Engine, Mode};
use crate::network::{Channels, Graph};
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use candle_nn::Optimizer;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// Subnets a step, the papers' n.
pub const N_SUBNETS: usize = 4;

/// The sum of the subnets' gradients is scaled by this: four losses would otherwise take a step that the
/// learning rate of one network was not chosen for.
pub const GRADIENT_SCALE: f64 = 0.5;

/// A bin for every unit, each as likely as the others.
pub fn random_subnet(graph: &Graph, rng: &mut ChaCha8Rng) -> Channels {
    Channels(graph.units.iter().map(|unit| unit.bins[rng.random_range(0..unit.bins.len())]).collect())
}

/// Trains the largest, the smallest and random subnets on one batch; returns the largest's loss.
///
/// - `images`: `(n, h, w, c)`
/// - `labels`: `(n, classes)`, probabilities
///
/// # Errors
/// What the engine or the optimiser returns.
pub fn sandwich_step(
    engine: &dyn Engine,
    images: &Tensor,
    labels: &Tensor,
    optimizer: &mut impl Optimizer,
    rng: &mut ChaCha8Rng,
) -> Result<f32> {
    let graph = engine.graph();
    let logits = engine.logits(images, &graph.widest(), Mode::Train)?; // (n, classes)
    let targets = candle_nn::ops::softmax(&logits.detach(), 1)?;
    let loss = soft_cross_entropy(&logits, labels)?;
    loss.affine(GRADIENT_SCALE, 0.0)?.backward()?;
    let random = (2..N_SUBNETS).map(|_| random_subnet(graph, rng));
    for subnet in std::iter::once(graph.smallest()).chain(random) {
        let logits = engine.logits(images, &subnet, Mode::Train)?;
        soft_cross_entropy(&logits, &targets)?.affine(GRADIENT_SCALE, 0.0)?.backward()?;
    }
    let mut grads = GradStore::default();
    engine.take_grads(&mut grads)?;
    optimizer.step(&grads)?;
    loss.to_scalar::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{CandleEngine, Params};
    use crate::network::graph::Shape;
    use crate::network::{Activation, Conv, ConvKind, Kernel, Node, NodeOp, Unit};
    use crate::train::{NesterovSgd, SgdParams, recalibrate};
    use candle_core::Device;
    use device_bench::Padding;
    use rand::SeedableRng as _;

    /// A 1×1 convolution to 2…6 channels and a head of two classes, on 2×2 images.
    fn tiny_engine() -> CandleEngine {
        let conv = Conv {
            input: 0,
            kind: ConvKind::Dense,
            kernel: Kernel::square(1),
            stride: 1,
            padding: Padding::NONE,
            units: vec![0],
            activation: Activation::Relu,
        };
        let node = |name: &str, op| Node { name: name.into(), op };
        let graph = Graph {
            name: "tiny".into(),
            input: Shape { h: 2, w: 2, c: 1 },
            classes: 2,
            nodes: vec![
                node("image", NodeOp::Input),
                node("stem", NodeOp::Conv(conv)),
                node("head", NodeOp::Head { input: 1 }),
            ],
            units: vec![Unit { name: "stem".into(), full: 6, bins: vec![2, 4, 6] }],
        };
        let params = Params::new(&graph, 3, &Device::Cpu).unwrap();
        CandleEngine::new(graph, params, Device::Cpu).unwrap()
    }

    /// Bright and dark images, told apart by their label.
    fn batch() -> (Tensor, Tensor) {
        let n = 8;
        let pixels: Vec<f32> =
            (0..n * 4).map(|i| if (i / 4) % 2 == 0 { 1.0 } else { -1.0 } + (i % 3) as f32 * 0.1).collect();
        let labels: Vec<f32> =
            (0..n).flat_map(|i| if i % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        let images = Tensor::from_vec(pixels, (n, 2, 2, 1), &Device::Cpu).unwrap();
        (images, Tensor::from_vec(labels, (n, 2), &Device::Cpu).unwrap())
    }

    const SGD: SgdParams = SgdParams { learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-4 };

    #[test]
    fn one_batch_is_learnt_by_the_largest_and_the_smallest_subnet() -> Result<()> {
        let engine = tiny_engine();
        let (images, labels) = batch();
        let mut sgd = NesterovSgd::for_network(engine.params(), SGD);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let first = sandwich_step(&engine, &images, &labels, &mut sgd, &mut rng)?;
        for _ in 0..60 {
            sandwich_step(&engine, &images, &labels, &mut sgd, &mut rng)?;
        }
        for subnet in [engine.graph().widest(), engine.graph().smallest()] {
            recalibrate::recalibrate(&engine, &subnet, [Ok(images.clone())])?;
            let loss = soft_cross_entropy(&engine.logits(&images, &subnet, Mode::Evaluate)?, &labels)?;
            let loss = loss.to_scalar::<f32>()?;
            assert!(loss < 0.3 * first, "{subnet:?}: {first} -> {loss}");
        }
        Ok(())
    }

    /// Keeps the gradient of the head's bias that it is given.
    struct Recorder {
        bias: candle_core::Var,
        seen: Vec<f32>,
    }

    impl Optimizer for Recorder {
        type Config = ();

        fn new(vars: Vec<candle_core::Var>, (): ()) -> Result<Recorder> {
            Ok(Recorder { bias: vars[0].clone(), seen: vec![] })
        }

        fn step(&mut self, grads: &GradStore) -> Result<()> {
            self.seen = grads.get(&self.bias).expect("the head has a gradient").to_vec1()?;
            Ok(())
        }

        fn learning_rate(&self) -> f64 {
            0.0
        }

        fn set_learning_rate(&mut self, _: f64) {}
    }

    /// The bias gradient of a sandwich step, worked by hand: of a mean cross-entropy it is the mean of
    /// (probability − target). `distil` chooses what the smaller subnets are compared with.
    fn expected_bias_gradient(
        engine: &CandleEngine,
        images: &Tensor,
        labels: &Tensor,
        subnets: &[Channels],
        distil: bool,
    ) -> Result<Vec<f32>> {
        let probabilities = |subnet: &Channels| -> Result<Tensor> {
            candle_nn::ops::softmax(&engine.logits(images, subnet, Mode::Train)?.detach(), 1)
        };
        let largest = probabilities(&engine.graph().widest())?;
        let mut sum = (&largest - labels)?;
        for subnet in subnets {
            sum = (sum + (probabilities(subnet)? - if distil { &largest } else { labels })?)?;
        }
        sum.mean(0)?.affine(GRADIENT_SCALE, 0.0)?.to_vec1()
    }

    #[test]
    fn the_smaller_subnets_learn_from_the_largest_and_not_from_the_labels() -> Result<()> {
        let engine = tiny_engine();
        let (images, _) = batch();
        let labels = Tensor::new(&[1.0f32, 0.0], &Device::Cpu)?.broadcast_as((8, 2))?.contiguous()?;
        let mut twin = ChaCha8Rng::seed_from_u64(5);
        let mut subnets = vec![engine.graph().smallest()];
        subnets.extend((2..N_SUBNETS).map(|_| random_subnet(engine.graph(), &mut twin)));
        let mut recorder = Recorder::new(vec![engine.params().get("head.bias")?.clone()], ())?;
        sandwich_step(&engine, &images, &labels, &mut recorder, &mut ChaCha8Rng::seed_from_u64(5))?;
        let gap = |distil: bool| -> Result<f32> {
            let expected = expected_bias_gradient(&engine, &images, &labels, &subnets, distil)?;
            Ok(expected.iter().zip(&recorder.seen).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max))
        };
        assert!(gap(true)? < 1e-6 && gap(false)? > 1e-3, "{} {}", gap(true)?, gap(false)?);
        Ok(())
    }

    #[test]
    fn weight_decay_touches_dense_weights_only() -> Result<()> {
        let engine = tiny_engine();
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
    fn random_subnets_take_every_bin() {
        let graph = tiny_engine().graph().clone();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let seen: std::collections::BTreeSet<usize> =
            (0..100).map(|_| random_subnet(&graph, &mut rng).0[0]).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [2, 4, 6]);
    }
}
