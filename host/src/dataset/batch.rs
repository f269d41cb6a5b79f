//! Batches for an engine: normalised, on request augmented.

use super::{Images, TrainSplit};
use candle_core::{Device, Result, Tensor};
use rand::{Rng, RngExt as _};
use serde::{Deserialize, Serialize};

/// Pixels that an augmented image may move, in each direction.
const MAX_SHIFT: i32 = 2;

/// Mean and standard deviation of every channel, in units of a pixel (0 to 255); recorded with the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// `[c]`
    pub mean: Vec<f32>,
    /// `[c]`, positive.
    pub deviation: Vec<f32>,
}

/// What happens to training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Augment {
    /// Nothing.
    None,
    /// Mirrored every other time, and moved by up to two pixels; what enters is the mean.
    FlipShift,
}

impl Normalisation {
    /// Of the images that weights learn from; a channel without variation keeps its scale.
    pub fn of(train: &TrainSplit) -> Normalisation {
        let images = train.images();
        let c = images.c();
        let (mut sums, mut squares) = (vec![0u64; c], vec![0u64; c]);
        for idx in 0..images.len() {
            for (i, &pixel) in images.pixels(idx).iter().enumerate() {
                sums[i % c] += u64::from(pixel);
                squares[i % c] += u64::from(pixel).pow(2);
            }
        }
        let n = (images.len() * images.h() * images.w()).max(1) as f64;
        let mean: Vec<f64> = sums.iter().map(|&s| s as f64 / n).collect();
        let deviation = squares.iter().zip(&mean).map(|(&s, mean)| {
            let deviation = (s as f64 / n - mean * mean).max(0.0).sqrt();
            if deviation > 1e-6 { deviation as f32 } else { 1.0 }
        });
        Normalisation { deviation: deviation.collect(), mean: mean.iter().map(|&m| m as f32).collect() }
    }

    /// `[h, w, c]` of an image `[h, w, c]`.
    pub fn apply(&self, pixels: &[u8]) -> Vec<f32> {
        let channels = self.mean.iter().zip(&self.deviation).cycle();
        pixels.iter().zip(channels).map(|(&p, (mean, deviation))| (f32::from(p) - mean) / deviation).collect()
    }

    /// The images `indices` as they are: `(n, h, w, c)`.
    ///
    /// # Errors
    /// What Candle returns.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn batch(&self, images: &Images, indices: &[usize], device: &Device) -> Result<Tensor> {
        let values: Vec<f32> = indices.iter().flat_map(|&idx| self.apply(images.pixels(idx))).collect();
        Tensor::from_vec(values, (indices.len(), images.h(), images.w(), images.c()), device)
    }

    /// Training images `indices`, augmented by `rng`: `(n, h, w, c)`.
    ///
    /// # Errors
    /// What Candle returns.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn training_batch(
        &self,
        train: &TrainSplit,
        indices: &[usize],
        augment: Augment,
        rng: &mut impl Rng,
        device: &Device,
    ) -> Result<Tensor> {
        let images = train.images();
        if augment == Augment::None {
            return self.batch(images, indices, device);
        }
        let (h, w, c) = (images.h(), images.w(), images.c());
        let mut values = Vec::with_capacity(indices.len() * h * w * c);
        for &idx in indices {
            let mut shift = || rng.random_range(-MAX_SHIFT..=MAX_SHIFT) as isize;
            let by = (shift(), shift());
            values.extend(moved(&self.apply(images.pixels(idx)), (h, w, c), by, rng.random()));
        }
        Tensor::from_vec(values, (indices.len(), h, w, c), device)
    }
}

/// The image moved by `(dy, dx)` and then mirrored; what enters is 0, the mean.
fn moved(
    image: &[f32],
    (h, w, c): (usize, usize, usize),
    (dy, dx): (isize, isize),
    mirrored: bool,
) -> Vec<f32> {
    let mut out = vec![0.0; image.len()];
    for y in 0..h {
        for x in 0..w {
            let from_x = if mirrored { w - 1 - x } else { x };
            let source = y.checked_add_signed(-dy).zip(from_x.checked_add_signed(-dx));
            if let Some((sy, sx)) = source.filter(|&(sy, sx)| sy < h && sx < w) {
                let (to, from) = ((y * w + x) * c, (sy * w + sx) * c);
                out[to..to + c].copy_from_slice(&image[from..from + c]);
            }
        }
    }
    out
}

/// Labels as probabilities: `(n, classes)`.
///
/// # Errors
/// What Candle returns.
///
/// # Panics
/// If a label is no class.
pub fn one_hot(images: &Images, indices: &[usize], classes: usize, device: &Device) -> Result<Tensor> {
    let mut values = vec![0f32; indices.len() * classes];
    for (row, &idx) in values.chunks_exact_mut(classes).zip(indices) {
        row[usize::from(images.labels()[idx])] = 1.0;
    }
    Tensor::from_vec(values, (indices.len(), classes), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::hold_out;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    fn train() -> TrainSplit {
        let pixels = (0..4u8 * 9 * 2).map(|i| if i % 2 == 0 { i } else { 7 }).collect();
        hold_out(&Images::new(3, 3, 2, pixels, vec![0, 1, 0, 1]).unwrap(), 0, 1).0
    }

    #[test]
    fn every_channel_has_mean_0_and_deviation_1_and_a_flat_one_is_0() -> Result<()> {
        let train = train();
        let batch = Normalisation::of(&train).batch(train.images(), &[0, 1, 2, 3], &Device::Cpu)?;
        let values: Vec<f32> = batch.flatten_all()?.to_vec1()?;
        let varied: Vec<f32> = values.iter().step_by(2).copied().collect();
        let n = varied.len() as f32;
        assert!((varied.iter().sum::<f32>() / n).abs() < 1e-5);
        assert!((varied.iter().map(|x| x * x).sum::<f32>() / n - 1.0).abs() < 1e-4);
        assert!(values.iter().skip(1).step_by(2).all(|&x| x == 0.0));
        Ok(())
    }

    #[test]
    fn images_move_and_mirror_and_keep_their_channels() {
        let image: Vec<f32> = (1..=8).map(|x| x as f32).collect(); // [2, 2, 2]
        assert_eq!(moved(&image, (2, 2, 2), (0, 0), true), [3., 4., 1., 2., 7., 8., 5., 6.]);
        assert_eq!(moved(&image, (2, 2, 2), (1, 0), false), [0., 0., 0., 0., 1., 2., 3., 4.]);
        assert_eq!(moved(&image, (2, 2, 2), (0, -1), false), [3., 4., 0., 0., 7., 8., 0., 0.]);
    }

    #[test]
    fn the_seed_decides_the_augmentation() -> Result<()> {
        let train = train();
        let batch = |seed: u64| -> Result<Vec<f32>> {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let norm = Normalisation::of(&train);
            let flip = Augment::FlipShift;
            norm.training_batch(&train, &[0, 1, 2, 3], flip, &mut rng, &Device::Cpu)?.flatten_all()?.to_vec1()
        };
        assert_eq!(batch(1)?, batch(1)?);
        assert_ne!(batch(1)?, batch(2)?);
        Ok(())
    }
}
