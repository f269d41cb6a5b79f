//! Gradients of the depthwise convolution.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use super::{Depthwise, Inside, PAD, taps3};
use crate::Real;
use crate::simd::{Simd, each_vector, kernel, load, store};

/// Adds one row's part of the weight gradient of one vector of channels, 3 × 3, `U` pixels at a time.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn weight_row3<S: Simd, const STRIDE: usize, const U: usize, const FULL: bool>(
    g: &Depthwise,
    x: *const Real,
    dz: *const Real,
    grad: *mut Real,
    n: usize,
) {
    let mut acc = [S::zero(); 9];
    let mut ox = 0;
    while ox + U <= g.w_out {
        let mut d = [S::zero(); U];
        for u in 0..U {
            d[u] = load::<S, FULL>(dz.add((ox + u) * g.c), n);
        }
        for ky in 0..3 {
            let mut xs = [S::zero(); 8];
            for q in 0..(U - 1) * STRIDE + 3 {
                xs[q] = load::<S, FULL>(x.add(ky * g.padded_row + (ox * STRIDE + q) * g.c), n);
            }
            for u in 0..U {
                for kx in 0..3 {
                    acc[ky * 3 + kx] = xs[u * STRIDE + kx].fma(d[u], acc[ky * 3 + kx]);
                }
            }
        }
        ox += U;
    }
    while ox < g.w_out {
        let d = load::<S, FULL>(dz.add(ox * g.c), n);
        for t in 0..9 {
            let p = x.add(t / 3 * g.padded_row + (ox * STRIDE + t % 3) * g.c);
            acc[t] = load::<S, FULL>(p, n).fma(d, acc[t]);
        }
        ox += 1;
    }
    let c_padded = g.c.next_multiple_of(PAD);
    for t in 0..9 {
        let p = grad.add(t * c_padded);
        acc[t].add(S::load(p)).store(p);
    }
}

/// Adds one row's part of the weight gradient of one vector of channels, any kernel and stride.
#[inline(always)]
unsafe fn weight_row<S: Simd, const FULL: bool>(
    g: &Depthwise,
    x: *const Real,
    dz: *const Real,
    grad: *mut Real,
    n: usize,
) {
    let c_padded = g.c.next_multiple_of(PAD);
    for t in 0..g.kernel * g.kernel {
        let mut acc = S::zero();
        for ox in 0..g.w_out {
            let p = x.add(t / g.kernel * g.padded_row + (ox * g.stride + t % g.kernel) * g.c);
            acc = load::<S, FULL>(p, n).fma(load::<S, FULL>(dz.add(ox * g.c), n), acc);
        }
        let p = grad.add(t * c_padded);
        acc.add(S::load(p)).store(p);
    }
}

#[inline(always)]
unsafe fn weight_grad_imp<S: Simd>(
    g: &Depthwise,
    x: *const Real,
    dz: *const Real,
    dz_row: usize,
    grad: *mut Real,
) {
    for oy in 0..g.h_out {
        let (x, dz) = (x.add(oy * g.stride * g.padded_row), dz.add(oy * dz_row));
        match (g.kernel, g.stride) {
            (3, 1) => each_vector!(S, g.c, weight_row3, [1, 2], |v| (g, x.add(v), dz.add(v), grad.add(v))),
            (3, 2) => each_vector!(S, g.c, weight_row3, [2, 1], |v| (g, x.add(v), dz.add(v), grad.add(v))),
            _ => each_vector!(S, g.c, weight_row, [], |v| (g, x.add(v), dz.add(v), grad.add(v))),
        }
    }
}
kernel!(pub weight_grad, weight_grad_imp, (g: &Depthwise, x: *const Real, dz: *const Real, dz_row: usize, grad: *mut Real));

/// The output position whose tap `k` reads position `at` of the padded image, if there is one of `n_out`.
#[inline(always)]
fn output_of(at: usize, k: usize, stride: usize, n_out: usize) -> Option<usize> {
    let from = at.checked_sub(k)?;
    (from.is_multiple_of(stride) && from / stride < n_out).then_some(from / stride)
}

/// Row `iy` of the input gradient of one vector of channels, 3 × 3 with stride 2: two pixels per output pixel, the
/// first under its taps 0 and the tap 2 of the pixel before, the second under its tap 1.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn input_row3<S: Simd, const FULL: bool>(
    g: &Depthwise,
    dz: *const Real,
    weights: *const Real,
    inside: Inside,
    iy: usize,
    dx: *mut Real,
    n: usize,
) {
    let w = taps3::<S>(weights, g.c.next_multiple_of(PAD));
    let (mut rows, mut taps, mut n_rows) = ([dz; 2], [[S::zero(); 3]; 2], 0);
    for ky in 0..3 {
        if let Some(oy) = output_of(inside.top + iy, ky, 2, g.h_out) {
            rows[n_rows] = dz.add(oy * g.w_out * g.c);
            taps[n_rows] = [w[ky * 3], w[ky * 3 + 1], w[ky * 3 + 2]];
            n_rows += 1;
        }
    }
    let mut before = [S::zero(); 2];
    for ox in 0..(inside.left + inside.w).div_ceil(2) {
        let (mut even, mut odd) = (S::zero(), S::zero());
        for r in 0..n_rows {
            let d = if ox < g.w_out { load::<S, FULL>(rows[r].add(ox * g.c), n) } else { S::zero() };
            even = d.fma(taps[r][0], before[r].fma(taps[r][2], even));
            odd = d.fma(taps[r][1], odd);
            before[r] = d;
        }
        for (x, v) in [(2 * ox, even), (2 * ox + 1, odd)] {
            if x >= inside.left && x < inside.left + inside.w {
                store::<S, FULL>(v, dx.add((x - inside.left) * g.c), n);
            }
        }
    }
}

/// Row `iy` of the input gradient of one vector of channels, any kernel and stride.
#[inline(always)]
unsafe fn input_row<S: Simd, const FULL: bool>(
    g: &Depthwise,
    dz: *const Real,
    weights: *const Real,
    inside: Inside,
    iy: usize,
    dx: *mut Real,
    n: usize,
) {
    let c_padded = g.c.next_multiple_of(PAD);
    for ix in 0..inside.w {
        let mut acc = S::zero();
        for t in 0..g.kernel * g.kernel {
            let oy = output_of(inside.top + iy, t / g.kernel, g.stride, g.h_out);
            let ox = output_of(inside.left + ix, t % g.kernel, g.stride, g.w_out);
            if let (Some(oy), Some(ox)) = (oy, ox) {
                let d = load::<S, FULL>(dz.add((oy * g.w_out + ox) * g.c), n);
                acc = d.fma(S::load(weights.add(t * c_padded)), acc);
            }
        }
        store::<S, FULL>(acc, dx.add(ix * g.c), n);
    }
}

#[inline(always)]
unsafe fn input_grad_imp<S: Simd>(
    g: &Depthwise,
    dz: *const Real,
    weights: *const Real,
    inside: Inside,
    dx: *mut Real,
) {
    for iy in 0..inside.h {
        let dx = dx.add(iy * inside.w * g.c);
        if (g.kernel, g.stride) == (3, 2) {
            each_vector!(S, g.c, input_row3, [], |v| (g, dz.add(v), weights.add(v), inside, iy, dx.add(v)));
        } else {
            each_vector!(S, g.c, input_row, [], |v| (g, dz.add(v), weights.add(v), inside, iy, dx.add(v)));
        }
    }
}
kernel!(pub input_grad, input_grad_imp, (g: &Depthwise, dz: *const Real, weights: *const Real, inside: Inside, dx: *mut Real));
