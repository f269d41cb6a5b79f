//! Checks a blob once, so that running it needs no check.

use super::record::{HEADER_BYTES, RECORD_BYTES, Record, range};
use super::{FORMAT, MAGIC, Model, ModelError, Placement, Tensor};
use crate::crc::crc32;
use crate::kernels::{KERNEL_REVISION, packed_bytes, scratch_bytes};
use crate::quant::Channel;
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
    // The tables of scales lie one behind the other, so that all checks of scales together read the blob once.
    let mut scales_end = 0;
    for layer_idx in 0..model.n_layers {
        let error = ModelError::Parameters { layer_idx: layer_idx as u32 };
        let record = model.record(layer_idx).ok_or(error)?;
        let scales = record.scales().ok_or(error)?;
        if !scales.is_empty() {
            if scales.start < scales_end {
                return Err(error);
            }
            scales_end = scales.end;
        }
        check_layer(model, &record, layer_idx as u32)?;
    }
    Ok(())
}

fn check_layer(model: &Model<'_>, record: &Record, layer_idx: u32) -> Result<(), ModelError> {
    record.spec.check().map_err(|error| ModelError::Shape { layer_idx, error })?;
    let placement = record.placement().ok_or(ModelError::Placement { layer_idx })?;
    let has_its_sizes = placement.output.len() == record.spec.output_bytes()
        && placement.scratch.len() == scratch_bytes(&record.spec);
    if !has_its_sizes || !placement.is_valid(model.arena_bytes) {
        return Err(ModelError::Placement { layer_idx });
    }
    let (layer, _) = model.layer(layer_idx as usize).ok_or(ModelError::Parameters { layer_idx })?;
    let is_fast = |channel: &Channel| channel.is_fast() || !layer.scales_fast;
    if layer.weights.len() != packed_bytes(&layer.spec) {
        return Err(ModelError::Parameters { layer_idx });
    }
    let in_range = layer.scales.iter().all(|scale| scale.is_valid())
        && layer.channels.iter().all(|channel| channel.is_valid() && is_fast(channel))
        && layer.scales.last().is_none_or(|&scale| is_fast(&Channel::new(0, scale)));
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

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::layer::LayerSpec;
    use crate::model::{LayerDesc, ModelDesc, TensorRef, encode, encoded_len};
    use crate::quant::{Clamp, Requant};
    use std::time::{Duration, Instant};
    use std::{vec, vec::Vec};

    const N_SCALES: usize = 60_000;
    const N_LAYERS: usize = 60_000;

    fn bytes_mut(words: &mut [u32]) -> &mut [u8] {
        // SAFETY: any four bytes of a word are bytes.
        unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) }
    }

    /// A linear layer of one input and as many outputs as there are scales.
    fn one_layer() -> Vec<u32> {
        let (weights, bias) = (vec![1; N_SCALES], vec![0; N_SCALES]);
        let requant = vec![Requant { multiplier: 1 << 30, shift: 0 }; N_SCALES];
        let output = (N_SCALES as u32).next_multiple_of(4);
        let layer = LayerDesc {
            spec: LayerSpec::linear(1, N_SCALES as u16),
            inputs: [TensorRef { offset: output, zero_point: 0 }; 2],
            output: TensorRef::default(),
            scratch: output + 4,
            clamp: Clamp::FULL,
            weights: &weights,
            bias: &bias,
            requant: &requant,
        };
        let model = ModelDesc {
            arena_bytes: output + 1024,
            input: Tensor { offset: output, len: 1, zero_point: 0, scale_bits: 0 },
            output: Tensor { offset: 0, len: N_SCALES as u32, zero_point: 0, scale_bits: 0 },
            layers: &[layer],
        };
        let mut blob = vec![0; encoded_len(&model).div_ceil(4)];
        encode(&model, bytes_mut(&mut blob)).unwrap();
        blob
    }

    /// The layer of [`one_layer`] over and over, each with the parameters of the first.
    fn many_layers() -> Vec<u32> {
        const HEADER: usize = HEADER_BYTES / 4;
        const RECORD: usize = RECORD_BYTES / 4;
        let one = one_layer();
        let (header, rest) = one.split_at(HEADER);
        let (record, parameters) = rest.split_at(RECORD);
        let mut record = record.to_vec();
        for offset in &mut record[10..13] {
            *offset += ((N_LAYERS - 1) * RECORD_BYTES) as u32;
        }
        let mut blob = [header, &record.repeat(N_LAYERS), parameters].concat();
        blob[4] = size_of_val(&blob[..]) as u32;
        blob[5] = N_LAYERS as u32;
        blob[3] = crc32(&bytes_mut(&mut blob)[BEFORE_CHECKED..]);
        blob
    }

    /// Tables that many layers share would be checked 60 000 times, which takes seconds.
    #[test]
    fn a_large_blob_is_checked_in_linear_time() {
        let mut blob = many_layers();
        assert!(size_of_val(&blob[..]) > 4 << 20);
        let begun = Instant::now();
        let error = parse(bytes_mut(&mut blob)).unwrap_err();
        assert_eq!(error, ModelError::Parameters { layer_idx: 1 });
        assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
    }
}
