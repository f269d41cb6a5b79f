//! 3 × 3 convolutions of stride 1 with 16 multiplications for four pixels instead of 36: Winograd's minimal filtering
//! F(2×2, 3×3) (Lavin and Gray, arXiv 1509.09308), `y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ x B)]A`.
//!
//! The products over channels are those of [`gemm`](crate::gemm), one for each of the 16 places of a tile. Rounding is
//! a few times that of the plain sum.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use crate::elementwise::activate;
use crate::gemm::{End, Product, Steps, packed_len};
use crate::simd::{Simd, each_vector, kernel, load, store};
use crate::{Isa, Real, product, sum};

/// Places of a tile of 4 × 4 input pixels.
const PLACES: usize = 16;
/// Tiles that are transformed before they are multiplied, at least: enough rows for a product, few enough for a cache.
const TILES: usize = 32;

/// Geometry of one image.
#[derive(Debug, Clone, Copy)]
pub struct Winograd {
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Output height, even.
    pub h_out: usize,
    /// Output width, even.
    pub w_out: usize,
    /// Values of a row of the padded image.
    pub padded_row: usize,
}

impl Winograd {
    /// Whether it is faster than plain products of `direct` multiply-adds of a vector for four pixels.
    pub fn pays(&self, isa: Isa, direct: usize) -> bool {
        /// Multiply-adds that the transform of a tile takes as long as, measured with AVX-512.
        const TRANSFORM: usize = 130;
        let vectors = |c: usize| c.div_ceil(isa.lanes());
        let products = PLACES * self.c_in * vectors(self.c_out);
        let transforms = TRANSFORM * (vectors(self.c_in) + vectors(self.c_out));
        // Short products are slower by a fifth, and a tenth is no gain.
        12 * products + 10 * transforms < 9 * direct
    }

    /// Length of packed weights.
    pub fn packed_len(&self, isa: Isa) -> usize {
        product(&[PLACES, packed_len(isa, self.c_out, self.c_in)])
    }

    /// Length of the temporaries of [`Winograd::run`].
    pub fn scratch_len(&self) -> usize {
        let tiles = product(&[self.strip(), self.w_out / 2]);
        product(&[PLACES, sum(&[place_len(tiles, self.c_in), place_len(tiles, self.c_out)])])
    }

    /// Lines of tiles that are transformed together.
    fn strip(&self) -> usize {
        TILES.div_ceil((self.w_out / 2).max(1)).min(self.h_out / 2)
    }

    /// Packs transformed weights; `weight(o, i, tap)` is one of them.
    ///
    /// # Panics
    /// If `out` has another length than [`Winograd::packed_len`].
    pub fn pack(&self, isa: Isa, weight: impl Fn(usize, usize, usize) -> Real, out: &mut [Real]) {
        assert_eq!(out.len(), self.packed_len(isa));
        out.fill(0.0);
        let (len, panel) = (out.len() / PLACES, 2 * isa.lanes());
        let n_padded = self.c_out.next_multiple_of(isa.lanes());
        for o in 0..self.c_out {
            let first = o / panel * panel;
            let width = panel.min(n_padded - first);
            for i in 0..self.c_in {
                let at = first * self.c_in + i * width + o - first;
                for (place, value) in transformed(|tap| weight(o, i, tap)).into_iter().enumerate() {
                    out[place * len + at] = value;
                }
            }
        }
    }

    /// `y = weights * padded`, `[h_out, w_out, c_out]`, ended by `end`; weights are packed.
    ///
    /// # Panics
    /// If a height or width is odd, or a slice ends before the last value that the geometry names.
    pub fn run(
        &self,
        isa: Isa,
        padded: &[Real],
        weights: &[Real],
        scratch: &mut [Real],
        y: &mut [Real],
        end: End,
    ) {
        let Winograd { c_in, c_out, h_out, w_out, padded_row } = *self;
        assert!(h_out.is_multiple_of(2) && w_out.is_multiple_of(2), "tiles are 2 × 2 pixels");
        if product(&[h_out, w_out, c_in, c_out]) == 0 {
            return;
        }
        let last_row = product(&[sum(&[h_out, 1]), padded_row]);
        assert!(padded.len() >= sum(&[last_row, product(&[sum(&[w_out, 2]), c_in])]));
        assert!(weights.len() >= self.packed_len(isa) && scratch.len() >= self.scratch_len());
        assert!(y.len() >= product(&[h_out, w_out, c_out]));
        if let End::Affine { scale, shift, .. } = end {
            let whole = c_out.next_multiple_of(isa.lanes());
            assert!(scale.len() >= whole && shift.len() >= whole);
        }
        let (tiles_a_line, len) = (w_out / 2, weights.len().min(self.packed_len(isa)) / PLACES);
        for line in (0..h_out / 2).step_by(self.strip()) {
            let lines = self.strip().min(h_out / 2 - line);
            let tiles = lines * tiles_a_line;
            let lens = (place_len(tiles, c_in), place_len(tiles, c_out));
            let (xs, ys) = scratch.split_at_mut(PLACES * lens.0);
            let (from, to) = (2 * line * padded_row, 2 * line * w_out * c_out);
            // SAFETY: 2·lines + 2 rows of the padded image and w_out + 2 pixels of each are in bounds, and the part of
            // the temporaries has 16 places of `[tiles, c_in]`.
            unsafe { transform(isa, self, lines, padded[from..].as_ptr(), xs.as_mut_ptr()) };
            let steps = (Steps::dense(tiles, c_in), Steps::dense(tiles, c_out));
            let product =
                Product { plane: (1, tiles), n: c_out, k: c_in, taps: &[0], a: steps.0, c: steps.1 };
            let places = xs.chunks_exact(lens.0).zip(ys.chunks_exact_mut(lens.1));
            for ((xs, ys), weights) in places.zip(weights.chunks_exact(len)) {
                product.run(isa, xs, weights, ys, End::Replace);
            }
            // SAFETY: the other part has 16 places of `[tiles, c_out]`, and 2·lines rows of the output are in bounds.
            unsafe { inverse(isa, self, lines, ys.as_ptr(), y[to..].as_mut_ptr(), end) };
        }
    }
}

/// Values of a place of `tiles` with `c` channels each, and a gap: an odd number of a cache's lines, since those of the 16
/// places would else often fall into one of its sets.
fn place_len(tiles: usize, c: usize) -> usize {
    const LINE: usize = 16;
    product(&[tiles, c]).div_ceil(LINE).checked_mul(LINE).expect("an image fits into the address space")
        | LINE
}

/// `G w Gᵀ` of one kernel.
fn transformed(w: impl Fn(usize) -> Real) -> [Real; PLACES] {
    let along = |[a, b, c]: [Real; 3]| [a, 0.5 * (a + b + c), 0.5 * (a - b + c), c];
    let columns = [0, 1, 2].map(|x| along([w(x), w(3 + x), w(6 + x)]));
    let mut out = [0.0; PLACES];
    for (y, out) in out.chunks_exact_mut(4).enumerate() {
        out.copy_from_slice(&along(columns.map(|column| column[y])));
    }
    out
}

/// `Bᵀ` of four values.
#[inline(always)]
unsafe fn input_of<S: Simd>([a, b, c, d]: [S; 4]) -> [S; 4] {
    [a.sub(c), b.add(c), c.sub(b), b.sub(d)]
}

/// `Aᵀ` of four values.
#[inline(always)]
unsafe fn output_of<S: Simd>([a, b, c, d]: [S; 4]) -> [S; 2] {
    [a.add(b).add(c), b.sub(c).sub(d)]
}

/// `Bᵀ x B` of one tile and vector; its places lie `place` apart.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn transform_tile<S: Simd, const FULL: bool>(
    g: &Winograd,
    x: *const Real,
    to: *mut Real,
    place: usize,
    n: usize,
) {
    let mut tile = [[S::zero(); 4]; 4];
    for j in 0..4 {
        let mut column = [S::zero(); 4];
        for i in 0..4 {
            column[i] = load::<S, FULL>(x.add(i * g.padded_row + j * g.c_in), n);
        }
        let column = input_of(column);
        for i in 0..4 {
            tile[i][j] = column[i];
        }
    }
    for i in 0..4 {
        let row = input_of(tile[i]);
        for j in 0..4 {
            store::<S, FULL>(row[j], to.add((4 * i + j) * place), n);
        }
    }
}

#[inline(always)]
unsafe fn transform_imp<S: Simd>(g: &Winograd, lines: usize, x: *const Real, to: *mut Real) {
    let tiles_a_line = g.w_out / 2;
    let place = place_len(lines * tiles_a_line, g.c_in);
    for line in 0..lines {
        for tile in 0..tiles_a_line {
            let x = x.add(2 * line * g.padded_row + 2 * tile * g.c_in);
            let to = to.add((line * tiles_a_line + tile) * g.c_in);
            each_vector!(S, g.c_in, transform_tile, [], |k| (g, x.add(k), to.add(k), place));
        }
    }
}
kernel!(transform, transform_imp, (g: &Winograd, lines: usize, x: *const Real, to: *mut Real));

/// `Aᵀ m A` of one tile and vector, by the pixel of `y` where it begins.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn inverse_tile<S: Simd, const FULL: bool>(
    g: &Winograd,
    from: *const Real,
    place: usize,
    y: *mut Real,
    end: End,
    k: usize,
    n: usize,
) {
    let mut halves = [[S::zero(); 4]; 2];
    for j in 0..4 {
        let mut column = [S::zero(); 4];
        for i in 0..4 {
            column[i] = load::<S, FULL>(from.add((4 * i + j) * place), n);
        }
        [halves[0][j], halves[1][j]] = output_of(column);
    }
    let mut pixels = [S::zero(); 4];
    for i in 0..2 {
        [pixels[2 * i], pixels[2 * i + 1]] = output_of(halves[i]);
    }
    if let End::Affine { scale, shift, activation } = end {
        let (scale, shift) = (S::load(scale.as_ptr().add(k)), S::load(shift.as_ptr().add(k)));
        for i in 0..4 {
            pixels[i] = activate(pixels[i].fma(scale, shift), activation);
        }
    }
    for i in 0..4 {
        let p = y.add((i / 2 * g.w_out + i % 2) * g.c_out);
        if let End::Add = end {
            pixels[i] = pixels[i].add(load::<S, FULL>(p, n));
        }
        store::<S, FULL>(pixels[i], p, n);
    }
}

#[inline(always)]
unsafe fn inverse_imp<S: Simd>(g: &Winograd, lines: usize, from: *const Real, y: *mut Real, end: End) {
    let tiles_a_line = g.w_out / 2;
    let place = place_len(lines * tiles_a_line, g.c_out);
    for line in 0..lines {
        for tile in 0..tiles_a_line {
            let from = from.add((line * tiles_a_line + tile) * g.c_out);
            let y = y.add((2 * line * g.w_out + 2 * tile) * g.c_out);
            each_vector!(S, g.c_out, inverse_tile, [], |k| (g, from.add(k), place, y.add(k), end, k));
        }
    }
}
kernel!(inverse, inverse_imp, (g: &Winograd, lines: usize, from: *const Real, y: *mut Real, end: End));
