//! Checks a blob once, so that running it needs no check.

use super::record::{HEADER_BYTES, RECORD_BYTES, Record, range};
use super::{FORMAT, MAGIC, Model, ModelError, Placement, Tensor};
use crate::crc::crc32;
use crate::kernels::KERNEL_REVISION;
use core::ops::Range;

/// Bytes that the checksum does not cover.
const BEFORE_CHECKED: usize = 16;

pub(super) fn parse(blob: &[u8]) -> Result<Model<'_>, ModelError> {
    if blob.as_ptr().align_offset(4) != 0 {
        return Err(ModelError::Misaligned);
    }
    let header = blob.first_chunk::<HEADER_BYTES>().ok_or(ModelError::Truncated)?;
    let [magic, format, revision, checksum, len, n_layers, arena_bytes, reserved, io @ ..] = words(header);
    if magic != MAGIC {
        return Err(ModelError::Magic);
    }
    if format != FORMAT {
        return Err(ModelError::Format { found: format });
    }
    if revision != KERNEL_REVISION {
        return Err(ModelError::Revision { found: revision });
    }
    let blob = blob.get(..len as usize).ok_or(ModelError::Truncated)?;
    let checked = blob.get(BEFORE_CHECKED..).ok_or(ModelError::Truncated)?;
    if crc32(checked) != checksum {
        return Err(ModelError::Checksum);
    }
    let [in_offset, in_len, in_zero, in_scale, out_offset, out_len, out_zero, out_scale] = io;
    let model = Model {
        blob,
        n_layers: n_layers as usize,
        arena_bytes: arena_bytes as usize,
        input: tensor([in_offset, in_len, in_zero, in_scale])?,
        output: tensor([out_offset, out_len, out_zero, out_scale])?,
    };
    if reserved != 0 || n_layers == 0 || n_layers > u32::from(u16::MAX) {
        return Err(ModelError::Header);
    }
    check(&model)?;
    Ok(model)
}

fn words(header: &[u8; HEADER_BYTES]) -> [u32; HEADER_BYTES / 4] {
    let mut words = [0; HEADER_BYTES / 4];
    for (word, bytes) in words.iter_mut().zip(header.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

fn tensor([offset, len, zero_point, scale_bits]: [u32; 4]) -> Result<Tensor, ModelError> {
    let zero_point = i8::try_from(zero_point as i32).map_err(|_| ModelError::Header)?;
    Ok(Tensor { offset, len, zero_point, scale_bits })
}

fn check(model: &Model<'_>) -> Result<(), ModelError> {
    for tensor in [model.input, model.output] {
        let place = range(tensor.offset, tensor.len as usize).ok_or(ModelError::Header)?;
        if tensor.len == 0 || place.end > model.arena_bytes {
            return Err(ModelError::Header);
        }
    }
    let records = model.blob.len().saturating_sub(HEADER_BYTES) / RECORD_BYTES;
    if model.n_layers > records {
        return Err(ModelError::Truncated);
    }
    for layer_idx in 0..model.n_layers {
        let record = model.record(layer_idx).ok_or(ModelError::Parameters { layer_idx: layer_idx as u32 })?;
        check_layer(model, &record, layer_idx as u32)?;
    }
    Ok(())
}

fn check_layer(model: &Model<'_>, record: &Record, layer_idx: u32) -> Result<(), ModelError> {
    record.spec.check().map_err(|error| ModelError::Shape { layer_idx, error })?;
    let placement = record.placement().ok_or(ModelError::Placement { layer_idx })?;
    if !placement.is_valid(model.arena_bytes) {
        return Err(ModelError::Placement { layer_idx });
    }
    let layer = record.layer(model.blob).ok_or(ModelError::Parameters { layer_idx })?;
    let in_range = layer.requant.iter().all(|requant| requant.is_valid());
    if !in_range || layer.clamp.min > layer.clamp.max {
        return Err(ModelError::Parameters { layer_idx });
    }
    Ok(())
}

impl Placement {
    /// Inside of the arena; output and scratch touch nothing else; two inputs are one tensor or disjoint.
    pub(super) fn is_valid(&self, arena_bytes: usize) -> bool {
        let [first, second] = &self.inputs;
        let all = [first, second, &self.output, &self.scratch];
        all.iter().all(|place| place.end <= arena_bytes)
            && self.scratch.start.is_multiple_of(4)
            && (first == second || disjoint(first, second))
            && disjoint(&self.output, &self.scratch)
            && self.inputs.iter().all(|input| disjoint(input, &self.output) && disjoint(input, &self.scratch))
    }
}

fn disjoint(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.end <= b.start || b.end <= a.start
}
