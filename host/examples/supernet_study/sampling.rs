//! Draws the random subnets of a step.

use crate::variants::Sampling;
use edgeslim::network::{Channels, Graph, lower};
use edgeslim::search::uniform_networks;
use edgeslim::train::sandwich::random_subnet;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// A unit's ratio is this far from the common one, at most.
const SPREAD: f64 = 0.3;
/// Subnets among which the nearest to the wanted multiply-accumulates is taken.
const CANDIDATES: usize = 16;

/// Draws subnets of one graph.
pub struct Sampler<'a> {
    graph: &'a Graph,
    sampling: Sampling,
    uniform: Vec<Channels>,
    /// Multiply-accumulates of the smallest and of the largest.
    range: (f64, f64),
}

impl<'a> Sampler<'a> {
    /// Of the subnets of `graph`.
    pub fn new(graph: &'a Graph, sampling: Sampling) -> Sampler<'a> {
        let range = (macs(graph, &graph.smallest()), macs(graph, &graph.widest()));
        Sampler { graph, sampling, uniform: uniform_networks(graph), range }
    }

    /// One subnet.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Channels {
        match self.sampling {
            Sampling::Units => random_subnet(self.graph, rng),
            Sampling::HalfUniform if rng.random_range(0..2) == 0 => {
                self.uniform[rng.random_range(0..self.uniform.len())].clone()
            }
            Sampling::HalfUniform => random_subnet(self.graph, rng),
            Sampling::LogMacs => self.log_macs(rng),
            Sampling::LargerOfTwo => {
                let [a, b] = [random_subnet(self.graph, rng), random_subnet(self.graph, rng)];
                if macs(self.graph, &a) < macs(self.graph, &b) { b } else { a }
            }
        }
    }

    fn log_macs(&self, rng: &mut ChaCha8Rng) -> Channels {
        let (low, high) = self.range;
        let wanted = low * (high / low).powf(rng.random_range(0.0..1.0));
        let distance = |c: &Channels| (macs(self.graph, c) / wanted).ln().abs();
        let candidates: Vec<Channels> = (0..CANDIDATES).map(|_| self.around(rng)).collect();
        let nearest = candidates.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.expect("there are candidates")
    }

    /// Every unit around one ratio of its bins.
    fn around(&self, rng: &mut ChaCha8Rng) -> Channels {
        let common = rng.random_range(0.0..1.0);
        let bin = |unit: &edgeslim::network::Unit| {
            let ratio: f64 = (common + rng.random_range(-SPREAD..SPREAD)).clamp(0.0, 1.0);
            unit.bins[(ratio * (unit.bins.len() - 1) as f64).round() as usize]
        };
        Channels(self.graph.units.iter().map(bin).collect())
    }
}

/// Multiply-accumulates of an image forward.
pub fn macs(graph: &Graph, channels: &Channels) -> f64 {
    lower(graph, channels).expect("networks of the zoo have kernels").macs() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeslim::network::{Shape, zoo};
    use rand::SeedableRng as _;

    fn mean(graph: &Graph, sampling: Sampling) -> f64 {
        let (sampler, mut rng) = (Sampler::new(graph, sampling), ChaCha8Rng::seed_from_u64(1));
        (0..500).map(|_| macs(graph, &sampler.draw(&mut rng))).sum::<f64>() / 500.0
    }

    #[test]
    fn samplings_favour_what_they_are_named_for() {
        let input = Shape { h: 28, w: 28, c: 1 };
        let graph = zoo::network("mobilenet-v1-tiny", input, 10, zoo::ZooOptions::default()).unwrap();
        let units = mean(&graph, Sampling::Units);
        assert!(mean(&graph, Sampling::LargerOfTwo) > 1.1 * units);
        let (low, high) = (macs(&graph, &graph.smallest()), macs(&graph, &graph.widest()));
        let log_uniform = (high - low) / (high / low).ln();
        assert!((mean(&graph, Sampling::LogMacs) / log_uniform - 1.0).abs() < 0.1);
    }
}
