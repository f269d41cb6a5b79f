//! 3 × 3 convolutions of stride 1 with fewer multiplications: Winograd's minimal filtering (Lavin and Gray, arXiv
//! 1509.09308), `y = Aᵀ[(G w Gᵀ) ⊙ (Bᵀ x B)]A`. Tiles of 2 × 2 pixels take 16 multiplications instead of 36, tiles of
//! 4 × 4 take 36 instead of 144.
//!
//! The products over channels are those of [`gemm`](crate::gemm), one for each place of a tile. Rounding is a few times
//! that of the plain sum.

mod transforms;
mod weights;

use self::transforms::{Lines, Source, inverse, kernel_places, transform};
pub use self::weights::Operands;
use crate::disjoint::Disjoint;
use crate::gemm::{End, Product, Steps, packed_len};
use crate::pool::Pool;
use crate::simd::MAX_LANES;
use crate::{Isa, Real, product, sum};

/// Output pixels of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    /// 2 × 2.
    Two,
    /// 4 × 4.
    Four,
}

impl Tile {
    /// Output pixels along a side.
    pub fn side(self) -> usize {
        match self {
            Tile::Two => 2,
            Tile::Four => 4,
        }
    }

    /// Input pixels of a tile, and products.
    fn places(self) -> usize {
        (self.side() + 2) * (self.side() + 2)
    }

    /// Multiply-adds that the transform of a vector of tiles takes as long as: fitted with AVX-512 and AVX2 to the
    /// figures of `peers`.
    fn transform_cost(self, isa: Isa) -> usize {
        match (self, isa.lanes()) {
            (Tile::Two, 16) => 130,
            (Tile::Two, _) => 95,
            (Tile::Four, 16) => 420,
            (Tile::Four, _) => 280,
        }
    }
}

/// How the lines of several images lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Images {
    /// Values from a line to the next.
    pub line: usize,
    /// Values from an image to the next.
    pub image: usize,
}

impl Images {
    /// Images of `h × w` pixels of `c` values without gaps.
    pub fn dense((h, w): (usize, usize), c: usize) -> Images {
        Images { line: w * c, image: h * w * c }
    }

    /// Values up to the end of the last of `n` images of `h × w` pixels, all at least one, of `c` values.
    fn extent(self, n: usize, (h, w): (usize, usize), c: usize) -> usize {
        sum(&[product(&[n - 1, self.image]), product(&[h - 1, self.line]), product(&[w, c])])
    }
}

/// Geometry of the images.
#[derive(Debug, Clone, Copy)]
pub struct Winograd {
    /// How the output is cut.
    pub tile: Tile,
    /// Input channels.
    pub c_in: usize,
    /// Output channels.
    pub c_out: usize,
    /// Output height, whole tiles.
    pub h_out: usize,
    /// Output width, whole tiles.
    pub w_out: usize,
    /// Values of a row of the padded image.
    pub padded_row: usize,
    /// Values from a padded image to the next.
    pub padded_image: usize,
}

impl Winograd {
    /// Multiply-adds of a vector that 16 output pixels take as long as.
    pub fn cost(&self, isa: Isa) -> usize {
        let vectors = |c: usize| c.div_ceil(isa.lanes());
        let products = self.tile.places() * self.c_in * vectors(self.c_out);
        let transforms = self.tile.transform_cost(isa) * (vectors(self.c_in) + vectors(self.c_out));
        // Short products are slower by a fifth.
        (products * 6 / 5 + transforms) * 16 / (self.tile.side() * self.tile.side())
    }

    /// Whether the output is made of whole tiles.
    pub fn fits(&self) -> bool {
        self.h_out.is_multiple_of(self.tile.side()) && self.w_out.is_multiple_of(self.tile.side())
    }

    /// Images that are best computed together.
    pub fn images(&self) -> usize {
        self.tiles().div_ceil((self.lines() * self.tiles_a_line()).max(1))
    }

    /// Tiles that are transformed before they are multiplied: enough rows for a product, few enough for a core's second
    /// cache.
    fn tiles(&self) -> usize {
        const VALUES_A_PLACE: usize = 3072;
        (VALUES_A_PLACE / sum(&[self.c_in, self.c_out, 1])).clamp(24, 96)
    }

    /// Length of packed weights.
    pub fn packed_len(&self, isa: Isa) -> usize {
        product(&[self.tile.places(), packed_len(isa, self.c_out, self.c_in)])
    }

    /// Length of the temporaries of [`Winograd::run`].
    pub fn scratch_len(&self) -> usize {
        let tiles = product(&[self.strip(), self.tiles_a_line()]);
        product(&[self.tile.places(), sum(&[place_len(tiles, self.c_in), place_len(tiles, self.c_out)])])
    }

    /// How padded images lie.
    fn padded(&self) -> Images {
        Images { line: self.padded_row, image: self.padded_image }
    }

    /// Lines of tiles of an image.
    fn lines(&self) -> usize {
        self.h_out / self.tile.side()
    }

    fn tiles_a_line(&self) -> usize {
        self.w_out / self.tile.side()
    }

    /// Lines of tiles that are transformed together, of one image or several.
    fn strip(&self) -> usize {
        self.tiles().div_ceil(self.tiles_a_line().max(1)).min(product(&[self.images(), self.lines()]))
    }

    /// Packs transformed weights, with all threads; `weight(o, i, tap)` is one of them.
    ///
    /// # Panics
    /// If `out` has another length than [`Winograd::packed_len`].
    pub fn pack(
        &self,
        isa: Isa,
        pool: &mut Pool,
        weight: impl Fn(usize, usize, usize) -> Real + Sync,
        out: &mut [Real],
    ) {
        const ROWS_A_TASK: usize = 16;
        assert_eq!(out.len(), self.packed_len(isa));
        let (len, lanes) = (out.len() / self.tile.places(), isa.lanes());
        let (n_padded, n_blocks) = (self.c_out.next_multiple_of(lanes), self.c_in.div_ceil(ROWS_A_TASK));
        let all = Disjoint::new(out);
        pool.run(n_padded / lanes * n_blocks, &|task_idx, _| {
            let (o, first_row) = (task_idx / n_blocks * lanes, task_idx % n_blocks * ROWS_A_TASK);
            let panel = o / (2 * lanes) * 2 * lanes;
            let width = (n_padded - panel).min(2 * lanes);
            for i in first_row..self.c_in.min(first_row + ROWS_A_TASK) {
                let at = panel * self.c_in + i * width + o - panel;
                let mut taps = [[0.0; MAX_LANES]; 9];
                for lane in 0..lanes.min(self.c_out - o) {
                    taps.iter_mut().enumerate().for_each(|(tap, to)| to[lane] = weight(o + lane, i, tap));
                }
                kernel_places(self.tile, &taps, |place, values| {
                    // SAFETY: every row of a vector of columns is in one task.
                    let to = unsafe { all.range(place * len + at, lanes) };
                    to.copy_from_slice(&values[..lanes]);
                });
            }
        });
    }

    /// `y = weights * padded` of `n` images, ended by `end`; weights are packed, and the output lies as `images` says.
    ///
    /// # Panics
    /// If the output is not made of whole tiles, or a slice ends before the last value that the geometry names.
    #[allow(clippy::too_many_arguments)]
    pub fn run(
        &self,
        isa: Isa,
        n: usize,
        padded: &[Real],
        weights: &[Real],
        scratch: &mut [Real],
        y: &mut [Real],
        images: Images,
        end: End,
    ) {
        let Winograd { tile, c_in, c_out, h_out, w_out, .. } = *self;
        assert!(self.fits(), "the output is made of whole tiles");
        if product(&[n, h_out, w_out, c_in, c_out]) == 0 {
            return;
        }
        let from = self.padded();
        assert!(padded.len() >= from.extent(n, (sum(&[h_out, 2]), sum(&[w_out, 2])), c_in));
        assert!(weights.len() >= self.packed_len(isa) && scratch.len() >= self.scratch_len());
        assert!(y.len() >= images.extent(n, (h_out, w_out), c_out));
        end.check(c_out, isa.lanes());
        let len = self.packed_len(isa) / tile.places();
        for first in (0..n * self.lines()).step_by(self.strip()) {
            let count = self.strip().min(n * self.lines() - first);
            let tiles = count * self.tiles_a_line();
            let lens = (place_len(tiles, c_in), place_len(tiles, c_out));
            let (xs, ys) = scratch.split_at_mut(tile.places() * lens.0);
            let lines = Lines { first, count, an_image: self.lines(), place: lens.0 };
            let source = Source { c: c_in, images: from, is_gradient: false };
            // SAFETY: `n` padded images are in bounds, each with two rows and two pixels a row more than the output, and
            // this part of the temporaries has all places of `[tiles, c_in]`.
            unsafe { transform(isa, self, source, lines, padded.as_ptr(), xs.as_mut_ptr()) };
            let steps = (Steps::dense(tiles, c_in), Steps::dense(tiles, c_out));
            let product =
                Product { plane: (1, tiles), n: c_out, k: c_in, taps: &[0], a: steps.0, c: steps.1 };
            let places = xs.chunks_exact(lens.0).zip(ys.chunks_exact_mut(lens.1));
            for ((xs, ys), weights) in places.zip(weights.chunks_exact(len)).take(tile.places()) {
                product.run(isa, xs, weights, ys, End::Replace);
            }
            let lines = Lines { place: lens.1, ..lines };
            // SAFETY: the other part has all places of `[tiles, c_out]`, and `n` images of the output are in bounds.
            unsafe { inverse(isa, self, lines, images, ys.as_ptr(), y.as_mut_ptr(), end) };
        }
    }
}

/// Values of a place of `tiles` with `c` channels each, and a gap: an odd number of a cache's lines, since those of all
/// places would else often fall into one of its sets.
fn place_len(tiles: usize, c: usize) -> usize {
    const LINE: usize = 16;
    product(&[tiles, c]).div_ceil(LINE).checked_mul(LINE).expect("an image fits into the address space")
        | LINE
}
