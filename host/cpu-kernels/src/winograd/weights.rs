//! The weight gradient in tiles: `dw = Gᵀ[Σ (Bᵀ x B) ⊗ (A dy Aᵀ)]G`, the sum over all tiles.

use super::transforms::{Lines, Source, fold, transform};
use super::{Images, Winograd, place_len};
use crate::disjoint::Disjoint;
use crate::gemm::{Pixels, Steps, outer_product_into};
use crate::{Isa, Real, product, sum};

/// What a weight gradient is computed of.
#[derive(Debug, Clone, Copy)]
pub struct Operands<'a> {
    /// Padded input images.
    pub padded: &'a [Real],
    /// Output gradients, from the first value on.
    pub dy: &'a [Real],
    /// How these lie.
    pub images: Images,
}

impl Winograd {
    /// Length of the sums of [`Winograd::add_tiles`]: places, input and output channels.
    pub fn sums_len(&self) -> usize {
        product(&[self.tile.places(), self.c_in, self.c_out])
    }

    /// Length of the transformed input and output gradient of `n` images.
    pub fn tiles_len(&self, n: usize) -> [usize; 2] {
        let tiles = product(&[n, self.lines(), self.tiles_a_line()]);
        [self.c_in, self.c_out].map(|c| product(&[self.tile.places(), place_len(tiles, c)]))
    }

    /// Transforms the input and the output gradient of `n` images.
    ///
    /// - `xs`, `dys`: of [`Winograd::tiles_len`]
    ///
    /// # Panics
    /// If the output is not made of whole tiles, or a slice is shorter than the geometry says.
    pub fn transform(&self, isa: Isa, n: usize, operands: Operands, xs: &mut [Real], dys: &mut [Real]) {
        let (Winograd { c_in, c_out, h_out, w_out, .. }, Operands { padded, dy, images }) = (*self, operands);
        assert!(self.fits(), "the output is made of whole tiles");
        if product(&[n, h_out, w_out, c_in, c_out]) == 0 {
            return;
        }
        let from = self.padded();
        assert!(padded.len() >= from.extent(n, (sum(&[h_out, 2]), sum(&[w_out, 2])), c_in));
        assert!(dy.len() >= images.extent(n, (h_out, w_out), c_out));
        let [xs_len, dys_len] = self.tiles_len(n);
        assert!(xs.len() >= xs_len && dys.len() >= dys_len);
        let [x_place, dy_place] = [xs_len, dys_len].map(|len| len / self.tile.places());
        let lines = Lines { first: 0, count: n * self.lines(), an_image: self.lines(), place: x_place };
        let source = Source { c: c_in, images: from, is_gradient: false };
        // SAFETY: `n` padded images are in bounds, each with two rows and two pixels a row more than the output, and `xs`
        // has all places of their tiles.
        unsafe { transform(isa, self, source, lines, padded.as_ptr(), xs.as_mut_ptr()) };
        let (lines, source) =
            (Lines { place: dy_place, ..lines }, Source { c: c_out, images, is_gradient: true });
        // SAFETY: `n` output gradients are in bounds, and `dys` has all places of their tiles.
        unsafe { transform(isa, self, source, lines, dy.as_ptr(), dys.as_mut_ptr()) };
    }

    /// Adds the products of a place of all tiles of `n` images, for some input channels: `sums[i][o] += Σ x dy`.
    ///
    /// - `xs`, `dys`: of [`Winograd::transform`], for `blocks` times `n` images one after the other
    /// - `rows`: the first input channel, and how many
    /// - `sums`: rows of output channels
    ///
    /// # Panics
    /// If a slice is shorter than the geometry says.
    #[allow(clippy::too_many_arguments)]
    pub fn add_place(
        &self,
        isa: Isa,
        blocks: usize,
        n: usize,
        (xs, dys): (&[Real], &[Real]),
        place: usize,
        (first, rows): (usize, usize),
        sums: &mut [Real],
    ) {
        let tiles = product(&[n, self.lines(), self.tiles_a_line()]);
        let [xs_len, dys_len] = self.tiles_len(n);
        let places = self.tile.places();
        let a = Pixels {
            data: &xs[place * (xs_len / places) + first..],
            steps: Steps { pixel: self.c_in, line: xs_len },
        };
        let b = Pixels {
            data: &dys[place * (dys_len / places)..],
            steps: Steps { pixel: self.c_out, line: dys_len },
        };
        outer_product_into(isa, (blocks, tiles), (rows, self.c_out), a, b, sums, self.c_out);
    }

    /// Adds the products of all tiles of `n` images, `[places, c_in, c_out]`.
    ///
    /// - `tiles`: temporaries of both [`Winograd::tiles_len`] together
    /// - `sums`: of [`Winograd::sums_len`]
    ///
    /// # Panics
    /// If the output is not made of whole tiles, or a slice is shorter than the geometry says.
    pub fn add_tiles(&self, isa: Isa, n: usize, operands: Operands, tiles: &mut [Real], sums: &mut [Real]) {
        if product(&[n, self.h_out, self.w_out, self.c_in, self.c_out]) == 0 {
            return;
        }
        let (xs, dys) = tiles.split_at_mut(self.tiles_len(n)[0]);
        self.transform(isa, n, operands, xs, dys);
        assert_eq!(sums.len(), self.sums_len());
        for (place, sums) in sums.chunks_exact_mut(self.c_in * self.c_out).enumerate() {
            self.add_place(isa, 1, n, (xs, dys), place, (0, self.c_in), sums);
        }
    }

    /// Adds the gradient of the weights of some input channels, from the sums of all tiles.
    ///
    /// - `rows`: the first input channel, and how many
    /// - `sums`: `[places, c_in, c_out]`
    /// - `weights`: `[9, c_in, c_out]`
    ///
    /// # Panics
    /// If a slice is shorter than the geometry says.
    ///
    /// # Safety
    /// Nothing else reads or writes these rows of `weights` meanwhile.
    pub unsafe fn fold_rows(
        &self,
        isa: Isa,
        (first, rows): (usize, usize),
        sums: &[Real],
        weights: &Disjoint,
    ) {
        let (place, from) = (product(&[self.c_in, self.c_out]), product(&[first, self.c_out]));
        let n = product(&[rows, self.c_out]);
        assert!(sum(&[from, n]) <= place && sums.len() >= self.sums_len());
        let weights = weights.shared(from, sum(&[product(&[8, place]), n]));
        // SAFETY: `n` values of every place and of every tap are in bounds, and no other thread's by the contract above.
        unsafe { fold(isa, self.tile, n, sums[from..].as_ptr(), place, weights, place) }
    }
}
