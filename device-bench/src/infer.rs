//! Runs a checked model in the caller's arena.

use crate::kernels::{self, KernelError, KernelSet, cast};
use crate::model::{Model, Placement, Tensor};
use serde::{Deserialize, Serialize};

/// When [`run`] calls its hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Right before a layer.
    Before,
    /// Right after it.
    After,
}

/// Why a model did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum RunError {
    /// The arena is smaller than the model asks for or not 4-aligned.
    #[error("the arena is smaller than the model asks for, or not aligned to 4 bytes")]
    Arena,
    /// A layer cannot be read or placed; no parsed model does this.
    #[error("layer {layer_idx} of the model is invalid")]
    Layer {
        /// The layer.
        layer_idx: u32,
    },
    /// A kernel refused its layer; no parsed model does this.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Runs every layer; the input is written to [`input_mut`] before, the output read from [`output`] after.
///
/// `hook(layer_idx, phase)` is called around each layer, the reading of its record with it.
///
/// # Errors
/// [`RunError::Arena`] if `arena` is shorter than [`Model::arena_bytes`] or not 4-aligned.
pub fn run(
    model: &Model<'_>,
    set: KernelSet,
    arena: &mut [u8],
    hook: &mut impl FnMut(usize, Phase),
) -> Result<(), RunError> {
    let aligned = arena.as_ptr().align_offset(4) == 0;
    let arena = arena.get_mut(..model.arena_bytes()).filter(|_| aligned).ok_or(RunError::Arena)?;
    for layer_idx in 0..model.n_layers() {
        let error = RunError::Layer { layer_idx: layer_idx as u32 };
        hook(layer_idx, Phase::Before);
        // Matched in place: a copy would take longer than the reading.
        let found = model.layer(layer_idx);
        let Some((layer, placement)) = &found else { return Err(error) };
        let (inputs, output, scratch) = split(arena, placement).ok_or(error)?;
        kernels::run(set, layer, inputs, output, scratch)?;
        hook(layer_idx, Phase::After);
    }
    Ok(())
}

/// The network's input in its arena; `None` if the arena is too small.
pub fn input_mut<'a>(model: &Model<'_>, arena: &'a mut [u8]) -> Option<&'a mut [i8]> {
    arena.get_mut(place(model.input())).map(cast::as_i8_mut)
}

/// The network's output in its arena; `None` if the arena is too small.
pub fn output<'a>(model: &Model<'_>, arena: &'a [u8]) -> Option<&'a [i8]> {
    arena.get(place(model.output())).map(cast::as_i8)
}

fn place(tensor: Tensor) -> core::ops::Range<usize> {
    let start = tensor.offset as usize;
    start..start.saturating_add(tensor.len as usize)
}

type Split<'a> = ([&'a [i8]; 2], &'a mut [i8], &'a mut [u8]);

/// The parts of the arena that a layer works on.
fn split<'a>(arena: &'a mut [u8], placement: &Placement) -> Option<Split<'a>> {
    let Placement { inputs: [first, second], output, scratch } = placement;
    if [first, second, output, scratch].iter().any(|place| place.end > arena.len()) {
        return None;
    }
    let start = arena.as_mut_ptr();
    // SAFETY: all lie in the arena, as was just seen. A placement comes out of a model, of which `Model::parse` has seen that
    // output and scratch touch nothing else; the inputs may be one tensor, and are only read.
    unsafe {
        let part = |place: &core::ops::Range<usize>| (start.add(place.start), place.len());
        let read = |(start, len): (*mut u8, usize)| core::slice::from_raw_parts(start.cast::<i8>(), len);
        let (output, output_len) = part(output);
        let (scratch, scratch_len) = part(scratch);
        Some((
            [read(part(first)), read(part(second))],
            core::slice::from_raw_parts_mut(output.cast::<i8>(), output_len),
            core::slice::from_raw_parts_mut(scratch, scratch_len),
        ))
    }
}
