//! A whole training by a [`Method`]: the library's order of images, augmentation, schedule and random streams, so that
//! variants of one seed differ by their method alone.

use crate::sampling::Sampler;
use crate::step::{Batch, step};
use crate::variants::Method;
use anyhow::Result;
use candle_core::{Tensor, Var};
use candle_nn::Optimizer as _;
use edgeslim::config::Recipe;
use edgeslim::dataset::{Augment, Normalisation, TrainSplit, one_hot};
use edgeslim::engine::{Engine, Params};
use edgeslim::network::{Graph, NodeOp};
use edgeslim::train::schedule::cosine_with_warm_up;
use edgeslim::train::{NesterovSgd, SgdParams};
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

/// What is learnt from.
pub struct Data<'a> {
    /// The images.
    pub train: &'a TrainSplit,
    /// Their mean and deviation.
    pub normalisation: &'a Normalisation,
    /// What happens to them.
    pub augment: Augment,
}

/// What random numbers are for; streams are those of the library's training.
#[derive(Clone, Copy)]
enum Purpose {
    Order,
    Augment,
    Widths,
}

/// Trains `recipe.epochs` epochs and returns the number of steps.
///
/// # Errors
/// What the engine or the optimiser returns.
pub fn fit(
    engine: &dyn Engine,
    data: &Data<'_>,
    recipe: &Recipe,
    method: &Method,
    seed: u64,
) -> Result<usize> {
    let graph = engine.graph();
    set_last_gammas(graph, engine.params(), method.last_gamma)?;
    let sampler = Sampler::new(graph, method.sampling);
    let weight_decay = recipe.weight_decay * method.weight_decay;
    let sgd = SgdParams { learning_rate: 0.0, momentum: method.momentum, weight_decay };
    let mut sgd = NesterovSgd::for_network(engine.params(), sgd);
    let mut average = method.average.map(|share| Average::of(engine.params(), share)).transpose()?;
    let size = ((recipe.batch as f64 * method.batch).round() as usize).clamp(1, data.train.images().len());
    let steps = data.train.images().len() / size;
    let mut done = 0;
    for _ in 0..recipe.epochs {
        let mut order: Vec<usize> = (0..data.train.images().len()).collect();
        order.shuffle(&mut stream(seed, Purpose::Order, done));
        for indices in order.chunks_exact(size) {
            let peak = recipe.learning_rate * method.learning_rate;
            sgd.set_learning_rate(cosine_with_warm_up(peak, done, recipe.epochs * steps));
            let batch = batch(engine, data, indices, &mut stream(seed, Purpose::Augment, done))?;
            let mut widths = stream(seed, Purpose::Widths, done);
            step(engine, method, &sampler, &batch, &mut sgd, &mut widths, seed << 32 | done as u64)?;
            if let Some(average) = &mut average {
                average.add()?;
            }
            done += 1;
        }
    }
    average.map_or(Ok(()), |average| average.take())?;
    Ok(done)
}

fn batch(engine: &dyn Engine, data: &Data<'_>, indices: &[usize], rng: &mut ChaCha8Rng) -> Result<Batch> {
    let Data { train, normalisation, augment } = *data;
    let images = normalisation.training_batch(train, indices, augment, rng, engine.device())?;
    let labels = one_hot(train.images(), indices, engine.graph().classes, engine.device())?;
    Ok(Batch { images, labels })
}

fn stream(seed: u64, purpose: Purpose, step: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(3 * step as u64 + purpose as u64);
    rng
}

/// Sets γ of every convolution whose output goes into a sum without an activation, but for shortcuts.
fn set_last_gammas(graph: &Graph, params: &Params, gamma: f64) -> Result<()> {
    for node in &graph.nodes {
        let NodeOp::Add { a, .. } = node.op else { continue };
        for norm in &params.nodes()[a].norms {
            let var = params.var(norm.gamma);
            var.set(&(var.ones_like()? * gamma)?)?;
        }
    }
    Ok(())
}

/// An exponential average of the weights.
struct Average {
    share: f64,
    n: i32,
    pairs: Vec<(Var, Tensor)>,
}

impl Average {
    fn of(params: &Params, share: f64) -> Result<Average> {
        let pair = |(_, var): (String, Var)| Ok((var.clone(), var.zeros_like()?));
        Ok(Average { share, n: 0, pairs: params.vars().into_iter().map(pair).collect::<Result<_>>()? })
    }

    fn add(&mut self) -> Result<()> {
        self.n += 1;
        for (var, average) in &mut self.pairs {
            let new = var.as_detached_tensor().affine(1.0 - self.share, 0.0)?;
            *average = (average.affine(self.share, 0.0)? + new)?;
        }
        Ok(())
    }

    /// Puts the average in place of the weights, without the zeros it began with.
    fn take(self) -> Result<()> {
        let weight = 1.0 - self.share.powi(self.n);
        for (var, average) in self.pairs {
            var.set(&average.affine(1.0 / weight, 0.0)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use edgeslim::dataset::{Images, hold_out};
    use edgeslim::engine::{CpuEngine, Params};
    use edgeslim::network::{Shape, zoo};
    use edgeslim::train::sandwich::Sandwich;
    use edgeslim::train::{System, Training, train};

    fn engine(name: &str) -> CpuEngine {
        let input = Shape { h: 8, w: 8, c: 1 };
        let graph = zoo::network(name, input, 2, zoo::ZooOptions::default()).unwrap();
        let params = Params::new(&graph, 3, &Device::Cpu).unwrap();
        CpuEngine::new(graph, params, 1).unwrap()
    }

    fn data() -> (TrainSplit, Normalisation) {
        let pixels = (0..20 * 64).map(|i| (i * 37 % 251) as u8).collect();
        let images = Images::new(8, 8, 1, pixels, (0..20).map(|i| i % 2).collect()).unwrap();
        let (train, _) = hold_out(&images, 0, 1);
        let normalisation = Normalisation::of(&train);
        (train, normalisation)
    }

    fn weights(engine: &CpuEngine) -> Vec<Vec<f32>> {
        let values = |var: &Var| var.flatten_all().unwrap().to_vec1().unwrap();
        engine.params().vars().iter().map(|(_, var)| values(var)).collect()
    }

    const RECIPE: Recipe =
        Recipe { epochs: 2, batch: 8, learning_rate: 0.1, weight_decay: 1e-3, label_smoothing: 0.0 };

    fn trained(name: &str, method: &Method) -> Vec<Vec<f32>> {
        let (engine, (train, normalisation)) = (engine(name), data());
        let data = Data { train: &train, normalisation: &normalisation, augment: Augment::FlipShift };
        assert!(fit(&engine, &data, &RECIPE, method, 5).unwrap() >= 4);
        weights(&engine)
    }

    #[test]
    fn the_baseline_is_the_librarys_training() {
        let (engine, (train_split, normalisation)) = (engine("mobilenet-v1-tiny"), data());
        let training = Training {
            system: &System::Nonuniform(Sandwich::default()),
            recipe: &RECIPE,
            section: "train",
            augment: Augment::FlipShift,
            data: &train_split,
            normalisation: &normalisation,
            seed: 5,
            validation: None,
        };
        let dir = tempfile::tempdir().unwrap();
        let go_on = std::sync::atomic::AtomicBool::new(false);
        train(&engine, &training, Some(&dir.path().join("c")), &go_on, &mut |_| ()).unwrap();
        assert_eq!(trained("mobilenet-v1-tiny", &Method::default()), weights(&engine));
    }

    #[test]
    fn every_option_of_a_training_changes_the_weights() {
        let base = Method::default();
        let before = trained("resnet-8", &base);
        let options = [
            Method { learning_rate: 0.5, ..base },
            Method { weight_decay: 0.0, ..base },
            Method { batch: 0.5, ..base },
            Method { momentum: 0.8, ..base },
            Method { average: Some(0.5), ..base },
            Method { last_gamma: 0.0, ..base },
        ];
        for method in options {
            assert_ne!(trained("resnet-8", &method), before, "{method:?}");
        }
    }

    #[test]
    fn the_average_of_weights_that_stay_is_the_weights() {
        let engine = engine("mobilenet-v1-tiny");
        let before = weights(&engine);
        let mut average = Average::of(engine.params(), 0.9).unwrap();
        (0..3).for_each(|_| average.add().unwrap());
        average.take().unwrap();
        let after = weights(&engine);
        let pairs = before.iter().flatten().zip(after.iter().flatten());
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
