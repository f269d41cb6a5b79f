//! What code alignment does to latency: the costliest layer of every operator, measured once more in firmware whose
//! code lies elsewhere in the flash's lines.
//!
//! A deployed network runs in other code than edgeslim's, so this is how far a price can be off for no fault of the
//! layer (measurements published for Cortex-M range from nothing to 24 %).

use crate::board::{BoardError, LayerPlan, Link};
use cost_tables::table::{CostTable, Entry};
use device_bench::{LayerSpec, Op};

/// A layer in both firmwares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// The layer.
    pub layer: LayerSpec,
    /// Its median in the table.
    pub before: f64,
    /// Its median in the other firmware.
    pub after: f64,
}

impl Moved {
    /// How much longer it takes, as a share of what it took.
    pub fn share(&self) -> f64 {
        self.after / self.before - 1.0
    }
}

/// The costliest layer of every operator in `table`, measured in the firmware that runs behind `link`.
///
/// # Errors
/// As [`Link::time_layer`].
pub fn remeasure(link: &mut Link, table: &CostTable, plan: &LayerPlan) -> Result<Vec<Moved>, BoardError> {
    let mut moved = Vec::new();
    for (layer, before) in costliest(table) {
        let timing = link.time_layer(&layer, plan)?;
        let entry = Entry { cold: timing.cold, n_calls: timing.n_calls, samples: timing.samples };
        moved.push(Moved { layer, before, after: entry.median() });
    }
    Ok(moved)
}

/// The least and the most that a layer gained, for people and for a table's provenance.
pub fn range(moved: &[Moved]) -> String {
    let share = |of: fn(f64, f64) -> f64| moved.iter().map(Moved::share).fold(f64::NAN, of);
    format!("{:+.2} % to {:+.2} %", 100.0 * share(f64::min), 100.0 * share(f64::max))
}

fn costliest(table: &CostTable) -> Vec<(LayerSpec, f64)> {
    let of = |op: Op| {
        let layers = table.iter().filter(|(spec, _)| spec.op == op);
        layers.map(|(spec, entry)| (*spec, entry.median())).max_by(|a, b| a.1.total_cmp(&b.1))
    };
    Op::ALL.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cost_tables::table::Provenance;

    #[test]
    fn the_range_holds_the_least_and_the_most_share() {
        let moved = |before, after| Moved { layer: LayerSpec::linear(1, 1), before, after };
        assert_eq!(
            range(&[moved(200.0, 203.0), moved(100.0, 99.0), moved(50.0, 50.0)]),
            "-1.00 % to +1.50 %"
        );
    }

    #[test]
    fn one_layer_of_each_operator_is_chosen_and_it_is_the_costliest() {
        let mut table = CostTable::new(Provenance::default());
        for (spec, ticks) in [
            (LayerSpec::linear(8, 4), 90),
            (LayerSpec::linear(16, 4), 170),
            (LayerSpec::linear(12, 4), 130),
            (LayerSpec::add(4, 4, 8), 40),
        ] {
            table.insert(spec, Entry { cold: ticks, n_calls: 1, samples: vec![ticks] }).unwrap();
        }
        assert_eq!(costliest(&table), [(LayerSpec::linear(16, 4), 170.0), (LayerSpec::add(4, 4, 8), 40.0)]);
    }
}
