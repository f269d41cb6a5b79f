//! An exact choice of bins for scores and costs that add up: dynamic programming over the layers.
//!
//! Layers come in the order in which they run. A *state* is the bins of those units that later layers still need: one unit
//! in a chain, one more along a shortcut. Of all partial choices of a state only those are kept that no other beats in score
//! and every amount, that can still hold the limits, and that can still become as good as a choice that is known.

use super::labels::{Label, N_SUMS, thin, undominated};
use super::problem::{Load, Part};
use super::relaxation::relax;
use crate::network::UnitId;
use anyhow::{Result, ensure};

/// Joint choices of bins that a step may have.
const MAX_CHOICES: usize = 1 << 22;

/// Limits of a choice; infinite where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// Latency, flash, MACs.
    pub sums: [f64; N_SUMS],
    /// Bytes that live at a time.
    pub ram: f64,
}

/// The parts of a network's cost as steps of a dynamic programme.
pub(super) struct Frontier {
    n_bins: Vec<usize>,
    steps: Vec<Step>,
}

/// Some parts after which units are needed no more.
pub(super) struct Step {
    /// Units that no step before needs; their bins as one number, those of the last unit next to each other, are a choice.
    chosen: Vec<UnitId>,
    pub(super) n_choices: usize,
    n_states_after: usize,
    /// What the parts take together: `[state before, choice]`.
    loads: Vec<Load>,
    /// The state after: `[state before, choice]`.
    pub(super) after: Vec<u32>,
}

/// What is known of the best choice under some limits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Solved {
    /// Its bin of each unit and its score; `None` if there is none, or none was found.
    pub best: Option<(Vec<usize>, f64)>,
    /// No choice under the limits has a lower score; infinite if there is none, below that of `best` only if labels were left
    /// out.
    pub bound: f64,
}

impl Frontier {
    /// - `n_bins`: of each unit
    /// - `parts`: in the order in which they run
    ///
    /// # Errors
    /// If too many units are needed at a time.
    pub(super) fn new(n_bins: &[usize], parts: &[Part]) -> Result<Frontier> {
        let last_part = |unit: UnitId| parts.iter().rposition(|part| part.units.contains(&unit));
        let last: Vec<Option<usize>> = (0..n_bins.len()).map(last_part).collect();
        let mut frontier = Frontier { n_bins: n_bins.to_vec(), steps: Vec::new() };
        let (mut open, mut group): (Vec<UnitId>, Vec<&Part>) = (vec![], vec![]);
        for (part_idx, part) in parts.iter().enumerate() {
            group.push(part);
            if part_idx + 1 == parts.len() || last.contains(&Some(part_idx)) {
                let needed = |unit: UnitId| last[unit].is_some_and(|last| last > part_idx);
                open = frontier.push(&open, &std::mem::take(&mut group), needed)?;
            }
        }
        let unpriced: Vec<UnitId> = (0..n_bins.len()).filter(|&unit| last[unit].is_none()).collect();
        for unit in unpriced {
            let free = Part { units: vec![unit], loads: vec![Load::default(); n_bins[unit]] };
            frontier.push(&[], &[&free], |_| false)?;
        }
        Ok(frontier)
    }

    /// Adds a step; returns the units that are open after it.
    fn push(
        &mut self,
        open: &[UnitId],
        parts: &[&Part],
        needed: impl Fn(UnitId) -> bool,
    ) -> Result<Vec<UnitId>> {
        let mut chosen: Vec<UnitId> = parts.iter().flat_map(|part| &part.units).copied().collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen.retain(|unit| !open.contains(unit));
        let joint = [open, &chosen].concat();
        let after_units: Vec<UnitId> = joint.iter().copied().filter(|&unit| needed(unit)).collect();
        let n_joint = self.n_choices(&joint);
        ensure!(
            n_joint <= MAX_CHOICES,
            "channels of {} units depend on each other, {n_joint} choices; train the supernet with a larger bin_multiple",
            joint.len()
        );
        let (mut loads, mut after) = (Vec::with_capacity(n_joint), Vec::with_capacity(n_joint));
        let mut bins = vec![0; self.n_bins.len()];
        for idx in 0..n_joint {
            self.spread(idx, &joint, &mut bins);
            loads.push(parts.iter().map(|part| part.loads[self.index(&part.units, &bins)]).sum());
            after.push(self.index(&after_units, &bins) as u32);
        }
        let (n_choices, n_states_after) = (self.n_choices(&chosen), self.n_choices(&after_units));
        self.steps.push(Step { chosen, n_choices, n_states_after, loads, after });
        Ok(after_units)
    }

    fn n_choices(&self, units: &[UnitId]) -> usize {
        units.iter().fold(1, |n, &unit| n.saturating_mul(self.n_bins[unit]))
    }

    /// The bins of `units` as one number.
    fn index(&self, units: &[UnitId], bins: &[usize]) -> usize {
        units.iter().fold(0, |idx, &unit| idx * self.n_bins[unit] + bins[unit])
    }

    /// The inverse of [`Frontier::index`].
    fn spread(&self, mut idx: usize, units: &[UnitId], bins: &mut [usize]) {
        for &unit in units.iter().rev() {
            bins[unit] = idx % self.n_bins[unit];
            idx /= self.n_bins[unit];
        }
    }

    /// The choice of the lowest score within `limits`.
    ///
    /// - `scores`: `[unit][bin]`, lower is better, infinite for a bin that may not be chosen
    /// - `max_labels`: labels that a step keeps before it leaves some out
    pub(super) fn solve(&self, scores: &[Vec<f64>], limits: &Limits, max_labels: usize) -> Solved {
        let moves: Vec<Moves> = self.steps.iter().map(|step| self.moves(step, scores, limits)).collect();
        let least = least_to_go(&self.steps, &moves);
        let relaxed = relax(&self.steps, &moves, limits);
        let start = Label { score: 0.0, amounts: [0.0; N_SUMS], before: 0, choice: 0 };
        let (mut states, mut slack, mut history) = (vec![vec![start]], [0.0f64; N_SUMS], vec![]);
        for (step_idx, (step, moves)) in self.steps.iter().zip(&moves).enumerate() {
            let most: [f64; N_SUMS] = std::array::from_fn(|d| limits.sums[d] + slack[d]);
            let n_kept = (max_labels / step.n_states_after).max(1);
            let first = first_indices(&states);
            let mut sides = [0.0f64; N_SUMS];
            let next = sources(step).into_iter().enumerate().map(|(state, sources)| {
                let (least, to_go) = (&least[step_idx + 1][state], relaxed.to_go[step_idx + 1][state]);
                let mut labels = step.labels(&sources, moves, &states, &first, |score, amounts| {
                    (0..N_SUMS).all(|d| amounts[d] + least[d] <= most[d])
                        && relaxed.is_promising(score, amounts, to_go, &most)
                });
                undominated(&mut labels);
                let thinned = thin(&mut labels, n_kept);
                sides = std::array::from_fn(|d| sides[d].max(thinned[d]));
                labels
            });
            states = next.collect();
            slack = std::array::from_fn(|d| slack[d] + sides[d]);
            history.push(states.iter().flatten().map(|label| (label.before, label.choice)).collect());
        }
        let within = |slack: [f64; N_SUMS]| {
            let holds =
                move |label: &&Label| (0..N_SUMS).all(|d| label.amounts[d] <= limits.sums[d] + slack[d]);
            states[0].iter().filter(holds).min_by(|a, b| a.score.total_cmp(&b.score))
        };
        let bound = within(slack).map_or(f64::INFINITY, |label| label.score);
        let exact = within([0.0; N_SUMS]).map(|label| (self.choices(&history, label), label.score));
        let known = relaxed.best.as_ref().map(|path| (path.choices.clone(), path.score));
        let best = [exact, known].into_iter().flatten().min_by(|a, b| a.1.total_cmp(&b.1));
        let bound = if slack == [0.0; N_SUMS] { bound } else { bound.max(relaxed.bound(limits)) };
        Solved { best: best.map(|(choices, score)| (self.bins(&choices), score)), bound }
    }

    /// The moves of a step.
    fn moves(&self, step: &Step, scores: &[Vec<f64>], limits: &Limits) -> Moves {
        let mut bins = vec![0; self.n_bins.len()];
        let choice_scores: Vec<f64> = (0..step.n_choices)
            .map(|choice| {
                self.spread(choice, &step.chosen, &mut bins);
                step.chosen.iter().map(|&unit| scores[unit][bins[unit]]).sum()
            })
            .collect();
        let limited = limits.sums.map(f64::is_finite);
        let of = |(joint, load): (usize, &Load)| {
            let score = choice_scores[joint % step.n_choices];
            let allowed = score.is_finite() && load.latency.is_finite() && load.ram <= limits.ram;
            let sums = load.sums();
            let amounts = std::array::from_fn(|d| if limited[d] { sums[d] } else { 0.0 });
            allowed.then_some(Move { score, amounts })
        };
        step.loads.iter().enumerate().map(of).collect()
    }

    /// The choice of each step that led to a label after the last; `history` has of every label after each step the one before
    /// and the choice.
    fn choices(&self, history: &[Vec<(u32, u32)>], label: &Label) -> Vec<u32> {
        let mut choices = vec![label.choice];
        let mut before = label.before;
        for labels in history.iter().rev().skip(1) {
            let (earlier, choice) = labels[before as usize];
            choices.push(choice);
            before = earlier;
        }
        choices.reverse();
        choices
    }

    /// The bins of a choice in each step, per unit.
    fn bins(&self, choices: &[u32]) -> Vec<usize> {
        let mut bins = vec![0; self.n_bins.len()];
        for (step, &choice) in self.steps.iter().zip(choices) {
            self.spread(choice as usize, &step.chosen, &mut bins);
        }
        bins
    }
}

/// What a choice in some state adds.
#[derive(Clone, Copy)]
pub(super) struct Move {
    pub score: f64,
    pub amounts: [f64; N_SUMS],
}

/// Of a step, `[state before, choice]`; `None` if it is not allowed.
pub(super) type Moves = Vec<Option<Move>>;

impl Step {
    /// The labels that moves from `sources` lead to, as far as their score and amounts are `possible`.
    ///
    /// - `states`: labels of each state before; `first`: the index of the first of each among all
    fn labels(
        &self,
        sources: &[u32],
        moves: &Moves,
        states: &[Vec<Label>],
        first: &[u32],
        possible: impl Fn(f64, &[f64; N_SUMS]) -> bool,
    ) -> Vec<Label> {
        let mut labels = Vec::new();
        for &joint in sources {
            let Some(added) = moves[joint as usize] else { continue };
            let (state, choice) = (joint as usize / self.n_choices, joint % self.n_choices as u32);
            for (label, before) in states[state].iter().zip(first[state]..) {
                let score = label.score + added.score;
                let amounts = std::array::from_fn(|d| label.amounts[d] + added.amounts[d]);
                if possible(score, &amounts) {
                    labels.push(Label { score, amounts, before, choice });
                }
            }
        }
        labels
    }
}

/// The moves to each state after a step.
fn sources(step: &Step) -> Vec<Vec<u32>> {
    let mut sources = vec![Vec::new(); step.n_states_after];
    step.after.iter().enumerate().for_each(|(joint, &after)| sources[after as usize].push(joint as u32));
    sources
}

/// Of each state the index of its first label among all.
fn first_indices(states: &[Vec<Label>]) -> Vec<u32> {
    let lengths = states.iter().scan(0, |first, labels| {
        let this = *first;
        *first += labels.len() as u32;
        Some(this)
    });
    lengths.collect()
}

/// The least of each resource that any completion takes, `[steps + 1][state]`; infinite if there is none.
fn least_to_go(steps: &[Step], moves: &[Moves]) -> Vec<Vec<[f64; N_SUMS]>> {
    let mut least = vec![vec![[0.0; N_SUMS]]];
    for (step, moves) in steps.iter().zip(moves).rev() {
        let after = least.last().expect("begins with the end");
        let n_states = moves.len() / step.n_choices;
        let mut before = vec![[f64::INFINITY; N_SUMS]; n_states];
        for (joint, r#move) in moves.iter().enumerate() {
            let Some(Move { amounts, .. }) = r#move else { continue };
            let to_go = after[step.after[joint] as usize];
            let this = &mut before[joint / step.n_choices];
            *this = std::array::from_fn(|d| this[d].min(amounts[d] + to_go[d]));
        }
        least.push(before);
    }
    least.reverse();
    least
}
