//! Dropout of the head's inputs, the same for every engine, thread count and resumed run.

/// Drops the pooled features of the head in training.
///
/// Whether one is kept is a pure function of seed, image and channel: nothing is drawn from a state that a resumed
/// run would have to restore. Channels count as they are stored, so all subnets of a step drop the same features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The share that is dropped, from 0 to below 1.
    pub rate: f64,
    /// Another one for every step.
    pub seed: u64,
}

impl Dropout {
    /// What the feature of stored channel `channel` of image `image` of the batch is multiplied by: 0, or
    /// `1 / (1 - rate)`, which keeps the mean.
    pub fn factor(&self, image: usize, channel: usize) -> f32 {
        let place = ((image as u64) << 32) ^ channel as u64;
        let draw = (mixed(self.seed ^ mixed(place)) >> 11) as f64 / (1u64 << 53) as f64;
        if draw < self.rate { 0.0 } else { (1.0 / (1.0 - self.rate)) as f32 }
    }

    /// # Errors
    /// If the rate is not from 0 to below 1.
    pub(super) fn check(&self) -> candle_core::Result<()> {
        if !(0.0..1.0).contains(&self.rate) {
            candle_core::bail!("a dropout of {}: it has to be from 0 to below 1", self.rate);
        }
        Ok(())
    }
}

/// SplitMix64's step (Steele, Lea and Flood 2014): every bit of the result depends on every bit of `x`.
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_dropped_and_the_mean_stays() {
        for (rate, seed) in [(0.2, 1), (0.5, 2), (0.0, 3)] {
            let dropout = Dropout { rate, seed };
            let factors: Vec<f32> =
                (0..200).flat_map(|i| (0..100).map(move |c| dropout.factor(i, c))).collect();
            let dropped = factors.iter().filter(|f| **f == 0.0).count() as f64 / factors.len() as f64;
            let mean = factors.iter().map(|&f| f64::from(f)).sum::<f64>() / factors.len() as f64;
            // Six standard deviations of 20 000 draws at a rate of 1/2 are 0.021.
            assert!((dropped - rate).abs() < 0.022 && (mean - 1.0).abs() < 0.045, "{rate}: {dropped} {mean}");
        }
    }

    #[test]
    fn images_channels_and_seeds_are_dropped_apart() {
        let kept = |seed, image| {
            (0..64).map(|c| Dropout { rate: 0.5, seed }.factor(image, c) > 0.0).collect::<Vec<_>>()
        };
        assert_ne!(kept(1, 0), kept(1, 1));
        assert_ne!(kept(1, 0), kept(2, 0));
        assert_eq!(kept(7, 3), kept(7, 3));
        assert!(Dropout { rate: 1.0, seed: 0 }.check().is_err());
    }
}
