//! Depthwise convolution over a zero-padded `[h, w, c]` image: forward here, gradients in `grad`.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

mod grad;

use self::grad::{input_grad, weight_grad};
use crate::end::{End, for_end};
use crate::simd::{Simd, each_vector, kernel, load, prefetch};
use crate::{Isa, Real, product, sum};

/// Packed channels are padded to it, whatever the instruction set.
const PAD: usize = 16;

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
        product(&[self.kernel, self.kernel, self.c.div_ceil(PAD), PAD])
    }

    /// Packs weights; `rows` says where the taps of each channel begin, `tap` maps a packed tap to that of `weight`.
    pub fn pack(&self, weight: &[Real], rows: &[usize], tap: impl Fn(usize) -> usize, out: &mut [Real]) {
        assert!(out.len() == self.packed_len() && rows.len() == self.c);
        let (taps, c_padded) = (self.kernel * self.kernel, self.c.next_multiple_of(PAD));
        out.fill(0.0);
        for t in 0..taps {
            let to = &mut out[t * c_padded..][..self.c];
            to.iter_mut().zip(rows).for_each(|(to, row)| *to = weight[row + tap(t)]);
        }
    }

    /// Floats up to the last pixel that the kernel touches.
    fn reach(&self) -> usize {
        if self.out_len() == 0 {
            return 0;
        }
        let last = |n: usize| sum(&[product(&[n - 1, self.stride]), self.kernel - 1]);
        let (y, x) = (last(self.h_out), last(self.w_out));
        sum(&[product(&[y, self.padded_row]), product(&[x, self.c]), self.c])
    }

    /// Floats of an output image.
    fn out_len(&self) -> usize {
        assert!(self.kernel > 0 && self.stride > 0, "a kernel and its stride are at least 1");
        product(&[self.h_out, self.w_out, self.c])
    }

    /// `y = weights * padded`, ended by `end`; `weights` packed, `y` is `[h_out, w_out, c]`.
    ///
    /// # Panics
    /// If a slice ends before the last value that the geometry names.
    pub fn forward(&self, isa: Isa, padded: &[Real], weights: &[Real], y: &mut [Real], end: End) {
        assert!(padded.len() >= self.reach() && weights.len() >= self.packed_len());
        assert!(y.len() >= self.out_len());
        end.check(self.c, isa.lanes());
        if self.out_len() == 0 {
            return;
        }
        // SAFETY: the last pixels that are read and written and the coefficients of all channels are in bounds.
        unsafe { forward(isa, self, padded.as_ptr(), weights.as_ptr(), y.as_mut_ptr(), end) }
    }

    /// Adds the gradient of the packed weights to `grad`; `dz` has pixels of `c` and rows of `dz_row` floats.
    ///
    /// # Panics
    /// If a slice ends before the last value that the geometry names.
    pub fn weight_grad(&self, isa: Isa, padded: &[Real], dz: &[Real], dz_row: usize, grad: &mut [Real]) {
        assert!(padded.len() >= self.reach() && grad.len() >= self.packed_len());
        if self.out_len() == 0 {
            return;
        }
        assert!(dz.len() >= sum(&[product(&[self.h_out - 1, dz_row]), product(&[self.w_out, self.c])]));
        // SAFETY: the last pixels that are read and the packed gradient are in bounds.
        unsafe { weight_grad(isa, self, padded.as_ptr(), dz.as_ptr(), dz_row, grad.as_mut_ptr()) }
    }

    /// The gradient `dx` of the image `inside` the padded one, `[h, w, c]`; `dz` is `[h_out, w_out, c]`.
    ///
    /// # Panics
    /// If a slice ends before the last value that the geometry names.
    pub fn input_grad(&self, isa: Isa, dz: &[Real], weights: &[Real], inside: Inside, dx: &mut [Real]) {
        assert!(dz.len() >= self.out_len() && weights.len() >= self.packed_len());
        let (_bottom, _right) = (sum(&[inside.top, inside.h]), sum(&[inside.left, inside.w]));
        let len = product(&[inside.h, inside.w, self.c]);
        assert!(dx.len() >= len);
        if len == 0 {
            return;
        }
        // SAFETY: `dz`, the packed weights and `dx` hold every element that the contract names.
        unsafe { input_grad(isa, self, dz.as_ptr(), weights.as_ptr(), inside, dx.as_mut_ptr()) }
    }
}

/// The nine taps of one vector of channels.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn taps3<S: Simd>(weights: *const Real, c_padded: usize) -> [S; 9] {
    let mut w = [S::zero(); 9];
    for t in 0..9 {
        w[t] = S::load(weights.add(t * c_padded));
    }
    w
}

/// One output row of one vector of channels, 3 × 3, `U` pixels at a time.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn row3<S: Simd, const STRIDE: usize, const U: usize, const KIND: usize, const FULL: bool>(
    g: &Depthwise,
    x: *const Real,
    weights: *const Real,
    y: *mut Real,
    end: End,
    k: usize,
    n: usize,
) {
    let w = taps3::<S>(weights, g.c.next_multiple_of(PAD));
    let columns = end.of_columns::<S>(k);
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
            columns.write::<KIND, FULL>(acc[u], y.add((ox + u) * g.c), n);
        }
        ox += U;
    }
    while ox < g.w_out {
        let mut acc = S::zero();
        for t in 0..9 {
            let p = x.add(t / 3 * g.padded_row + (ox * STRIDE + t % 3) * g.c);
            acc = load::<S, FULL>(p, n).fma(w[t], acc);
        }
        columns.write::<KIND, FULL>(acc, y.add(ox * g.c), n);
        ox += 1;
    }
}

/// One output row of one vector of channels, any kernel and stride.
#[inline(always)]
unsafe fn row<S: Simd, const KIND: usize, const FULL: bool>(
    g: &Depthwise,
    x: *const Real,
    weights: *const Real,
    y: *mut Real,
    end: End,
    k: usize,
    n: usize,
) {
    let c_padded = g.c.next_multiple_of(PAD);
    let columns = end.of_columns::<S>(k);
    for ox in 0..g.w_out {
        let mut acc = S::zero();
        for t in 0..g.kernel * g.kernel {
            let (ky, kx) = (t / g.kernel, t % g.kernel);
            let v = load::<S, FULL>(x.add(ky * g.padded_row + (ox * g.stride + kx) * g.c), n);
            acc = v.fma(S::load(weights.add(t * c_padded)), acc);
        }
        columns.write::<KIND, FULL>(acc, y.add(ox * g.c), n);
    }
}

#[inline(always)]
unsafe fn forward_imp<S: Simd>(g: &Depthwise, x: *const Real, weights: *const Real, y: *mut Real, end: End) {
    for oy in 0..g.h_out {
        let (x, y) = (x.add(oy * g.stride * g.padded_row), y.add(oy * g.w_out * g.c));
        for_end!(end, |KIND| {
            macro_rules! row {
                ($row:ident, $generic:tt) => {
                    each_vector!(S, g.c, $row, $generic, |k| (g, x.add(k), weights.add(k), y.add(k), end, k))
                };
            }
            match (g.kernel, g.stride) {
                (3, 1) => row!(row3, [1, 4, KIND]),
                (3, 2) => row!(row3, [2, 2, KIND]),
                _ => row!(row, [KIND]),
            }
        })
    }
}
kernel!(forward, forward_imp, (g: &Depthwise, x: *const Real, weights: *const Real, y: *mut Real, end: End));
