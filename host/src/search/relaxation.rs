//! How good a choice can still become: limits replaced by prices for what is taken (Lagrange; Handler and Zang 1980).

use super::frontier::{Limits, Move, Moves, Step};
use super::labels::N_SUMS;

/// Halvings of the range of a price.
const N_HALVINGS: usize = 20;
/// Rounds over all prices where there are several.
const N_ROUNDS: usize = 4;

/// Prices of resources, and what they tell about completions.
pub(super) struct Relaxation {
    /// Score for each unit of a resource.
    pub prices: [f64; N_SUMS],
    /// The least score plus priced amounts of any completion, `[steps + 1][state]`; infinite if there is none.
    pub to_go: Vec<Vec<f64>>,
    /// The best of the choices within the limits that were met on the way.
    pub best: Option<Path>,
}

/// A choice that is best at some prices.
#[derive(Clone)]
pub(super) struct Path {
    /// Of each step.
    pub choices: Vec<u32>,
    pub score: f64,
    amounts: [f64; N_SUMS],
}

/// The prices at which the bound on the score within `limits` is about the highest.
pub(super) fn relax(steps: &[Step], moves: &[Moves], limits: &Limits) -> Relaxation {
    let mut best =
        Relaxation { prices: [0.0; N_SUMS], to_go: to_go(steps, moves, [0.0; N_SUMS]), best: None };
    let Some(free) = path(steps, moves, &best.to_go, [0.0; N_SUMS]) else { return best };
    best.meet(&free, limits);
    let over: Vec<usize> = (0..N_SUMS).filter(|&d| free.amounts[d] > limits.sums[d]).collect();
    let n_rounds = if over.len() > 1 { N_ROUNDS } else { 1 };
    let scale = scores(moves).max(f64::MIN_POSITIVE);
    for &d in over.iter().cycle().take(over.len() * n_rounds) {
        let (mut low, mut high) = (0.0f64, 1e3 * scale / limits.sums[d].max(f64::MIN_POSITIVE));
        for halving in 0..N_HALVINGS {
            // The first ones go by orders of magnitude.
            let middle = if halving < N_HALVINGS / 2 {
                (low.max(high * 1e-8) * high).sqrt()
            } else {
                (low + high) / 2.0
            };
            best.prices[d] = middle;
            let to_go = to_go(steps, moves, best.prices);
            let path = path(steps, moves, &to_go, best.prices).expect("there is one without prices");
            best.meet(&path, limits);
            if path.amounts[d] > limits.sums[d] { low = middle } else { high = middle }
        }
        best.prices[d] = high;
    }
    best.to_go = to_go(steps, moves, best.prices);
    best
}

impl Relaxation {
    fn meet(&mut self, path: &Path, limits: &Limits) {
        let holds = (0..N_SUMS).all(|d| path.amounts[d] <= limits.sums[d]);
        if holds && path.score < self.score() {
            self.best = Some(path.clone());
        }
    }

    fn score(&self) -> f64 {
        self.best.as_ref().map_or(f64::INFINITY, |path| path.score)
    }

    /// No choice within `limits` has a lower score.
    pub(super) fn bound(&self, limits: &Limits) -> f64 {
        self.to_go[0][0] - self.left(&[0.0; N_SUMS], &limits.sums)
    }

    /// What is left of `limits`, priced.
    fn left(&self, amounts: &[f64; N_SUMS], limits: &[f64; N_SUMS]) -> f64 {
        (0..N_SUMS).filter(|&d| self.prices[d] > 0.0).map(|d| self.prices[d] * (limits[d] - amounts[d])).sum()
    }

    /// Whether a choice so far can still become as good as a choice that is known, if `limits` are not exceeded.
    ///
    /// - `to_go`: of its state
    pub(super) fn is_promising(
        &self,
        score: f64,
        amounts: &[f64; N_SUMS],
        to_go: f64,
        limits: &[f64; N_SUMS],
    ) -> bool {
        let bound = score + to_go - self.left(amounts, limits);
        bound <= self.score() + 1e-9 * (1.0 + self.score().abs())
    }
}

/// The sum of the steps' greatest scores.
fn scores(moves: &[Moves]) -> f64 {
    let greatest = |moves: &Moves| moves.iter().flatten().map(|m| m.score.abs()).fold(0.0, f64::max);
    moves.iter().map(greatest).sum()
}

fn priced(added: &Move, prices: [f64; N_SUMS]) -> f64 {
    added.score + (0..N_SUMS).map(|d| prices[d] * added.amounts[d]).sum::<f64>()
}

fn to_go(steps: &[Step], moves: &[Moves], prices: [f64; N_SUMS]) -> Vec<Vec<f64>> {
    let mut to_go = vec![vec![0.0]];
    for (step, moves) in steps.iter().zip(moves).rev() {
        let after = to_go.last().expect("begins with the end");
        let of_state = |(state, moves): (usize, &[Option<Move>])| {
            let after = step.after[state * step.n_choices..].iter().map(|&state| after[state as usize]);
            let totals =
                moves.iter().zip(after).filter_map(|(m, after)| Some(priced(m.as_ref()?, prices) + after));
            totals.fold(f64::INFINITY, f64::min)
        };
        let before = moves.chunks(step.n_choices).enumerate().map(of_state).collect();
        to_go.push(before);
    }
    to_go.reverse();
    to_go
}

/// A choice that reaches what `to_go` says; `None` if there is no choice at all.
fn path(steps: &[Step], moves: &[Moves], to_go: &[Vec<f64>], prices: [f64; N_SUMS]) -> Option<Path> {
    let (mut state, mut path) = (0, Path { choices: vec![], score: 0.0, amounts: [0.0; N_SUMS] });
    for ((step, moves), to_go) in steps.iter().zip(moves).zip(&to_go[1..]) {
        let joint = state * step.n_choices..(state + 1) * step.n_choices;
        let total = |joint: usize| {
            let after = to_go[step.after[joint] as usize];
            moves[joint].as_ref().map_or(f64::INFINITY, |m| priced(m, prices) + after)
        };
        let best = joint.min_by(|&a, &b| total(a).total_cmp(&total(b)))?;
        let added = moves[best].filter(|_| total(best).is_finite())?;
        path.choices.push((best % step.n_choices) as u32);
        path.score += added.score;
        path.amounts = std::array::from_fn(|d| path.amounts[d] + added.amounts[d]);
        state = step.after[best] as usize;
    }
    Some(path)
}
