//! [`Prices`]: a layer's cost on the board, measured, interpolated or refused.
//!
//! Layers that differ only in their channels are one *family*. Within a family the cost is taken to be close to
//! `a + b·c_in + c·c_out + d·c_in·c_out` near any point, with nothing negative: calls, input, output and
//! multiply-accumulates each take their time. (Operators that keep their channels have only `a + b·c`.)
//!
//! That holds for kernels that work in groups of channels as long as the counts asked for are like those
//! measured: tables of multiples of 8 say nothing of the extra work that a kernel does for the remainder of an
//! odd count, and neither does their held-out error.

mod family;
mod fit;
mod hull;
mod next;

use std::collections::BTreeMap;

use device_bench::LayerSpec;

use crate::table::{CostTable, Entry, Provenance};
use family::{Family, family_of};
pub use family::{HeldOut, MIN_HELD_OUT};
pub use next::next_to_measure;

/// Where a price comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// From the samples of this very layer.
    Measured,
    /// From layers with other channels.
    Interpolated,
}

/// What one run of a layer costs, in the table's unit; `low <= value <= high`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Median of the samples, or the interpolated cost.
    pub value: f64,
    /// The fastest sample; or `value` less the held-out error of its family, or the cheapest layer of a family
    /// with too few layers to tell.
    pub low: f64,
    /// The slowest sample; or `value` plus the held-out error of its family, or the dearest layer of it.
    pub high: f64,
    /// Where the price comes from.
    pub how: How,
}

/// A price that can't be given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PriceError {
    /// No layer of the family was measured.
    #[error(
        "{board}: neither {layer} nor the same layer with other channels was measured; \
         run `edgeslim profile` for this network"
    )]
    Missing {
        /// The table's board.
        board: String,
        /// The layer.
        layer: LayerSpec,
    },
    /// The layer's channels do not lie between measured ones: outside their convex hull.
    #[error(
        "{board}: the channels of {layer} are not between measured ones (c_in {} to {}, c_out {} to {}); \
         run `edgeslim profile` for this network", c_in.0, c_in.1, c_out.0, c_out.1
    )]
    OutOfRange {
        /// The table's board.
        board: String,
        /// The layer.
        layer: LayerSpec,
        /// The fewest and the most input channels measured.
        c_in: (u16, u16),
        /// The fewest and the most output channels measured.
        c_out: (u16, u16),
    },
    /// The factor is zero, negative or no number.
    #[error("prices can't be corrected by a factor of {factor}")]
    Correction {
        /// The factor.
        factor: f64,
    },
}

/// The prices of a table.
#[derive(Debug, Clone)]
pub struct Prices {
    provenance: Provenance,
    measured: BTreeMap<LayerSpec, Price>,
    families: BTreeMap<LayerSpec, Family>,
    factor: f64,
}

impl Prices {
    /// Prices of everything measured, and of what lies between.
    pub fn new(table: &CostTable) -> Prices {
        let measured: BTreeMap<_, _> = table.iter().map(|(&spec, entry)| (spec, measured(entry))).collect();
        let mut points: BTreeMap<LayerSpec, Vec<_>> = BTreeMap::new();
        for (spec, price) in &measured {
            points.entry(family_of(spec)).or_default().push((*spec, price.value));
        }
        let families = points.into_iter().map(|(key, points)| (key, Family::new(&points))).collect();
        Prices { provenance: table.provenance.clone(), measured, families, factor: 1.0 }
    }

    /// What the prices depend on, and their unit.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What one run of `spec` costs.
    ///
    /// # Errors
    /// [`PriceError::Missing`] or [`PriceError::OutOfRange`]: nothing is extrapolated.
    pub fn price(&self, spec: &LayerSpec) -> Result<Price, PriceError> {
        let price = match self.measured.get(spec) {
            Some(&price) => price,
            None => self.interpolated(spec)?,
        };
        Ok(price.scaled(self.factor))
    }

    /// What a run of all of `specs` costs; `low` and `high` add up too, so they hold for the worst case of
    /// errors that all go one way. Measured only if every layer is.
    ///
    /// # Errors
    /// As [`Prices::price`], of the first layer without a price.
    pub fn total<'a>(&self, specs: impl IntoIterator<Item = &'a LayerSpec>) -> Result<Price, PriceError> {
        let nothing = Price { value: 0.0, low: 0.0, high: 0.0, how: How::Measured };
        specs.into_iter().try_fold(nothing, |total, spec| {
            let price = self.price(spec)?;
            Ok(Price {
                value: total.value + price.value,
                low: total.low + price.low,
                high: total.high + price.high,
                how: if price.how == How::Measured { total.how } else { How::Interpolated },
            })
        })
    }

    /// How far interpolated prices are off: the error of every measured layer that lies between others, priced
    /// without its own measurement. `None` if there is no such layer.
    pub fn held_out_error(&self) -> Option<HeldOut> {
        HeldOut::new(self.families.values().flat_map(|family| &family.held_out).copied().collect())
    }

    /// These prices times `factor`, on top of earlier corrections: measured over predicted latency of a whole
    /// network, say.
    ///
    /// # Errors
    /// [`PriceError::Correction`] if the factor is not positive and finite.
    pub fn with_correction(mut self, factor: f64) -> Result<Prices, PriceError> {
        if !(factor.is_finite() && factor > 0.0) {
            return Err(PriceError::Correction { factor });
        }
        self.factor *= factor;
        Ok(self)
    }

    fn interpolated(&self, spec: &LayerSpec) -> Result<Price, PriceError> {
        let (board, layer) = (self.provenance.board.clone(), *spec);
        match self.families.get(&family_of(spec)) {
            None => Err(PriceError::Missing { board, layer }),
            Some(family) => family.price(spec).ok_or_else(|| {
                let (c_in, c_out) = family.range();
                PriceError::OutOfRange { board, layer, c_in, c_out }
            }),
        }
    }
}

impl Price {
    fn scaled(self, factor: f64) -> Price {
        let Price { value, low, high, how } = self;
        Price { value: value * factor, low: low * factor, high: high * factor, how }
    }
}

fn measured(entry: &Entry) -> Price {
    Price { value: entry.median(), low: entry.min(), high: entry.max(), how: How::Measured }
}

#[cfg(test)]
mod tests;
