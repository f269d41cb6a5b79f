//! Fully connected: four outputs share each input.

use super::Layer;
use super::micro::Micro;
use crate::quant::finish;

pub(super) fn run<M: Micro>(layer: &Layer<'_>, input: &[i8], output: &mut [i8]) {
    let len = input.len();
    let mut rows = layer.weights.chunks_exact(4 * len);
    let mut channel = 0;
    for four in &mut rows {
        let (low, high) = four.split_at(2 * len);
        let ((a, b), (c, d)) = (low.split_at(len), high.split_at(len));
        store(layer, &M::dot_narrow(input, [a, b, c, d]), channel, output);
        channel += 4;
    }
    for row in rows.remainder().chunks_exact(len) {
        store(layer, &M::dot_narrow(input, [row]), channel, output);
        channel += 1;
    }
}

#[inline(always)]
fn store(layer: &Layer<'_>, acc: &[i32], channel: usize, output: &mut [i8]) {
    let parameters = layer.bias[channel..].iter().zip(&layer.requant[channel..]);
    for ((&sum, (&bias, &requant)), out) in acc.iter().zip(parameters).zip(&mut output[channel..]) {
        *out = finish(sum.wrapping_add(bias), requant, layer.output_zero, layer.clamp);
    }
}
