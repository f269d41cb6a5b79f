//! Depthwise convolution: four channels of a window at a time, in place.

use super::micro::{Micro, Taps};
use super::{Layer, Span};
use crate::quant::finish;

pub(super) fn run<M: Micro>(layer: &Layer<'_>, input: &[i8], output: &mut [i8]) {
    let channels = usize::from(layer.spec.c_in);
    let out_w = usize::from(layer.spec.out_w());
    for (y, row) in output.chunks_exact_mut(out_w * channels).enumerate() {
        let rows = Span::rows(&layer.spec, y);
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            run_pixel::<M>(layer, input, rows, Span::columns(&layer.spec, x), pixel);
        }
    }
}

#[inline(always)]
fn run_pixel<M: Micro>(layer: &Layer<'_>, input: &[i8], rows: Span, columns: Span, output: &mut [i8]) {
    let spec = &layer.spec;
    let channels = output.len();
    let taps = Taps {
        rows: rows.len(),
        columns: columns.len(),
        step: channels,
        input_row: usize::from(spec.in_w) * channels,
        weight_row: usize::from(spec.kernel_w) * channels,
    };
    let input = &input[(rows.input * usize::from(spec.in_w) + columns.input) * channels..];
    let weights = &layer.weights[rows.begin * taps.weight_row + columns.begin * channels..];
    let inside = taps.rows == usize::from(spec.kernel_h) && taps.columns == usize::from(spec.kernel_w);

    let mut fours = output.chunks_exact_mut(4);
    let mut c = 0;
    for four in &mut fours {
        let acc = M::window4(&input[c..], &weights[c..], taps);
        for (lane, (out, sum)) in four.iter_mut().zip(acc).enumerate() {
            *out = finish_channel(layer, sum, c + lane, inside, rows, columns);
        }
        c += 4;
    }
    for out in fours.into_remainder() {
        let sum = window1(&input[c..], &weights[c..], taps);
        *out = finish_channel(layer, sum, c, inside, rows, columns);
        c += 1;
    }
}

#[inline(always)]
fn finish_channel(layer: &Layer<'_>, sum: i32, c: usize, inside: bool, rows: Span, columns: Span) -> i8 {
    let padding = if inside { 0 } else { padding_sum(layer, c, rows, columns) };
    let sum = sum.wrapping_add(layer.bias[c]).wrapping_add(padding);
    finish(sum, layer.requant[c], layer.output_zero, layer.clamp)
}

/// What taps outside of the plane add: they read the input's zero point.
fn padding_sum(layer: &Layer<'_>, c: usize, rows: Span, columns: Span) -> i32 {
    let kernel_w = usize::from(layer.spec.kernel_w);
    let mut sum = 0i32;
    for (tap, pixel) in layer.weights.chunks_exact(usize::from(layer.spec.c_in)).enumerate() {
        let (ky, kx) = (tap / kernel_w, tap % kernel_w);
        let on_plane = (rows.begin..rows.end).contains(&ky) && (columns.begin..columns.end).contains(&kx);
        if !on_plane {
            sum = sum.wrapping_add(i32::from(pixel[c]));
        }
    }
    sum.wrapping_mul(i32::from(layer.input_zero[0]))
}

fn window1(input: &[i8], weights: &[i8], taps: Taps) -> i32 {
    let mut acc = 0i32;
    for row in 0..taps.rows {
        let (x, w) = (&input[row * taps.input_row..], &weights[row * taps.weight_row..]);
        for (&x, &w) in x.iter().step_by(taps.step).zip(w.iter().step_by(taps.step)).take(taps.columns) {
            acc = acc.wrapping_add(i32::from(x) * i32::from(w));
        }
    }
    acc
}
