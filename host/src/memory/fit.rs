//! Finds offsets for blocks of which some live at the same time (dynamic storage allocation).

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::ops::Range;

/// Steps that [`two_ended`] may take beyond one a block.
const DETOURS: usize = 400;
/// Orders that [`packed`] tries.
const ORDERS: usize = 200;

/// Bytes that are needed from one layer to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub bytes: usize,
    /// The first layer that needs it.
    pub first: usize,
    /// The last one.
    pub last: usize,
    /// Whether [`two_ended`] tries the top of the arena before the bottom.
    pub top: bool,
}

impl Block {
    fn meets(&self, other: &Block) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn at(&self, offset: usize) -> Range<usize> {
        offset..offset + self.bytes
    }
}

/// Bytes from the bottom to the end of the highest block.
pub(super) fn height(blocks: &[Block], offsets: &[usize]) -> usize {
    blocks.iter().zip(offsets).map(|(block, &offset)| block.at(offset).end).max().unwrap_or(0)
}

/// Offsets within `arena_bytes`, found by placing the blocks in order of execution, each as near to one end of the
/// arena as it can be; where one does not fit, an earlier one is moved to its other end. `None` if there are no such
/// offsets or they are not found soon.
///
/// Where nothing but a layer's input, output and scratch lives at a time, and `arena_bytes` hold them, the first try
/// fits: input and output lie at different ends and the scratch between them.
pub(super) fn two_ended(blocks: &[Block], arena_bytes: usize) -> Option<Vec<usize>> {
    let mut order = occupied(blocks);
    order.sort_by_key(|&id| blocks[id].first);
    let mut offsets = vec![0; blocks.len()];
    let mut taken = Vec::new();
    // Places still to be tried: how many blocks are placed before, and the offset. The last one is next; by symmetry
    // the first block need not be tried at the top.
    let mut open = vec![(0, 0)];
    for _ in 0..order.len() + DETOURS {
        let (placed, offset) = open.pop()?;
        offsets[order[placed]] = offset;
        let placed = placed + 1;
        let Some(&id) = order.get(placed) else { return Some(offsets) };
        let block = blocks[id];
        take(&mut taken, blocks, &order[..placed], &offsets, id);
        let low = lowest_gap(&mut taken, block.bytes);
        if low + block.bytes > arena_bytes {
            continue;
        }
        taken.iter_mut().for_each(|range| *range = arena_bytes - range.end..arena_bytes - range.start);
        let high = arena_bytes - block.bytes - lowest_gap(&mut taken, block.bytes);
        let [second, first] = if block.top { [low, high] } else { [high, low] };
        if second != first {
            open.push((placed, second));
        }
        open.push((placed, first));
    }
    None
}

/// Offsets found by first fit, the largest blocks first (TFLM's planner; Pisarchyk and Lee, arXiv 2001.03288, "greedy
/// by size"), improved by exchanging two blocks of that order as long as the arena is larger than `lower_bound`.
pub(super) fn packed(blocks: &[Block], lower_bound: usize) -> Vec<usize> {
    let mut order = occupied(blocks);
    order.sort_by_key(|&id| Reverse((blocks[id].bytes, blocks[id].last - blocks[id].first)));
    let mut offsets = first_fit(blocks, &order);
    let mut arena_bytes = height(blocks, &offsets);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for _ in 0..ORDERS {
        if arena_bytes == lower_bound {
            break;
        }
        let [a, b] = [(); 2].map(|()| rng.random_range(0..order.len()));
        order.swap(a, b);
        let changed = first_fit(blocks, &order);
        let changed_bytes = height(blocks, &changed);
        if changed_bytes <= arena_bytes {
            (offsets, arena_bytes) = (changed, changed_bytes);
        } else {
            order.swap(a, b);
        }
    }
    offsets
}

/// Places the blocks one after another, each as low as it can be.
fn first_fit(blocks: &[Block], order: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0; blocks.len()];
    let mut taken = Vec::new();
    for (placed, &id) in order.iter().enumerate() {
        take(&mut taken, blocks, &order[..placed], &offsets, id);
        offsets[id] = lowest_gap(&mut taken, blocks[id].bytes);
    }
    offsets
}

/// The blocks that are not empty; an empty one may lie anywhere.
fn occupied(blocks: &[Block]) -> Vec<usize> {
    (0..blocks.len()).filter(|&id| blocks[id].bytes > 0).collect()
}

/// Fills `taken` with the places of those `placed` blocks that live at the same time as block `id`.
fn take(taken: &mut Vec<Range<usize>>, blocks: &[Block], placed: &[usize], offsets: &[usize], id: usize) {
    taken.clear();
    let met = placed.iter().filter(|&&other| blocks[other].meets(&blocks[id]));
    taken.extend(met.map(|&other| blocks[other].at(offsets[other])));
}

/// The lowest offset where `bytes` overlap nothing that is taken.
fn lowest_gap(taken: &mut [Range<usize>], bytes: usize) -> usize {
    taken.sort_unstable_by_key(|range| range.start);
    let mut offset = 0;
    for range in taken {
        if range.start >= offset + bytes {
            break;
        }
        offset = offset.max(range.end);
    }
    offset
}
