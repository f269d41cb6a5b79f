//! Depthwise convolution over a zero-padded `[h, w, c]` image: forward, weight gradient and input gradient.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use super::simd::{Isa, LANES, Simd, kernel, prefetch};

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

/// Where an image without its border lies in the padded one.
#[derive(Debug, Clone, Copy)]
pub struct Inside {
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Rows above.
    pub top: usize,
    /// Pixels before each row.
    pub left: usize,
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

    /// The gradient `dx` of the image `inside` the padded one, `[h, w, c]`; `dz` is `[h_out, w_out, c]`.
    pub fn input_grad(&self, isa: Isa, dz: &[f32], weights: &[f32], inside: Inside, dx: &mut [f32]) {
        assert!(dz.len() >= self.h_out * self.w_out * self.c && weights.len() >= self.packed_len());
        assert!(dx.len() >= inside.h * inside.w * self.c);
        // SAFETY: `dz`, the packed weights and `dx` hold every element that the contract names.
        unsafe { input_grad(isa, self, dz.as_ptr(), weights.as_ptr(), inside, dx.as_mut_ptr()) }
    }
}

/// All lanes, or the first `n` of them where a vector is not `FULL`.
#[inline(always)]
unsafe fn load<S: Simd, const FULL: bool>(p: *const f32, n: usize) -> S {
    if FULL { S::load(p) } else { S::load_n(p, n) }
}

#[inline(always)]
unsafe fn store<S: Simd, const FULL: bool>(v: S, p: *mut f32, n: usize) {
    if FULL { v.store(p) } else { v.store_n(p, n) }
}

/// Calls `$row::<S, .., FULL>(args.., n)` for every vector of channels: `$cv` is its first, of which `n` are left.
macro_rules! each_vector {
    ($S:ident, $c:expr, $row:ident, [$($generic:literal),*], |$cv:ident| ($($arg:expr),* $(,)?)) => {{
        let mut $cv = 0;
        while $cv + $S::N <= $c {
            $row::<$S, $($generic,)* true>($($arg,)* $S::N);
            $cv += $S::N;
        }
        if $cv < $c {
            $row::<$S, $($generic,)* false>($($arg,)* $c - $cv);
        }
    }};
}

/// The nine taps of one vector of channels.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn taps3<S: Simd>(weights: *const f32, c_padded: usize) -> [S; 9] {
    let mut w = [S::zero(); 9];
    for t in 0..9 {
        w[t] = S::load(weights.add(t * c_padded));
    }
    w
}

/// One output row of one vector of channels, 3 × 3, `U` pixels at a time.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn row3<S: Simd, const STRIDE: usize, const U: usize, const FULL: bool>(
    g: &Depthwise,
    x: *const f32,
    weights: *const f32,
    y: *mut f32,
    n: usize,
) {
    let w = taps3::<S>(weights, g.c.next_multiple_of(LANES));
    let mut ox = 0;
    while ox + U <= g.w_out {
        let mut acc = [S::zero(); U];
        for ky in 0..3 {
            let mut xs = [S::zero(); 8];
            for q in 0..(U - 1) * STRIDE + 3 {
                xs[q] = load::<S, FULL>(x.add(ky * g.padded_row + (ox * STRIDE + q) * g.c), n);
            }
            for u in 0..U {
                for kx in 0..3 {
                    acc[u] = xs[u * STRIDE + kx].fma(w[ky * 3 + kx], acc[u]);
                }
            }
        }
        for u in 0..U {
            prefetch(y.wrapping_add((g.w_out + ox + u) * g.c));
            store::<S, FULL>(acc[u], y.add((ox + u) * g.c), n);
        }
        ox += U;
    }
    while ox < g.w_out {
        let mut acc = S::zero();
        for t in 0..9 {
            let p = x.add(t / 3 * g.padded_row + (ox * STRIDE + t % 3) * g.c);
            acc = load::<S, FULL>(p, n).fma(w[t], acc);
        }
        store::<S, FULL>(acc, y.add(ox * g.c), n);
        ox += 1;
    }
}

/// One output row of one vector of channels, any kernel and stride.
#[inline(always)]
unsafe fn row<S: Simd, const FULL: bool>(
    g: &Depthwise,
    x: *const f32,
    weights: *const f32,
    y: *mut f32,
    n: usize,
) {
    let c_padded = g.c.next_multiple_of(LANES);
    for ox in 0..g.w_out {
        let mut acc = S::zero();
        for t in 0..g.kernel * g.kernel {
            let (ky, kx) = (t / g.kernel, t % g.kernel);
            let v = load::<S, FULL>(x.add(ky * g.padded_row + (ox * g.stride + kx) * g.c), n);
            acc = v.fma(S::load(weights.add(t * c_padded)), acc);
        }
        store::<S, FULL>(acc, y.add(ox * g.c), n);
    }
}

#[inline(always)]
unsafe fn forward_imp<S: Simd>(g: &Depthwise, x: *const f32, weights: *const f32, y: *mut f32) {
    for oy in 0..g.h_out {
        let (x, y) = (x.add(oy * g.stride * g.padded_row), y.add(oy * g.w_out * g.c));
        match (g.kernel, g.stride) {
            (3, 1) => each_vector!(S, g.c, row3, [1, 4], |v| (g, x.add(v), weights.add(v), y.add(v))),
            (3, 2) => each_vector!(S, g.c, row3, [2, 2], |v| (g, x.add(v), weights.add(v), y.add(v))),
            _ => each_vector!(S, g.c, row, [], |v| (g, x.add(v), weights.add(v), y.add(v))),
        }
    }
}
kernel!(forward, forward_imp, (g: &Depthwise, x: *const f32, weights: *const f32, y: *mut f32));

/// Adds one row's part of the weight gradient of one vector of channels, 3 × 3, `U` pixels at a time.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn weight_row3<S: Simd, const STRIDE: usize, const U: usize, const FULL: bool>(
    g: &Depthwise,
    x: *const f32,
    dz: *const f32,
    grad: *mut f32,
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
    let c_padded = g.c.next_multiple_of(LANES);
    for t in 0..9 {
        let p = grad.add(t * c_padded);
        acc[t].add(S::load(p)).store(p);
    }
}

/// Adds one row's part of the weight gradient of one vector of channels, any kernel and stride.
#[inline(always)]
unsafe fn weight_row<S: Simd, const FULL: bool>(
    g: &Depthwise,
    x: *const f32,
    dz: *const f32,
    grad: *mut f32,
    n: usize,
) {
    let c_padded = g.c.next_multiple_of(LANES);
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
    x: *const f32,
    dz: *const f32,
    dz_row: usize,
    grad: *mut f32,
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
kernel!(weight_grad, weight_grad_imp, (g: &Depthwise, x: *const f32, dz: *const f32, dz_row: usize, grad: *mut f32));

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
    dz: *const f32,
    weights: *const f32,
    inside: Inside,
    iy: usize,
    dx: *mut f32,
    n: usize,
) {
    let w = taps3::<S>(weights, g.c.next_multiple_of(LANES));
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
    dz: *const f32,
    weights: *const f32,
    inside: Inside,
    iy: usize,
    dx: *mut f32,
    n: usize,
) {
    let c_padded = g.c.next_multiple_of(LANES);
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
    dz: *const f32,
    weights: *const f32,
    inside: Inside,
    dx: *mut f32,
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
kernel!(input_grad, input_grad_imp, (g: &Depthwise, dz: *const f32, weights: *const f32, inside: Inside, dx: *mut f32));
