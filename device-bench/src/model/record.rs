//! One layer's record in the blob: a fixed number of words, and what it points to.

use super::Placement;
use crate::kernels::{Layer, cast, n_channels, n_scales};
use crate::layer::{LayerSpec, Op, Padding};
use crate::quant::{Channel, Clamp, Requant};
use core::ops::Range;
use serde::{Deserialize, Serialize};

pub(super) const HEADER_BYTES: usize = 64;
pub(crate) const RECORD_BYTES: usize = 64;

/// One end of a layer: a place in the arena, and the int8 that stands for zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorRef {
    /// Where it starts in the arena, bytes.
    pub offset: u32,
    /// The int8 that stands for zero.
    pub zero_point: i8,
}

/// A record, decoded; offsets of parameters are from the blob's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record {
    pub spec: LayerSpec,
    pub inputs: [TensorRef; 2],
    pub output: TensorRef,
    pub scratch: u32,
    pub clamp: Clamp,
    pub scales_at: u32,
    pub weights_at: u32,
    pub sums_fit: bool,
    pub scales_fast: bool,
    /// Bytes of the output, the scratch and the weights, so that they are not worked out again for every run.
    pub output_len: u32,
    pub scratch_len: u32,
    pub weights_len: u32,
}

/// [`Layer::sums_fit`] and [`Layer::scales_fast`] in a record's word.
const SUMS_FIT: u32 = 1;
const SCALES_FAST: u32 = 2;

impl Record {
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let s = &self.spec;
        let p = s.padding;
        let op = Op::ALL.iter().position(|&op| op == s.op).unwrap_or(0) as u8;
        let bytes = |a: i8, b: i8, c: i8, d: i8| i32::from_le_bytes([a, b, c, d].map(|x| x as u8)) as u32;
        let words = [
            u32::from_le_bytes([op, s.kernel_h, s.kernel_w, s.stride]),
            u32::from_le_bytes([p.top, p.bottom, p.left, p.right]),
            u32::from(s.in_h) | u32::from(s.in_w) << 16,
            u32::from(s.c_in) | u32::from(s.c_out) << 16,
            self.inputs[0].offset,
            self.inputs[1].offset,
            self.output.offset,
            self.scratch,
            bytes(self.inputs[0].zero_point, self.inputs[1].zero_point, self.output.zero_point, 0),
            bytes(self.clamp.min, self.clamp.max, 0, 0) | u32::from(s.groups) << 16,
            self.scales_at,
            self.weights_at,
            if self.sums_fit { SUMS_FIT } else { 0 } | if self.scales_fast { SCALES_FAST } else { 0 },
            self.output_len,
            self.scratch_len,
            self.weights_len,
        ];
        let mut record = [0; RECORD_BYTES];
        for (target, word) in record.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *target = word.to_le_bytes();
        }
        record
    }

    /// `None` if there is no such operator.
    #[inline(always)]
    pub fn decode(record: &[u8; RECORD_BYTES]) -> Option<Record> {
        let (words, _) = record.as_chunks::<4>();
        let word = |i: usize| words.get(i).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let low = |i: usize| word(i) as u16;
        let high = |i: usize| (word(i) >> 16) as u16;
        let [op, kernel_h, kernel_w, stride] = word(0).to_le_bytes();
        let [top, bottom, left, right] = word(1).to_le_bytes();
        let [zero_a, zero_b, zero_out, _] = word(8).to_le_bytes().map(|x| x as i8);
        let [min, max, ..] = word(9).to_le_bytes().map(|x| x as i8);
        let spec = LayerSpec {
            op: *Op::ALL.get(usize::from(op))?,
            in_h: low(2),
            in_w: high(2),
            c_in: low(3),
            c_out: high(3),
            kernel_h,
            kernel_w,
            stride,
            groups: high(9),
            padding: Padding { top, bottom, left, right },
        };
        Some(Record {
            spec,
            inputs: [
                TensorRef { offset: word(4), zero_point: zero_a },
                TensorRef { offset: word(5), zero_point: zero_b },
            ],
            output: TensorRef { offset: word(6), zero_point: zero_out },
            scratch: word(7),
            clamp: Clamp { min, max },
            scales_at: word(10),
            weights_at: word(11),
            sums_fit: word(12) & SUMS_FIT != 0,
            scales_fast: word(12) & SCALES_FAST != 0,
            output_len: word(13),
            scratch_len: word(14),
            weights_len: word(15),
        })
    }

    /// The layer with its parameters; `None` where they lie outside of `blob` or are misaligned.
    #[inline(always)]
    pub fn layer<'a>(&self, blob: &'a [u8]) -> Option<Layer<'a>> {
        let spec = self.spec;
        let bytes = |at: u32, len: usize| blob.get(range(at, len)?);
        let scales = blob.get(self.scales()?)?;
        if !self.weights_at.is_multiple_of(4) {
            return None;
        }
        Some(Layer {
            spec,
            input_zero: self.inputs.map(|input| input.zero_point),
            output_zero: self.output.zero_point,
            clamp: self.clamp,
            weights: bytes(self.weights_at, self.weights_len as usize)?,
            channels: cast::as_channels(scales.get(..n_channels(&spec) * size_of::<Channel>())?)?,
            scales: cast::as_requant(scales.get(n_channels(&spec) * size_of::<Channel>()..)?)?,
            sums_fit: self.sums_fit,
            scales_fast: self.scales_fast,
        })
    }

    /// Where the table of channels or scales lies in the blob; `None` where it ends beyond 32 bits.
    pub fn scales(&self) -> Option<Range<usize>> {
        range(self.scales_at, scale_bytes(&self.spec))
    }

    /// Where the layer works; `None` where a range ends beyond 32 bits.
    #[inline(always)]
    pub fn placement(&self) -> Option<Placement> {
        let spec = &self.spec;
        Some(Placement {
            inputs: [
                range(self.inputs[0].offset, spec.input_bytes())?,
                range(self.inputs[1].offset, spec.second_input_bytes())?,
            ],
            output: range(self.output.offset, self.output_len as usize)?,
            scratch: range(self.scratch, self.scratch_len as usize)?,
        })
    }
}

/// Bytes of the table of channels or scales.
pub(super) const fn scale_bytes(spec: &LayerSpec) -> usize {
    n_channels(spec) * size_of::<Channel>() + n_scales(spec) * size_of::<Requant>()
}

/// `len` bytes from `start`; all empty ranges are `0..0`.
pub(super) fn range(start: u32, len: usize) -> Option<Range<usize>> {
    if len == 0 {
        return Some(0..0);
    }
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(len)?;
    u32::try_from(end).ok()?;
    Some(start..end)
}
