//! All that a search sees: a graph, what channels cost, and how well they answer.

use super::labels::N_SUMS;
use crate::network::{Channels, Graph, UnitId};
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
    /// Of one image; `None` if a layer is too large for the board to be measured.
    pub latency: Option<Price>,
    /// Working memory, bytes.
    pub ram: f64,
    /// Model blob, bytes.
    pub flash: f64,
    /// Multiply-accumulates of one image.
    pub macs: f64,
}

impl Cost {
    /// What a budget on `resource` is held against: of the latency the upper end, infinite if it is not known.
    pub fn amount(&self, resource: Resource) -> f64 {
        match resource {
            Resource::Latency => self.latency.map_or(f64::INFINITY, |price| price.high),
            Resource::Ram => self.ram,
            Resource::Flash => self.flash,
            Resource::Macs => self.macs,
        }
    }

    /// What is expected to be needed of `resource`; percentages are of it.
    pub fn expected(&self, resource: Resource) -> Option<f64> {
        match resource {
            Resource::Latency => self.latency.map(|price| price.value),
            other => Some(self.amount(other)),
        }
    }

    /// Whether every amount is a positive number and the price lies in its interval: a latency of 0 would meet
    /// every budget.
    pub(super) fn is_sound(&self) -> bool {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let price =
            |Price { value, low, high }| positive(value) && positive(high) && low <= value && value <= high;
        self.latency.is_none_or(price) && [self.ram, self.flash, self.macs].into_iter().all(positive)
    }
}

/// A part of what a network costs, mostly a layer: what it takes for each choice of the units that decide it.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Those units, ascending; none where it is the same in every subnet.
    pub units: Vec<UnitId>,
    /// One for each choice of their bins, those of the last unit next to each other.
    pub loads: Vec<Load>,
}

/// What a part takes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Upper end of its latency; infinite if it is too large for the board to be measured.
    pub latency: f64,
    /// Bytes of the model blob.
    pub flash: f64,
    /// Multiply-accumulates.
    pub macs: f64,
    /// Bytes that live while it runs.
    pub ram: f64,
}

impl Load {
    /// What adds up over parts.
    pub(super) fn sums(&self) -> [f64; N_SUMS] {
        [self.latency, self.flash, self.macs]
    }
}

impl std::iter::Sum for Load {
    /// Parts that run one after another.
    fn sum<I: Iterator<Item = Load>>(loads: I) -> Load {
        loads.fold(Load::default(), |a, b| Load {
            latency: a.latency + b.latency,
            flash: a.flash + b.flash,
            macs: a.macs + b.macs,
            ram: a.ram.max(b.ram),
        })
    }
}

/// What makes one answer better than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// Top-1 accuracy, then the loss.
    Accuracy,
    /// Cross-entropy.
    Loss,
    /// Divergence from the widest subnet.
    Divergence,
}

/// How well a subnet of the supernet answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Share of images answered rightly.
    pub accuracy: f64,
    /// Mean cross-entropy, nats.
    pub loss: f64,
    /// Standard error of `loss`, nats.
    pub loss_error: f64,
    /// Mean Kullback-Leibler divergence of its answers from those of the widest subnet, nats; needs no labels.
    pub kl: f64,
    /// Standard error of `kl`, nats.
    pub kl_error: f64,
    /// Images.
    pub n: usize,
}

impl Estimate {
    /// Standard error of `accuracy`: that of a share of `n` independent images.
    pub fn accuracy_error(&self) -> f64 {
        (self.accuracy * (1.0 - self.accuracy) / self.n as f64).sqrt()
    }

    /// Lower is better; the second figure decides where the first is the same.
    pub(super) fn harm(&self, score: Score) -> (f64, f64) {
        match score {
            Score::Accuracy => (-self.accuracy, self.loss),
            Score::Loss => (self.loss, 0.0),
            Score::Divergence => (self.kl, 0.0),
        }
    }

    pub(super) fn is_finite(&self) -> bool {
        [self.accuracy, self.loss, self.kl].into_iter().all(f64::is_finite)
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

    /// The same costs as parts in the order in which they run. Upper ends of latencies, flash and MACs of the parts add up to
    /// those of the network; its RAM is at least that of any part.
    ///
    /// # Errors
    /// If these costs are not a sum; a part that has no price.
    fn parts(&self) -> anyhow::Result<Vec<Part>> {
        anyhow::bail!("what a network costs is not a sum over its layers here")
    }
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
