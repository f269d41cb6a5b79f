//! The model blob: a header, layer records and aligned tensors, read in place from flash.
//!
//! Little-endian words throughout, and the blob starts at a multiple of four:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | magic, format, kernel revision, CRC-32 of all that follows |
//! | 16 | length of the blob, layers, arena bytes, 0 |
//! | 32 | input: offset, bytes, zero point, scale |
//! | 48 | output: the same |
//! | 64 | a record of 64 bytes a layer |
//! | then | each layer's channels (bias and scale) or scales, and its packed weights, at multiples of four |
//!
//! The layers' scales lie in their order, and no two layers share any of it: a blob is checked in one pass.

mod encode;
mod parse;
mod record;

pub use encode::{LayerDesc, ModelDesc, blob_bytes, encode, encoded_len};
pub use record::TensorRef;

use crate::kernels::Layer;
use crate::layer::ShapeError;
use record::HEADER_BYTES;
pub(crate) use record::{RECORD_BYTES, Record};
use serde::{Deserialize, Serialize};

/// "ESLM", the first word of a blob.
pub const MAGIC: u32 = u32::from_le_bytes(*b"ESLM");

/// The format that this code writes and reads.
pub const FORMAT: u32 = 3;

/// A tensor of the model as others see it: where it lies in the arena and what its numbers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Where it starts in the arena, bytes.
    pub offset: u32,
    /// Elements, one byte each.
    pub len: u32,
    /// The int8 that stands for zero.
    pub zero_point: i8,
    /// The scale: the bits of an IEEE f32, which the board carries but never reads.
    pub scale_bits: u32,
}

/// A blob that has been checked: running it can neither panic nor leave its arena, whatever its weights.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    blob: &'a [u8],
    n_layers: usize,
    arena_bytes: usize,
    input: Tensor,
    output: Tensor,
}

/// Where a layer works in the arena; byte ranges, an empty one is `0..0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Inputs; the second one is empty for operators of one.
    pub inputs: [core::ops::Range<usize>; 2],
    /// Output.
    pub output: core::ops::Range<usize>,
    /// Scratch.
    pub scratch: core::ops::Range<usize>,
}

impl<'a> Model<'a> {
    /// Checks a blob; bytes after its end are left alone, so that a whole flash region may be given.
    ///
    /// # Errors
    /// [`ModelError`] with the first rule that the blob breaks.
    pub fn parse(blob: &'a [u8]) -> Result<Model<'a>, ModelError> {
        parse::parse(blob)
    }

    /// Layers, in the order in which they run.
    pub fn n_layers(&self) -> usize {
        self.n_layers
    }

    /// Bytes of the blob.
    pub fn blob_bytes(&self) -> usize {
        self.blob.len()
    }

    /// Bytes of RAM that running needs, 4-aligned.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// The network's input.
    pub fn input(&self) -> Tensor {
        self.input
    }

    /// The network's output.
    pub fn output(&self) -> Tensor {
        self.output
    }

    /// Layer `layer_idx` with its parameters, and where it works; `None` beyond the last.
    pub fn layer(&self, layer_idx: usize) -> Option<(Layer<'a>, Placement)> {
        read(self.bytes(layer_idx)?, self.blob)
    }

    fn record(&self, layer_idx: usize) -> Option<Record> {
        Record::decode(self.bytes(layer_idx)?)
    }

    fn bytes(&self, layer_idx: usize) -> Option<&'a [u8; RECORD_BYTES]> {
        if layer_idx >= self.n_layers {
            return None;
        }
        self.blob.get(HEADER_BYTES..)?.as_chunks().0.get(layer_idx)
    }
}

/// A layer out of its record, with its parameters in `blob`, and where it works.
#[inline(never)]
pub(crate) fn read<'a>(record: &[u8; RECORD_BYTES], blob: &'a [u8]) -> Option<(Layer<'a>, Placement)> {
    let record = Record::decode(record)?;
    Some((record.layer(blob)?, record.placement()?))
}

/// What is wrong with a model or its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ModelError {
    /// The blob does not start at a multiple of four bytes.
    #[error("the model blob is not aligned to 4 bytes")]
    Misaligned,
    /// The first word is another one: there is no model here.
    #[error("no model blob: the magic number is missing")]
    Magic,
    /// Written in another format.
    #[error("the model blob has format {found}, this firmware reads {FORMAT}; deploy again")]
    Format {
        /// The blob's format.
        found: u32,
    },
    /// Written for other kernels.
    #[error(
        "the model blob is for kernel revision {found}, these are {}; deploy again",
        crate::kernels::KERNEL_REVISION
    )]
    Revision {
        /// The blob's kernel revision.
        found: u32,
    },
    /// The blob, or the buffer to write it to, is shorter than its contents.
    #[error("the model blob or its buffer is too short")]
    Truncated,
    /// The checksum differs.
    #[error("the model blob is damaged: its checksum differs")]
    Checksum,
    /// A header field is out of range, or there is no layer or more than 65535.
    #[error("the model's header is invalid")]
    Header,
    /// A layer's shape cannot be run.
    #[error("layer {layer_idx}: {error}")]
    Shape {
        /// The layer.
        layer_idx: u32,
        /// The rule that it breaks.
        error: ShapeError,
    },
    /// A tensor or the scratch lies outside of the arena, is misaligned or overlaps another.
    #[error("layer {layer_idx}: a tensor is outside of the arena or overlaps another")]
    Placement {
        /// The layer.
        layer_idx: u32,
    },
    /// Parameters are missing, too many, outside of the blob or out of range, or the requantisation is not behind that
    /// of the layer before.
    #[error("layer {layer_idx}: parameters disagree with the shape or are out of range")]
    Parameters {
        /// The layer.
        layer_idx: u32,
    },
}
