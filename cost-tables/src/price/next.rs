//! What to measure next, so that few measurements price many layers.

use std::collections::{BTreeMap, BTreeSet};

use device_bench::LayerSpec;

use super::family::{channels, distance2, family_of};
use super::{Price, Prices, hull};
use crate::table::CostTable;

/// The layers out of `wanted`, at most `n` of them, whose measurement adds most to `table`.
///
/// As long as something wanted has no price: the outermost channels of each family, between which all others
/// lie. Then those whose price is the least certain, `(high - low) ×` distance to the nearest layer measured or
/// chosen. Measure, then ask again; the answer is empty when all of `wanted` is measured, and the same for the
/// same table on every machine.
pub fn next_to_measure(table: &CostTable, wanted: &[LayerSpec], n: usize) -> Vec<LayerSpec> {
    let prices = Prices::new(table);
    let mut corners = outermost(wanted);
    corners.retain(|spec| prices.price(spec).is_err());
    if !corners.is_empty() {
        corners.truncate(n);
        return corners;
    }
    let open: BTreeSet<&LayerSpec> = wanted.iter().filter(|spec| table.get(spec).is_none()).collect();
    let candidates = open.into_iter().filter_map(|spec| Candidate::new(&prices, spec)).collect();
    least_certain(candidates, n)
}

/// Corners of the convex hull of each family's channels.
fn outermost(wanted: &[LayerSpec]) -> Vec<LayerSpec> {
    let mut families: BTreeMap<LayerSpec, BTreeSet<hull::Channels>> = BTreeMap::new();
    for spec in wanted {
        families.entry(family_of(spec)).or_default().insert(channels(spec));
    }
    let with = |family, (c_in, c_out)| LayerSpec { c_in, c_out, ..family };
    let corners = families.into_iter().flat_map(|(family, channels)| {
        let channels: Vec<_> = channels.into_iter().collect();
        hull::corners(&channels).into_iter().map(move |corner| with(family, corner))
    });
    corners.collect()
}

/// A layer that could be measured.
struct Candidate {
    spec: LayerSpec,
    /// `high - low` of its price.
    width: f64,
    /// To the nearest layer of its family that is measured or chosen.
    distance: f64,
}

impl Candidate {
    fn new(prices: &Prices, spec: &LayerSpec) -> Option<Candidate> {
        let family = prices.families.get(&family_of(spec))?;
        let Price { low, high, .. } = family.price(spec)?;
        Some(Candidate { spec: *spec, width: high - low, distance: family.distance(channels(spec)) })
    }

    /// By what it adds, then (in families without any error) by distance.
    fn gain(&self) -> (f64, f64) {
        (self.width * self.distance, self.distance)
    }
}

fn least_certain(mut candidates: Vec<Candidate>, n: usize) -> Vec<LayerSpec> {
    let mut chosen = Vec::new();
    while chosen.len() < n && !candidates.is_empty() {
        let mut best = 0;
        for (idx, candidate) in candidates.iter().enumerate() {
            if candidate.gain() > candidates[best].gain() {
                best = idx;
            }
        }
        let Candidate { spec, .. } = candidates.remove(best);
        for other in candidates.iter_mut().filter(|other| family_of(&other.spec) == family_of(&spec)) {
            other.distance = other.distance.min(distance2(channels(&other.spec), channels(&spec)).sqrt());
        }
        chosen.push(spec);
    }
    chosen
}
