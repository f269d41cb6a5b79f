//! Maximum over windows. Source: TFLite `reference_integer_ops::MaxPool`.

use super::{Layer, Span};

pub(super) fn run(layer: &Layer<'_>, input: &[i8], output: &mut [i8]) {
    let channels = usize::from(layer.spec.c_in);
    let in_w = usize::from(layer.spec.in_w);
    let out_w = usize::from(layer.spec.out_w());
    for (i, pixel) in output.chunks_exact_mut(channels).enumerate() {
        let (rows, columns) = (Span::rows(&layer.spec, i / out_w), Span::columns(&layer.spec, i % out_w));
        pixel.fill(i8::MIN);
        for row in rows.input..rows.input + rows.len() {
            let start = (row * in_w + columns.input) * channels;
            for taps in input[start..start + columns.len() * channels].chunks_exact(channels) {
                for (out, &x) in pixel.iter_mut().zip(taps) {
                    *out = (*out).max(x);
                }
            }
        }
        for out in pixel {
            *out = layer.clamp.apply(i32::from(*out));
        }
    }
}
