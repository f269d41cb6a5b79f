//! Average over windows; padding does not count. Source: TFLite `reference_integer_ops::AveragePool`.

use super::{Layer, Span};

pub(super) fn run(layer: &Layer<'_>, input: &[i8], output: &mut [i8]) {
    let channels = usize::from(layer.spec.c_in);
    let in_w = usize::from(layer.spec.in_w);
    let out_w = usize::from(layer.spec.out_w());
    for (i, pixel) in output.chunks_exact_mut(channels).enumerate() {
        let (rows, columns) = (Span::rows(&layer.spec, i / out_w), Span::columns(&layer.spec, i % out_w));
        let count = (rows.len() * columns.len()) as i32;
        for (c, out) in pixel.iter_mut().enumerate() {
            let mut sum = 0i32;
            for row in rows.input..rows.input + rows.len() {
                let start = (row * in_w + columns.input) * channels;
                let taps = input[start..start + columns.len() * channels].iter().skip(c).step_by(channels);
                sum += taps.map(|&x| i32::from(x)).sum::<i32>();
            }
            *out = layer.clamp.apply(rounded_mean(sum, count));
        }
    }
}

/// Ties go away from zero.
fn rounded_mean(sum: i32, count: i32) -> i32 {
    let half = if sum > 0 { count / 2 } else { -(count / 2) };
    (sum + half) / count.max(1)
}
