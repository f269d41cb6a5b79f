//! Budgets as users write them, and what they come to for one network and table.

use super::problem::Cost;
use crate::nearest::did_you_mean;
use reports::record::{Budget, Resource};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Joins the budgets of a set.
const AND: &str = " and ";

const RESOURCES: [(&str, Resource); 4] = [
    ("latency", Resource::Latency),
    ("ram", Resource::Ram),
    ("flash", Resource::Flash),
    ("macs", Resource::Macs),
];

/// How much of a resource.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// Of what the full network (width ×1.0) needs.
    Percent(f64),
    /// In the resource's unit: the table's for latency, bytes for RAM and flash, multiply-accumulates.
    Absolute(f64),
    /// Latency on a board whose clock is known.
    Time {
        /// Milliseconds.
        ms: f64,
    },
}

/// One budget: `latency 50%`, `latency 12ms`, `latency 3.5M`, `ram 20kB`, `flash 60KiB`, `macs 1.5M`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetSpec {
    /// What is limited.
    pub resource: Resource,
    /// To what.
    pub amount: Amount,
}

/// Budgets that must hold at once: `latency 50% and ram 20kB`.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetSetSpec(pub Vec<BudgetSpec>);

/// Limits that must hold at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BudgetSet(pub Vec<Budget>);

/// What a table says about the unit of its latencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatencyUnit<'a> {
    /// The board's name.
    pub board: &'a str,
    /// Such as `cycles` or `instructions`.
    pub unit: &'a str,
    /// Core clock, Hz; 0 where it is unknown.
    pub core_hz: u64,
}

/// A budget that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Not a resource and an amount.
    #[error("`{text}` is no budget: write a resource and an amount, such as `latency 50%` or `ram 20kB`")]
    Form {
        /// What was written.
        text: String,
    },
    /// A resource that does not exist.
    #[error("no resource is called `{name}`{}; there are: latency, ram, flash, macs", did_you_mean(name, RESOURCES.map(|r| r.0)))]
    Resource {
        /// What was written.
        name: String,
    },
    /// An amount that is no positive number.
    #[error("`{text}`: {problem}; write an amount such as `50%` or `3.5M`")]
    Number {
        /// What was written.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A unit of another resource.
    #[error("{} cannot be given in `{unit}`; it takes {}", resource_name(*resource), units(*resource))]
    Unit {
        /// What is limited.
        resource: Resource,
        /// What was written.
        unit: String,
    },
    /// A share of a latency that the full network does not have.
    #[error(
        "a percentage is a share of the full network's latency, but that network does not fit {board}; give an amount \
         such as --latency 3.5M"
    )]
    NoFull {
        /// The board.
        board: String,
    },
    /// A time, but the table's unit cannot be turned into one.
    #[error("the table of {board} is in {unit}{}; give --latency 40% or --latency 3.5M", if unit == "cycles" { " of an unknown clock" } else { "" })]
    Time {
        /// The board.
        board: String,
        /// The table's unit.
        unit: String,
    },
}

/// The word for a resource.
pub fn resource_name(resource: Resource) -> &'static str {
    RESOURCES.into_iter().find(|r| r.1 == resource).map_or("", |r| r.0)
}

fn units(resource: Resource) -> &'static str {
    match resource {
        Resource::Latency => "%, no unit, k, M or G (of the table's unit), us, ms or s",
        Resource::Ram | Resource::Flash => "%, B, kB, MB (1000), KiB or MiB (1024)",
        Resource::Macs => "%, no unit, k, M or G",
    }
}

impl BudgetSpec {
    /// Reads the amount alone, as after `--latency`.
    ///
    /// # Errors
    /// [`BudgetError::Number`], [`BudgetError::Unit`].
    pub fn with_amount(resource: Resource, text: &str) -> Result<BudgetSpec, BudgetError> {
        let text = text.trim();
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
        let (digits, unit) = (text[..end].replace('_', ""), text[end..].trim_start());
        // The exponent goes into the text, so that `1.1M` is the number closest to 1 100 000.
        let scaled = |exponent: i32| number(text, &format!("{digits}e{exponent}"));
        let binary = |factor: f64| scaled(0).map(|n| n * factor);
        let memory = matches!(resource, Resource::Ram | Resource::Flash);
        let latency = resource == Resource::Latency;
        let amount = match unit {
            "%" => Amount::Percent(scaled(0)?),
            "" => Amount::Absolute(scaled(0)?),
            "us" | "µs" if latency => Amount::Time { ms: scaled(-3)? },
            "ms" if latency => Amount::Time { ms: scaled(0)? },
            "s" if latency => Amount::Time { ms: scaled(3)? },
            "k" if !memory => Amount::Absolute(scaled(3)?),
            "M" if !memory => Amount::Absolute(scaled(6)?),
            "G" if !memory => Amount::Absolute(scaled(9)?),
            "B" if memory => Amount::Absolute(scaled(0)?),
            "kB" if memory => Amount::Absolute(scaled(3)?),
            "MB" if memory => Amount::Absolute(scaled(6)?),
            "KiB" if memory => Amount::Absolute(binary(1024.0)?),
            "MiB" if memory => Amount::Absolute(binary(1024.0 * 1024.0)?),
            _ if end == 0 => return Err(not_a_number(text, "no number")),
            _ => return Err(BudgetError::Unit { resource, unit: unit.to_owned() }),
        };
        Ok(BudgetSpec { resource, amount })
    }

    /// The limit for a network that costs `full` at width ×1.0.
    ///
    /// A percentage of latency is one of the full network's price, not of the upper end of its interval.
    ///
    /// # Errors
    /// [`BudgetError::Time`] for a time where the table is not in cycles of a known clock, [`BudgetError::NoFull`]
    /// for a share of a latency that is not known.
    pub fn resolve(&self, full: &Cost, table: LatencyUnit<'_>) -> Result<Budget, BudgetError> {
        let limit = match self.amount {
            Amount::Absolute(limit) => limit,
            Amount::Percent(percent) => {
                let no_full = || BudgetError::NoFull { board: table.board.into() };
                full.expected(self.resource).ok_or_else(no_full)? * percent / 100.0
            }
            Amount::Time { ms } if table.unit == "cycles" && table.core_hz > 0 => {
                ms * table.core_hz as f64 / 1000.0
            }
            Amount::Time { .. } => {
                return Err(BudgetError::Time { board: table.board.into(), unit: table.unit.into() });
            }
        };
        Ok(Budget { resource: self.resource, limit })
    }
}

fn not_a_number(text: &str, problem: &'static str) -> BudgetError {
    BudgetError::Number { text: text.to_owned(), problem }
}

fn number(text: &str, digits: &str) -> Result<f64, BudgetError> {
    match digits.parse::<f64>() {
        Err(_) => Err(not_a_number(text, "no number")),
        Ok(0.0) => Err(not_a_number(text, "not above 0")),
        Ok(n) if n > 1e300 => Err(not_a_number(text, "too large")),
        Ok(n) => Ok(n),
    }
}

impl FromStr for BudgetSpec {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<BudgetSpec, BudgetError> {
        let form = || BudgetError::Form { text: text.to_owned() };
        let (name, amount) = text.trim().split_once(char::is_whitespace).ok_or_else(form)?;
        let known = RESOURCES.into_iter().find(|r| r.0 == name);
        let (_, resource) = known.ok_or_else(|| BudgetError::Resource { name: name.to_owned() })?;
        BudgetSpec::with_amount(resource, amount)
    }
}

impl fmt::Display for BudgetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", resource_name(self.resource))?;
        match self.amount {
            Amount::Percent(percent) => write!(f, "{percent}%"),
            Amount::Time { ms } => write!(f, "{ms}ms"),
            Amount::Absolute(limit) => match self.resource {
                Resource::Ram | Resource::Flash => f.write_str(&short(limit, [("MB", 6), ("kB", 3)], "B")),
                Resource::Latency | Resource::Macs => {
                    f.write_str(&short(limit, [("G", 9), ("M", 6), ("k", 3)], ""))
                }
            },
        }
    }
}

/// The number in the largest unit that gives it exactly.
fn short<const N: usize>(x: f64, units: [(&str, i32); N], unit: &str) -> String {
    let in_unit = |(unit, exponent): (&str, i32)| {
        let shifted = x / 10f64.powi(exponent);
        let exact = format!("{shifted}e{exponent}").parse() == Ok(x);
        (shifted >= 1.0 && exact).then(|| format!("{shifted}{unit}"))
    };
    units.into_iter().find_map(in_unit).unwrap_or_else(|| format!("{x}{unit}"))
}

impl BudgetSetSpec {
    /// The limits for a network that costs `full` at width ×1.0.
    ///
    /// # Errors
    /// As [`BudgetSpec::resolve`].
    pub fn resolve(&self, full: &Cost, table: LatencyUnit<'_>) -> Result<BudgetSet, BudgetError> {
        self.0.iter().map(|spec| spec.resolve(full, table)).collect::<Result<_, _>>().map(BudgetSet)
    }
}

impl FromStr for BudgetSetSpec {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<BudgetSetSpec, BudgetError> {
        text.split(AND).map(str::parse).collect::<Result<_, _>>().map(BudgetSetSpec)
    }
}

impl fmt::Display for BudgetSetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(AND))
    }
}

impl BudgetSet {
    /// Whether `cost` holds every limit with the upper end of its price; never where it has no price.
    pub fn is_met_by(&self, cost: &Cost) -> bool {
        cost.latency.is_some() && self.0.iter().all(|b| cost.amount(b.resource) <= b.limit)
    }

    /// The largest share of a limit that `cost` takes, as far as it is known: 1 is the edge of the budget; 0
    /// without limits.
    pub fn usage(&self, cost: &Cost) -> f64 {
        let shares = self.0.iter().map(|b| cost.amount(b.resource) / b.limit);
        shares.filter(|share| share.is_finite()).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests;
