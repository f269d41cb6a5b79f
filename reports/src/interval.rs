//! Means with 95 % intervals.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A mean over independent repetitions, with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Mean.
    pub mean: f64,
    /// Both ends; `None` for a single value, whose spread nobody knows.
    pub ends: Option<[f64; 2]>,
    /// Values.
    pub n: usize,
}

impl Interval {
    /// By Student's t distribution; `None` without values.
    pub fn of(values: &[f64]) -> Option<Interval> {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n.max(1) as f64;
        let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let half = (n > 1).then(|| t_975(n - 1) * (square / (n - 1) as f64 / n as f64).sqrt());
        (n > 0).then_some(Interval { mean, ends: half.map(|half| [mean - half, mean + half]), n })
    }

    /// Of `a` less `b`, pair by pair: what both share, such as a seed, cancels out. `None` without pairs.
    ///
    /// # Panics
    /// If one has no partner.
    pub fn of_differences(a: &[f64], b: &[f64]) -> Option<Interval> {
        assert_eq!(a.len(), b.len(), "differences are taken of pairs");
        Interval::of(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>())
    }

    /// From the mean to either end, where there is an interval.
    pub fn half(&self) -> Option<f64> {
        self.ends.map(|[low, high]| (high - low) / 2.0)
    }
}

impl fmt::Display for Interval {
    /// `+1.25 ± 0.62`, or the mean alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.half() {
            Some(half) => write!(f, "{:+.2} ± {half:.2}", self.mean),
            None => write!(f, "{:+.2}", self.mean),
        }
    }
}

/// The 97.5 % quantile of Student's t distribution; beyond 15 degrees of freedom that of 15, which is wider.
fn t_975(degrees: usize) -> f64 {
    const TABLE: [f64; 15] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131,
    ];
    TABLE[degrees.clamp(1, TABLE.len()) - 1]
}

/// Kendall's τ-b between paired values: 1 where both order the pairs alike, -1 where one is the other's reverse, ties
/// counted by half. `None` if fewer than two pairs, or one side does not vary.
///
/// # Panics
/// If one has no partner.
pub fn kendall_tau(a: &[f64], b: &[f64]) -> Option<f64> {
    assert_eq!(a.len(), b.len(), "an order is compared with another of the same things");
    let sign = |x: f64, y: f64| x.partial_cmp(&y).map_or(0.0, |order| f64::from(order as i8));
    let (mut sum, mut untied_a, mut untied_b) = (0.0, 0.0, 0.0);
    for i in 0..a.len() {
        for j in 0..i {
            let (of_a, of_b) = (sign(a[i], a[j]), sign(b[i], b[j]));
            sum += of_a * of_b;
            untied_a += of_a.abs();
            untied_b += of_b.abs();
        }
    }
    let scale: f64 = (untied_a * untied_b).sqrt();
    (scale > 0.0).then(|| sum / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_equals_the_one_worked_by_hand() {
        let found = Interval::of(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((found.mean, found.n), (2.0, 3));
        assert!((found.half().unwrap() - 4.303 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(Interval::of(&[4.0]), Some(Interval { mean: 4.0, ends: None, n: 1 }));
        assert_eq!(Interval::of(&[]), None);
    }

    #[test]
    fn what_pairs_share_is_not_in_the_interval_of_their_differences() {
        let found = Interval::of_differences(&[10.0, 21.0, 32.0], &[9.0, 20.0, 31.0]).unwrap();
        assert_eq!((found.mean, found.ends), (1.0, Some([1.0, 1.0])));
    }

    #[test]
    fn kendalls_tau_equals_the_one_worked_by_hand() {
        assert_eq!(kendall_tau(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0]), Some(1.0));
        assert_eq!(kendall_tau(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), Some(-1.0));
        // Five of six pairs in order.
        assert_eq!(kendall_tau(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]), Some(4.0 / 6.0));
        // One pair is tied in `b`: 5 untied of 6, all in order.
        let tied = kendall_tau(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 2.0, 3.0]).unwrap();
        assert!((tied - 5.0 / 30f64.sqrt()).abs() < 1e-12);
        assert_eq!(kendall_tau(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(kendall_tau(&[1.0], &[1.0]), None);
    }
}
