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

/// What a strategy answers to one set of budgets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answer {
    /// Index of the visit.
    pub visit_idx: usize,
    /// As [`Found::gap`].
    pub gap: Option<f64>,
}

impl Answer {
    /// Of a strategy that proves nothing.
    pub(super) fn unproven(visit_idx: usize) -> Answer {
        Answer { visit_idx, gap: None }
    }
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
    /// Whether `cost` holds `budgets`; it may not where [`Strategy::limits_macs`].
    pub meets: bool,
    /// By how much at most its sum of the units' divergences is above the least under the budgets, nats: 0 if it is proven the
    /// best. `None` of strategies that prove nothing, and where no network has a price within the budgets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
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
