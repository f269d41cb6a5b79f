//! One step of a single subnet: an individual network (I-Net), or the retraining of chosen channels.

use super::soft_cross_entropy;
use super::step::Step;
use crate::engine::{Engine, Mode};
use crate::network::Channels;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use candle_nn::Optimizer;

/// Trains `channels` on one batch.
///
/// - `images`: `(n, h, w, c)`
/// - `labels`: `(n, classes)`, probabilities
///
/// # Errors
/// What the engine or the optimiser returns.
pub fn plain_step(
    engine: &dyn Engine,
    channels: &Channels,
    images: &Tensor,
    labels: &Tensor,
    optimizer: &mut impl Optimizer,
) -> Result<Step> {
    let logits = engine.logits(images, channels, Mode::Train)?; // (n, classes)
    let loss = soft_cross_entropy(&logits, labels)?;
    loss.backward()?;
    let mut grads = GradStore::default();
    engine.take_grads(&mut grads)?;
    optimizer.step(&grads)?;
    Step::new(&loss, &logits, labels)
}
