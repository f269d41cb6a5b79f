//! Depthwise convolution over a zero-padded `[h, w, c]` image: forward, weight gradient and input gradient.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use super::simd::{Isa, LANES, Simd, kernel};

/// Geometry of one image.
#[derive(Debug, Clone, Copy)]
pub struct Depthwise {
    /// Channels.
    pub c: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
    /// Output height.
    pub h_out: usize,
    /// Output width.
    pub w_out: usize,
    /// Floats of a row of the padded image.
    pub padded_row: usize,
}

impl Depthwise {
    /// Floats of packed weights, `[kernel², c padded to whole vectors]`.
    pub fn packed_len(&self) -> usize {
        self.kernel * self.kernel * self.c.next_multiple_of(LANES)
    }

    /// Packs weights `[c, kernel²]`; `tap` maps a packed tap to the tap of `weight`.
    pub fn pack(&self, weight: &[f32], tap: impl Fn(usize) -> usize, out: &mut Vec<f32>) {
        let (taps, c_padded) = (self.kernel * self.kernel, self.c.next_multiple_of(LANES));
        out.clear();
        out.resize(self.packed_len(), 0.0);
        for t in 0..taps {
            for k in 0..self.c {
                out[t * c_padded + k] = weight[k * taps + tap(t)];
            }
        }
    }

    /// Floats up to the last pixel that the kernel touches.
    fn reach(&self) -> usize {
        let last = |n: usize| (n - 1) * self.stride + self.kernel - 1;
        last(self.h_out) * self.padded_row + (last(self.w_out) + 1) * self.c
    }

    /// `y = weights * padded`; `weights` packed, `y` is `[h_out, w_out, c]`.
    pub fn forward(&self, isa: Isa, padded: &[f32], weights: &[f32], y: &mut [f32]) {
        assert!(padded.len() >= self.reach() && weights.len() >= self.packed_len());
        assert!(y.len() >= self.h_out * self.w_out * self.c);
        // SAFETY: the last pixels that are read and written are in bounds.
        unsafe { forward(isa, self, padded.as_ptr(), weights.as_ptr(), y.as_mut_ptr()) }
    }

    /// Adds the gradient of the packed weights to `grad`; `dz` has pixels of `c` and rows of `dz_row` floats.
    pub fn weight_grad(&self, isa: Isa, padded: &[f32], dz: &[f32], dz_row: usize, grad: &mut [f32]) {
        assert!(padded.len() >= self.reach() && grad.len() >= self.packed_len());
        assert!(dz.len() >= (self.h_out - 1) * dz_row + self.w_out * self.c);
        // SAFETY: the last pixels that are read and the packed gradient are in bounds.
        unsafe { weight_grad(isa, self, padded.as_ptr(), dz.as_ptr(), dz_row, grad.as_mut_ptr()) }
    }

    /// Adds the gradient of the padded image to `padded_grad`; `dz` is `[h_out, w_out, c]`.
    pub fn input_grad(&self, isa: Isa, dz: &[f32], weights: &[f32], padded_grad: &mut [f32]) {
        assert!(padded_grad.len() >= self.reach() && weights.len() >= self.packed_len());
        assert!(dz.len() >= self.h_out * self.w_out * self.c);
        // SAFETY: the last pixels that are read and written are in bounds.
        unsafe { input_grad(isa, self, dz.as_ptr(), weights.as_ptr(), padded_grad.as_mut_ptr()) }
    }
}

#[inline(always)]
unsafe fn load<S: Simd>(p: *const f32, n: usize) -> S {
    if n >= S::N { S::load(p) } else { S::load_n(p, n) }
}

#[inline(always)]
unsafe fn store<S: Simd>(v: S, p: *mut f32, n: usize) {
    if n >= S::N { v.store(p) } else { v.store_n(p, n) }
}

/// One output row of one vector of channels, 3 × 3, `U` pixels at a time.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn row3<S: Simd, const STRIDE: usize, const U: usize>(
    g: &Depthwise,
    x: *const f32,
    w: &[S; 9],
    y: *mut f32,
    n: usize,
) {
    let mut ox = 0;
    while ox + U <= g.w_out {
        let mut acc = [S::zero(); U];
        for ky in 0..3 {
            let mut xs = [S::zero(); 8];
            for q in 0..(U - 1) * STRIDE + 3 {
                xs[q] = load(x.add(ky * g.padded_row + (ox * STRIDE + q) * g.c), n);
            }
            for u in 0..U {
                for kx in 0..3 {
                    acc[u] = xs[u * STRIDE + kx].fma(w[ky * 3 + kx], acc[u]);
                }
            }
        }
        for u in 0..U {
            store(acc[u], y.add((ox + u) * g.c), n);
        }
        ox += U;
    }
    while ox < g.w_out {
        let mut acc = S::zero();
        for t in 0..9 {
            let p = x.add(t / 3 * g.padded_row + (ox * STRIDE + t % 3) * g.c);
            acc = load::<S>(p, n).fma(w[t], acc);
        }
        store(acc, y.add(ox * g.c), n);
        ox += 1;
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn forward_imp<S: Simd>(g: &Depthwise, x: *const f32, weights: *const f32, y: *mut f32) {
    let c_padded = g.c.next_multiple_of(LANES);
    for oy in 0..g.h_out {
        for cv in (0..g.c).step_by(S::N) {
            let n = g.c - cv;
            let xp = x.add(oy * g.stride * g.padded_row + cv);
            let yp = y.add(oy * g.w_out * g.c + cv);
            if g.kernel == 3 && g.stride <= 2 {
                let mut w = [S::zero(); 9];
                for t in 0..9 {
                    w[t] = S::load(weights.add(t * c_padded + cv));
                }
                match g.stride {
                    1 => row3::<S, 1, 4>(g, xp, &w, yp, n),
                    _ => row3::<S, 2, 2>(g, xp, &w, yp, n),
                }
                continue;
            }
            for ox in 0..g.w_out {
                let mut acc = S::zero();
                for t in 0..g.kernel * g.kernel {
                    let (ky, kx) = (t / g.kernel, t % g.kernel);
                    let v = load::<S>(xp.add(ky * g.padded_row + (ox * g.stride + kx) * g.c), n);
                    acc = v.fma(S::load(weights.add(t * c_padded + cv)), acc);
                }
                store(acc, yp.add(ox * g.c), n);
            }
        }
    }
}
kernel!(forward, forward_imp, (g: &Depthwise, x: *const f32, weights: *const f32, y: *mut f32));

#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn weight_grad_imp<S: Simd>(
    g: &Depthwise,
    x: *const f32,
    dz: *const f32,
    dz_row: usize,
    grad: *mut f32,
) {
    let c_padded = g.c.next_multiple_of(LANES);
    for cv in (0..g.c).step_by(S::N) {
        let n = g.c - cv;
        if g.kernel == 3 {
            let mut acc = [S::zero(); 9];
            for oy in 0..g.h_out {
                let (xp, dp) = (x.add(oy * g.stride * g.padded_row + cv), dz.add(oy * dz_row + cv));
                for ox in 0..g.w_out {
                    let d = load::<S>(dp.add(ox * g.c), n);
                    let xp = xp.add(ox * g.stride * g.c);
                    for ky in 0..3 {
                        for kx in 0..3 {
                            let v = load::<S>(xp.add(ky * g.padded_row + kx * g.c), n);
                            acc[ky * 3 + kx] = v.fma(d, acc[ky * 3 + kx]);
                        }
                    }
                }
            }
            for t in 0..9 {
                let p = grad.add(t * c_padded + cv);
                acc[t].add(S::load(p)).store(p);
            }
            continue;
        }
        for t in 0..g.kernel * g.kernel {
            let mut acc = S::zero();
            for oy in 0..g.h_out {
                for ox in 0..g.w_out {
                    let (iy, ix) = (oy * g.stride + t / g.kernel, ox * g.stride + t % g.kernel);
                    let v = load::<S>(x.add(iy * g.padded_row + ix * g.c + cv), n);
                    acc = v.fma(load(dz.add(oy * dz_row + ox * g.c + cv), n), acc);
                }
            }
            let p = grad.add(t * c_padded + cv);
            acc.add(S::load(p)).store(p);
        }
    }
}
kernel!(weight_grad, weight_grad_imp, (g: &Depthwise, x: *const f32, dz: *const f32, dz_row: usize, grad: *mut f32));

#[inline(always)]
unsafe fn input_grad_imp<S: Simd>(g: &Depthwise, dz: *const f32, weights: *const f32, dx: *mut f32) {
    let c_padded = g.c.next_multiple_of(LANES);
    for oy in 0..g.h_out {
        for cv in (0..g.c).step_by(S::N) {
            let n = g.c - cv;
            for ox in 0..g.w_out {
                let d = load::<S>(dz.add((oy * g.w_out + ox) * g.c + cv), n);
                for t in 0..g.kernel * g.kernel {
                    let (iy, ix) = (oy * g.stride + t / g.kernel, ox * g.stride + t % g.kernel);
                    let p = dx.add(iy * g.padded_row + ix * g.c + cv);
                    let w = S::load(weights.add(t * c_padded + cv));
                    store(d.fma(w, load(p, n)), p, n);
                }
            }
        }
    }
}
kernel!(input_grad, input_grad_imp, (g: &Depthwise, dz: *const f32, weights: *const f32, dx: *mut f32));
