//! What a variant costs, in multiply-accumulates: the same on every machine.

use crate::sampling::{Sampler, macs};
use crate::variants::{Length, Method};
use edgeslim::network::Graph;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// Random subnets behind a mean.
const DRAWS: usize = 2000;

/// Mean multiply-accumulates forward of an image in a step, all subnets together.
pub fn image_macs(graph: &Graph, method: &Method) -> f64 {
    let (sampler, mut rng) = (Sampler::new(graph, method.sampling), ChaCha8Rng::seed_from_u64(0));
    let random = (0..DRAWS).map(|_| macs(graph, &sampler.draw(&mut rng))).sum::<f64>() / DRAWS as f64;
    let smallest = if method.is_plain() { 0.0 } else { macs(graph, &graph.smallest()) };
    macs(graph, &graph.widest()) + smallest + method.n_subnets.saturating_sub(2) as f64 * random
}

/// Epochs of a variant where the baseline has `epochs`.
pub fn epochs(graph: &Graph, method: &Method, epochs: usize) -> usize {
    match method.length {
        Length::SameEpochs => epochs,
        Length::SameTime => {
            let ratio = image_macs(graph, &Method::default()) / image_macs(graph, method);
            ((epochs as f64 * ratio).round() as usize).max(1)
        }
    }
}

/// Seconds of processor that this process has used, where the system tells.
pub fn cpu_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses; utime and stime are the 14th and 15th, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants;
    use edgeslim::network::{Shape, zoo};

    #[test]
    fn every_variant_is_as_long_as_the_baseline() {
        let input = Shape { h: 28, w: 28, c: 1 };
        let graph = zoo::network("mobilenet-v1-tiny", input, 10, zoo::ZooOptions::default()).unwrap();
        let work = |method: &Method| epochs(&graph, method, 100) as f64 * image_macs(&graph, method);
        for (name, method) in variants::all() {
            let ratio = work(&method) / work(&Method::default());
            assert_eq!((ratio - 1.0).abs() < 0.01, method.length == Length::SameTime, "{name}: {ratio}");
        }
    }
}
