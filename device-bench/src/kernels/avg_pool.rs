//! Average over windows; padding does not count. Source: TFLite `reference_integer_ops::AveragePool`.

use super::micro::{Micro, Taps};
use super::{Layer, Span};

#[inline(never)]
pub(super) fn run<M: Micro>(layer: &Layer<'_>, input: &[i8], output: &mut [i8]) {
    let channels = usize::from(layer.spec.c_in);
    let out_w = usize::from(layer.spec.out_w());
    for (i, pixel) in output.chunks_exact_mut(channels).enumerate() {
        let (rows, columns) = (Span::rows(&layer.spec, i / out_w), Span::columns(&layer.spec, i % out_w));
        let taps = Taps::inside(&layer.spec, rows, columns).joined();
        let input = &input[rows.input * taps.input_row + columns.input * channels..];
        let count = (taps.rows * taps.columns) as i32;
        let mean = |sum| layer.clamp.apply(rounded_mean(sum, count));
        if channels < 4 {
            for (c, out) in pixel.iter_mut().enumerate() {
                *out = mean(taps.of(&input[c..]).map(i32::from).sum());
            }
            continue;
        }
        for c in (0..channels).step_by(4) {
            // The last four channels are four too: some are computed twice.
            let c = c.min(channels - 4);
            for (out, sum) in pixel[c..c + 4].iter_mut().zip(M::sum4(&input[c..], taps)) {
                *out = mean(sum);
            }
        }
    }
}

/// Ties go away from zero.
#[inline(always)]
fn rounded_mean(sum: i32, count: i32) -> i32 {
    let half = if sum > 0 { count / 2 } else { -(count / 2) };
    (sum + half) / count.max(1)
}
