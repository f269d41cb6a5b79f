//! Depthwise convolution: four channels of a window at a time, in place.

use super::micro::{Micro, Taps, clamp};
use super::planes::Planes;
use super::{KernelError, Layer, Span, cast};
use crate::layer::{LayerSpec, Padding};

/// What the zero point adds to each channel's sum, where there is padding; or the planes of [`Micro::depthwise`].
pub(super) const fn scratch_bytes(spec: &LayerSpec) -> usize {
    let planes = match Planes::of(spec) {
        Some(planes) => planes.scratch_bytes(spec.stride as usize),
        None => 0,
    };
    let sums = 4 * n_sums(spec);
    if planes > sums { planes } else { sums }
}

/// Channels whose sums are kept; layers of more go channel by channel, at several times the cost.
const MOST_SUMS: usize = 2048;

const fn n_sums(spec: &LayerSpec) -> usize {
    let Padding { top, bottom, left, right } = spec.padding;
    let padded = top as usize + bottom as usize + left as usize + right as usize;
    if padded == 0 || spec.c_in as usize > MOST_SUMS { 0 } else { spec.c_in as usize }
}

#[inline(never)]
pub(super) fn run<M: Micro>(
    layer: &Layer<'_>,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) -> Result<(), KernelError> {
    let scratch = cast::as_words_mut(scratch).ok_or(KernelError::Scratch)?;
    let is_done = M::depthwise(layer, input, output, scratch).is_some();
    let by_channel = !is_done && layer.channels.len() > MOST_SUMS;
    if !is_done && !by_channel {
        let sums = scratch.get_mut(..n_sums(&layer.spec)).ok_or(KernelError::Scratch)?;
        let weights = cast::as_i8(layer.weights);
        if !sums.is_empty() {
            sums.fill(0);
            for pixel in weights.chunks_exact(usize::from(layer.spec.c_in)) {
                for (sum, &w) in sums.iter_mut().zip(pixel) {
                    *sum = sum.wrapping_add((i32::from(w) * i32::from(layer.input_zero[0])) as u32);
                }
            }
        }
        each_window(layer, input, output, |window, output| {
            let sums = if window.is_whole { &[] } else { &*sums };
            window.run::<M>(layer, sums, output);
        });
    }
    if by_channel || (!layer.scales_fast && !M::ANY_SCALE) {
        for c in (0..layer.channels.len()).filter(|&c| by_channel || !layer.channels[c].is_fast()) {
            run_again(layer, c, input, output);
        }
    }
    clamp::<M>(layer, output);
    Ok(())
}

/// Channel `c` of all pixels, whatever its scale.
#[inline(never)]
fn run_again(layer: &Layer<'_>, c: usize, input: &[i8], output: &mut [i8]) {
    let (channel, zero) = (&layer.channels[c], layer.input_zero[0]);
    let weights = cast::as_i8(layer.weights)[c..].iter().step_by(layer.channels.len());
    // The zero point is folded into the bias, and is subtracted from what lies on the plane.
    let start: i32 = weights.map(|&w| i32::from(w) * i32::from(zero)).sum();
    each_window(layer, input, output, |window, output| {
        let twice_sum = window.channel(c, zero).wrapping_add(start).wrapping_mul(2);
        output[c] = channel.finish(twice_sum, layer.output_zero, layer.clamp);
    });
}

/// Calls `run` with the window and the outputs of every pixel.
#[inline(always)]
fn each_window<'a>(
    layer: &Layer<'a>,
    input: &'a [i8],
    output: &mut [i8],
    mut run: impl FnMut(Window<'a>, &mut [i8]),
) {
    let (channels, out_w) = (usize::from(layer.spec.c_in), usize::from(layer.spec.out_w()));
    for (y, row) in output.chunks_exact_mut(out_w * channels).enumerate() {
        let rows = Span::rows(&layer.spec, y);
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            run(Window::new(layer, input, rows, Span::columns(&layer.spec, x)), pixel);
        }
    }
}

/// The part of an output pixel's window that lies on the plane.
pub(super) struct Window<'a> {
    pub taps: Taps,
    /// From the first tap on.
    pub input: &'a [i8],
    pub weights: &'a [i8],
    /// Nothing of it lies beside the plane.
    is_whole: bool,
}

impl<'a> Window<'a> {
    #[inline(always)]
    fn new(layer: &Layer<'a>, input: &'a [i8], rows: Span, columns: Span) -> Window<'a> {
        let spec = &layer.spec;
        let taps = Taps::inside(spec, rows, columns);
        Window {
            taps,
            input: &input[rows.input * taps.input_row + columns.input * taps.step..],
            weights: &cast::as_i8(layer.weights)[rows.begin * taps.weight_row + columns.begin * taps.step..],
            is_whole: taps.rows == usize::from(spec.kernel_h) && taps.columns == usize::from(spec.kernel_w),
        }
    }

    /// All channels of the pixel. A tap beside the plane reads the zero point: the others' inputs have it subtracted then,
    /// and `sums`, what it adds over the whole window, is added. Empty for a whole window.
    fn run<M: Micro>(&self, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        if output.len() >= 4 {
            return M::window(self, layer, sums, output);
        }
        M::window_of_few(self, layer, sums, output);
    }

    /// One channel after the other.
    #[inline(always)]
    pub fn each<M: Micro>(&self, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        self.finish_few::<M>(layer, sums, output, |c, zero| self.channel(c, zero));
    }

    /// Less than four channels, of which `channel` adds up one, the zero point subtracted from its inputs.
    #[inline(always)]
    pub fn finish_few<M: Micro>(
        &self,
        layer: &Layer<'_>,
        sums: &[u32],
        output: &mut [i8],
        channel: impl Fn(usize, i8) -> i32,
    ) {
        let zero = if sums.is_empty() { 0 } else { layer.input_zero[0] };
        for (c, out) in output.iter_mut().enumerate() {
            let sum = channel(c, zero).wrapping_add(sums.get(c).map_or(0, |&sum| sum as i32));
            *out = M::finish(&layer.channels[c], sum.wrapping_mul(2), layer.output_zero);
        }
    }

    /// One channel's sum, `zero` subtracted from every input.
    fn channel(&self, c: usize, zero: i8) -> i32 {
        let Taps { rows, columns, step, input_row, weight_row } = self.taps;
        let reach = |row: usize| self.taps.reach(row) - 4 + step;
        assert!(c < step && self.input.len() >= reach(input_row) && self.weights.len() >= reach(weight_row));
        let (mut x, mut w) = (self.input.as_ptr().wrapping_add(c), self.weights.as_ptr().wrapping_add(c));
        let mut sum = 0i32;
        for _ in 0..rows {
            for _ in 0..columns {
                // SAFETY: channel `c` of a tap, all of which lie within the slices, as asserted.
                let (input, weight) = unsafe { (i32::from(*x), i32::from(*w)) };
                sum = sum.wrapping_add((input - i32::from(zero)).wrapping_mul(weight));
                (x, w) = (x.wrapping_add(step), w.wrapping_add(step));
            }
            (x, w) =
                (x.wrapping_add(input_row - columns * step), w.wrapping_add(weight_row - columns * step));
        }
        sum
    }

    /// Four channels after the other; there are at least four.
    #[inline(never)]
    pub fn each_four<M: Micro>(&self, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        let zero = if sums.is_empty() { 0 } else { layer.input_zero[0] };
        let channels = output.len();
        for c in (0..channels).step_by(4) {
            // The last four channels are four too: some are computed twice.
            let c = c.min(channels - 4);
            let acc = M::window4(&self.input[c..], &self.weights[c..], self.taps, zero);
            for (c, (out, sum)) in (c..).zip(output[c..c + 4].iter_mut().zip(acc)) {
                let sum = sum.wrapping_add(sums.get(c).map_or(0, |&sum| sum as i32));
                *out = M::finish(&layer.channels[c], sum.wrapping_mul(2), layer.output_zero);
            }
        }
    }
}
