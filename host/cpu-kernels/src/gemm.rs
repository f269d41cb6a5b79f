//! Matrix products for convolutions over `[h, w, c]` images: the big operand is never packed.
//!
//! Both kernels keep a tile of the result in registers: rows × 1 or 2 vectors of columns. Rows of the big operand are
//! pixels, wherever they lie, so that a tile may cross the lines of an image.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use crate::elementwise::{activate, for_activation};
use crate::simd::{MAX_LANES, Registers, Simd, kernel, load_some, prefetch, store_some};
use crate::{Activation, Isa, Real};

/// What becomes of a product.
#[derive(Debug, Clone, Copy)]
pub enum End<'a> {
    /// `c = a b`.
    Replace,
    /// `c += a b`.
    Add,
    /// `c = activation(a b · scale + shift)`, one scale and shift per column, padded to whole vectors.
    Affine {
        /// Per column.
        scale: &'a [Real],
        /// Per column.
        shift: &'a [Real],
        /// What follows.
        activation: Activation,
    },
}

/// How far pixels of an image lie apart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steps {
    /// From a pixel to the next in its line.
    pub pixel: usize,
    /// From a line to the next.
    pub line: usize,
}

impl Steps {
    /// Pixels of `c` values without gaps, `w` a line.
    pub fn dense(w: usize, c: usize) -> Steps {
        Steps { pixel: c, line: w * c }
    }

    /// Offset of the last of `h × w` pixels.
    fn last(self, h: usize, w: usize) -> usize {
        (h - 1) * self.line + (w - 1) * self.pixel
    }
}

/// Length of an operand of `k` rows and `n` columns, packed.
pub fn packed_len(isa: Isa, n: usize, k: usize) -> usize {
    n.next_multiple_of(isa.lanes()) * k
}

/// Packs an operand in panels of two vectors of columns (the last may be one), zero-padded to whole vectors. The value
/// of a row and a column is `from[row + column]`.
///
/// - `rows`, `columns`: where each begins
/// - `out`: [`packed_len`]
pub fn pack(
    isa: Isa,
    rows: impl ExactSizeIterator<Item = usize> + Clone,
    columns: &[usize],
    from: &[Real],
    out: &mut [Real],
) {
    let (k, n_padded) = (rows.len(), columns.len().next_multiple_of(isa.lanes()));
    assert_eq!(out.len(), n_padded * k);
    let mut panels = out;
    for columns in columns.chunks(2 * isa.lanes()) {
        let width = columns.len().next_multiple_of(isa.lanes());
        let (panel, rest) = panels.split_at_mut(width * k);
        panels = rest;
        for (row, to) in rows.clone().zip(panel.chunks_exact_mut(width)) {
            let from = &from[row..];
            to.iter_mut().zip(columns).for_each(|(to, column)| *to = from[*column]);
            to[columns.len()..].fill(0.0);
        }
    }
}

/// A product over the taps of a convolution, for the pixels of `h` lines of `w`.
///
/// For pixel `p` and column `j < n`: `c[p][j] = Σ_tap Σ_{i < k} a[p + tap][i] · b[tap · k + i][j]`.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a> {
    /// Lines and pixels a line.
    pub plane: (usize, usize),
    /// Columns of the result.
    pub n: usize,
    /// Rows of `b` a tap.
    pub k: usize,
    /// Offset in `a` of each tap from a pixel.
    pub taps: &'a [usize],
    /// How pixels lie in `a`.
    pub a: Steps,
    /// How pixels lie in `c`.
    pub c: Steps,
}

impl Product<'_> {
    /// Computes the product; `b` is packed.
    pub fn run(&self, isa: Isa, a: &[Real], b: &[Real], c: &mut [Real], end: End) {
        let (h, w) = self.plane;
        if h * w == 0 {
            return;
        }
        let reach = self.taps.iter().max().expect("a kernel has at least one tap");
        assert!(a.len() >= self.a.last(h, w) + reach + self.k);
        assert!(b.len() >= packed_len(isa, self.n, self.k * self.taps.len()));
        assert!(c.len() >= self.c.last(h, w) + self.n);
        if let End::Affine { scale, shift, .. } = end {
            let padded = self.n.next_multiple_of(isa.lanes());
            assert!(scale.len() >= padded && shift.len() >= padded);
        }
        // SAFETY: `a` holds `k` values at every tap of every pixel, `c` holds `n` at every pixel, `b` is a whole
        // packed operand, and the coefficients are whole vectors.
        unsafe { nn(isa, self, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), end) }
    }
}

/// Pixels of an operand.
#[derive(Clone, Copy)]
pub struct Pixels<'a> {
    /// Starts at the first pixel.
    pub data: &'a [Real],
    /// How they lie.
    pub steps: Steps,
}

/// `c[i, ..n] += Σ_pixel a[pixel][i] · b[pixel][..n]` for `i < m`, over `h × w` pixels; `c` has rows of `n`.
pub fn outer_product(
    isa: Isa,
    (h, w): (usize, usize),
    (m, n): (usize, usize),
    a: Pixels,
    b: Pixels,
    c: &mut [Real],
) {
    outer_product_into(isa, (h, w), (m, n), a, b, c, n);
}

/// [`outer_product`] into rows that lie `c_row` apart.
pub fn outer_product_into(
    isa: Isa,
    (h, w): (usize, usize),
    (m, n): (usize, usize),
    a: Pixels,
    b: Pixels,
    c: &mut [Real],
    c_row: usize,
) {
    if h * w == 0 || m * n == 0 {
        return;
    }
    assert!(a.data.len() >= a.steps.last(h, w) + m && b.data.len() >= b.steps.last(h, w) + n);
    assert!(c.len() >= (m - 1) * c_row + n);
    let (pa, pb) = (a.data.as_ptr(), b.data.as_ptr());
    // SAFETY: the last pixel of `a` and of `b` and the last row of `c` are in bounds.
    unsafe { tn(isa, (h, w), (m, n), pa, a.steps, pb, b.steps, c.as_mut_ptr(), c_row) }
}

/// Runs `$tile::<S, ROWS, $nv>` for `$left` rows, in steps of the given numbers of rows. Eight rows are two fours
/// instead of six and two: a tile needs eight independent sums to hide the latency of a multiply-add.
macro_rules! tiles {
    ($left:expr, [$($rows:literal),+], |$at:ident, $n:ident| $run:block) => {{
        let left = $left;
        let mut $at = 0usize;
        $(
            while left - $at >= $rows && !($rows == 6 && left - $at == 8) {
                const $n: usize = $rows;
                $run
                $at += $rows;
            }
        )+
    }};
}

#[inline(always)]
#[allow(clippy::too_many_arguments, clippy::needless_range_loop)]
unsafe fn tile_nn<S: Simd, const MR: usize, const NV: usize>(
    g: &Product,
    pixel: usize,
    a: *const Real,
    b: *const Real,
    c: *mut Real,
    column: usize,
    end: End,
) {
    let (mut y, mut x) = (pixel / g.plane.1, pixel % g.plane.1);
    let (mut ap, mut cp) = ([a; MR], [c; MR]);
    if x + MR <= g.plane.1 {
        let (a, c) = (a.add(y * g.a.line + x * g.a.pixel), c.add(y * g.c.line + x * g.c.pixel + column));
        for i in 0..MR {
            ap[i] = a.add(i * g.a.pixel);
            cp[i] = c.add(i * g.c.pixel);
        }
    } else {
        for i in 0..MR {
            ap[i] = a.add(y * g.a.line + x * g.a.pixel);
            cp[i] = c.add(y * g.c.line + x * g.c.pixel + column);
            x += 1;
            if x == g.plane.1 {
                (y, x) = (y + 1, 0);
            }
        }
    }
    for i in 0..MR {
        prefetch(cp[i]);
    }
    let mut acc = [[S::zero(); NV]; MR];
    let mut bp = b;
    macro_rules! step {
        ($kk:expr) => {{
            let mut bv = [S::zero(); NV];
            for j in 0..NV {
                bv[j] = S::load(bp.add(j * S::N));
            }
            bp = bp.add(NV * S::N);
            for i in 0..MR {
                let av = S::splat(*ap[i].add($kk));
                for j in 0..NV {
                    acc[i][j] = av.fma(bv[j], acc[i][j]);
                }
            }
        }};
    }
    for &tap in g.taps {
        let (mut kk, end) = (tap, tap + g.k);
        while kk + 4 <= end {
            step!(kk);
            step!(kk + 1);
            step!(kk + 2);
            step!(kk + 3);
            kk += 4;
        }
        while kk < end {
            step!(kk);
            kk += 1;
        }
    }
    if column + NV * S::N <= g.n {
        macro_rules! store {
            (|$v:ident, $p:ident, $j:ident| $value:expr) => {
                for i in 0..MR {
                    for $j in 0..NV {
                        let ($v, $p) = (acc[i][$j], cp[i].add($j * S::N));
                        $value.store($p);
                    }
                }
            };
        }
        match end {
            End::Replace => store!(|v, p, j| v),
            End::Add => store!(|v, p, j| v.add(S::load(p))),
            End::Affine { scale, shift, activation } => {
                let (sc, sh) = (scale.as_ptr().add(column), shift.as_ptr().add(column));
                for_activation!(activation, |ACTIVATION| store!(|v, p, j| {
                    activate(v.fma(S::load(sc.add(j * S::N)), S::load(sh.add(j * S::N))), ACTIVATION)
                }))
            }
        }
        return;
    }
    // Through memory: a loop that the compiler does not unroll would keep the sums there all along.
    let mut sums = [[0.0; 2 * MAX_LANES]; MR];
    for i in 0..MR {
        for j in 0..NV {
            acc[i][j].store(sums[i].as_mut_ptr().add(j * S::N));
        }
    }
    finish_tile::<S>(&sums, &cp, g.n, column, NV, end);
}

/// Writes a tile whose last columns may be missing, or that is not the plain product.
#[inline(always)]
unsafe fn finish_tile<S: Simd>(
    sums: &[[Real; 2 * MAX_LANES]],
    c: &[*mut Real],
    n: usize,
    column: usize,
    n_vectors: usize,
    end: End,
) {
    for (sums, c) in sums.iter().zip(c) {
        for j in (0..n_vectors * S::N).step_by(S::N) {
            let (v, p) = (S::load(sums.as_ptr().add(j)), c.add(j));
            let left = n.saturating_sub(column + j);
            let v = match end {
                End::Replace => v,
                End::Add => v.add(load_some(p, left)),
                End::Affine { scale, shift, activation } => {
                    let (sc, sh) = (scale.as_ptr().add(column + j), shift.as_ptr().add(column + j));
                    activate(v.fma(S::load(sc), S::load(sh)), activation)
                }
            };
            store_some(v, p, left);
        }
    }
}

#[inline(always)]
unsafe fn nn_imp<S: Simd>(g: &Product, a: *const Real, b: *const Real, c: *mut Real, end: End) {
    let m = g.plane.0 * g.plane.1;
    let rows_of_b = g.k * g.taps.len();
    let n_padded = g.n.next_multiple_of(S::N);
    let mut j = 0;
    while j < n_padded {
        let bp = b.add(j * rows_of_b);
        macro_rules! panel {
            ($nv:literal, $rows:tt) => {
                tiles!(m, $rows, |p, ROWS| { tile_nn::<S, ROWS, $nv>(g, p, a, bp, c, j, end) })
            };
        }
        match ((n_padded - j) / S::N, S::REGISTERS) {
            (1, Registers::Few) => panel!(1, [4, 2, 1]),
            (_, Registers::Few) => panel!(2, [2, 1]),
            (1, _) => panel!(1, [12, 8, 4, 2, 1]),
            (_, Registers::Sixteen) => panel!(2, [6, 4, 2, 1]),
            (_, Registers::ThirtyTwo) => panel!(2, [12, 8, 4, 2, 1]),
        }
        j += 2 * S::N;
    }
}
kernel!(nn, nn_imp, (g: &Product, a: *const Real, b: *const Real, c: *mut Real, end: End));

#[inline(always)]
#[allow(clippy::too_many_arguments, clippy::needless_range_loop)]
unsafe fn tile_tn<S: Simd, const MR: usize, const NV: usize, const FULL: bool>(
    (h, w): (usize, usize),
    a: *const Real,
    a_steps: Steps,
    b: *const Real,
    b_steps: Steps,
    c: *mut Real,
    c_row: usize,
    last: usize,
) {
    let mut acc = [[S::zero(); NV]; MR];
    for y in 0..h {
        let (mut ap, mut bp) = (a.add(y * a_steps.line), b.add(y * b_steps.line));
        for _ in 0..w {
            let mut bv = [S::zero(); NV];
            for j in 0..NV {
                let p = bp.add(j * S::N);
                bv[j] = if FULL || j < NV - 1 { S::load(p) } else { S::load_n(p, last) };
            }
            for i in 0..MR {
                let av = S::splat(*ap.add(i));
                for j in 0..NV {
                    acc[i][j] = av.fma(bv[j], acc[i][j]);
                }
            }
            ap = ap.wrapping_add(a_steps.pixel);
            bp = bp.wrapping_add(b_steps.pixel);
        }
    }
    for i in 0..MR {
        for j in 0..NV {
            let p = c.add(i * c_row + j * S::N);
            let lanes = if j == NV - 1 { last } else { S::N };
            store_some(acc[i][j].add(load_some(p, lanes)), p, lanes);
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn tn_imp<S: Simd>(
    plane: (usize, usize),
    (m, n): (usize, usize),
    a: *const Real,
    a_steps: Steps,
    b: *const Real,
    b_steps: Steps,
    c: *mut Real,
    c_row: usize,
) {
    let mut j = 0;
    while j < n {
        let vectors = (n - j).div_ceil(S::N).min(2);
        let last = (n - j).min(vectors * S::N) - (vectors - 1) * S::N;
        let (bp, cp) = (b.add(j), c.add(j));
        macro_rules! panel {
            ($nv:literal, $full:literal, $rows:tt) => {
                tiles!(m, $rows, |i, ROWS| {
                    let (ap, cp) = (a.add(i), cp.add(i * c_row));
                    tile_tn::<S, ROWS, $nv, $full>(plane, ap, a_steps, bp, b_steps, cp, c_row, last)
                })
            };
        }
        match (vectors, S::REGISTERS, last == S::N) {
            (1, Registers::Few, _) => panel!(1, false, [4, 2, 1]),
            (_, Registers::Few, _) => panel!(2, false, [2, 1]),
            (1, _, true) => panel!(1, true, [12, 8, 4, 2, 1]),
            (1, _, false) => panel!(1, false, [12, 8, 4, 2, 1]),
            (_, Registers::Sixteen, true) => panel!(2, true, [6, 4, 2, 1]),
            (_, Registers::Sixteen, false) => panel!(2, false, [6, 4, 2, 1]),
            (_, Registers::ThirtyTwo, true) => panel!(2, true, [12, 8, 4, 2, 1]),
            (_, Registers::ThirtyTwo, false) => panel!(2, false, [12, 8, 4, 2, 1]),
        }
        j += vectors * S::N;
    }
}
kernel!(tn, tn_imp, (plane: (usize, usize), mn: (usize, usize), a: *const Real, a_steps: Steps, b: *const Real, b_steps: Steps, c: *mut Real, c_row: usize));
