//! Batch-norm statistics of one subnet: shared γ and β, own mean and variance.

use crate::dataset::{Normalisation, TrainSplit};
use crate::engine::{Engine, Mode};
use crate::network::Channels;
use candle_core::{Result, Tensor};

/// Images a batch, at most.
const BATCH: usize = 100;

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

/// [`recalibrate`] on `n_images` of the training images, spread evenly over their order, in batches of one size
/// as far as they divide.
///
/// # Errors
/// What the engine returns.
pub fn recalibrate_on(
    engine: &dyn Engine,
    channels: &Channels,
    train: &TrainSplit,
    normalisation: &Normalisation,
    n_images: usize,
) -> Result<()> {
    let images = train.images();
    let spread = train.spread(n_images);
    let n = spread.len();
    let size = n.div_ceil(n.div_ceil(BATCH).max(1)).max(1);
    let batches = spread.chunks(size).map(|indices| normalisation.batch(images, indices, engine.device()));
    recalibrate(engine, channels, batches)
}
