//! The transforms of tiles. Those of 4 × 4 pixels interpolate at 0, ±√½, ±√2 and ∞: all constants are near one, so that
//! rounding stays small, and the two of a pair share their even and their odd part.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::{Images, Tile, Winograd};
use crate::Real;
use crate::end::{End, for_end};
use crate::simd::{MAX_LANES, Simd, each_vector, kernel, load, store};

/// √½ and √2.
const POINTS: [Real; 2] = [FRAC_1_SQRT_2 as Real, SQRT_2 as Real];

/// Lines of tiles, counted over all images.
#[derive(Clone, Copy)]
pub struct Lines {
    /// The first of these.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// Of an image.
    pub an_image: usize,
    /// From a place of the transformed tiles to the next.
    pub place: usize,
}

impl Lines {
    /// Image and line in it of each, with the number of lines before.
    fn each(self) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..self.count).map(move |i| (i, (self.first + i) / self.an_image, (self.first + i) % self.an_image))
    }
}

/// A weight of several kernels.
pub type Weights = [Real; MAX_LANES];

/// Hands every place of `G w Gᵀ` of some kernels to `put`.
pub fn kernel_places(tile: Tile, taps: &[Weights; 9], mut put: impl FnMut(usize, &Weights)) {
    let side = tile.side() + 2;
    let [first, second, third] =
        [0, 1, 2].map(|x| kernel_along(tile, [&taps[x], &taps[3 + x], &taps[6 + x]]));
    for (y, ((a, b), c)) in first.iter().zip(&second).zip(&third).take(side).enumerate() {
        let row = kernel_along(tile, [a, b, c]);
        row[..side].iter().enumerate().for_each(|(x, values)| put(y * side + x, values));
    }
}

/// `G` of three weights; tiles of 2 × 2 have four values.
fn kernel_along(tile: Tile, [a, b, c]: [&Weights; 3]) -> [Weights; 6] {
    let mut to = [[0.0; MAX_LANES]; 6];
    let [near, far] = POINTS;
    // One over the product of a point's distances from all others: 1, −2/3, 1/6, and ∞ has 1.
    let (k_near, k_far) = (-2.0 / 3.0, 1.0 / 6.0);
    (to[0], to[if tile == Tile::Two { 3 } else { 5 }]) = (*a, *c);
    for lane in 0..MAX_LANES {
        let (a, b, c) = (a[lane], b[lane], c[lane]);
        match tile {
            Tile::Two => (to[1][lane], to[2][lane]) = (0.5 * (a + b + c), 0.5 * (a - b + c)),
            Tile::Four => {
                let (even, odd) = (k_near * (a + 0.5 * c), k_near * near * b);
                (to[1][lane], to[2][lane]) = (even + odd, even - odd);
                let (even, odd) = (k_far * (a + 2.0 * c), k_far * far * b);
                (to[3][lane], to[4][lane]) = (even + odd, even - odd);
            }
        }
    }
    to
}

/// `Bᵀ` of as many values of the input as there are places, or `A` of fewer of the output gradient.
#[inline(always)]
unsafe fn places_of<S: Simd, const F: usize, const T: usize>(d: [S; F]) -> [S; T] {
    let mut to = [S::zero(); T];
    let [near, far] = POINTS;
    match (F, T) {
        (4, 4) => {
            to[0] = d[0].sub(d[2]);
            to[1] = d[1].add(d[2]);
            to[2] = d[2].sub(d[1]);
            to[3] = d[1].sub(d[3]);
        }
        (2, 4) => {
            to[0] = d[0];
            to[1] = d[0].add(d[1]);
            to[2] = d[0].sub(d[1]);
            to[3] = S::zero().sub(d[1]);
        }
        (6, 6) => {
            let (even_near, odd_near) = (S::splat(-2.0).fma(d[2], d[4]), S::splat(-2.0).fma(d[1], d[3]));
            let (even_far, odd_far) = (S::splat(-0.5).fma(d[2], d[4]), S::splat(-0.5).fma(d[1], d[3]));
            to[0] = S::splat(-2.5).fma(d[2], d[0].add(d[4]));
            [to[1], to[2]] = pair(near, even_near, odd_near);
            [to[3], to[4]] = pair(far, even_far, odd_far);
            to[5] = S::splat(-2.5).fma(d[3], d[1].add(d[5]));
        }
        _ => {
            let (even_near, odd_near) = (S::splat(0.5).fma(d[2], d[0]), S::splat(0.5).fma(d[3], d[1]));
            let (even_far, odd_far) = (S::splat(2.0).fma(d[2], d[0]), S::splat(2.0).fma(d[3], d[1]));
            to[0] = d[0];
            [to[1], to[2]] = pair(near, even_near, odd_near);
            [to[3], to[4]] = pair(far, even_far, odd_far);
            to[5] = d[3];
        }
    }
    to
}

/// The values at `point` and at its negative, of an even and an odd part.
#[inline(always)]
unsafe fn pair<S: Simd>(point: Real, even: S, odd: S) -> [S; 2] {
    [S::splat(point).fma(odd, even), S::splat(-point).fma(odd, even)]
}

/// `Aᵀ` of `T` values.
#[inline(always)]
unsafe fn output_of<S: Simd, const M: usize, const T: usize>(m: [S; T]) -> [S; M] {
    let mut to = [S::zero(); M];
    if T == 4 {
        to[0] = m[0].add(m[1]).add(m[2]);
        to[1] = m[1].sub(m[2]).sub(m[3]);
        return to;
    }
    let [near, far] = POINTS;
    let (even_near, odd_near) = (m[1].add(m[2]), m[1].sub(m[2]));
    let (even_far, odd_far) = (m[3].add(m[4]), m[3].sub(m[4]));
    to[0] = m[0].add(even_near).add(even_far);
    to[1] = S::splat(near).fma(odd_near, S::splat(far).mul(odd_far));
    to[2] = S::splat(0.5).fma(even_near, even_far.add(even_far));
    to[3] = S::splat(0.5 * near).fma(odd_near, S::splat(2.0 * far).fma(odd_far, m[5]));
    to
}

/// `$along` of every column of a tile of `$from × $from` vectors, then of every row of what comes of them.
macro_rules! both_ways {
    (
        $along:expr,
        [$from:ident, $to:tt],
        |$i:ident, $j:ident| $load:expr,
        |$y:ident, $x:ident, $value:ident| $store:expr
    ) => {{
        let mut half = [[<S as Simd>::zero(); $from]; $to];
        for $j in 0..$from {
            let mut column = [<S as Simd>::zero(); $from];
            for $i in 0..$from {
                column[$i] = $load;
            }
            let column: [S; $to] = $along(column);
            for i in 0..$to {
                half[i][$j] = column[i];
            }
        }
        for $y in 0..$to {
            let row: [S; $to] = $along(half[$y]);
            for $x in 0..$to {
                let $value = row[$x];
                $store;
            }
        }
    }};
}

/// What is transformed.
#[derive(Clone, Copy)]
pub struct Source {
    /// Channels.
    pub c: usize,
    /// How it lies.
    pub images: Images,
    /// An output gradient: tiles without a border.
    pub is_gradient: bool,
}

/// `Bᵀ x B` or `A dy Aᵀ` of one tile and vector; its places lie `place` apart.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn transform_tile<S: Simd, const F: usize, const T: usize, const FULL: bool>(
    source: Source,
    x: *const Real,
    to: *mut Real,
    place: usize,
    n: usize,
) {
    both_ways!(
        places_of::<S, F, T>,
        [F, T],
        |i, j| load::<S, FULL>(x.add(i * source.images.line + j * source.c), n),
        |y, x, value| store::<S, FULL>(value, to.add((T * y + x) * place), n)
    );
}

#[inline(always)]
unsafe fn transform_lines<S: Simd, const M: usize, const F: usize, const T: usize>(
    tiles_a_line: usize,
    source: Source,
    lines: Lines,
    x: *const Real,
    to: *mut Real,
) {
    let Source { c, images, .. } = source;
    for (line, image, line_of_image) in lines.each() {
        for tile in 0..tiles_a_line {
            let x = x.add(image * images.image + M * line_of_image * images.line + M * tile * c);
            let to = to.add((line * tiles_a_line + tile) * c);
            each_vector!(S, c, transform_tile, [F, T], |k| (source, x.add(k), to.add(k), lines.place));
        }
    }
}

#[inline(always)]
unsafe fn transform_imp<S: Simd>(g: &Winograd, source: Source, lines: Lines, x: *const Real, to: *mut Real) {
    let tiles_a_line = g.tiles_a_line();
    match (g.tile, source.is_gradient) {
        (Tile::Two, false) => transform_lines::<S, 2, 4, 4>(tiles_a_line, source, lines, x, to),
        (Tile::Two, true) => transform_lines::<S, 2, 2, 4>(tiles_a_line, source, lines, x, to),
        (Tile::Four, false) => transform_lines::<S, 4, 6, 6>(tiles_a_line, source, lines, x, to),
        (Tile::Four, true) => transform_lines::<S, 4, 4, 6>(tiles_a_line, source, lines, x, to),
    }
}
kernel!(pub transform, transform_imp, (g: &Winograd, source: Source, lines: Lines, x: *const Real, to: *mut Real));

/// `Aᵀ m A` of one tile and vector, by the pixel of `y` where it begins; lines of `y` are `line` long.
#[inline(always)]
#[allow(clippy::needless_range_loop, clippy::too_many_arguments)]
unsafe fn inverse_tile<S: Simd, const M: usize, const T: usize, const KIND: usize, const FULL: bool>(
    g: &Winograd,
    line: usize,
    from: *const Real,
    place: usize,
    y: *mut Real,
    end: End,
    k: usize,
    n: usize,
) {
    let columns = end.of_columns::<S>(k);
    both_ways!(
        output_of::<S, M, T>,
        [T, M],
        |i, j| load::<S, FULL>(from.add((T * i + j) * place), n),
        |i, j, value| columns.write::<KIND, FULL>(value, y.add(i * line + j * g.c_out), n)
    );
}

#[inline(always)]
unsafe fn inverse_lines<S: Simd, const M: usize, const T: usize, const KIND: usize>(
    g: &Winograd,
    lines: Lines,
    images: Images,
    from: *const Real,
    y: *mut Real,
    end: End,
) {
    let (tiles_a_line, place) = (g.w_out / M, lines.place);
    for (line, image, line_of_image) in lines.each() {
        for tile in 0..tiles_a_line {
            let from = from.add((line * tiles_a_line + tile) * g.c_out);
            let y = y.add(image * images.image + M * line_of_image * images.line + M * tile * g.c_out);
            each_vector!(S, g.c_out, inverse_tile, [M, T, KIND], |k| (
                g,
                images.line,
                from.add(k),
                place,
                y.add(k),
                end,
                k
            ));
        }
    }
}

#[inline(always)]
unsafe fn inverse_imp<S: Simd>(
    g: &Winograd,
    lines: Lines,
    images: Images,
    from: *const Real,
    y: *mut Real,
    end: End,
) {
    match g.tile {
        Tile::Two => for_end!(end, |KIND| inverse_lines::<S, 2, 4, KIND>(g, lines, images, from, y, end)),
        Tile::Four => for_end!(end, |KIND| inverse_lines::<S, 4, 6, KIND>(g, lines, images, from, y, end)),
    }
}
kernel!(pub inverse, inverse_imp, (g: &Winograd, lines: Lines, images: Images, from: *const Real, y: *mut Real, end: End));

/// `Gᵀ` of `T` values.
#[inline(always)]
unsafe fn weight_of<S: Simd, const T: usize>(u: [S; T]) -> [S; 3] {
    let (sum, difference) = (u[1].add(u[2]), u[1].sub(u[2]));
    let half = S::splat(0.5);
    if T == 4 {
        return [half.fma(sum, u[0]), half.mul(difference), half.fma(sum, u[3])];
    }
    let [near, far] = POINTS;
    let (k_near, k_far) = (-2.0 / 3.0, 1.0 / 6.0);
    let (sum_far, difference_far) = (u[3].add(u[4]), u[3].sub(u[4]));
    [
        S::splat(k_near).fma(sum, S::splat(k_far).fma(sum_far, u[0])),
        S::splat(k_near * near).fma(difference, S::splat(k_far * far).mul(difference_far)),
        S::splat(0.5 * k_near).fma(sum, S::splat(2.0 * k_far).fma(sum_far, u[5])),
    ]
}

/// Adds `Gᵀ u G` of a vector of sums to its nine weights; places of `u` lie `place` apart, taps of `weights` `tap`.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn fold_vector<S: Simd, const T: usize, const FULL: bool>(
    u: *const Real,
    place: usize,
    weights: *mut Real,
    tap: usize,
    n: usize,
) {
    both_ways!(
        weight_of::<S, T>,
        [T, 3],
        |i, j| load::<S, FULL>(u.add((T * i + j) * place), n),
        |i, j, value| {
            let p = weights.add((3 * i + j) * tap);
            store::<S, FULL>(value.add(load::<S, FULL>(p, n)), p, n)
        }
    );
}

#[inline(always)]
unsafe fn fold_imp<S: Simd>(tile: Tile, n: usize, u: *const Real, place: usize, w: *mut Real, tap: usize) {
    match tile {
        Tile::Two => each_vector!(S, n, fold_vector, [4], |k| (u.add(k), place, w.add(k), tap)),
        Tile::Four => each_vector!(S, n, fold_vector, [6], |k| (u.add(k), place, w.add(k), tap)),
    }
}
kernel!(pub fold, fold_imp, (tile: Tile, n: usize, u: *const Real, place: usize, w: *mut Real, tap: usize));
