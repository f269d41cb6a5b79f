//! Differences to the baseline, paired by seed, with 95 % intervals.

use crate::records::{Record, SubnetRecord};
use crate::variants::BASELINE;

/// A mean with half its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Mean.
    pub mean: f64,
    /// From the mean to either end; `None` for a single value.
    pub half: Option<f64>,
}

/// What of a supernet is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The mean over all measured subnets.
    Mean,
    /// The largest subnet.
    Largest,
    /// The smallest subnet.
    Smallest,
}

/// Which figure of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// Percent.
    Accuracy,
    /// Nats.
    Loss,
}

impl Figure {
    fn of(self, subnet: &SubnetRecord) -> f64 {
        match self {
            Figure::Accuracy => subnet.accuracy * 100.0,
            Figure::Loss => subnet.loss,
        }
    }
}

/// A record's figure; `None` where the subnet was not measured.
fn value(record: &Record, of: Of, figure: Figure) -> Option<f64> {
    let named = |name: &str| record.subnets.iter().find(|s| s.name == name).map(|s| figure.of(s));
    match of {
        Of::Largest => named("largest"),
        Of::Smallest => named("smallest"),
        Of::Mean => {
            named("smallest")?;
            Some(record.subnets.iter().map(|s| figure.of(s)).sum::<f64>() / record.subnets.len() as f64)
        }
    }
}

/// The figure of a variant over its seeds.
pub fn level(records: &[Record], variant: &str, of: Of, figure: Figure) -> Option<Interval> {
    let own = records.iter().filter(|r| r.variant == variant);
    interval(&own.filter_map(|r| value(r, of, figure)).collect::<Vec<_>>())
}

/// The variant's figure less the baseline's of the same seed, over the seeds that have both.
pub fn difference(records: &[Record], variant: &str, of: Of, figure: Figure) -> Option<Interval> {
    let pair = |record: &Record| {
        let twin = records.iter().find(|r| r.variant == BASELINE && r.seed == record.seed)?;
        Some(value(record, of, figure)? - value(twin, of, figure)?)
    };
    interval(&records.iter().filter(|r| r.variant == variant).filter_map(pair).collect::<Vec<_>>())
}

/// By Student's t distribution; `None` without values.
pub fn interval(values: &[f64]) -> Option<Interval> {
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n.max(1) as f64;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    let half = (n > 1).then(|| t_975(n - 1) * (square / (n - 1) as f64 / n as f64).sqrt());
    (n > 0).then_some(Interval { mean, half })
}

/// The 97.5 % quantile of Student's t distribution; beyond 15 degrees of freedom that of 15, which is wider.
fn t_975(degrees: usize) -> f64 {
    const TABLE: [f64; 15] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
        2.131,
    ];
    TABLE[degrees.clamp(1, TABLE.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::record;

    #[test]
    fn an_interval_equals_the_one_worked_by_hand() {
        let found = interval(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(found.mean, 2.0);
        assert!((found.half.unwrap() - 4.303 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(interval(&[4.0]), Some(Interval { mean: 4.0, half: None }));
        assert_eq!(interval(&[]), None);
    }

    #[test]
    fn a_seed_without_its_baseline_is_left_out_of_the_difference() {
        let records = [
            record(BASELINE, 1, 0.5),
            record("a", 1, 0.6),
            record(BASELINE, 2, 0.7),
            record("a", 2, 0.9),
            record("a", 3, 0.1),
        ];
        let found = difference(&records, "a", Of::Mean, Figure::Accuracy).unwrap();
        assert!((found.mean - 15.0).abs() < 1e-9, "{found:?}");
        assert!(
            (level(&records, "a", Of::Largest, Figure::Accuracy).unwrap().mean - 160.0 / 3.0).abs() < 1e-9
        );
    }
}
