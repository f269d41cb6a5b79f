//! The arena planner: the plan that is deployed is the plan that the search prices.
//!
//! Every tensor and every layer's scratch is a block that lives for some layers; blocks that live at the same time
//! lie apart. No arena is smaller than what lives during the fullest layer: a network without branches always gets
//! an arena of that size, others nearly always. The same network always gets the same plan.

mod capacity;
mod fit;

pub use capacity::{Capacity, CapacityError};

use crate::network::lower::{Lowered, TensorId};
use device_bench::kernels::scratch_bytes;
use fit::Block;

/// What every offset is a multiple of, bytes.
const ALIGN: usize = 4;

/// Where tensors and scratch lie in the arena, bytes; each offset is a multiple of four.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The arena.
    pub arena_bytes: usize,
    /// Where each tensor starts.
    pub tensor_offsets: Vec<usize>,
    /// Where each layer's scratch starts.
    pub scratch_offsets: Vec<usize>,
}

/// Where everything lies, and how small the arena could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where everything lies.
    pub layout: Layout,
    /// What lives during the fullest layer, bytes: no arena is smaller.
    pub lower_bound_bytes: usize,
}

/// Plans the arena of `lowered`; its size is the RAM that the network takes.
///
/// The image lives from the beginning, any other tensor from the layer that writes it, each to its last reader; the
/// logits live to the end. Scratch lives during its layer.
pub fn plan(lowered: &Lowered) -> Plan {
    let blocks = blocks(lowered);
    let lower_bound_bytes = fullest_layer(&blocks, lowered.layers.len());
    let two_ended = fit::two_ended(&blocks, lower_bound_bytes);
    let mut offsets = two_ended.unwrap_or_else(|| fit::packed(&blocks, lower_bound_bytes));
    let arena_bytes = fit::height(&blocks, &offsets);
    let scratch_offsets = offsets.split_off(lowered.tensor_bytes.len());
    Plan { layout: Layout { arena_bytes, tensor_offsets: offsets, scratch_offsets }, lower_bound_bytes }
}

/// The tensors that live while each layer runs, those that it reads and writes among them: `[layers]`.
pub fn live_tensors(lowered: &Lowered) -> Vec<Vec<TensorId>> {
    let tensors = &blocks(lowered)[..lowered.tensor_bytes.len()];
    let live = |layer_idx: usize| {
        let lives = |id: &TensorId| (tensors[*id].first..=tensors[*id].last).contains(&layer_idx);
        (0..tensors.len()).filter(lives).collect()
    };
    (0..lowered.layers.len()).map(live).collect()
}

/// What a block of `bytes` takes in the arena.
pub const fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

/// The tensors, then the scratch of each layer.
fn blocks(lowered: &Lowered) -> Vec<Block> {
    let block = |bytes: usize, layer: usize, top: bool| Block {
        bytes: aligned(bytes),
        first: layer,
        last: layer,
        top,
    };
    // Tensors alternate between the ends of the arena, so that a layer's input and output do not meet.
    let tensor = |(id, &bytes): (usize, &usize)| block(bytes, 0, !id.is_multiple_of(2));
    let mut blocks: Vec<Block> = lowered.tensor_bytes.iter().enumerate().map(tensor).collect();
    for (layer_idx, layer) in lowered.layers.iter().enumerate() {
        (blocks[layer.output].first, blocks[layer.output].last) = (layer_idx, layer_idx);
        layer.inputs.iter().for_each(|&tensor| blocks[tensor].last = layer_idx);
    }
    let scratch = lowered.layers.iter().enumerate();
    blocks.extend(scratch.map(|(layer_idx, layer)| block(scratch_bytes(&layer.spec), layer_idx, false)));
    blocks
}

fn fullest_layer(blocks: &[Block], n_layers: usize) -> usize {
    let mut living = vec![0; n_layers];
    for block in blocks {
        living[block.first..=block.last].iter_mut().for_each(|bytes| *bytes += block.bytes);
    }
    living.into_iter().max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
