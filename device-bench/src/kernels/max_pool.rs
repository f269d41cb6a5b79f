//! Maximum over windows. Source: TFLite `reference_integer_ops::MaxPool`.

use super::micro::{Micro, Taps, clamp};
use super::{Layer, Span};

#[inline(never)]
pub(super) fn run<M: Micro>(layer: &Layer<'_>, input: &[i8], output: &mut [i8]) {
    let channels = usize::from(layer.spec.c_in);
    let out_w = usize::from(layer.spec.out_w());
    for (i, pixel) in output.chunks_exact_mut(channels).enumerate() {
        let (rows, columns) = (Span::rows(&layer.spec, i / out_w), Span::columns(&layer.spec, i % out_w));
        let taps = Taps::inside(&layer.spec, rows, columns).joined();
        let input = &input[rows.input * taps.input_row + columns.input * channels..];
        if channels < 4 {
            for (c, out) in pixel.iter_mut().enumerate() {
                *out = taps.of(&input[c..]).fold(i8::MIN, i8::max);
            }
            continue;
        }
        for c in (0..channels).step_by(4) {
            // The last four channels are four too: some are computed twice.
            let c = c.min(channels - 4);
            pixel[c..c + 4].copy_from_slice(&M::max4(&input[c..], taps));
        }
    }
    clamp::<M>(layer, output);
}
