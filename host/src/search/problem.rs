//! All that a search sees: a graph, what channels cost, and how well they answer.

use crate::network::{Channels, Graph};
use reports::record::Resource;
use serde::{Deserialize, Serialize};

/// A latency and the interval that holds it, in the table's unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The expected one.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end; what a budget is held against.
    pub high: f64,
}

/// What a subnet needs of every resource.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Of one image.
    pub latency: Price,
    /// Working memory, bytes.
    pub ram: f64,
    /// Model blob, bytes.
    pub flash: f64,
    /// Multiply-accumulates of one image.
    pub macs: f64,
}

impl Cost {
    /// What a budget on `resource` is held against: of the latency the upper end.
    pub fn amount(&self, resource: Resource) -> f64 {
        match resource {
            Resource::Latency => self.latency.high,
            Resource::Ram => self.ram,
            Resource::Flash => self.flash,
            Resource::Macs => self.macs,
        }
    }

    /// What is expected to be needed of `resource`; percentages are of it.
    pub fn expected(&self, resource: Resource) -> f64 {
        if resource == Resource::Latency { self.latency.value } else { self.amount(resource) }
    }

    /// Whether every amount is a positive number and the price lies in its interval: a latency of 0 would meet
    /// every budget.
    pub(super) fn is_sound(&self) -> bool {
        let Price { value, low, high } = self.latency;
        let positive = |x: &f64| x.is_finite() && *x > 0.0;
        [value, high, self.ram, self.flash, self.macs].iter().all(positive) && low <= value && value <= high
    }
}

/// How well a subnet of the supernet answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Share of images answered rightly.
    pub accuracy: f64,
    /// Mean cross-entropy, nats.
    pub loss: f64,
    /// Images.
    pub n: usize,
}

impl Estimate {
    /// Whether `self` is the better answer: more accurate, or as accurate with less loss.
    pub(super) fn beats(&self, other: &Estimate) -> bool {
        (self.accuracy, -self.loss) > (other.accuracy, -other.loss)
    }
}

/// Prices subnets.
pub trait CostModel {
    /// What `channels` need.
    ///
    /// # Errors
    /// If a layer has no price.
    fn cost(&self, channels: &Channels) -> anyhow::Result<Cost>;

    /// Unit of latencies, such as `cycles`.
    fn latency_unit(&self) -> &str;
}

/// Estimates how well subnets answer.
pub trait AccuracyModel {
    /// Estimates `channels`; the same channels get the same estimate.
    ///
    /// # Errors
    /// If the subnet cannot be evaluated.
    fn estimate(&mut self, channels: &Channels) -> anyhow::Result<Estimate>;

    /// Names everything that estimates depend on; estimates of equal identities are shared and resumed from.
    fn identity(&self) -> String;
}

/// What is searched.
pub struct Problem<'a> {
    /// Its units and bins are the choices.
    pub graph: &'a Graph,
    /// Prices a choice.
    pub costs: &'a dyn CostModel,
    /// Judges a choice.
    pub accuracy: &'a mut dyn AccuracyModel,
    /// Decides everything random.
    pub seed: u64,
}
