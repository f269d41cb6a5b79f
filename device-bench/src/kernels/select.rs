//! Channels by a table: what a reshape, a transposition and a slice do in a TFLite file. A copy in any scale.

use super::Layer;

pub(super) fn run(layer: &Layer<'_>, mut input: &[i8], output: &mut [i8]) {
    let c_in = usize::from(layer.spec.c_in);
    let (table, _) = layer.weights.as_chunks::<2>();
    for target in output.chunks_exact_mut(usize::from(layer.spec.c_out).max(1)) {
        let Some((source, rest)) = input.split_at_checked(c_in) else { return };
        let Some(last) = source.last() else { return };
        for (out, &channel) in target.iter_mut().zip(table) {
            *out = *source.get(usize::from(u16::from_le_bytes(channel))).unwrap_or(last);
        }
        input = rest;
    }
}
