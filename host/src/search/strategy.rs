//! The strategies by name.

use crate::nearest::did_you_mean;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How channels are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Greedy slimming under the budgets themselves.
    Autoslim,
    /// One width ratio for all units.
    Uniform,
    /// The best of random networks that use up the budget.
    Random,
    /// Greedy slimming to the same share of MACs where latency is limited: what a user without a table can do.
    Flops,
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
    pub const ALL: [Strategy; 4] = [Strategy::Autoslim, Strategy::Uniform, Strategy::Random, Strategy::Flops];

    /// As it is written in `edgeslim.toml` and in records.
    pub const fn name(self) -> &'static str {
        match self {
            Strategy::Autoslim => "autoslim",
            Strategy::Uniform => "uniform",
            Strategy::Random => "random",
            Strategy::Flops => "flops",
        }
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

    #[test]
    fn names_parse_to_their_strategies_and_equal_those_in_records() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.name().parse(), Ok(strategy));
            assert_eq!(serde_json::to_value(strategy).unwrap(), strategy.name());
        }
    }

    #[test]
    fn a_near_name_is_suggested() {
        let error = "autoslm".parse::<Strategy>().unwrap_err().to_string();
        assert_eq!(
            error,
            "no strategy is called `autoslm` (did you mean `autoslim`?); there are: autoslim, uniform, random, flops"
        );
    }
}
