//! Layers that differ in their channels only, and the costs between them.

use device_bench::LayerSpec;

use super::fit::{MAX_TERMS, Observations};
use super::hull::{self, Channels};
use super::{How, Price};
use crate::table::median;

/// Held-out layers that a family needs before its error is believed.
pub const MIN_HELD_OUT: usize = 3;

/// Squared distance of layers that are as near as can be: 3 % more channels. Nearer ones would have so much more weight than
/// others that a slope is lost to rounding.
const NEAREST: f64 = 1e-3;

/// Relative errors of held-out layers, fractions of the measured cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    /// Half of the errors are smaller.
    pub median: f64,
    /// Nine tenths of the errors are no greater.
    pub p90: f64,
    /// The greatest error.
    pub max: f64,
    /// Layers held out, one at a time.
    pub n: usize,
}

impl HeldOut {
    /// Of these errors; `None` if there are none.
    pub(super) fn new(mut errors: Vec<f64>) -> Option<HeldOut> {
        errors.sort_by(f64::total_cmp);
        let n = errors.len();
        let max = *errors.last()?;
        let p90 = errors[(9 * n).div_ceil(10) - 1];
        Some(HeldOut { median: median(errors), p90, max, n })
    }
}

/// The layer with its channels taken out.
pub(super) fn family_of(spec: &LayerSpec) -> LayerSpec {
    LayerSpec { c_in: 0, c_out: 0, ..*spec }
}

pub(super) fn channels(spec: &LayerSpec) -> Channels {
    (spec.c_in, spec.c_out)
}

/// The measured layers of a family; never empty.
#[derive(Debug, Clone)]
pub(super) struct Family {
    /// Channels and cost, in order of the channels.
    points: Vec<(Channels, f64)>,
    corners: Vec<Channels>,
    n_terms: usize,
    /// Relative error of every layer that is no corner, priced from the others.
    pub(super) held_out: Vec<f64>,
    error: Option<f64>,
}

impl Family {
    /// `layers`: of one family, in order.
    pub(super) fn new(layers: &[(LayerSpec, f64)]) -> Family {
        let points: Vec<_> = layers.iter().map(|(spec, value)| (channels(spec), *value)).collect();
        let corners = hull::corners(&points.iter().map(|point| point.0).collect::<Vec<_>>());
        let two_axes = layers.iter().any(|(spec, _)| spec.op.changes_channels());
        let n_terms = if two_axes { MAX_TERMS } else { 2 };
        let mut family = Family { points, corners, n_terms, held_out: Vec::new(), error: None };
        let inner = family.points.iter().filter(|(at, _)| !family.corners.contains(at));
        family.held_out =
            inner.map(|&(at, value)| (family.cost(at) - value).abs() / value.max(1.0)).collect();
        if family.held_out.len() >= MIN_HELD_OUT {
            family.error = HeldOut::new(family.held_out.clone()).map(|held_out| held_out.p90);
        }
        family
    }

    /// The price of a layer of this family that was not measured; `None` if it is not between measured ones.
    ///
    /// Its bounds are the family's held-out error (nine tenths of the layers err by less) or, with fewer than
    /// [`MIN_HELD_OUT`] layers held out, the cheapest and the dearest layer.
    pub(super) fn price(&self, spec: &LayerSpec) -> Option<Price> {
        let at = channels(spec);
        if !hull::contains(&self.corners, at) {
            return None;
        }
        let value = self.cost(at);
        let (low, high) = match self.error {
            Some(error) => (value * (1.0 - error), value * (1.0 + error)),
            None => self.points.iter().fold((value, value), |(low, high), &(_, v)| (low.min(v), high.max(v))),
        };
        Some(Price { value, low: low.max(0.0), high, how: How::Interpolated })
    }

    /// The fewest and the most channels measured, in and out.
    pub(super) fn range(&self) -> (Channels, Channels) {
        let range = |axis: fn(Channels) -> u16| {
            let counts = self.points.iter().map(|point| axis(point.0));
            counts.fold((u16::MAX, 0), |(min, max), count| (min.min(count), max.max(count)))
        };
        (range(|c| c.0), range(|c| c.1))
    }

    /// Distance to the nearest measured layer.
    pub(super) fn distance(&self, at: Channels) -> f64 {
        self.points.iter().map(|point| distance2(point.0, at)).fold(f64::INFINITY, f64::min).sqrt()
    }

    /// The cost at `at` by interpolating moving least squares (Lancaster and Salkauskas 1981): the model of
    /// [`crate::price`] fitted to relative costs of all layers but the one at `at`, the nearer the more weight.
    fn cost(&self, at: Channels) -> f64 {
        let mut sums = Observations::default();
        for &(point, value) in self.points.iter().filter(|point| point.0 != at) {
            let scale = value.max(1.0);
            let (x, y) = (ratio(point.0, at.0), ratio(point.1, at.1));
            let terms = [1.0, x, y, x * y].map(|term| term / scale);
            sums.add(terms, value / scale, distance2(point, at).max(NEAREST).powi(-2));
        }
        sums.coefficients(self.n_terms).iter().sum()
    }
}

/// Squared distance on logarithmic axes: from 8 to 16 channels is as far as from 64 to 128.
pub(super) fn distance2(a: Channels, b: Channels) -> f64 {
    ratio(a.0, b.0).ln().powi(2) + ratio(a.1, b.1).ln().powi(2)
}

fn ratio(a: u16, b: u16) -> f64 {
    f64::from(a) / f64::from(b)
}
