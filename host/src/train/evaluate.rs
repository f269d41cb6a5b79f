//! Accuracy and loss of a subnet on images.

use crate::dataset::{Images, Normalisation, SearchSplit, TestSplit};
use crate::engine::{Engine, Mode};
use crate::network::Channels;
use candle_core::{Result, bail};

const BATCH: usize = 100;

/// How well a subnet answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    /// Share of images whose largest logit is the label's.
    pub accuracy: f64,
    /// Mean cross-entropy, nats.
    pub loss: f64,
    /// Images.
    pub n: usize,
}

/// Evaluates the subnet that was recalibrated last on images that training and search may see.
///
/// Without images, accuracy and loss are 0. Test images are for [`test_logits`]:
///
/// ```compile_fail,E0308
/// # use edgeslim::{dataset::{Normalisation, TestSplit}, engine::Engine, network::Channels, train};
/// fn leak(engine: &dyn Engine, channels: &Channels, test: &TestSplit, norm: &Normalisation) {
///     train::evaluate(engine, channels, test, norm);
/// }
/// ```
///
/// # Errors
/// What the engine returns, also where `channels` are not the recalibrated ones; labels that it does not tell.
pub fn evaluate(
    engine: &dyn Engine,
    channels: &Channels,
    split: &SearchSplit,
    normalisation: &Normalisation,
) -> Result<Evaluation> {
    let images = split.images();
    let logits = logits(engine, channels, images, normalisation)?;
    let (mut right, mut loss) = (0usize, 0f64);
    for (logits, &label) in logits.iter().zip(images.labels()) {
        let label = usize::from(label);
        right += usize::from(is_right(logits, label));
        loss -= log_softmax(logits)[label];
    }
    let n = images.len().max(1) as f64;
    Ok(Evaluation { accuracy: right as f64 / n, loss: loss / n, n: images.len() })
}

/// The logits of every search image, `[n, classes]`, of the subnet that was recalibrated last.
///
/// # Errors
/// Those of [`evaluate`].
pub fn search_logits(
    engine: &dyn Engine,
    channels: &Channels,
    split: &SearchSplit,
    normalisation: &Normalisation,
) -> Result<Vec<Vec<f32>>> {
    logits(engine, channels, split.images(), normalisation)
}

/// The logits of every test image, `[n, classes]`, of the subnet that was recalibrated last: for `verify` and the
/// final evaluation of a retrained subnet, never to choose anything.
///
/// # Errors
/// Those of [`evaluate`].
pub fn test_logits(
    engine: &dyn Engine,
    channels: &Channels,
    split: &TestSplit,
    normalisation: &Normalisation,
) -> Result<Vec<Vec<f32>>> {
    logits(engine, channels, split.images(), normalisation)
}

fn logits(
    engine: &dyn Engine,
    channels: &Channels,
    images: &Images,
    normalisation: &Normalisation,
) -> Result<Vec<Vec<f32>>> {
    let classes = engine.graph().classes;
    if images.classes() > classes {
        bail!("{}: images of {} classes, it tells {classes}", engine.graph().name, images.classes());
    }
    let order: Vec<usize> = (0..images.len()).collect();
    let mut logits = Vec::with_capacity(images.len());
    for indices in order.chunks(BATCH) {
        let xs = normalisation.batch(images, indices, engine.device())?;
        logits.extend(engine.logits(&xs, channels, Mode::Evaluate)?.to_vec2()?);
    }
    Ok(logits)
}

/// Whether the largest logit is the label's; of two that are largest none is.
pub fn is_right(logits: &[f32], label: usize) -> bool {
    logits.iter().enumerate().all(|(i, &l)| i == label || l < logits[label])
}

/// The logarithm of each class's probability, nats; no logit is too large.
pub fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from(l - max).exp()).sum();
    logits.iter().map(|&l| f64::from(l - max) - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_equal_the_values_worked_by_hand() {
        assert!((log_softmax(&[0.0; 10])[3] + 10f64.ln()).abs() < 1e-12);
        assert!((log_softmax(&[2.0, 0.0])[0] + (1.0 + (-2f64).exp()).ln()).abs() < 1e-12);
        assert!(log_softmax(&[1000.0, -1000.0])[1] < -1999.0);
    }

    #[test]
    fn of_two_equal_largest_logits_none_is_right() {
        assert!(is_right(&[0.0, 1.0], 1) && !is_right(&[1.0, 1.0], 1) && !is_right(&[1.0, 1.0], 0));
    }
}
