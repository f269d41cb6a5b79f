//! Both sides in turn, and the medians.

use std::time::{Duration, Instant};

/// Time for what is still to do.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// When all has to be done.
    pub deadline: Instant,
    /// Parts of the same size that are left.
    pub parts_left: usize,
}

impl Budget {
    /// The share of the next part; none once the deadline has passed.
    pub fn next_part(&mut self, now: Instant) -> Duration {
        let share = self.deadline.saturating_duration_since(now) / self.parts_left.max(1) as u32;
        self.parts_left = self.parts_left.saturating_sub(1);
        share
    }
}

/// How often each side is measured.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// Also where the time is over.
    pub least: usize,
    /// Also where time is left.
    pub most: usize,
}

/// Lets every one of `sides` measure once a round until `time` is over; returns the median of each.
///
/// Neighbours on the machine disturb all sides of a round alike.
///
/// # Errors
/// The first that `measure` returns.
pub fn alternate<S, E>(
    sides: &mut [S],
    rounds: Rounds,
    time: Duration,
    mut measure: impl FnMut(&mut S, usize) -> Result<f64, E>,
) -> Result<Vec<f64>, E> {
    let started = Instant::now();
    let mut values = vec![Vec::new(); sides.len()];
    for round in 0..rounds.most {
        if round >= rounds.least && started.elapsed() >= time {
            break;
        }
        for (side, values) in sides.iter_mut().zip(&mut values) {
            values.push(measure(side, round)?);
        }
    }
    Ok(values.into_iter().map(median).collect())
}

/// The middle one, or the mean of the two middle ones; not a number where there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len(), values.len() / 2) {
        (0, _) => f64::NAN,
        (n, middle) if n % 2 == 1 => values[middle],
        (_, middle) => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The mean; not a number where there is none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_not_moved_by_one_disturbed_round() {
        assert_eq!(median(vec![3.0, 900.0, 1.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 900.0, 2.0]), 3.0);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn sides_take_turns_and_no_round_is_begun_after_the_time() {
        let mut order = Vec::new();
        let rounds = Rounds { least: 3, most: 100 };
        let medians = alternate(&mut [10.0, 20.0], rounds, Duration::ZERO, |side, round| {
            order.push((*side, round));
            Ok::<f64, ()>(*side + round as f64)
        });
        assert_eq!(medians.unwrap(), [11.0, 21.0]);
        assert_eq!(order, [(10.0, 0), (20.0, 0), (10.0, 1), (20.0, 1), (10.0, 2), (20.0, 2)]);
    }

    #[test]
    fn time_that_a_part_leaves_goes_to_the_others() {
        let now = Instant::now();
        let mut budget = Budget { deadline: now + Duration::from_secs(60), parts_left: 3 };
        assert_eq!(budget.next_part(now), Duration::from_secs(20));
        assert_eq!(budget.next_part(now + Duration::from_secs(10)), Duration::from_secs(25));
        assert_eq!(budget.next_part(now + Duration::from_secs(70)), Duration::ZERO);
    }
}
