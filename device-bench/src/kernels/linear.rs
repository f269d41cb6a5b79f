//! Fully connected: eight outputs share each input, which is widened to 16 bits once.

use super::micro::{Micro, clamp, finish};
use super::pack::{LINEAR_BLOCK, Runs, SAFE_ELEMENTS, run_words};
use super::{KernelError, Layer, cast};
use crate::layer::LayerSpec;

/// Elements of the input that are widened at once.
const PIECE: usize = 2048;

/// Channels whose sums are kept where the input comes in pieces.
const CHANNELS: usize = 512;

const _: () = assert!(CHANNELS.is_multiple_of(LINEAR_BLOCK));

/// Words of the input, and sums where it comes in pieces.
pub(super) const fn scratch_bytes(spec: &LayerSpec) -> usize {
    let len = Runs::of(spec).len;
    let words = 4 * run_words(if len < PIECE { len } else { PIECE });
    if len <= SAFE_ELEMENTS {
        return words;
    }
    let c_out = spec.c_out as usize;
    words + 4 * if c_out < CHANNELS { c_out } else { CHANNELS }
}

#[inline(never)]
pub(super) fn run<M: Micro>(
    layer: &Layer<'_>,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) -> Result<(), KernelError> {
    let words = Runs::of(&layer.spec).words();
    let weights = cast::as_words(layer.weights).ok_or(KernelError::Shape)?;
    let scratch = cast::as_words_mut(scratch).ok_or(KernelError::Scratch)?;
    let (x, sums) = scratch.split_at_mut(run_words(input.len().min(PIECE)));
    let most = if layer.sums_fit { PIECE } else { SAFE_ELEMENTS };
    if input.len() <= most {
        M::widen1(input, x);
        multiply::<M>(x, weights, (words, 0), 0..output.len(), layer.channels.len(), |c, sum| {
            output[c] = finish::<M>(layer, c, sum);
        });
    } else {
        multiply_pieces::<M>(layer, (x, sums), weights, input.chunks(most), output);
    }
    clamp::<M>(layer, output);
    Ok(())
}

/// Where the input is too long for the scratch, or for sums of 24 bits.
#[inline(never)]
fn multiply_pieces<M: Micro>(
    layer: &Layer<'_>,
    (x, sums): (&mut [u32], &mut [u32]),
    weights: &[u32],
    pieces: core::slice::Chunks<'_, i8>,
    output: &mut [i8],
) {
    let words = Runs::of(&layer.spec).words();
    for (block, output) in output.chunks_mut(CHANNELS).enumerate() {
        let first = block * CHANNELS;
        let sums = &mut sums[..output.len()];
        sums.fill(0);
        let mut from = 0;
        for piece in pieces.clone() {
            let x = &mut x[..run_words(piece.len())];
            M::widen1(piece, x);
            let channels = first..first + output.len();
            multiply::<M>(x, weights, (words, from), channels, layer.channels.len(), |c, sum| {
                sums[c - first] = sums[c - first].wrapping_add(sum as u32);
            });
            from += x.len();
        }
        for (c, (output, &sum)) in (first..).zip(output.iter_mut().zip(sums.iter())) {
            *output = finish::<M>(layer, c, sum as i32);
        }
    }
}

/// Calls `put(channel, sum)` for `channels`, which start at a block of eight.
///
/// `weights` have `words` a channel pair, of which those from `from` on belong to `x`.
#[inline(always)]
fn multiply<M: Micro>(
    x: &[u32],
    weights: &[u32],
    (words, from): (usize, usize),
    channels: core::ops::Range<usize>,
    c_out: usize,
    mut put: impl FnMut(usize, i32),
) {
    const PAIRS: usize = LINEAR_BLOCK / 2;
    for first in channels.clone().step_by(LINEAR_BLOCK) {
        let at = first / 2 * words;
        if first + LINEAR_BLOCK <= c_out {
            let sums = M::block8(x, &weights[at + PAIRS * from..][..PAIRS * x.len()]);
            (first..).zip(sums).for_each(|(c, sum)| put(c, sum));
            continue;
        }
        for (c, at) in (first..channels.end).step_by(2).zip((at..).step_by(words)) {
            let sums = M::pair1::<1>(x, &weights[at + from..][..x.len()]);
            (c..channels.end).zip(sums).for_each(|(c, sum)| put(c, sum));
        }
    }
}
