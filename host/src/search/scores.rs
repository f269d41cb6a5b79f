//! What the answers of a subnet are worth: top-1 accuracy, cross-entropy, and how far they are from another network's.

use super::problem::Estimate;
use crate::train::{is_right, log_softmax};

/// The answers of the network that others are compared with: log-probabilities `[n, classes]`, nats.
pub struct Reference(Vec<Vec<f64>>);

impl Reference {
    /// From its logits, `[n, classes]`.
    pub fn new(logits: &[Vec<f32>]) -> Reference {
        Reference(logits.iter().map(|logits| log_softmax(logits)).collect())
    }

    /// Judges a subnet by its logits `[n, classes]` on the same images, which have `labels`.
    pub fn estimate(&self, logits: &[Vec<f32>], labels: &[u8]) -> Estimate {
        let (mut right, mut loss, mut kl) = (0, Mean::default(), Mean::default());
        for ((logits, reference), &label) in logits.iter().zip(&self.0).zip(labels) {
            let answer = log_softmax(logits);
            right += usize::from(is_right(logits, usize::from(label)));
            loss.add(-answer[usize::from(label)]);
            kl.add(divergence(reference, &answer));
        }
        let n = logits.len();
        Estimate {
            accuracy: right as f64 / n as f64,
            loss: loss.value(),
            loss_error: loss.error(),
            kl: kl.value(),
            kl_error: kl.error(),
            n,
        }
    }
}

/// Kullback-Leibler divergence of `answer` from `reference`, both log-probabilities; 0 where they are the same.
fn divergence(reference: &[f64], answer: &[f64]) -> f64 {
    reference.iter().zip(answer).map(|(r, a)| r.exp() * (r - a)).sum()
}

/// A mean over images in the making, with its standard error (Welford's sums: the mean may be much larger than the spread).
#[derive(Default)]
struct Mean {
    n: f64,
    mean: f64,
    squares: f64,
}

impl Mean {
    fn add(&mut self, x: f64) {
        self.n += 1.0;
        let before = x - self.mean;
        self.mean += before / self.n;
        self.squares += before * (x - self.mean);
    }

    fn value(&self) -> f64 {
        self.mean
    }

    /// `s / √n`, exact for a mean of independent images; 0 for a single image.
    fn error(&self) -> f64 {
        if self.n < 2.0 { 0.0 } else { (self.squares / (self.n - 1.0) / self.n).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn scores_of_two_images_equal_those_worked_by_hand() {
        // Probabilities 3/4 and 1/4, then 1/2 each.
        let reference = Reference::new(&[vec![3f32.ln(), 0.0], vec![0.0, 0.0]]);
        let estimate = reference.estimate(&[vec![0.0, 0.0], vec![0.0, 3f32.ln()]], &[0, 1]);
        let kl = [0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln(), 0.5 * 2f64.ln() + 0.5 * (2.0 / 3.0f64).ln()];
        let loss = [2f64.ln(), (4.0 / 3.0f64).ln()];
        assert_eq!((estimate.accuracy, estimate.n), (0.5, 2));
        for (found, [a, b]) in
            [((estimate.kl, estimate.kl_error), kl), ((estimate.loss, estimate.loss_error), loss)]
        {
            assert!((found.0 - (a + b) / 2.0).abs() < 1e-7, "{found:?}");
            assert!((found.1 - (a - b).abs() / 2.0).abs() < 1e-7, "{found:?}");
        }
    }

    #[test]
    fn a_network_does_not_diverge_from_itself() {
        let logits = vec![vec![1.5, -2.0, 0.1], vec![80.0, -80.0, 0.0]];
        let estimate = Reference::new(&logits).estimate(&logits, &[0, 0]);
        assert_eq!((estimate.kl, estimate.kl_error), (0.0, 0.0));
    }

    #[test]
    fn the_standard_error_is_the_spread_of_the_means_of_a_bootstrap() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let samples: Vec<f64> = (0..500).map(|_| 1e3 + rng.random::<f64>().powi(3)).collect();
        let (mut mean, mut means) = (Mean::default(), Mean::default());
        samples.iter().for_each(|&x| mean.add(x));
        for _ in 0..4000 {
            let drawn = (0..samples.len()).map(|_| samples[rng.random_range(0..samples.len())]);
            means.add(drawn.sum::<f64>() / samples.len() as f64);
        }
        let spread = (means.squares / means.n).sqrt();
        assert!((mean.error() / spread - 1.0).abs() < 0.05, "{} {spread}", mean.error());
    }
}
