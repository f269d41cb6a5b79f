//! One step of a single subnet: an individual network, or the retraining of chosen channels.

use super::soft_cross_entropy;
use crate::engine::{Engine, Mode};
use crate::network::Channels;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use candle_nn::Optimizer;

/// Trains `channels` on one batch; returns the loss.
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
) -> Result<f32> {
    let loss = soft_cross_entropy(&engine.logits(images, channels, Mode::Train)?, labels)?;
    loss.backward()?;
    let mut grads = GradStore::default();
    engine.take_grads(&mut grads)?;
    optimizer.step(&grads)?;
    loss.to_scalar()
}
