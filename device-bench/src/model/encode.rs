//! Writes a blob; the quantiser on the host calls this.

use super::record::{HEADER_BYTES, RECORD_BYTES, Record, scale_bytes};
use super::{FORMAT, MAGIC, Model, ModelError, Tensor, TensorRef};
use crate::crc::crc32;
use crate::kernels::{
    KERNEL_REVISION, fold_bias, n_bias, n_requant, pack, packed_bytes, scratch_bytes, sums_fit,
};
use crate::layer::LayerSpec;
use crate::quant::{Channel, Clamp, Requant};

/// A layer in TFLite semantics.
#[derive(Debug, Clone, Copy)]
pub struct LayerDesc<'a> {
    /// The shape.
    pub spec: LayerSpec,
    /// Inputs; the second one is not read by operators of one.
    pub inputs: [TensorRef; 2],
    /// Output.
    pub output: TensorRef,
    /// Where [`crate::kernels::scratch_bytes`] of scratch start in the arena, a multiple of four.
    pub scratch: u32,
    /// The activation function.
    pub clamp: Clamp,
    /// As [`crate::Op`] says, tables too; empty for layers without. Those of a dense or grouped convolution or linear layer
    /// are -127 at least, as TFLite's are.
    pub weights: &'a [i8],
    /// `[c_out]`, at scale `input * weight`, zero point 0; within 29 bits; empty for layers without weights.
    pub bias: &'a [i32],
    /// `[c_out]`; for an add the two inputs' and the output's, for a scaling the output's; empty for layers without.
    pub requant: &'a [Requant],
}

/// A model to write.
#[derive(Debug, Clone, Copy)]
pub struct ModelDesc<'a> {
    /// Bytes of RAM that the planner found.
    pub arena_bytes: u32,
    /// The network's input.
    pub input: Tensor,
    /// The network's output.
    pub output: Tensor,
    /// Layers, in the order in which they run.
    pub layers: &'a [LayerDesc<'a>],
}

/// Bytes that [`encode`] writes; shapes must be valid.
pub fn encoded_len(model: &ModelDesc<'_>) -> usize {
    blob_bytes(model.layers.iter().map(|layer| &layer.spec))
}

/// Bytes of the blob of a model with these layers: what it will take of the flash.
pub fn blob_bytes<'a>(specs: impl Iterator<Item = &'a LayerSpec>) -> usize {
    let layers = specs.map(|spec| {
        scale_bytes(spec).saturating_add(aligned(packed_bytes(spec))).saturating_add(RECORD_BYTES)
    });
    layers.fold(HEADER_BYTES, usize::saturating_add)
}

/// Writes `model` to the start of `blob`, which must be 4-aligned, and checks it; returns its length.
///
/// The input's zero point is folded into the bias and weights are packed here.
///
/// # Errors
/// [`ModelError`] if the buffer is shorter than [`encoded_len`] or misaligned, or [`Model::parse`] would refuse
/// the result.
pub fn encode(model: &ModelDesc<'_>, blob: &mut [u8]) -> Result<usize, ModelError> {
    for (layer_idx, layer) in model.layers.iter().enumerate() {
        layer.spec.check().map_err(|error| ModelError::Shape { layer_idx: layer_idx as u32, error })?;
    }
    let len = encoded_len(model);
    let blob = blob.get_mut(..len).ok_or(ModelError::Truncated)?;
    blob.fill(0);
    let mut at = HEADER_BYTES + model.layers.len() * RECORD_BYTES;
    for (layer_idx, layer) in model.layers.iter().enumerate() {
        let error = ModelError::Parameters { layer_idx: layer_idx as u32 };
        if !agrees(layer) {
            return Err(error);
        }
        let record = write_parameters(layer, blob, &mut at).ok_or(error)?;
        let record_at = HEADER_BYTES + layer_idx * RECORD_BYTES;
        put(blob, record_at, &record.encode()).ok_or(ModelError::Truncated)?;
    }
    write_header(model, blob).ok_or(ModelError::Truncated)?;
    Model::parse(blob)?;
    Ok(len)
}

fn agrees(layer: &LayerDesc<'_>) -> bool {
    let spec = &layer.spec;
    layer.weights.len() == spec.weight_bytes()
        && layer.bias.len() == n_bias(spec)
        && layer.requant.len() == n_requant(spec)
}

fn write_parameters(layer: &LayerDesc<'_>, blob: &mut [u8], at: &mut usize) -> Option<Record> {
    let scales_at = *at as u32;
    let mut scales_fast = true;
    if layer.bias.is_empty() {
        for scale in layer.requant {
            *at = put_words(blob, *at, &[scale.multiplier, scale.shift])?;
        }
        // The last one is the output's.
        scales_fast = layer.requant.last().is_none_or(|&scale| Channel::new(0, scale).is_fast());
    }
    for (c, (&bias, &requant)) in layer.bias.iter().zip(layer.requant).enumerate() {
        let folded = fold_bias(&layer.spec, layer.weights, c, bias, layer.inputs[0].zero_point);
        let channel = Channel::new(folded, requant);
        scales_fast &= channel.is_fast();
        *at = put_words(blob, *at, &[channel.twice_bias, channel.multiplier, channel.shift_but_one])?;
    }
    let weights_at = *at as u32;
    let len = packed_bytes(&layer.spec);
    pack(&layer.spec, layer.weights, blob.get_mut(*at..*at + len)?)?;
    *at = aligned(*at + len);
    Some(Record {
        spec: layer.spec,
        inputs: layer.inputs,
        output: layer.output,
        scratch: layer.scratch,
        clamp: layer.clamp,
        scales_at,
        weights_at,
        sums_fit: sums_fit(&layer.spec, layer.weights),
        scales_fast,
        output_len: layer.spec.output_bytes() as u32,
        scratch_len: scratch_bytes(&layer.spec) as u32,
        weights_len: len as u32,
    })
}

fn write_header(model: &ModelDesc<'_>, blob: &mut [u8]) -> Option<()> {
    let tensor = |t: &Tensor| [t.offset, t.len, i32::from(t.zero_point) as u32, t.scale_bits];
    let facts = [u32::try_from(blob.len()).ok()?, model.layers.len() as u32, model.arena_bytes, 0];
    for (i, words) in [facts, tensor(&model.input), tensor(&model.output)].into_iter().enumerate() {
        for (j, word) in words.into_iter().enumerate() {
            put(blob, 16 + 16 * i + 4 * j, &word.to_le_bytes())?;
        }
    }
    let checksum = crc32(blob.get(16..)?);
    for (i, word) in [MAGIC, FORMAT, KERNEL_REVISION, checksum].into_iter().enumerate() {
        put(blob, 4 * i, &word.to_le_bytes())?;
    }
    Some(())
}

/// Writes `words` at `at`; returns where they end.
fn put_words(blob: &mut [u8], at: usize, words: &[i32]) -> Option<usize> {
    words.iter().try_fold(at, |at, word| put(blob, at, &word.to_le_bytes()))
}

/// Writes `bytes` at `at`; returns where they end.
fn put(blob: &mut [u8], at: usize, bytes: &[u8]) -> Option<usize> {
    blob.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
    Some(at + bytes.len())
}

const fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}
