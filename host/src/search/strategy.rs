//! The strategies by name.

use crate::nearest::did_you_mean;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How channels are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The best sum of the units' own divergences under the budgets, exactly.
    Dp,
    /// Greedy slimming by top-1 accuracy under the budgets themselves.
    Autoslim,
    /// One width ratio for all units.
    Uniform,
    /// The best of random networks that use up the budget.
    Random,
    /// Greedy slimming to the same share of MACs where latency is limited: what a user without a table can do.
    Flops,
    /// As `autoslim`, by cross-entropy.
    GreedyLoss,
    /// As `autoslim`, by divergence from the widest subnet.
    GreedyKl,
    /// Greedy slimming by divergence for each unit of latency that is saved.
    GreedyLatency,
    /// Mutations and crossings of random networks that use up the budget, by divergence.
    Evolution,
    /// As `dp`, with the same share of MACs where latency is limited.
    MacsDp,
}

/// A name that no strategy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no strategy is called `{name}`{}; there are: {}", did_you_mean(name, Strategy::ALL.map(Strategy::name)), Strategy::ALL.map(Strategy::name).join(", "))]
pub struct UnknownStrategy {
    /// What was written.
    pub name: String,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Strategy; 10] = [
        Strategy::Dp,
        Strategy::Autoslim,
        Strategy::Uniform,
        Strategy::Random,
        Strategy::Flops,
        Strategy::GreedyLoss,
        Strategy::GreedyKl,
        Strategy::GreedyLatency,
        Strategy::Evolution,
        Strategy::MacsDp,
    ];

    /// As it is written in `edgeslim.toml` and in records.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Dp => "dp",
            Strategy::Autoslim => "autoslim",
            Strategy::Uniform => "uniform",
            Strategy::Random => "random",
            Strategy::Flops => "flops",
            Strategy::GreedyLoss => "greedy-loss",
            Strategy::GreedyKl => "greedy-kl",
            Strategy::GreedyLatency => "greedy-latency",
            Strategy::Evolution => "evolution",
            Strategy::MacsDp => "macs-dp",
        }
    }

    /// Whether it limits MACs where the user limits latency, so that what it finds may miss that.
    pub const fn limits_macs(self) -> bool {
        matches!(self, Strategy::Flops | Strategy::MacsDp)
    }

    /// Whether it needs costs that are a sum over layers, whose channels depend on not too many others.
    pub const fn adds_up_costs(self) -> bool {
        matches!(self, Strategy::Dp | Strategy::MacsDp)
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Strategy, UnknownStrategy> {
        let known = Strategy::ALL.into_iter().find(|s| s.name() == name);
        known.ok_or_else(|| UnknownStrategy { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::figures::accuracy_latency::STRATEGIES;

    #[test]
    fn names_parse_to_their_strategies_and_equal_those_in_records() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.name().parse(), Ok(strategy));
            assert_eq!(serde_json::to_value(strategy).unwrap(), strategy.name());
        }
        assert_eq!(Strategy::ALL.map(Strategy::name), STRATEGIES, "charts draw each in its own way");
    }

    #[test]
    fn a_near_name_is_suggested() {
        let error = "autoslm".parse::<Strategy>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no strategy is called `autoslm` (did you mean `autoslim`?); there are: dp, autoslim, uniform, \
             random, flops, greedy-loss, greedy-kl, greedy-latency, evolution, macs-dp"
        );
    }
}
