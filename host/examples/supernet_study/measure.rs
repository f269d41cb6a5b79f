//! How good the subnets of a supernet are: the same for every variant.

use crate::records::SubnetRecord;
use crate::sampling::macs;
use anyhow::Result;
use clap::ValueEnum;
use edgeslim::dataset::{Images, Normalisation, SearchSplit, TestSplit, TrainSplit};
use edgeslim::engine::Engine;
use edgeslim::network::{Channels, Graph};
use edgeslim::search::uniform_networks;
use edgeslim::train::sandwich::random_subnet;
use edgeslim::train::{evaluate, recalibrate_on, test_logits};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Random subnets that are measured.
const N_RANDOM: usize = 6;
/// They are drawn from it.
const SEED: u64 = 11;

/// Which images a study measures on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// Held out of the training images: to choose.
    Search,
    /// Of the test split: to tell in the end what was chosen.
    Test,
}

/// The images of a measurement and of the recalibration before it.
pub struct Measured<'a> {
    /// Statistics come from these.
    pub train: &'a TrainSplit,
    /// So many of them.
    pub recalibration_images: usize,
    /// Of the training images.
    pub normalisation: &'a Normalisation,
    /// Held out.
    pub search: &'a SearchSplit,
    /// Test images.
    pub test: &'a TestSplit,
    /// Which of both.
    pub on: On,
}

/// Name and channels of every subnet that is measured, the largest first and the smallest last.
pub fn subnets(graph: &Graph) -> Vec<(String, Channels)> {
    let uniform = uniform_networks(graph);
    let at = |ratio: f64| {
        let distance = |c: &Channels| {
            let gap =
                |(n, unit): (&usize, &edgeslim::network::Unit)| (*n as f64 / unit.full as f64 - ratio).abs();
            c.0.iter().zip(&graph.units).map(gap).sum::<f64>()
        };
        let nearest = uniform.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        (format!("x{ratio}"), nearest.expect("the widest is uniform").clone())
    };
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let random = (1..=N_RANDOM).map(|i| (format!("random {i}"), random_subnet(graph, &mut rng)));
    let mut subnets = vec![("largest".to_owned(), graph.widest())];
    subnets.extend([0.75, 0.5, 0.25].map(at));
    subnets.extend(random);
    subnets.push(("smallest".to_owned(), graph.smallest()));
    subnets
}

/// Recalibrates and evaluates a subnet.
///
/// # Errors
/// What the engine returns.
pub fn measure(
    engine: &dyn Engine,
    name: &str,
    channels: &Channels,
    images: &Measured<'_>,
) -> Result<SubnetRecord> {
    let Measured { train, recalibration_images, normalisation, search, test, on } = *images;
    recalibrate_on(engine, channels, train, normalisation, recalibration_images)?;
    let (accuracy, loss) = match on {
        On::Search => {
            let found = evaluate(engine, channels, search, normalisation)?;
            (found.accuracy, found.loss)
        }
        On::Test => score(&test_logits(engine, channels, test, normalisation)?, test.images()),
    };
    let macs = macs(engine.graph(), channels);
    Ok(SubnetRecord { name: name.to_owned(), macs, accuracy, loss })
}

/// Accuracy and mean cross-entropy in nats.
fn score(logits: &[Vec<f32>], images: &Images) -> (f64, f64) {
    let (mut right, mut loss) = (0usize, 0f64);
    for (logits, &label) in logits.iter().zip(images.labels()) {
        let own = logits[usize::from(label)];
        right += usize::from(logits.iter().enumerate().all(|(i, &l)| i == usize::from(label) || l < own));
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        loss += logits.iter().map(|&l| f64::from(l - max).exp()).sum::<f64>().ln() - f64::from(own - max);
    }
    let n = logits.len().max(1) as f64;
    (right as f64 / n, loss / n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeslim::network::{Shape, zoo};

    #[test]
    fn a_score_equals_the_value_worked_by_hand() {
        let images = Images::new(1, 1, 1, vec![0, 0], vec![0, 1]).unwrap();
        let (accuracy, loss) = score(&[vec![2.0, 0.0], vec![1.0, 0.0]], &images);
        assert_eq!(accuracy, 0.5);
        let by_hand = ((1.0 + (-2f64).exp()).ln() + (1.0 + 1f64.exp()).ln()) / 2.0;
        assert!((loss - by_hand).abs() < 1e-12);
    }

    #[test]
    fn subnets_go_from_the_largest_to_the_smallest() {
        let input = Shape { h: 28, w: 28, c: 1 };
        let options = zoo::ZooOptions { max_width: 1.0, min_width: 0.15, bin_multiple: 8 };
        let graph = zoo::network("mobilenet-v1-tiny", input, 10, options).unwrap();
        let subnets = subnets(&graph);
        let macs: Vec<f64> = subnets.iter().map(|(_, c)| macs(&graph, c)).collect();
        assert!(macs[0] > macs[1] && macs[1] > macs[2] && macs[2] > macs[3] && macs[3] >= macs[10]);
        assert_eq!((subnets.len(), &subnets[10].1), (11, &graph.smallest()));
    }
}
