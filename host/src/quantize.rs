//! A trained subnet made int8: batch norm folded, activations calibrated, TFLite semantics, a blob for the board.
//!
//! `fold` → [`FoldedNetwork::calibrate`] → [`quantize`] → [`encode`] → [`run_host`]. Source of the semantics: the
//! TFLite int8 specification (per-channel symmetric weights, per-tensor asymmetric activations).

mod blob;
mod calibrate;
mod equalise;
mod float;
mod fold;
mod int8;
mod made_up;
mod ranges;
mod scale;

pub use blob::{Blob, encode, run_host};
pub use calibrate::{Observed, Range};
pub use fold::{FoldedLayer, FoldedNetwork, fold};
pub use int8::{Int8Layer, Int8Network, quantize};
pub use made_up::made_up;
pub use scale::{TensorQuant, requant};

use crate::network::lower::LowerError;
use device_bench::infer::RunError;
use device_bench::model::ModelError;

/// A network cannot be quantised or its blob not be run.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The channels are none of the graph's.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// A parameter cannot be read.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// No batch-norm statistics for these channels.
    #[error(
        "node `{node}`: batch-norm statistics of {found} channels, not {wanted}; recalibrate this subnet first"
    )]
    Statistics {
        /// Name of the node.
        node: String,
        /// Channels of the statistics.
        found: usize,
        /// Channels of the subnet.
        wanted: usize,
    },
    /// A weight, bias or activation that is no number.
    #[error(
        "{what} of layer {layer_idx} is infinite or not a number; train again with a smaller learning rate"
    )]
    NotFinite {
        /// What it is.
        what: &'static str,
        /// The layer.
        layer_idx: usize,
    },
    /// An accumulator that could leave 32 bits before it is scaled.
    #[error(
        "layer {layer_idx}, channel {channel}: the sums overflow 32 bits; its outputs are all nearly zero"
    )]
    Overflow {
        /// The layer.
        layer_idx: usize,
        /// The output channel.
        channel: usize,
    },
    /// An input of another size.
    #[error("an image of {found} values, but the network reads {wanted}")]
    Image {
        /// Values given.
        found: usize,
        /// Values that the network reads.
        wanted: usize,
    },
    /// Nothing to calibrate on.
    #[error("no image to calibrate on; give some hundred training images")]
    NoImages,
    /// A memory layout made for another network.
    #[error("the memory layout has {found} {what}, the network {wanted}; plan this network's memory")]
    Layout {
        /// Tensors or layers.
        what: &'static str,
        /// In the layout.
        found: usize,
        /// In the network.
        wanted: usize,
    },
    /// The blob is refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The blob does not run.
    #[error(transparent)]
    Run(#[from] RunError),
}

#[cfg(test)]
mod tests;
