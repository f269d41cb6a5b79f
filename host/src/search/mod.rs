//! Chooses channels under budgets.
//!
//! The search sees two things: what channels cost and how well they answer. It neither trains nor talks to a
//! board. Every strategy returns the trace of all it visited; a search that was stopped goes on from its trace
//! and ends with the same bytes as an uninterrupted one.

mod accuracy;
pub mod budget;
mod costs;
mod dp;
mod evolution;
mod explorer;
mod flops;
mod frontier;
mod greedy;
mod labels;
mod marginals;
mod parts;
pub mod problem;
mod random;
mod relaxation;
mod scores;
pub mod strategy;
pub mod trace;
mod uniform;

pub use accuracy::SupernetAccuracy;
pub use budget::{Amount, BudgetError, BudgetSet, BudgetSetSpec, BudgetSpec, LatencyUnit};
pub use costs::{TableCosts, deployed};
pub use dp::check_parts;
pub use explorer::{Hooks, Progress, check_possible};
pub use problem::{AccuracyModel, Cost, CostModel, Estimate, Load, Part, Price, Problem, Score};
pub use scores::Reference;
pub use strategy::{Strategy, UnknownStrategy};
pub use trace::{Found, Trace, Visit};
pub use uniform::uniform_networks;

use crate::network::Channels;
use explorer::Explorer;
use greedy::Rule;
use reports::record::Resource;
use trace::Answer;

/// How thoroughly strategies search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bins of a unit that one step of greedy slimming removes; more for networks so wide that the number of
    /// estimates (about units × all bins / `bins_per_step`) takes too long.
    pub bins_per_step: usize,
    /// Networks that [`Strategy::Random`] estimates for each set of budgets.
    pub random_candidates: usize,
    /// Networks that [`Strategy::Evolution`] estimates for each set of budgets.
    pub evolution_candidates: usize,
    /// Bins of a unit that [`Strategy::Dp`] measures, at least two; the score of others is interpolated.
    pub measured_bins: usize,
    /// Partial choices that [`Strategy::Dp`] keeps at a time; with more than that its answers may have a gap, which is told.
    pub max_labels: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            bins_per_step: 1,
            random_candidates: 50,
            evolution_candidates: 200,
            measured_bins: 6,
            max_labels: 1 << 17,
        }
    }
}

/// A search does not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Even the smallest network is over a budget.
    #[error(
        "{strategy}: no subnet of {network} has {resource} of at most {limit:.0} {unit}, the smallest needs {smallest:.0}; raise the budget or train the supernet with a smaller min_width"
    )]
    Impossible {
        /// What searched; some limit MACs where the user limits latency ([`Strategy::limits_macs`]).
        strategy: Strategy,
        /// Name of the network.
        network: String,
        /// What is limited.
        resource: &'static str,
        /// Unit of both amounts.
        unit: String,
        /// The budget.
        limit: f64,
        /// What [`Graph::smallest`](crate::network::Graph::smallest) needs, of a latency the upper end.
        smallest: f64,
    },
    /// A strategy that limits MACs needs the latency of the full network.
    #[error(
        "{strategy}: the full {network} does not fit the board, so no latency is a share of its own; leave the strategy out, or give a budget on MACs"
    )]
    NoShare {
        /// What searched.
        strategy: Strategy,
        /// Name of the network.
        network: String,
    },
    /// A strategy that adds up costs has no sum.
    #[error("{strategy}: {source:#}; or take another strategy, such as greedy-kl")]
    Parts {
        /// What searched.
        strategy: Strategy,
        /// Why there is none.
        source: anyhow::Error,
    },
    /// The stop flag was set; what was found so far has been saved.
    #[error("stopped after {n_estimates} estimates; run it again to go on from there")]
    Stopped {
        /// Candidates estimated so far.
        n_estimates: usize,
    },
    /// A candidate cannot be priced.
    #[error("channels {:?}: no price: {source:#}", channels.0)]
    Cost {
        /// The candidate.
        channels: Channels,
        /// Why.
        source: anyhow::Error,
    },
    /// A cost that would meet any budget or none.
    #[error("channels {:?}: {cost:?} is no cost: all amounts are above 0 and low <= value <= high; profile the board again", channels.0)]
    Unsound {
        /// The candidate.
        channels: Channels,
        /// Its cost.
        cost: Cost,
    },
    /// A candidate cannot be evaluated.
    #[error("channels {:?}: no estimate: {source:#}", channels.0)]
    Accuracy {
        /// The candidate.
        channels: Channels,
        /// Why.
        source: anyhow::Error,
    },
    /// An accuracy, loss or divergence that is no number.
    #[error("channels {:?}: accuracy {}, loss {}, divergence {}: the supernet has diverged; train it with a smaller learning rate", channels.0, estimate.accuracy, estimate.loss, estimate.kl)]
    NotFinite {
        /// The candidate.
        channels: Channels,
        /// Its estimate.
        estimate: Estimate,
    },
    /// The trace cannot be saved.
    #[error("the search's trace cannot be saved: {}", crate::ui::message(.0.as_ref()))]
    Save(anyhow::Error),
}

/// Finds channels for each set of budgets.
///
/// Estimates in `earlier` traces are not taken again, if they are of the same network and estimator: a stopped
/// search goes on from its own trace, and strategies share what others have estimated.
///
/// # Errors
/// [`SearchError`]; what was estimated has been saved.
pub fn search(
    problem: &mut Problem<'_>,
    strategy: Strategy,
    budgets: &[BudgetSet],
    options: &Options,
    earlier: &[Trace],
    hooks: Hooks<'_>,
) -> Result<Trace, SearchError> {
    let mut explorer = Explorer::new(problem, strategy, earlier, hooks);
    match answers(&mut explorer, strategy, budgets, options) {
        Ok(answers) => explorer.end(budgets, &answers),
        Err(error) => explorer.save_new().and(Err(error)),
    }
}

/// The answer of a strategy to each set of budgets.
fn answers(
    explorer: &mut Explorer<'_, '_>,
    strategy: Strategy,
    budgets: &[BudgetSet],
    options: &Options,
) -> Result<Vec<Answer>, SearchError> {
    let visits = match strategy {
        Strategy::Dp => return dp::best(explorer, budgets, options),
        Strategy::MacsDp => {
            let goals = flops::goals(explorer, budgets)?;
            return dp::best(explorer, &goals, options);
        }
        Strategy::Flops => {
            let goals = flops::goals(explorer, budgets)?;
            greedy::descend(explorer, &goals, options, Rule::Harm(Score::Accuracy))
        }
        Strategy::Autoslim => greedy::descend(explorer, budgets, options, Rule::Harm(Score::Accuracy)),
        Strategy::GreedyLoss => greedy::descend(explorer, budgets, options, Rule::Harm(Score::Loss)),
        Strategy::GreedyKl => greedy::descend(explorer, budgets, options, Rule::Harm(Score::Divergence)),
        Strategy::GreedyLatency => greedy::descend(explorer, budgets, options, Rule::DivergencePerLatency),
        Strategy::Uniform => uniform::widest(explorer, budgets),
        Strategy::Random => random::best(explorer, budgets, options),
        Strategy::Evolution => evolution::best(explorer, budgets, options),
    };
    Ok(visits?.into_iter().map(Answer::unproven).collect())
}

fn unit_of(resource: Resource, latency_unit: &str) -> String {
    match resource {
        Resource::Latency => latency_unit.to_owned(),
        Resource::Ram | Resource::Flash => "bytes".to_owned(),
        Resource::Macs => "multiply-accumulates".to_owned(),
    }
}

#[cfg(test)]
mod synthetic;
#[cfg(test)]
mod tests;
