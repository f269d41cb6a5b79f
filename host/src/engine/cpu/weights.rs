//! Weights between their stored OIHW prefix and what the kernels read.

use super::gemm::pack;
use super::geometry::Geometry;
use crate::network::ConvKind;

/// Packs the active weights for the forward product.
pub fn pack_forward(g: &Geometry, weight: &[f32], packed: &mut Vec<f32>) {
    let (taps, c_in, c_in_max) = (g.taps(), g.c_in, g.c_in_max);
    match g.kind {
        ConvKind::Depthwise => g.depthwise().pack(weight, |t| t, packed),
        _ => {
            let get = |row: usize, o: usize| weight[(o * c_in_max + row % c_in) * taps + row / c_in];
            pack(g.c_out, taps * c_in, get, packed);
        }
    }
}

/// Packs the active weights for the input gradient; `flipped` if that is a stride-1 convolution.
pub fn pack_backward(g: &Geometry, flipped: bool, weight: &[f32], packed: &mut Vec<f32>) {
    let (taps, c_in, c_out, c_in_max) = (g.taps(), g.c_in, g.c_out, g.c_in_max);
    let at = |o: usize, i: usize, tap: usize| weight[(o * c_in_max + i) * taps + tap];
    match (g.kind, flipped) {
        (ConvKind::Depthwise, true) => g.depthwise().pack(weight, |t| taps - 1 - t, packed),
        (ConvKind::Depthwise, false) => g.depthwise().pack(weight, |t| t, packed),
        (_, true) => pack(c_in, taps * c_out, |row, i| at(row % c_out, i, taps - 1 - row / c_out), packed),
        (_, false) => pack(taps * c_in, c_out, |o, q| at(o, q % c_in, q / c_in), packed),
    }
}

/// Adds the chunks' weight gradients, in order, to the active prefix of the whole gradient.
pub fn fold(g: &Geometry, parts: &[f32], n_weights: usize, grad: &mut [f32]) {
    let (taps, c_in, c_out) = (g.taps(), g.c_in, g.c_out);
    let c_padded = c_out.next_multiple_of(super::simd::LANES);
    for part in parts.chunks_exact(n_weights) {
        if g.kind == ConvKind::Depthwise {
            for o in 0..c_out {
                (0..taps).for_each(|t| grad[o * taps + t] += part[t * c_padded + o]);
            }
            continue;
        }
        for o in 0..c_out {
            for i in 0..c_in {
                let to = &mut grad[(o * g.c_in_max + i) * taps..][..taps];
                if g.is_pointwise() {
                    to[0] += part[o * c_in + i];
                } else {
                    to.iter_mut().enumerate().for_each(|(t, to)| *to += part[(t * c_in + i) * c_out + o]);
                }
            }
        }
    }
}
