//! Differences to the baseline, paired by seed, with 95 % intervals.

use crate::records::{Record, SubnetRecord};
use crate::variants::BASELINE;
use reports::interval::Interval;

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
    Interval::of(&own.filter_map(|r| value(r, of, figure)).collect::<Vec<_>>())
}

/// The variant's figure less the baseline's of the same seed, over the seeds that have both.
pub fn difference(records: &[Record], variant: &str, of: Of, figure: Figure) -> Option<Interval> {
    let pair = |record: &Record| {
        let twin = records.iter().find(|r| r.variant == BASELINE && r.seed == record.seed)?;
        Some(value(record, of, figure)? - value(twin, of, figure)?)
    };
    Interval::of(&records.iter().filter(|r| r.variant == variant).filter_map(pair).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::record;

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
