//! Dense convolution: patches widened to 16 bits, two pixels times two channels at a time.

use super::micro::Micro;
use super::{KernelError, Layer, Span, cast};
use crate::layer::LayerSpec;
use crate::quant::finish;

/// Two patches of 16 bits and one of 8, each made whole words.
pub(super) const fn scratch_bytes(spec: &LayerSpec) -> usize {
    let len = patch_len(spec);
    row_len(len).saturating_mul(4).saturating_add(len.saturating_add(3) & !3)
}

const fn patch_len(spec: &LayerSpec) -> usize {
    spec.kernel_h as usize * spec.kernel_w as usize * spec.c_in as usize
}

/// Halfwords from patch to patch: even, so that each starts at a word.
const fn row_len(patch_len: usize) -> usize {
    patch_len.saturating_add(1) & !1
}

pub(super) fn run<M: Micro>(
    layer: &Layer<'_>,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) -> Result<(), KernelError> {
    let len = patch_len(&layer.spec);
    let (wide, narrow) = scratch.split_at_mut_checked(row_len(len) * 4).ok_or(KernelError::Scratch)?;
    let wide = cast::as_i16_mut(wide).ok_or(KernelError::Scratch)?;
    let narrow = cast::as_i8_mut(narrow).get_mut(..len).ok_or(KernelError::Scratch)?;
    let (first, second) = wide.split_at_mut(row_len(len));
    let (first, second) = (&mut first[..len], &mut second[..len]);

    let c_out = usize::from(layer.spec.c_out);
    let out_w = usize::from(layer.spec.out_w());
    let (mut y, mut x) = (0, 0);
    let mut gather_next = |patch: &mut [i16]| {
        gather::<M>(layer, input, (y, x), patch, narrow);
        x += 1;
        if x == out_w {
            (y, x) = (y + 1, 0);
        }
    };
    let mut pairs = output.chunks_exact_mut(2 * c_out);
    for pair in &mut pairs {
        gather_next(first);
        gather_next(second);
        multiply::<M, 2>(layer, [first, second], pair);
    }
    let last = pairs.into_remainder();
    if !last.is_empty() {
        gather_next(first);
        multiply::<M, 1>(layer, [first], last);
    }
    Ok(())
}

/// All channels of `P` pixels; `output`: `[P, c_out]`.
#[inline(always)]
fn multiply<M: Micro, const P: usize>(layer: &Layer<'_>, patches: [&[i16]; P], output: &mut [i8]) {
    let len = patches[0].len();
    let mut channel = 0;
    let mut rows = layer.weights.chunks_exact(2 * len);
    for pair in &mut rows {
        let (even, odd) = pair.split_at(len);
        let acc = M::dot::<P, 2>(patches, [even, odd]);
        store(layer, acc, channel, output);
        channel += 2;
    }
    let last = rows.remainder();
    if !last.is_empty() {
        let acc = M::dot::<P, 1>(patches, [last]);
        store(layer, acc, channel, output);
    }
}

#[inline(always)]
fn store<const P: usize, const C: usize>(
    layer: &Layer<'_>,
    acc: [[i32; C]; P],
    channel: usize,
    output: &mut [i8],
) {
    let c_out = layer.bias.len();
    for c in channel..channel + C {
        let (bias, requant) = (layer.bias[c], layer.requant[c]);
        for (p, sums) in acc.iter().enumerate() {
            let sum = sums[c - channel].wrapping_add(bias);
            output[p * c_out + c] = finish(sum, requant, layer.output_zero, layer.clamp);
        }
    }
}

/// Widens the window of output pixel `(y, x)`; padding is the input's zero point.
///
/// Where the set's order does not allow widening in pieces, the window is put together in `narrow` first.
#[inline(always)]
fn gather<M: Micro>(
    layer: &Layer<'_>,
    input: &[i8],
    (y, x): (usize, usize),
    patch: &mut [i16],
    narrow: &mut [i8],
) {
    let spec = &layer.spec;
    let zero = layer.input_zero[0];
    let channels = usize::from(spec.c_in);
    if spec.kernel_h == 1 && spec.kernel_w == 1 {
        let stride = usize::from(spec.stride);
        let start = (y * stride * usize::from(spec.in_w) + x * stride) * channels;
        M::widen(&input[start..start + channels], patch);
    } else if channels.is_multiple_of(M::GROUP) {
        pieces(spec, input, (y, x), |at, len, piece| {
            let target = &mut patch[at..at + len];
            match piece {
                Some(piece) => M::widen(piece, target),
                None => target.fill(i16::from(zero)),
            }
        });
    } else {
        pieces(spec, input, (y, x), |at, len, piece| {
            let target = &mut narrow[at..at + len];
            match piece {
                Some(piece) => target.copy_from_slice(piece),
                None => target.fill(zero),
            }
        });
        M::widen(narrow, patch);
    }
}

/// Calls `put(start, len, input)` for each stretch of a window; `None` is padding.
#[inline(always)]
fn pieces<'a>(
    spec: &LayerSpec,
    input: &'a [i8],
    (y, x): (usize, usize),
    mut put: impl FnMut(usize, usize, Option<&'a [i8]>),
) {
    let channels = usize::from(spec.c_in);
    let row_len = usize::from(spec.kernel_w) * channels;
    let (rows, columns) = (Span::rows(spec, y), Span::columns(spec, x));
    let (left, right) = (columns.begin * channels, columns.end * channels);
    for ky in 0..usize::from(spec.kernel_h) {
        let at = ky * row_len;
        if ky < rows.begin || ky >= rows.end {
            put(at, row_len, None);
            continue;
        }
        let start = ((rows.input + ky - rows.begin) * usize::from(spec.in_w) + columns.input) * channels;
        if left > 0 {
            put(at, left, None);
        }
        put(at + left, right - left, Some(&input[start..start + right - left]));
        if right < row_len {
            put(at + right, row_len - right, None);
        }
    }
}
