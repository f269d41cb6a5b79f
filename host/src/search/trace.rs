//! What a search leaves behind.

use super::budget::BudgetSet;
use super::problem::{Cost, Estimate};
use super::strategy::Strategy;
use crate::network::Channels;
use serde::{Deserialize, Serialize};

/// A candidate that a search looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// One count per unit.
    pub channels: Channels,
    /// What it needs.
    pub cost: Cost,
    /// How well it answers; `None` if only its cost decided.
    pub estimate: Option<Estimate>,
}

/// The answer to one set of budgets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// What was asked for.
    pub budgets: BudgetSet,
    /// One count per unit.
    pub channels: Channels,
    /// What it needs.
    pub cost: Cost,
    /// How well it answers as a part of the supernet; retrained it answers better.
    pub estimate: Estimate,
    /// Whether `cost` holds `budgets`; only [`Strategy::Flops`] finds networks that may not.
    pub meets: bool,
}

/// Every candidate that a search visited: enough to resume it and to draw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// What searched.
    pub strategy: Strategy,
    /// The seed of everything random.
    pub seed: u64,
    /// Name of the network.
    pub network: String,
    /// Name of each unit: `[units]`.
    pub units: Vec<String>,
    /// [`AccuracyModel::identity`](super::AccuracyModel::identity) of what estimated.
    pub estimator: String,
    /// Unit of latencies.
    pub latency_unit: String,
    /// In the order of their first visit, no channels twice.
    pub visits: Vec<Visit>,
    /// Of a descent the networks that it passed through, as indices of `visits`; else empty.
    pub path: Vec<usize>,
    /// The answers, one per set of budgets in their order, once the search has ended.
    pub found: Vec<Found>,
}
