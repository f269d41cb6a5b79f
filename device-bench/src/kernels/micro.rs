//! The inner loops that a kernel set is made of, and their plain Rust form, which says what they compute.

use super::depthwise::Window;
use super::pack::LINEAR_BLOCK;
use super::{Layer, Span};
use crate::layer::LayerSpec;
use crate::quant::{Channel, Clamp};

/// Pixels that share each weight of a convolution.
pub(super) const PIXELS: usize = 4;

/// The taps of a window that lie on the plane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taps {
    /// Rows of taps.
    pub rows: usize,
    /// Taps in a row.
    pub columns: usize,
    /// From tap to tap in a row, in the input and the weights alike: the channels.
    pub step: usize,
    /// From row to row in the input.
    pub input_row: usize,
    /// From row to row in the weights.
    pub weight_row: usize,
}

impl Taps {
    /// Of these parts of a window; the operator keeps its channels apart.
    #[inline(always)]
    pub fn inside(spec: &LayerSpec, rows: Span, columns: Span) -> Taps {
        let step = usize::from(spec.c_in);
        Taps {
            rows: rows.len(),
            columns: columns.len(),
            step,
            input_row: usize::from(spec.in_w) * step,
            weight_row: usize::from(spec.kernel_w) * step,
        }
    }

    /// One row of taps, where rows lie one behind the other in the input. Weights are not found any more.
    pub fn joined(self) -> Taps {
        if self.columns * self.step == self.input_row {
            Taps { rows: 1, columns: self.rows * self.columns, ..self }
        } else {
            self
        }
    }

    /// One channel's inputs, from the first tap on.
    pub fn of(self, input: &[i8]) -> impl Iterator<Item = i8> {
        let taps = move |row: usize| (0..self.columns).map(move |x| row * self.input_row + x * self.step);
        (0..self.rows).flat_map(taps).map(|at| input[at])
    }

    /// Elements that are spanned with this distance between rows, four channels wide.
    pub fn reach(&self, row: usize) -> usize {
        self.rows.saturating_sub(1) * row + self.columns.saturating_sub(1) * self.step + 4
    }
}

/// Rows of the windows of four pixels, or parts of them.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Windows {
    /// The first row of each.
    pub rows: [*const i8; PIXELS],
    /// Bytes from row to row of each.
    pub lines: [usize; PIXELS],
    /// Elements of a row.
    pub len: usize,
    /// Rows.
    pub n: usize,
}

/// Inner loops. All sums wrap, and every set makes the same of them, whatever the data.
///
/// Inputs are widened to words of two halfwords in the order of [`element`](super::pack::element); weights lie as [`super::pack`] says.
pub(super) trait Micro: Sized {
    /// Widens rows of four windows, each to `[run_words(len), PIXELS]`, `words` from the last one's begin.
    ///
    /// # Safety
    /// All elements of the rows can be read.
    unsafe fn widen4(windows: &Windows, target: &mut [u32], words: usize);

    /// Widens a run of one pixel, `[run_words(len)]`.
    fn widen1(source: &[i8], target: &mut [u32]);

    /// The sums of one pair of channels for four pixels: `[even, odd]`.
    ///
    /// - `x`: `[words, PIXELS]`
    /// - `weights`: `[words]`
    fn pair4(x: &[u32], weights: &[u32]) -> [[i32; PIXELS]; 2];

    /// The sums of one pair of channels for one of `STEP` pixels, whose words are `STEP` apart: `[even, odd]`.
    fn pair1<const STEP: usize>(x: &[u32], weights: &[u32]) -> [i32; 2];

    /// The sums of eight channels of a linear layer.
    ///
    /// - `x`: `[words]`
    /// - `weights`: `[words, 4]`
    fn block8(x: &[u32], weights: &[u32]) -> [i32; LINEAR_BLOCK];

    /// Whether [`Micro::finish`] is right for every scale.
    const ANY_SCALE: bool = false;

    /// All channels of four pixels, saturated to 8 bits; of scales that are not fast, outputs may be wrong.
    ///
    /// - `x`: `[words, PIXELS]`
    /// - `weights`: `[pairs, words]`
    /// - `output`: `[PIXELS, channels.len()]`
    #[inline(always)]
    fn products4(x: &[u32], weights: &[u32], channels: &[Channel], zero: i8, output: &mut [i8]) {
        let words = (x.len() / PIXELS).max(1);
        for (pair, weights) in weights.chunks_exact(words).enumerate() {
            for (c, sums) in (2 * pair..channels.len()).zip(Self::pair4(x, weights)) {
                for (pixel, sum) in output.chunks_exact_mut(channels.len()).zip(sums) {
                    pixel[c] = Self::finish(&channels[c], sum.wrapping_mul(2), zero);
                }
            }
        }
    }

    /// A depthwise layer as a whole, saturated to 8 bits, where the set has a way of its own for it.
    #[inline(always)]
    fn depthwise(_layer: &Layer<'_>, _input: &[i8], _output: &mut [i8], _scratch: &mut [u32]) -> Option<()> {
        None
    }

    /// All channels of a depthwise pixel, of which there are at least four, saturated to 8 bits; of scales that are not fast,
    /// outputs may be wrong. See [`Window::run`] for `sums`.
    #[inline(always)]
    fn window(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        window.each_four::<Self>(layer, sums, output);
    }

    /// The same of less than four channels.
    #[inline(always)]
    fn window_of_few(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        window.each::<Self>(layer, sums, output);
    }

    /// Four neighbouring channels of a depthwise window, `zero` subtracted from every input.
    fn window4(input: &[i8], weights: &[i8], taps: Taps, zero: i8) -> [i32; 4];

    /// The sums of four neighbouring channels over a window.
    fn sum4(input: &[i8], taps: Taps) -> [i32; 4];

    /// The largest values of four neighbouring channels over a window.
    fn max4(input: &[i8], taps: Taps) -> [i8; 4];

    /// [`Channel::finish`] for a scale that is fast, saturated to 8 bits.
    #[inline(always)]
    fn finish(channel: &Channel, twice_sum: i32, zero: i8) -> i8 {
        channel.finish(twice_sum, zero, Clamp::FULL)
    }

    /// Adds values that the tables make sums of; the scale is fast, and outputs are saturated to 8 bits.
    #[inline(always)]
    fn add(inputs: [&[i8]; 2], tables: [&[u32; 256]; 2], channel: Channel, zero: i8, output: &mut [i8]) {
        for (out, (&x, &y)) in output.iter_mut().zip(inputs[0].iter().zip(inputs[1])) {
            let twice_sum = tables[0][usize::from(x as u8)].wrapping_add(tables[1][usize::from(y as u8)]);
            *out = Self::finish(&channel, twice_sum as i32, zero);
        }
    }

    /// Moves every value into the range.
    fn clamp(values: &mut [i8], clamp: Clamp) {
        for value in values {
            *value = clamp.apply(i32::from(*value));
        }
    }
}

/// The output of channel `c`: saturated only, where the scales are fast, so that [`clamp`] is left to do.
#[inline(always)]
pub(super) fn finish<M: Micro>(layer: &Layer<'_>, c: usize, sum: i32) -> i8 {
    let (channel, twice_sum) = (&layer.channels[c], sum.wrapping_mul(2));
    if layer.scales_fast {
        M::finish(channel, twice_sum, layer.output_zero)
    } else {
        channel.finish(twice_sum, layer.output_zero, layer.clamp)
    }
}

/// Moves a layer's outputs into the range of its activation function; does nothing to those that are.
pub(super) fn clamp<M: Micro>(layer: &Layer<'_>, output: &mut [i8]) {
    if !layer.clamp.is_full() {
        M::clamp(output, layer.clamp);
    }
}

/// Writes the outputs of channel pair `pair` for four pixels; `output`: `[PIXELS, channels.len()]`.
#[inline(always)]
pub(super) fn store4(
    sums: &[[i32; PIXELS]; 2],
    pair: usize,
    channels: &[Channel],
    (zero, clamp): (i8, Clamp),
    output: &mut [i8],
) {
    for (c, sums) in (2 * pair..).zip(sums) {
        let Some(channel) = channels.get(c) else { return };
        for (pixel, sum) in output.chunks_exact_mut(channels.len()).zip(sums) {
            pixel[c] = channel.finish(sum.wrapping_mul(2), zero, clamp);
        }
    }
}

/// Plain Rust.
pub(super) struct Portable;

/// Two halfwords of inputs and of weights, which are `256 * b + a`, added to a sum of `a` and one of both.
#[inline(always)]
fn multiply(x: u32, weights: u32, [even, both]: [i32; 2]) -> [i32; 2] {
    let (x0, x1) = (i32::from(x as i16), x as i32 >> 16);
    let (w0, w1) = (i32::from(weights as i16), weights as i32 >> 16);
    let (a0, a1) = (i32::from(weights as i8), i32::from((weights >> 16) as i8));
    [
        even.wrapping_add(x0.wrapping_mul(a0)).wrapping_add(x1.wrapping_mul(a1)),
        both.wrapping_add(x0.wrapping_mul(w0)).wrapping_add(x1.wrapping_mul(w1)),
    ]
}

/// The sum of the odd channel.
#[inline(always)]
const fn odd(even: i32, both: i32) -> i32 {
    both.wrapping_sub(even) >> 8
}

impl Micro for Portable {
    const ANY_SCALE: bool = true;

    unsafe fn widen4(windows: &Windows, target: &mut [u32], words: usize) {
        for (pixel, (&row, line)) in windows.rows.iter().zip(windows.lines).enumerate() {
            for i in 0..windows.n {
                // SAFETY: the caller's promise.
                let row = unsafe { core::slice::from_raw_parts(row.wrapping_add(i * line), windows.len) };
                widen(row, &mut target[i * words + pixel..], PIXELS);
            }
        }
    }

    fn widen1(source: &[i8], target: &mut [u32]) {
        widen(source, target, 1);
    }

    #[inline]
    fn pair4(x: &[u32], weights: &[u32]) -> [[i32; PIXELS]; 2] {
        let mut sums = [[0; 2]; PIXELS];
        for (xs, &w) in x.as_chunks::<PIXELS>().0.iter().zip(weights) {
            for (sums, &x) in sums.iter_mut().zip(xs) {
                *sums = multiply(x, w, *sums);
            }
        }
        [sums.map(|[even, _]| even), sums.map(|[even, both]| odd(even, both))]
    }

    #[inline]
    fn pair1<const STEP: usize>(x: &[u32], weights: &[u32]) -> [i32; 2] {
        let words = x.iter().step_by(STEP).zip(weights);
        let [even, both] = words.fold([0; 2], |sums, (&x, &w)| multiply(x, w, sums));
        [even, odd(even, both)]
    }

    #[inline]
    fn block8(x: &[u32], weights: &[u32]) -> [i32; LINEAR_BLOCK] {
        let mut sums = [[0; 2]; LINEAR_BLOCK / 2];
        for (&x, weights) in x.iter().zip(weights.as_chunks::<{ LINEAR_BLOCK / 2 }>().0) {
            for (sums, &w) in sums.iter_mut().zip(weights) {
                *sums = multiply(x, w, *sums);
            }
        }
        let mut outputs = [0; LINEAR_BLOCK];
        for (outputs, [even, both]) in outputs.as_chunks_mut().0.iter_mut().zip(sums) {
            *outputs = [even, odd(even, both)];
        }
        outputs
    }

    #[inline]
    fn window4(input: &[i8], weights: &[i8], taps: Taps, zero: i8) -> [i32; 4] {
        let mut acc = [0i32; 4];
        for row in 0..taps.rows {
            for column in 0..taps.columns {
                let x = &input[row * taps.input_row + column * taps.step..][..4];
                let w = &weights[row * taps.weight_row + column * taps.step..][..4];
                for (sum, (&x, &w)) in acc.iter_mut().zip(x.iter().zip(w)) {
                    *sum = sum.wrapping_add((i32::from(x) - i32::from(zero)) * i32::from(w));
                }
            }
        }
        acc
    }

    #[inline]
    fn sum4(input: &[i8], taps: Taps) -> [i32; 4] {
        let mut sums = [0; 4];
        for row in 0..taps.rows {
            for column in 0..taps.columns {
                let x = &input[row * taps.input_row + column * taps.step..][..4];
                sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += i32::from(x));
            }
        }
        sums
    }

    #[inline]
    fn max4(input: &[i8], taps: Taps) -> [i8; 4] {
        let mut largest = [i8::MIN; 4];
        for row in 0..taps.rows {
            for column in 0..taps.columns {
                let x = &input[row * taps.input_row + column * taps.step..][..4];
                largest.iter_mut().zip(x).for_each(|(largest, &x)| *largest = x.max(*largest));
            }
        }
        largest
    }
}

/// Words of a run, `step` apart, in the order of [`element`](super::pack::element).
#[inline]
fn widen(source: &[i8], target: &mut [u32], step: usize) {
    let halfwords = |low: i8, high: i8| u32::from(low as u16) | u32::from(high as u16) << 16;
    let (quads, tail) = source.as_chunks::<4>();
    let mut at = 0;
    for &[x0, x1, x2, x3] in quads {
        target[at] = halfwords(x0, x2);
        target[at + step] = halfwords(x1, x3);
        at += 2 * step;
    }
    match *tail {
        [x0] => target[at] = halfwords(x0, 0),
        [x0, x1] => target[at] = halfwords(x0, x1),
        [x0, x1, x2] => {
            target[at] = halfwords(x0, x2);
            target[at + step] = halfwords(x1, 0);
        }
        _ => {}
    }
}
