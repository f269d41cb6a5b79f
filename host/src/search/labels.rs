//! Partial choices of channels, and which of them can be forgotten.

/// Resources that add up over layers: latency, flash, MACs.
pub(super) const N_SUMS: usize = 3;

/// A choice of bins for the units met so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Label {
    /// Sum of the units' scores; lower is better.
    pub score: f64,
    /// What it takes of each resource; 0 of one without a limit.
    pub amounts: [f64; N_SUMS],
    /// Index of the label that it goes on from, among those of the step before.
    pub before: u32,
    /// Bins of the units that were met last, as one number.
    pub choice: u32,
}

impl Label {
    fn key(&self) -> ([f64; N_SUMS], f64) {
        (self.amounts, self.score)
    }
}

/// Removes labels that another one equals or beats in score and every amount; the rest is in order of amounts.
pub(super) fn undominated(labels: &mut Vec<Label>) {
    labels.sort_unstable_by(|a, b| {
        let amounts = a.amounts.iter().zip(&b.amounts).map(|(a, b)| a.total_cmp(b));
        let key = amounts.fold(std::cmp::Ordering::Equal, |order, next| order.then(next));
        key.then(a.score.total_cmp(&b.score)).then((a.before, a.choice).cmp(&(b.before, b.choice)))
    });
    let mut kept = Staircase::default();
    labels.retain(|label| kept.insert(label));
}

/// What the labels kept so far have of all but the first amount, in which none is above the next label.
#[derive(Default)]
struct Staircase {
    /// Second amount ascending; where the third amounts are all the same, the score descends.
    steps: Vec<[f64; N_SUMS]>,
    third_differs: bool,
}

impl Staircase {
    /// Whether no step is as good as `label`, which then becomes one.
    fn insert(&mut self, label: &Label) -> bool {
        let ([_, second, third], score) = label.key();
        let step = [second, third, score];
        self.third_differs |= self.steps.first().is_some_and(|first| first[1] != third);
        let at = self.steps.partition_point(|other| other[0] <= second);
        let at_most = |a: &[f64; N_SUMS], b: &[f64; N_SUMS]| a.iter().zip(b).all(|(a, b)| a <= b);
        let beaten = if self.third_differs {
            self.steps[..at].iter().any(|other| at_most(other, &step))
        } else {
            at > 0 && self.steps[at - 1][2] <= score
        };
        if beaten {
            return false;
        }
        let from = self.steps.partition_point(|other| other[0] < second);
        if self.third_differs {
            let mut idx = 0;
            self.steps.retain(|other| {
                idx += 1;
                idx <= from || !at_most(&step, other)
            });
        } else {
            let n_beaten = self.steps[from..].iter().take_while(|other| other[2] >= score).count();
            self.steps.drain(from..from + n_beaten);
        }
        self.steps.insert(from, step);
        true
    }
}

/// Leaves at most about `n` of `labels`, which are undominated: one of the best score in each cell of a grid. Returns the
/// cells' sides: whatever was removed, a label remains with at most its score and amounts less than a side above its own.
pub(super) fn thin(labels: &mut Vec<Label>, n: usize) -> [f64; N_SUMS] {
    if labels.len() <= n {
        return [0.0; N_SUMS];
    }
    let amounts = |d: usize| labels.iter().map(move |label| label.amounts[d]);
    let low: [f64; N_SUMS] = std::array::from_fn(|d| amounts(d).fold(f64::INFINITY, f64::min));
    let range: [f64; N_SUMS] = std::array::from_fn(|d| amounts(d).fold(0.0, f64::max) - low[d]);
    let n_axes = range.iter().filter(|&&range| range > 0.0).count().max(1);
    let mut cells = (n as f64).powf(1.0 / n_axes as f64) * if n_axes == 1 { 1.0 } else { 4.0 };
    loop {
        let sides = range.map(|range| range / cells);
        let cell = |label: &Label| -> [u64; N_SUMS] {
            let along = |d: usize| if sides[d] > 0.0 { (label.amounts[d] - low[d]) / sides[d] } else { 0.0 };
            std::array::from_fn(|d| along(d) as u64)
        };
        let mut thinned = labels.clone();
        thinned.sort_by(|a, b| cell(a).cmp(&cell(b)).then(a.score.total_cmp(&b.score)));
        thinned.dedup_by_key(|label| cell(label));
        undominated(&mut thinned);
        if thinned.len() <= n + 1 || cells < 1.0 {
            *labels = thinned;
            return sides;
        }
        cells /= 1.5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(n_axes: usize) -> impl Strategy<Value = Vec<Label>> {
        // Few values, so that many are equal.
        let label = (0..9u8, prop::array::uniform3(0..9u8)).prop_map(move |(score, amounts)| Label {
            score: f64::from(score),
            amounts: std::array::from_fn(|d| if d < n_axes { f64::from(amounts[d]) } else { 0.0 }),
            before: 0,
            choice: 0,
        });
        prop::collection::vec(label, 0..60)
    }

    fn beats(a: &Label, b: &Label, sides: [f64; N_SUMS]) -> bool {
        a.score <= b.score && (0..N_SUMS).all(|d| a.amounts[d] <= b.amounts[d] + sides[d])
    }

    proptest! {
        #[test]
        fn what_is_kept_beats_everything_and_none_of_itself(all in (1..=3usize).prop_flat_map(labels)) {
            let mut kept = all.clone();
            undominated(&mut kept);
            prop_assert!(all.iter().all(|label| kept.iter().any(|k| beats(k, label, [0.0; N_SUMS]))));
            for (i, a) in kept.iter().enumerate() {
                prop_assert!(kept.iter().enumerate().all(|(j, b)| i == j || !beats(b, a, [0.0; N_SUMS])), "{:?}", kept);
            }
        }

        #[test]
        fn what_is_thinned_out_is_beaten_within_a_cell(all in (1..=3usize).prop_flat_map(labels), n in 1..8usize) {
            let mut all = all;
            undominated(&mut all);
            let mut kept = all.clone();
            let sides = thin(&mut kept, n);
            prop_assert!(all.len() <= n || kept.len() <= n + 1);
            prop_assert!(all.iter().all(|label| kept.iter().any(|k| beats(k, label, sides))));
        }
    }
}
