//! The int8 network as a model blob, and the blob run on the host with the portable kernels.

use super::{Int8Network, QuantizeError};
use crate::memory::Layout;
use crate::network::lower::TensorId;
use device_bench::infer;
use device_bench::kernels::KernelSet;
use device_bench::model::{self, LayerDesc, Model, ModelDesc, TensorRef};

/// Bytes that start at a multiple of four, as the blob of a model has to.
#[derive(Debug)]
pub struct Blob {
    // Moving the struct leaves the heap where it is; a clone would not be aligned, so there is none.
    buffer: Vec<u8>,
    start: usize,
    len: usize,
}

impl Blob {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Blob {
        let buffer = vec![0; len + 3];
        let start = buffer.as_ptr().align_offset(4);
        Blob { buffer, start, len }
    }

    /// A copy of `bytes`, such as a file's.
    pub fn copy_of(bytes: &[u8]) -> Blob {
        let mut blob = Blob::zeroed(bytes.len());
        blob.bytes_mut().copy_from_slice(bytes);
        blob
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + self.len]
    }
}

/// Writes `network` as a blob that works where `layout` says.
///
/// # Errors
/// [`QuantizeError`] if the layout is another network's, or [`Model::parse`] refuses the result.
pub fn encode(network: &Int8Network, layout: &Layout) -> Result<Blob, QuantizeError> {
    let counts = [
        ("tensors", layout.tensor_offsets.len(), network.tensor_lens.len()),
        ("layers", layout.scratch_offsets.len(), network.layers.len()),
    ];
    for (what, found, wanted) in counts {
        if found != wanted {
            return Err(QuantizeError::Layout { what, found, wanted });
        }
    }
    let reference = |tensor: TensorId| TensorRef {
        offset: layout.tensor_offsets[tensor] as u32,
        zero_point: network.tensors[tensor].zero_point,
    };
    let placed = network.layers.iter().zip(&layout.scratch_offsets);
    let layers: Vec<LayerDesc<'_>> =
        placed.map(|(layer, &scratch)| describe(layer, reference, scratch)).collect();
    let ends = [0, network.tensor_lens.len() - 1].map(|tensor| model::Tensor {
        offset: layout.tensor_offsets[tensor] as u32,
        len: network.tensor_lens[tensor] as u32,
        zero_point: network.tensors[tensor].zero_point,
        scale_bits: network.tensors[tensor].scale.to_bits(),
    });
    let [input, output] = ends;
    let desc = ModelDesc { arena_bytes: layout.arena_bytes as u32, input, output, layers: &layers };
    let mut blob = Blob::zeroed(model::encoded_len(&desc));
    model::encode(&desc, blob.bytes_mut())?;
    Ok(blob)
}

fn describe(
    layer: &super::Int8Layer,
    reference: impl Fn(TensorId) -> TensorRef,
    scratch: usize,
) -> LayerDesc<'_> {
    let first = reference(layer.lowered.inputs[0]);
    let second = layer.lowered.inputs.get(1).map(|&tensor| reference(tensor));
    LayerDesc {
        spec: layer.lowered.spec,
        inputs: [first, second.unwrap_or(first)],
        output: reference(layer.lowered.output),
        scratch: scratch as u32,
        clamp: layer.clamp,
        weights: &layer.weights,
        bias: &layer.bias,
        requant: &layer.requant,
    }
}

/// The int8 logits of each image, with the portable kernels: the bytes that a board must give too.
///
/// - `blob`: aligned, see [`Blob`]
/// - `images`: each `[h, w, c]`, see [`Int8Network::quantize_image`]
///
/// # Errors
/// [`QuantizeError`] if the blob is refused or an image has another size.
pub fn run_host<'a>(
    blob: &[u8],
    images: impl IntoIterator<Item = &'a [i8]>,
) -> Result<Vec<Vec<i8>>, QuantizeError> {
    let model = Model::parse(blob)?;
    let mut arena = Blob::zeroed(model.arena_bytes());
    let run = |image: &[i8]| {
        let arena = arena.bytes_mut();
        let input = infer::input_mut(&model, arena).expect("the arena has the model's size");
        if input.len() != image.len() {
            return Err(QuantizeError::Image { found: image.len(), wanted: input.len() });
        }
        input.copy_from_slice(image);
        infer::run(&model, KernelSet::Portable, arena, &mut |_, _| ())?;
        Ok(infer::output(&model, arena).expect("the arena has the model's size").to_vec())
    };
    images.into_iter().map(run).collect()
}
