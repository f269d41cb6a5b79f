//! Batch-norm statistics of one subnet: shared γ and β, own mean and variance.

use crate::engine::{Engine, Mode};
use crate::network::Channels;
use candle_core::{Result, Tensor};

/// Forgets the running statistics and averages those of `batches` of training images, each `(n, h, w, c)`,
/// cumulatively. Needed before every accuracy of a subnet (US-Net, section 3.3).
///
/// # Errors
/// What the engine returns.
pub fn recalibrate(
    engine: &dyn Engine,
    channels: &Channels,
    batches: impl IntoIterator<Item = Result<Tensor>>,
) -> Result<()> {
    engine.reset_statistics();
    for images in batches {
        engine.logits(&images?, channels, Mode::Calibrate)?;
    }
    Ok(())
}
