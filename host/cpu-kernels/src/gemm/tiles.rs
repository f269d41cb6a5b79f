//! Both kernels keep a tile of the result in registers: rows × 1 or 2 vectors of columns. Rows of the big operand are
//! pixels, wherever they lie, so that a tile may cross the lines of an image.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use super::{End, Product, Steps};
use crate::Real;
use crate::end::for_end;
use crate::simd::{MAX_LANES, Registers, Simd, kernel, load_some, prefetch, store_some};

/// Runs `$tile::<S, ROWS, $nv>` for `$left` rows, in steps of the given numbers of rows. Eight rows are two fours
/// instead of six and two, sixteen two eights instead of twelve and four: a tile needs eight independent sums to hide the
/// latency of a multiply-add.
macro_rules! tiles {
    ($left:expr, [$($rows:literal),+], |$at:ident, $n:ident| $run:block) => {{
        let left = $left;
        let mut $at = 0usize;
        $(
            while left - $at >= $rows && !matches!(($rows, left - $at), (6, 8) | (12, 16)) {
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
    // Whole vectors, and the columns of a last one that may be narrower.
    macro_rules! store {
        (|$v:ident, $old:ident, $j:ident| $value:expr) => {
            if column + NV * S::N <= g.n {
                for i in 0..MR {
                    for $j in 0..NV {
                        let ($v, p) = (acc[i][$j], cp[i].add($j * S::N));
                        let $old = || S::load(p);
                        $value.store(p);
                    }
                }
            } else {
                let last = g.n - column - (NV - 1) * S::N;
                for i in 0..MR {
                    for $j in 0..NV - 1 {
                        let ($v, p) = (acc[i][$j], cp[i].add($j * S::N));
                        let $old = || S::load(p);
                        $value.store(p);
                    }
                    let $j = NV - 1;
                    let ($v, p) = (acc[i][$j], cp[i].add($j * S::N));
                    let $old = || S::load_n(p, last);
                    $value.store_n(p, last);
                }
            }
        };
    }
    match end {
        End::Replace => {
            store!(|v, _old, j| v);
        }
        End::Add => {
            store!(|v, old, j| v.add(old()));
        }
        End::Affine { scale, shift, activation } | End::Residual { scale, shift, activation } => {
            let is_residual = matches!(end, End::Residual { .. });
            let (sc, sh) = (scale.as_ptr().add(column), shift.as_ptr().add(column));
            if let Some((low, high)) = activation.clamps() {
                let (low, high) = (S::splat(low), S::splat(high));
                if is_residual {
                    store!(|v, old, j| {
                        let v = v.fma(S::load(sc.add(j * S::N)), S::load(sh.add(j * S::N)));
                        high.min(low.max(v.add(old())))
                    });
                } else {
                    store!(|v, _old, j| {
                        let v = v.fma(S::load(sc.add(j * S::N)), S::load(sh.add(j * S::N)));
                        high.min(low.max(v))
                    });
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
            end_tile::<S>(&sums, &cp, g.n - column, column, end);
        }
    }
}

/// Ends the `n` columns of a tile that are left from `column` on.
#[inline(always)]
unsafe fn end_tile<S: Simd>(
    sums: &[[Real; 2 * MAX_LANES]],
    c: &[*mut Real],
    n: usize,
    column: usize,
    end: End,
) {
    for_end!(end, |KIND| {
        for j in (0..n.min(2 * S::N)).step_by(S::N) {
            let columns = end.of_columns::<S>(column + j);
            for (sums, c) in sums.iter().zip(c) {
                let (sum, c) = (S::load(sums.as_ptr().add(j)), c.add(j));
                if n - j >= S::N {
                    columns.write::<KIND, true>(sum, c, S::N);
                } else {
                    columns.write::<KIND, false>(sum, c, n - j);
                }
            }
        }
    })
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
kernel!(pub nn, nn_imp, (g: &Product, a: *const Real, b: *const Real, c: *mut Real, end: End));

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
kernel!(pub tn, tn_imp, (plane: (usize, usize), mn: (usize, usize), a: *const Real, a_steps: Steps, b: *const Real, b_steps: Steps, c: *mut Real, c_row: usize));
