//! Dense convolution: the windows of four pixels are widened to 16 bits once and multiplied by all channels, two at a
//! time.

use super::gather::{Gather, edge_bytes};
use super::micro::{Micro, PIXELS, Windows, clamp, finish, store4};
use super::pack::{Runs, SAFE_ELEMENTS, run_words};
use super::{KernelError, Layer, cast};
use crate::layer::LayerSpec;

/// What a layer may take of scratch.
const SCRATCH_BYTES: usize = 8192;

/// Channel pairs whose sums are kept where patches come in pieces.
const PAIRS: usize = 64;

/// Bytes of the four pixels' words.
const WORD_BYTES: usize = 4 * PIXELS;

/// Bytes of a pair's sums.
const SUM_BYTES: usize = 2 * 4 * PIXELS;

/// Words of four patches, sums where patches come in pieces, and what stands for the edges.
pub(super) const fn scratch_bytes(spec: &LayerSpec) -> usize {
    if Runs::of(spec).words() <= SAFE_ELEMENTS / 2 {
        return whole_bytes(spec);
    }
    let pairs = (spec.c_out as usize).div_ceil(2);
    let sums = if pairs < PAIRS { pairs } else { PAIRS } * SUM_BYTES;
    let pieces = edge_bytes(spec, piece(spec)) + piece(spec).words() * WORD_BYTES + sums;
    if fits(spec) && whole_bytes(spec) > pieces { whole_bytes(spec) } else { pieces }
}

/// Bytes for whole patches.
const fn whole_bytes(spec: &LayerSpec) -> usize {
    let runs = Runs::of(spec);
    runs.words().saturating_mul(WORD_BYTES).saturating_add(edge_bytes(spec, runs))
}

/// Whether four whole patches fit the scratch.
const fn fits(spec: &LayerSpec) -> bool {
    whole_bytes(spec) <= SCRATCH_BYTES
}

/// What is multiplied at once where a patch comes in pieces: a run, or as much of it as leaves room for its edges. A multiple of
/// four elements.
const fn piece(spec: &LayerSpec) -> Runs {
    const ROOM: usize = SCRATCH_BYTES - PAIRS * SUM_BYTES;
    let bytes_of_four = 2 * WORD_BYTES + edge_bytes(spec, Runs { n: 1, len: 4 });
    let most = ROOM / bytes_of_four * 4;
    let run = Runs::of(spec).len.saturating_add(3) & !3;
    Runs { n: 1, len: if run < most { run } else { most } }
}

#[inline(never)]
pub(super) fn run<M: Micro>(
    layer: &Layer<'_>,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) -> Result<(), KernelError> {
    let spec = &layer.spec;
    let weights = cast::as_words(layer.weights).ok_or(KernelError::Shape)?;
    let runs = Runs::of(spec);
    let in_pieces = runs.words() > SAFE_ELEMENTS / 2 && !(layer.sums_fit && fits(spec));
    let at_once = if in_pieces { piece(spec) } else { runs };
    let (edges, words) =
        scratch.split_at_mut_checked(edge_bytes(spec, at_once)).ok_or(KernelError::Scratch)?;
    let words = cast::as_words_mut(words).ok_or(KernelError::Scratch)?;
    let mut gather = Gather::new(layer, input, cast::as_i8_mut(edges), at_once);

    let c_out = layer.channels.len();
    let n_pixels = output.len() / c_out.max(1);
    if spec.kernel_h == 1 && spec.kernel_w == 1 && spec.stride == 1 && n_pixels >= PIXELS && !in_pieces {
        pointwise::<M>(layer, input, weights, words, output)?;
        clamp::<M>(layer, output);
        return Ok(());
    }
    for start in (0..n_pixels).step_by(PIXELS) {
        let (first, n) = pixels_at(start, n_pixels);
        if first < start {
            gather.seek(first);
        }
        gather.next(n);
        let output = &mut output[first * c_out..][..n * c_out];
        if in_pieces {
            multiply_pieces::<M>(layer, &mut gather, weights, words, output);
        } else {
            let x = words.get_mut(..runs.words() * PIXELS).ok_or(KernelError::Scratch)?;
            gather.widen_all::<M>(x);
            multiply::<M>(layer, x, weights, output);
        }
    }
    if !in_pieces {
        clamp::<M>(layer, output);
    }
    Ok(())
}

/// The pixels that are computed for those from `start` on, a multiple of four: the last four are four too, so that some are
/// computed twice, but a single one that is left, or a plane of less than four.
#[inline(always)]
fn pixels_at(start: usize, n_pixels: usize) -> (usize, usize) {
    match n_pixels - start {
        1 => (start, 1),
        left if left >= PIXELS => (start, PIXELS),
        _ if n_pixels < PIXELS => (0, n_pixels),
        _ => (n_pixels - PIXELS, PIXELS),
    }
}

/// A plane's pixels lie as its windows do.
#[inline(always)]
fn pointwise<M: Micro>(
    layer: &Layer<'_>,
    input: &[i8],
    weights: &[u32],
    words: &mut [u32],
    output: &mut [i8],
) -> Result<(), KernelError> {
    let (c_in, c_out) = (usize::from(layer.spec.c_in), layer.channels.len());
    let x = words.get_mut(..run_words(c_in) * PIXELS).ok_or(KernelError::Scratch)?;
    let n_pixels = output.len() / c_out.max(1);
    for start in (0..n_pixels).step_by(PIXELS) {
        let (first, n) = pixels_at(start, n_pixels);
        let source = input[first * c_in..][..n * c_in].as_ptr();
        // A single pixel that is left is widened four times.
        let step = if n == PIXELS { c_in } else { 0 };
        let rows = [0, 1, 2, 3].map(|pixel| source.wrapping_add(pixel * step));
        let windows = Windows { rows, lines: [0; PIXELS], len: c_in, n: 1 };
        // SAFETY: four pixels of `c_in` elements, or one of them, four times.
        unsafe { M::widen4(&windows, x, 0) };
        multiply::<M>(layer, x, weights, &mut output[first * c_out..][..n * c_out]);
    }
    Ok(())
}

/// All channels of up to four pixels from whole patches.
#[inline(always)]
fn multiply<M: Micro>(layer: &Layer<'_>, x: &[u32], weights: &[u32], output: &mut [i8]) {
    if output.len() < PIXELS * layer.channels.len() {
        return multiply_one_by_one::<M>(layer, x, weights, output);
    }
    M::products4(x, weights, layer.channels, layer.output_zero, output);
    if !layer.scales_fast && !M::ANY_SCALE {
        multiply_again::<M>(layer, x, weights, output);
    }
}

/// The pairs of channels that have a scale which is not fast: there are few, if any.
#[inline(never)]
fn multiply_again<M: Micro>(layer: &Layer<'_>, x: &[u32], weights: &[u32], output: &mut [i8]) {
    for (pair, weights) in weights.chunks_exact((x.len() / PIXELS).max(1)).enumerate() {
        if layer.channels[2 * pair..].iter().take(2).any(|channel| !channel.is_fast()) {
            let sums = M::pair4(x, weights);
            store4(&sums, pair, layer.channels, (layer.output_zero, layer.clamp), output);
        }
    }
}

/// Where there are less than four pixels.
#[inline(never)]
fn multiply_one_by_one<M: Micro>(layer: &Layer<'_>, x: &[u32], weights: &[u32], output: &mut [i8]) {
    let c_out = layer.channels.len();
    for (pair, weights) in weights.chunks_exact((x.len() / PIXELS).max(1)).enumerate() {
        for (pixel, output) in output.chunks_exact_mut(c_out).enumerate() {
            let sums = M::pair1::<PIXELS>(&x[pixel..], weights);
            for (c, (output, sum)) in (2 * pair..).zip(output[2 * pair..].iter_mut().zip(sums)) {
                *output = finish::<M>(layer, c, sum);
            }
        }
    }
}

/// The same where patches are too long for the scratch, or for sums of 24 bits.
#[inline(never)]
fn multiply_pieces<M: Micro>(
    layer: &Layer<'_>,
    gather: &mut Gather<'_>,
    weights: &[u32],
    scratch: &mut [u32],
    output: &mut [i8],
) {
    let runs = gather.runs;
    let piece = piece(&layer.spec);
    let most = if layer.sums_fit { piece.len } else { SAFE_ELEMENTS.min(piece.len) };
    let (x, sums) = scratch.split_at_mut(piece.words() * PIXELS);
    let (channels, finish) = (layer.channels, (layer.output_zero, layer.clamp));
    let n_pairs = channels.len().div_ceil(2);
    let sums = &mut sums[..n_pairs.min(PAIRS) * 2 * PIXELS];
    for first in (0..n_pairs).step_by(PAIRS) {
        let pairs = first..n_pairs.min(first + PAIRS);
        sums.fill(0);
        for run in 0..runs.n {
            for from in (0..runs.len).step_by(most) {
                let to = runs.len.min(from + most);
                let x = &mut x[..run_words(to - from) * PIXELS];
                gather.widen::<M>(run, (from, to), x);
                let at = run * run_words(runs.len) + from / 2;
                for (pair, sums) in pairs.clone().zip(sums.as_chunks_mut::<{ 2 * PIXELS }>().0) {
                    let weights = &weights[pair * runs.words() + at..][..run_words(to - from)];
                    for (sum, part) in sums.iter_mut().zip(M::pair4(x, weights).as_flattened()) {
                        *sum = sum.wrapping_add(*part as u32);
                    }
                }
            }
        }
        for (pair, sums) in pairs.zip(sums.as_chunks::<{ 2 * PIXELS }>().0) {
            let (even, odd) = sums.split_at(PIXELS);
            let sums = [even, odd].map(|sums| core::array::from_fn(|pixel| sums[pixel] as i32));
            store4(&sums, pair, channels, finish, output);
        }
    }
}
