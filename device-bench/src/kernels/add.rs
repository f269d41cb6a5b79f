//! Sum of two tensors with their own scales. Source: TFLite `reference_integer_ops::Add`.

use super::Layer;
use crate::quant::finish;

/// Bits that inputs gain before they are scaled, as in TFLite.
const LEFT_SHIFT: u32 = 20;

pub(super) fn run(layer: &Layer<'_>, inputs: [&[i8]; 2], output: &mut [i8]) {
    let &[scale_a, scale_b, scale_out] = layer.requant else { return };
    let widen = |x: i8, zero: i8| (i32::from(x) - i32::from(zero)) << LEFT_SHIFT;
    let [zero_a, zero_b] = layer.input_zero;
    for (out, (&a, &b)) in output.iter_mut().zip(inputs[0].iter().zip(inputs[1])) {
        let a = scale_a.apply(widen(a, zero_a));
        let b = scale_b.apply(widen(b, zero_b));
        *out = finish(a.wrapping_add(b), scale_out, layer.output_zero, layer.clamp);
    }
}
