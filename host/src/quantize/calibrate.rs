//! What every tensor holds, observed on training images.

use super::{FoldedNetwork, QuantizeError};

/// The real values of a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest.
    pub low: f32,
    /// Largest.
    pub high: f32,
}

/// What a tensor was seen to hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Of all its values.
    pub range: Range,
    /// The largest magnitude of each value.
    pub largest: Vec<f32>,
}

impl Observed {
    /// Whether channel `c` of `channels` never left zero by more than `step / 2`: as int8, it was always zero.
    pub fn is_zero(&self, c: usize, channels: usize, step: f32) -> bool {
        self.largest.iter().skip(c).step_by(channels.max(1)).all(|&x| x < step / 2.0)
    }
}

impl FoldedNetwork {
    /// What every tensor holds over `images` of the training set, each `[h, w, c]`.
    ///
    /// `clip` is the share of each image's values left outside its range at either end: 0 takes minimum and maximum, 0.001
    /// keeps a single outlier from coarsening everything.
    ///
    /// # Errors
    /// [`QuantizeError`] if there is no image, one has another size, or an activation is no number.
    pub fn calibrate<'a>(
        &self,
        images: impl IntoIterator<Item = &'a [f32]>,
        clip: f64,
    ) -> Result<Vec<Observed>, QuantizeError> {
        let mut all: Vec<Option<Observed>> = vec![None; self.tensor_lens.len()];
        for image in images {
            for (tensor, (observed, values)) in all.iter_mut().zip(self.tensors(image)?).enumerate() {
                if values.iter().any(|x| !x.is_finite()) {
                    return Err(QuantizeError::NotFinite {
                        what: "an activation",
                        layer_idx: tensor.saturating_sub(1),
                    });
                }
                let magnitudes = values.iter().map(|x| x.abs());
                match observed {
                    None => {
                        let largest = magnitudes.collect();
                        *observed = Some(Observed { range: ends(values, clip), largest });
                    }
                    Some(Observed { range, largest }) => {
                        largest.iter_mut().zip(magnitudes).for_each(|(m, x)| *m = m.max(x));
                        let seen = ends(values, clip);
                        *range = Range { low: range.low.min(seen.low), high: range.high.max(seen.high) };
                    }
                }
            }
        }
        all.into_iter().collect::<Option<Vec<_>>>().ok_or(QuantizeError::NoImages)
    }
}

fn ends(mut values: Vec<f32>, clip: f64) -> Range {
    let last = values.len() - 1;
    let skip = ((values.len() as f64 * clip) as usize).min(last / 2);
    let low = *values.select_nth_unstable_by(skip, f32::total_cmp).1;
    let high = *values.select_nth_unstable_by(last - skip, f32::total_cmp).1;
    Range { low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_leaves_the_share_outside() {
        let values: Vec<f32> = (0..1000).rev().map(|x| x as f32).collect();
        assert_eq!(ends(values.clone(), 0.0), Range { low: 0.0, high: 999.0 });
        assert_eq!(ends(values, 0.01), Range { low: 10.0, high: 989.0 });
        assert_eq!(ends(vec![4.0], 0.9), Range { low: 4.0, high: 4.0 });
    }
}
