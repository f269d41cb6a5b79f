use super::{Rng, Sum, any_end, assert_untouched, for_cases, guarded, most};
use crate::Real;
use crate::depthwise::{Depthwise, Inside};

/// Mostly the kernels of the networks, which have code of their own.
fn geometry(rng: &mut Rng) -> Depthwise {
    let kernel = *rng.pick(&[3, 3, 3, 1, 2, 5, 7][..most(7, 5)]);
    let (c, stride) = (rng.channels(), rng.size(1..=3));
    let (h_out, w_out) = (rng.size(1..=most(4, 2)), rng.size(1..=most(11, 6)));
    let w_padded = (w_out - 1) * stride + kernel + rng.size(0..=2);
    Depthwise { c, kernel, stride, h_out, w_out, padded_row: w_padded * c + rng.size(0..=1) * 5 }
}

/// Values of the padded image up to the last one that the kernel reads.
fn padded_len(g: &Depthwise) -> usize {
    let last = |n: usize| (n - 1) * g.stride + g.kernel - 1;
    last(g.h_out) * g.padded_row + (last(g.w_out) + 1) * g.c
}

/// Offset of tap `t` of an output pixel.
fn tap_at(g: &Depthwise, (oy, ox): (usize, usize), t: usize) -> usize {
    let (y, x) = (oy * g.stride + t / g.kernel, ox * g.stride + t % g.kernel);
    y * g.padded_row + x * g.c
}

fn outputs(g: &Depthwise) -> impl Iterator<Item = (usize, usize)> + Clone {
    let (h, w) = (g.h_out, g.w_out);
    (0..h).flat_map(move |y| (0..w).map(move |x| (y, x)))
}

/// Where a channel of a tap is in packed weights.
fn packed_at(g: &Depthwise, t: usize, k: usize) -> usize {
    t * g.packed_len() / (g.kernel * g.kernel) + k
}

#[test]
fn packed_weights_have_a_row_of_channels_for_each_tap() {
    for_cases(50, |_, rng| {
        let g = geometry(rng);
        let taps = g.kernel * g.kernel;
        let weight = rng.values(g.c * taps, 1.0);
        let mut packed = guarded(&vec![Real::NAN; g.packed_len()]);
        let rows: Vec<usize> = (0..g.c).rev().map(|k| k * taps).collect();
        g.pack(&weight, &rows, |t| taps - 1 - t, &mut packed);
        for t in 0..taps {
            for k in 0..g.c {
                assert_eq!(packed[packed_at(&g, t, k)], weight[rows[k] + taps - 1 - t]);
            }
        }
        assert_eq!(
            packed.iter().filter(|x| **x != 0.0).count(),
            weight.iter().filter(|x| **x != 0.0).count()
        );
    });
}

#[test]
fn a_depthwise_convolution_is_its_sum_over_taps() {
    for_cases(300, |isa, rng| {
        let g = geometry(rng);
        let (padded, weights) = (rng.buffer(padded_len(&g), 1.0), guarded(&rng.values(g.packed_len(), 1.0)));
        let whole = g.c.next_multiple_of(isa.lanes());
        let (scale, shift) = (guarded(&rng.values(whole, 1.0)), guarded(&rng.values(whole, 1.0)));
        let end = any_end(rng, &scale, &shift);
        let before = rng.values(g.h_out * g.w_out * g.c, 1.0);
        let mut y = guarded(&before);
        g.forward(isa, &padded, &weights, &mut y, end);
        for (pixel, at) in outputs(&g).enumerate() {
            for k in 0..g.c {
                let tap = |t: usize| (padded[tap_at(&g, at, t) + k], weights[packed_at(&g, t, k)]);
                let (to, taps) = (pixel * g.c + k, g.kernel * g.kernel);
                let expected = Sum::of_products(0.0, (0..taps).map(tap)).ended(end, k, before[to]);
                expected.check(y[to], || format!("{g:?} at {at:?}, {k}, {end:?}"));
            }
        }
    });
}

#[test]
fn a_weight_gradient_is_its_sum_over_pixels() {
    for_cases(300, |isa, rng| {
        let g = geometry(rng);
        let dz_row = g.w_out * g.c + rng.size(0..=7);
        let padded = rng.buffer(padded_len(&g), 1.0);
        let dz = rng.buffer((g.h_out - 1) * dz_row + g.w_out * g.c, 1.0);
        let before = rng.values(g.packed_len(), 1.0);
        let mut grad = guarded(&before);
        g.weight_grad(isa, &padded, &dz, dz_row, &mut grad);
        let mut outside = vec![true; grad.len()];
        for t in 0..g.kernel * g.kernel {
            for k in 0..g.c {
                let pixel =
                    |at: (usize, usize)| (padded[tap_at(&g, at, t) + k], dz[at.0 * dz_row + at.1 * g.c + k]);
                let i = packed_at(&g, t, k);
                outside[i] = false;
                let expected = Sum::of_products(before[i], outputs(&g).map(pixel));
                expected.check(grad[i], || format!("{g:?}, tap {t}, {k}"));
            }
        }
        assert_untouched(&before, &grad, |i| outside[i]);
    });
}

#[test]
fn an_input_gradient_is_its_sum_over_the_taps_that_read_a_pixel() {
    for_cases(300, |isa, rng| {
        let g = geometry(rng);
        // Larger or smaller than what the kernel reads.
        let mut side = |n_out: usize| rng.size(1..=(n_out - 1) * g.stride + g.kernel + 1);
        let (h, w) = (side(g.h_out), side(g.w_out));
        let inside = Inside { h, w, top: rng.size(0..=3), left: rng.size(0..=3) };
        let dz = rng.buffer(g.h_out * g.w_out * g.c, 1.0);
        let weights = guarded(&rng.values(g.packed_len(), 1.0));
        let mut dx = guarded(&vec![9.0; h * w * g.c]);
        g.input_grad(isa, &dz, &weights, inside, &mut dx);
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            for k in 0..g.c {
                let mut expected = Sum::new(0.0);
                for (pixel, (oy, ox)) in outputs(&g).enumerate() {
                    for (ky, kx) in (0..g.kernel).flat_map(|ky| (0..g.kernel).map(move |kx| (ky, kx))) {
                        let reads = (oy * g.stride + ky, ox * g.stride + kx);
                        if reads == (inside.top + y, inside.left + x) {
                            let weight = weights[packed_at(&g, ky * g.kernel + kx, k)];
                            let term = super::exact(weight) * super::exact(dz[pixel * g.c + k]);
                            expected = expected.plus(term);
                        }
                    }
                }
                expected.check(dx[(y * w + x) * g.c + k], || format!("{g:?} {inside:?} at {y}, {x}, {k}"));
            }
        }
    });
}
