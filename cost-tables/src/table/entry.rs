//! [`Entry`]: the raw figures of one layer, and what is derived from them.

use device_bench::layer::ShapeError;

/// A sample is an outlier beyond this modified z-score (Iglewicz and Hoaglin 1993, section 3.3).
const OUTLIER_Z: f64 = 3.5;

/// Median of the deviations of a normal distribution, in standard deviations.
const NORMAL_MAD: f64 = 0.6745;

/// What was measured of one layer, in the table's unit; every sample is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The first call.
    pub cold: u64,
    /// Calls in each sample.
    pub n_calls: u32,
    /// Ticks of `n_calls` calls, in the order of measurement.
    pub samples: Vec<u64>,
}

/// Figures that a table can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// No kernel can run the layer.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Nothing was measured.
    #[error("`samples` is empty")]
    NoSamples,
    /// A sample is of no call.
    #[error("`n_calls` is 0")]
    NoCalls,
}

/// Figures are per call; they are NaN for an entry without samples, which no table holds.
impl Entry {
    /// The fastest sample.
    pub fn min(&self) -> f64 {
        self.per_call().into_iter().fold(f64::NAN, f64::min)
    }

    /// The slowest sample.
    pub fn max(&self) -> f64 {
        self.per_call().into_iter().fold(f64::NAN, f64::max)
    }

    /// Half of the samples are faster.
    pub fn median(&self) -> f64 {
        median(self.per_call())
    }

    /// Median absolute deviation from the median: how far samples spread, whatever the outliers.
    pub fn mad(&self) -> f64 {
        median(self.deviations())
    }

    /// Samples further from the median than noise explains: a modified z-score over 3.5.
    ///
    /// Where more than half of the samples agree exactly, all that differ are outliers.
    pub fn outliers(&self) -> usize {
        let limit = OUTLIER_Z * self.mad() / NORMAL_MAD;
        self.deviations().into_iter().filter(|&deviation| deviation > limit).count()
    }

    pub(super) fn check(&self) -> Result<(), EntryError> {
        match self {
            Entry { n_calls: 0, .. } => Err(EntryError::NoCalls),
            Entry { samples, .. } if samples.is_empty() => Err(EntryError::NoSamples),
            _ => Ok(()),
        }
    }

    fn per_call(&self) -> Vec<f64> {
        self.samples.iter().map(|&ticks| ticks as f64 / f64::from(self.n_calls)).collect()
    }

    fn deviations(&self) -> Vec<f64> {
        let median = self.median();
        self.per_call().into_iter().map(|value| (value - median).abs()).collect()
    }
}

/// The middle of `values`, or the mean of the two in the middle; NaN for none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (n, middle) if n % 2 == 1 => values[middle],
        (_, middle) => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n_calls: u32, samples: &[u64]) -> Entry {
        Entry { cold: 0, n_calls, samples: samples.to_vec() }
    }

    #[test]
    fn figures_are_per_call() {
        let entry = entry(10, &[1_010, 1_000, 1_030, 1_020]);
        assert_eq!((entry.min(), entry.median(), entry.max()), (100.0, 101.5, 103.0));
        assert_eq!(entry.mad(), 1.0);
    }

    #[test]
    fn outliers_are_those_that_noise_does_not_explain() {
        assert_eq!(entry(1, &[100, 101, 99, 102, 98, 150]).outliers(), 1);
        assert_eq!(entry(1, &[100, 101, 99, 102, 98, 103]).outliers(), 0);
        assert_eq!(entry(1, &[100, 100, 100, 101]).outliers(), 1);
    }

    #[test]
    fn an_entry_without_figures_has_none() {
        assert!(entry(1, &[]).median().is_nan() && entry(1, &[]).min().is_nan());
        assert_eq!(entry(1, &[]).check(), Err(EntryError::NoSamples));
        assert_eq!(entry(0, &[1]).check(), Err(EntryError::NoCalls));
    }
}
