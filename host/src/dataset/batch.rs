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
        self.moved_batch(images, indices, Move::default, device)
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
        let movement = || match augment {
            Augment::None => Move::default(),
            Augment::FlipShift => Move::random(rng),
        };
        self.moved_batch(train.images(), indices, movement, device)
    }

    /// Images `indices`, each moved by the next `movement`.
    fn moved_batch(
        &self,
        images: &Images,
        indices: &[usize],
        mut movement: impl FnMut() -> Move,
        device: &Device,
    ) -> Result<Tensor> {
        let (h, w, c) = (images.h(), images.w(), images.c());
        let (tables, len) = (self.tables(), h * w * c);
        let mut values = vec![0.0; indices.len() * len];
        for (&idx, out) in indices.iter().zip(values.chunks_exact_mut(len)) {
            movement().write(images.pixels(idx), (h, w, c), &tables, out);
        }
        Tensor::from_vec(values, (indices.len(), h, w, c), device)
    }

    /// One per channel.
    fn tables(&self) -> Vec<Table> {
        let channels = self.mean.iter().zip(&self.deviation);
        channels.map(|(mean, deviation)| std::array::from_fn(|p| (p as f32 - mean) / deviation)).collect()
    }
}

/// The normalised value of each pixel value of a channel.
type Table = [f32; 256];

/// Where an image goes: so many pixels down and right, and then mirrored.
#[derive(Debug, Clone, Copy, Default)]
struct Move {
    dy: isize,
    dx: isize,
    mirrored: bool,
}

impl Move {
    fn random(rng: &mut impl Rng) -> Move {
        let mut shift = || rng.random_range(-MAX_SHIFT..=MAX_SHIFT) as isize;
        let (dy, dx) = (shift(), shift());
        Move { dy, dx, mirrored: rng.random() }
    }

    /// Writes what stays of an image, normalised; `out` keeps what it has where something else enters.
    ///
    /// - `image`, `out`: `[h, w, c]`
    fn write(self, image: &[u8], (h, w, c): (usize, usize, usize), tables: &[Table], out: &mut [f32]) {
        let (from_y, to_y, n_y) = overlap(h, self.dy);
        let (from_x, to_x, n_x) = overlap(w, self.dx);
        if n_x == 0 {
            return;
        }
        let to_x = if self.mirrored { w - to_x - n_x } else { to_x };
        for y in 0..n_y {
            let from = &image[((from_y + y) * w + from_x) * c..][..n_x * c];
            let to = &mut out[((to_y + y) * w + to_x) * c..][..n_x * c];
            for (channel, table) in tables.iter().enumerate() {
                let to = to[channel..].iter_mut().step_by(c);
                let values = from[channel..].iter().step_by(c).map(|&pixel| table[usize::from(pixel)]);
                match self.mirrored {
                    true => to.zip(values.rev()).for_each(|(to, value)| *to = value),
                    false => to.zip(values).for_each(|(to, value)| *to = value),
                }
            }
        }
    }
}

/// Of `n` pixels moved by `by`: the first that stays, where it goes, and how many stay.
fn overlap(n: usize, by: isize) -> (usize, usize, usize) {
    (by.min(0).unsigned_abs(), by.max(0).unsigned_abs(), n.saturating_sub(by.unsigned_abs()))
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

    /// The image moved by `(dy, dx)` and then mirrored, pixel by pixel; what enters is 0.
    fn moved(image: &[f32], (h, w, c): (usize, usize, usize), Move { dy, dx, mirrored }: Move) -> Vec<f32> {
        let mut out = vec![0.0; image.len()];
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            let from_x = if mirrored { w - 1 - x } else { x };
            let source = y.checked_add_signed(-dy).zip(from_x.checked_add_signed(-dx));
            if let Some((sy, sx)) = source.filter(|&(sy, sx)| sy < h && sx < w) {
                let (to, from) = ((y * w + x) * c, (sy * w + sx) * c);
                out[to..to + c].copy_from_slice(&image[from..from + c]);
            }
        }
        out
    }

    #[test]
    fn images_move_and_mirror_and_keep_their_channels() {
        let image: Vec<f32> = (1..=8).map(|x| x as f32).collect(); // [2, 2, 2]
        let by = |dy, dx, mirrored| moved(&image, (2, 2, 2), Move { dy, dx, mirrored });
        assert_eq!(by(0, 0, true), [3., 4., 1., 2., 7., 8., 5., 6.]);
        assert_eq!(by(1, 0, false), [0., 0., 0., 0., 1., 2., 3., 4.]);
        assert_eq!(by(0, -1, false), [3., 4., 0., 0., 7., 8., 0., 0.]);
    }

    #[test]
    fn a_training_batch_has_the_bits_of_images_normalised_and_then_moved_one_by_one() -> Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for (h, w, c) in [(5, 4, 1), (4, 7, 3), (1, 2, 2), (2, 1, 4), (3, 3, 3)] {
            let pixels: Vec<u8> = (0..12 * h * w * c).map(|_| rng.random()).collect();
            let train = hold_out(&Images::new(h, w, c, pixels, vec![0; 12]).unwrap(), 0, 1).0;
            let norm = Normalisation::of(&train);
            let indices: Vec<usize> = (0..60).map(|_| rng.random_range(0..12)).collect();
            let mut twin = rng.clone();
            let values = norm
                .training_batch(&train, &indices, Augment::FlipShift, &mut rng, &Device::Cpu)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            for (&idx, values) in indices.iter().zip(values.chunks_exact(h * w * c)) {
                let image = norm.apply(train.images().pixels(idx));
                let expected = moved(&image, (h, w, c), Move::random(&mut twin));
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(values), bits(&expected), "{h}x{w}x{c}");
            }
            let plain = norm.batch(train.images(), &[3, 1], &Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            assert_eq!(plain, [3, 1].map(|idx| norm.apply(train.images().pixels(idx))).concat());
        }
        Ok(())
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
