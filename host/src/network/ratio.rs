//! One width ratio for all units.

use super::graph::{Channels, Graph, Unit};

impl Graph {
    /// Every unit at the bin that is nearest to `ratio` times its full count, the larger of two that are as near.
    pub fn at_ratio(&self, ratio: f64) -> Channels {
        Channels(self.units.iter().map(|unit| nearest_bin(unit, ratio * unit.full as f64)).collect())
    }

    /// The least and the largest ratio of a bin to its unit's full count.
    pub fn ratios(&self) -> [f64; 2] {
        let of = |count: usize, unit: &Unit| count as f64 / unit.full as f64;
        let least = self.units.iter().map(|unit| of(unit.min(), unit)).fold(1.0, f64::min);
        let largest = self.units.iter().map(|unit| of(unit.max(), unit)).fold(1.0, f64::max);
        [least, largest]
    }
}

fn nearest_bin(unit: &Unit, wanted: f64) -> usize {
    // A hair of slack, so that halfway is halfway after rounding.
    let steps_up = |pair: &&[usize]| wanted + 1e-9 >= (pair[0] + pair[1]) as f64 / 2.0;
    unit.bins[unit.bins.windows(2).take_while(steps_up).count()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, zoo};
    use crate::search::uniform_networks;
    use std::collections::BTreeSet;

    #[test]
    fn ratios_give_exactly_the_networks_that_a_uniform_search_looks_at() {
        for name in zoo::NAMES {
            let options = zoo::ZooOptions { max_width: 1.5, min_width: 0.25, bin_multiple: 4 };
            let graph = zoo::network(name, Shape { h: 32, w: 32, c: 3 }, 10, options).unwrap();
            let [least, largest] = graph.ratios();
            let at = |i: u32| graph.at_ratio(least + f64::from(i) / 20_000.0 * (largest - least));
            let found: BTreeSet<Channels> = (0..=20_000).map(at).collect();
            assert_eq!(found, uniform_networks(&graph).into_iter().collect(), "{name}");
            assert_eq!(
                (graph.at_ratio(least), graph.at_ratio(1.0)),
                (graph.smallest(), graph.full()),
                "{name}"
            );
        }
    }
}
