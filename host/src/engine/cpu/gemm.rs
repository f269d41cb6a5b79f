//! Matrix products for convolutions over `[h, w, c]` images: the big operand is never packed.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use super::simd::{Isa, LANES, Simd, kernel, prefetch};

/// Columns of a wide panel of a packed operand; the last panel may be half as wide.
const PANEL: usize = 2 * LANES;

/// Whether a product replaces or adds to its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// `c = a b`.
    Replace,
    /// `c += a b`.
    Add,
}

/// Floats of an operand of `k` rows and `n` columns, packed.
pub fn packed_len(n: usize, k: usize) -> usize {
    n.next_multiple_of(LANES) * k
}

/// Panels of an operand with `n` columns: first column and width.
fn panels(n: usize) -> impl Iterator<Item = (usize, usize)> {
    let n = n.next_multiple_of(LANES);
    (0..n).step_by(PANEL).map(move |j| (j, PANEL.min(n - j)))
}

/// Packs `get(row, column)` of `k` rows and `n` columns in panels, zero-padded to whole vectors.
pub fn pack(n: usize, k: usize, get: impl Fn(usize, usize) -> f32, out: &mut Vec<f32>) {
    out.clear();
    out.resize(packed_len(n, k), 0.0);
    for (j0, width) in panels(n) {
        let panel = &mut out[j0 * k..][..width * k];
        for j in 0..width.min(n - j0) {
            for row in 0..k {
                panel[row * width + j] = get(row, j0 + j);
            }
        }
    }
}

/// Pixels of an image, each a row of an operand.
#[derive(Clone, Copy)]
pub struct Pixels<'a> {
    /// Starts at the first pixel.
    pub data: &'a [f32],
    /// Floats from a pixel to the next in its row.
    pub pixel: usize,
    /// Floats from a row to the next.
    pub row: usize,
}

/// `c[i, ..n] (+)= Σ_tap a[i * lda + tap ..][..k] · b[tap]` for `i < m`; `c` has rows of `n`.
///
/// - `b`: packed, `taps.len() * k` rows of `n` columns
#[allow(clippy::too_many_arguments)]
pub fn gemm_nn(
    isa: Isa,
    (m, n, k): (usize, usize, usize),
    taps: &[usize],
    a: &[f32],
    lda: usize,
    b: &[f32],
    c: &mut [f32],
    into: Into,
) {
    if m == 0 {
        return;
    }
    let reach = taps.iter().max().expect("a kernel has at least one tap");
    assert!(a.len() >= (m - 1) * lda + reach + k && b.len() >= packed_len(n, k * taps.len()));
    assert!(c.len() >= m * n);
    // SAFETY: `a`, `b` and `c` hold every element that the contract above names.
    unsafe { nn(isa, m, n, k, taps, a.as_ptr(), lda, b.as_ptr(), c.as_mut_ptr(), into) }
}

/// `c[i, ..n] += Σ_pixel a[pixel][i] · b[pixel][..n]` for `i < m`, over `h × w` pixels; `c` has rows of `n`.
pub fn gemm_tn(
    isa: Isa,
    (h, w): (usize, usize),
    (m, n): (usize, usize),
    a: Pixels,
    b: Pixels,
    c: &mut [f32],
) {
    if h * w == 0 {
        return;
    }
    let end = |p: Pixels, c: usize| (h - 1) * p.row + (w - 1) * p.pixel + c;
    assert!(a.data.len() >= end(a, m) && b.data.len() >= end(b, n) && c.len() >= m * n);
    let (pa, pb) = (a.data.as_ptr(), b.data.as_ptr());
    // SAFETY: the last pixel of `a` and of `b` and the last row of `c` are in bounds.
    unsafe { tn(isa, h, w, m, n, pa, a.pixel, a.row, pb, b.pixel, b.row, c.as_mut_ptr()) }
}

#[inline(always)]
#[allow(clippy::too_many_arguments, clippy::needless_range_loop)]
unsafe fn tile_nn<S: Simd, const MR: usize, const NV: usize>(
    k: usize,
    taps: &[usize],
    a: *const f32,
    lda: usize,
    b: *const f32,
    c: *mut f32,
    ldc: usize,
    n: usize,
    into: Into,
) {
    for i in 0..MR {
        prefetch(c.add(i * ldc));
    }
    let mut acc = [[S::zero(); NV]; MR];
    let mut bp = b;
    for &tap in taps {
        let mut ap = a.add(tap);
        for _ in 0..k {
            let mut bv = [S::zero(); NV];
            for j in 0..NV {
                bv[j] = S::load(bp.add(j * S::N));
            }
            bp = bp.add(NV * S::N);
            for i in 0..MR {
                let av = S::splat(*ap.add(i * lda));
                for j in 0..NV {
                    acc[i][j] = av.fma(bv[j], acc[i][j]);
                }
            }
            ap = ap.add(1);
        }
    }
    for i in 0..MR {
        for j in 0..NV {
            let p = c.add(i * ldc + j * S::N);
            let left = n.saturating_sub(j * S::N);
            if left >= S::N {
                let v = if into == Into::Add { acc[i][j].add(S::load(p)) } else { acc[i][j] };
                v.store(p);
            } else if left > 0 {
                let v = if into == Into::Add { acc[i][j].add(S::load_n(p, left)) } else { acc[i][j] };
                v.store_n(p, left);
            }
        }
    }
}

/// Tiles of `$mr` rows, then of 2 and 1 for the rest.
macro_rules! rows {
    ($tile:ident, $S:ident, $mr:literal, $nv:literal, $m:ident, |$i:ident| ($($arg:expr),*)) => {{
        let mut $i = 0;
        while $i + $mr <= $m {
            $tile::<$S, $mr, $nv>($($arg),*);
            $i += $mr;
        }
        while $i + 2 <= $m {
            $tile::<$S, 2, $nv>($($arg),*);
            $i += 2;
        }
        if $i < $m {
            $tile::<$S, 1, $nv>($($arg),*);
        }
    }};
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn nn_imp<S: Simd>(
    m: usize,
    n: usize,
    k: usize,
    taps: &[usize],
    a: *const f32,
    lda: usize,
    b: *const f32,
    c: *mut f32,
    into: Into,
) {
    let rows_of_b = k * taps.len();
    let mut j = 0;
    while j < n {
        let width = PANEL.min((n - j).next_multiple_of(LANES));
        let (bp, cp, left) = (b.add(j * rows_of_b), c.add(j), n - j);
        match (width / LANES, LANES / S::N) {
            (1, 1) => rows!(tile_nn, S, 8, 1, m, |i| (
                k,
                taps,
                a.add(i * lda),
                lda,
                bp,
                cp.add(i * n),
                n,
                left,
                into
            )),
            (_, 1) => rows!(tile_nn, S, 6, 2, m, |i| (
                k,
                taps,
                a.add(i * lda),
                lda,
                bp,
                cp.add(i * n),
                n,
                left,
                into
            )),
            (1, _) => rows!(tile_nn, S, 4, 2, m, |i| (
                k,
                taps,
                a.add(i * lda),
                lda,
                bp,
                cp.add(i * n),
                n,
                left,
                into
            )),
            _ => rows!(tile_nn, S, 2, 4, m, |i| (
                k,
                taps,
                a.add(i * lda),
                lda,
                bp,
                cp.add(i * n),
                n,
                left,
                into
            )),
        }
        j += width;
    }
}
kernel!(nn, nn_imp, (m: usize, n: usize, k: usize, taps: &[usize], a: *const f32, lda: usize, b: *const f32, c: *mut f32, into: Into));

#[inline(always)]
#[allow(clippy::too_many_arguments, clippy::needless_range_loop)]
unsafe fn tile_tn<S: Simd, const MR: usize, const NV: usize>(
    h: usize,
    w: usize,
    a: *const f32,
    a_pixel: usize,
    a_row: usize,
    b: *const f32,
    b_pixel: usize,
    b_row: usize,
    c: *mut f32,
    ldc: usize,
    last: usize,
) {
    let mut acc = [[S::zero(); NV]; MR];
    macro_rules! partial {
        ($p:expr) => {
            S::load_n($p, last)
        };
    }
    macro_rules! whole {
        ($p:expr) => {
            S::load($p)
        };
    }
    macro_rules! sum_with {
        ($load:ident) => {{
            for y in 0..h {
                let (mut ap, mut bp) = (a.add(y * a_row), b.add(y * b_row));
                for _ in 0..w {
                    let mut bv = [S::zero(); NV];
                    for j in 0..NV - 1 {
                        bv[j] = S::load(bp.add(j * S::N));
                    }
                    bv[NV - 1] = $load!(bp.add((NV - 1) * S::N));
                    for i in 0..MR {
                        let av = S::splat(*ap.add(i));
                        for j in 0..NV {
                            acc[i][j] = av.fma(bv[j], acc[i][j]);
                        }
                    }
                    ap = ap.add(a_pixel);
                    bp = bp.add(b_pixel);
                }
            }
        }};
    }
    if last == S::N {
        sum_with!(whole)
    } else {
        sum_with!(partial)
    }
    for i in 0..MR {
        for j in 0..NV {
            let p = c.add(i * ldc + j * S::N);
            let lanes = if j == NV - 1 { last } else { S::N };
            acc[i][j].add(S::load_n(p, lanes)).store_n(p, lanes);
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn tn_imp<S: Simd>(
    h: usize,
    w: usize,
    m: usize,
    n: usize,
    a: *const f32,
    a_pixel: usize,
    a_row: usize,
    b: *const f32,
    b_pixel: usize,
    b_row: usize,
    c: *mut f32,
) {
    let mut j = 0;
    while j < n {
        let left = n - j;
        let vectors = left.div_ceil(S::N).min(2);
        let last = left.min(vectors * S::N) - (vectors - 1) * S::N;
        let (bp, cp) = (b.add(j), c.add(j));
        match vectors {
            1 => rows!(tile_tn, S, 8, 1, m, |i| (
                h,
                w,
                a.add(i),
                a_pixel,
                a_row,
                bp,
                b_pixel,
                b_row,
                cp.add(i * n),
                n,
                last
            )),
            _ => rows!(tile_tn, S, 6, 2, m, |i| (
                h,
                w,
                a.add(i),
                a_pixel,
                a_row,
                bp,
                b_pixel,
                b_row,
                cp.add(i * n),
                n,
                last
            )),
        }
        j += vectors * S::N;
    }
}
kernel!(tn, tn_imp, (h: usize, w: usize, m: usize, n: usize, a: *const f32, a_pixel: usize, a_row: usize, b: *const f32, b_pixel: usize, b_row: usize, c: *mut f32));
