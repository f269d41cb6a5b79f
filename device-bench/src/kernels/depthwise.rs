//! Depthwise convolution: four channels of a window at a time, in place.

use super::micro::{Micro, Taps, clamp, finish};
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

const fn n_sums(spec: &LayerSpec) -> usize {
    let Padding { top, bottom, left, right } = spec.padding;
    let padded = top as usize + bottom as usize + left as usize + right as usize;
    if padded == 0 { 0 } else { spec.c_in as usize }
}

#[inline(never)]
pub(super) fn run<M: Micro>(
    layer: &Layer<'_>,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) -> Result<(), KernelError> {
    let scratch = cast::as_words_mut(scratch).ok_or(KernelError::Scratch)?;
    if M::depthwise(layer, input, output, scratch).is_some() {
        for c in 0..layer.channels.len() {
            if !layer.scales_fast && !layer.channels[c].is_fast() {
                run_again(layer, c, input, output);
            }
        }
        clamp::<M>(layer, output);
        return Ok(());
    }
    let sums = scratch.get_mut(..n_sums(&layer.spec)).ok_or(KernelError::Scratch)?;
    let weights = cast::as_i8(layer.weights);
    let channels = usize::from(layer.spec.c_in);
    if !sums.is_empty() {
        sums.fill(0);
        for pixel in weights.chunks_exact(channels) {
            for (sum, &w) in sums.iter_mut().zip(pixel) {
                *sum = sum.wrapping_add((i32::from(w) * i32::from(layer.input_zero[0])) as u32);
            }
        }
    }
    let out_w = usize::from(layer.spec.out_w());
    for (y, row) in output.chunks_exact_mut(out_w * channels).enumerate() {
        let rows = Span::rows(&layer.spec, y);
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let columns = Span::columns(&layer.spec, x);
            let window = Window::new(layer, (input, weights), rows, columns);
            if window.is_whole {
                window.run::<M>(layer, &[], pixel);
            } else {
                window.run::<M>(layer, sums, pixel);
            }
        }
    }
    clamp::<M>(layer, output);
    Ok(())
}

/// Channel `c`, whose scale is not fast, of all pixels.
#[inline(never)]
fn run_again(layer: &Layer<'_>, c: usize, input: &[i8], output: &mut [i8]) {
    let spec = &layer.spec;
    let (channels, out_w) = (usize::from(spec.c_in), usize::from(spec.out_w()));
    let (weights, zero) = (cast::as_i8(layer.weights), i32::from(layer.input_zero[0]));
    let of_window: i32 = weights[c..].iter().step_by(channels).map(|&w| i32::from(w) * zero).sum();
    for (i, pixel) in output.chunks_exact_mut(channels).enumerate() {
        let (rows, columns) = (Span::rows(spec, i / out_w), Span::columns(spec, i % out_w));
        let mut sum = of_window;
        for row in 0..rows.len() {
            let x = ((rows.input + row) * usize::from(spec.in_w) + columns.input) * channels + c;
            let w = ((rows.begin + row) * usize::from(spec.kernel_w) + columns.begin) * channels + c;
            for at in (0..columns.len() * channels).step_by(channels) {
                let product = (i32::from(input[x + at]) - zero) * i32::from(weights[w + at]);
                sum = sum.wrapping_add(product);
            }
        }
        pixel[c] = layer.channels[c].finish(sum.wrapping_mul(2), layer.output_zero, layer.clamp);
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
    fn new(
        layer: &Layer<'_>,
        (input, weights): (&'a [i8], &'a [i8]),
        rows: Span,
        columns: Span,
    ) -> Window<'a> {
        let spec = &layer.spec;
        let taps = Taps::inside(spec, rows, columns);
        Window {
            taps,
            input: &input[rows.input * taps.input_row + columns.input * taps.step..],
            weights: &weights[rows.begin * taps.weight_row + columns.begin * taps.step..],
            is_whole: taps.rows == usize::from(spec.kernel_h) && taps.columns == usize::from(spec.kernel_w),
        }
    }

    /// All channels of the pixel. A tap beside the plane reads the zero point: the others' inputs have it subtracted then,
    /// and `sums`, what it adds over the whole window, is added. Empty for a whole window.
    fn run<M: Micro>(&self, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        if output.len() < 4 {
            self.each::<M>(layer, sums, output);
        } else if layer.scales_fast {
            M::window(self, layer, sums, output);
        } else {
            self.each_four::<M>(layer, sums, output);
        }
    }

    /// One channel after the other.
    fn each<M: Micro>(&self, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        let zero = i32::from(if sums.is_empty() { 0 } else { layer.input_zero[0] });
        let Taps { rows, columns, step, input_row, weight_row } = self.taps;
        let reach = |row: usize| self.taps.reach(row) - 4 + step;
        assert!(self.input.len() >= reach(input_row) && self.weights.len() >= reach(weight_row));
        assert!(output.len() <= step);
        for (c, out) in output.iter_mut().enumerate() {
            let (mut x, mut w) = (self.input.as_ptr().wrapping_add(c), self.weights.as_ptr().wrapping_add(c));
            let mut sum = sums.get(c).map_or(0, |&sum| sum as i32);
            for _ in 0..rows {
                for _ in 0..columns {
                    // SAFETY: channel `c` of a tap, all of which lie within the slices, as asserted.
                    let (input, weight) = unsafe { (i32::from(*x), i32::from(*w)) };
                    sum = sum.wrapping_add((input - zero).wrapping_mul(weight));
                    (x, w) = (x.wrapping_add(step), w.wrapping_add(step));
                }
                (x, w) =
                    (x.wrapping_add(input_row - columns * step), w.wrapping_add(weight_row - columns * step));
            }
            *out = finish::<M>(layer, c, sum);
        }
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
                let start = sums.get(c).map_or(0, |&sum| sum as i32);
                *out = finish::<M>(layer, c, sum.wrapping_add(start));
            }
        }
    }
}
