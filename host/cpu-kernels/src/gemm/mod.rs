//! Matrix products for convolutions over `[h, w, c]` images: the big operand is never packed.

mod tiles;

use self::tiles::{nn, tn};
use crate::{Isa, Real, product, sum};

pub use crate::end::End;

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

    /// Values up to the end of the last of `h × w` pixels, at least one, of `n` values each.
    fn extent(self, (h, w): (usize, usize), n: usize) -> usize {
        sum(&[product(&[h - 1, self.line]), product(&[w - 1, self.pixel]), n])
    }
}

/// Length of an operand of `k` rows and `n` columns, packed.
pub fn packed_len(isa: Isa, n: usize, k: usize) -> usize {
    product(&[n.div_ceil(isa.lanes()), isa.lanes(), k])
}

/// Packs an operand in panels of two vectors of columns (the last may be one), zero-padded to whole vectors. The value
/// of a row and a column is `from[row + column]`.
///
/// - `rows`, `columns`: where each begins
/// - `out`: [`packed_len`]
///
/// # Panics
/// If `out` has another length, or `from` ends before the last value.
pub fn pack(
    isa: Isa,
    rows: impl ExactSizeIterator<Item = usize> + Clone,
    columns: &[usize],
    from: &[Real],
    out: &mut [Real],
) {
    let k = rows.len();
    assert_eq!(out.len(), packed_len(isa, columns.len(), k));
    let mut panels = out;
    for columns in columns.chunks(2 * isa.lanes()) {
        let width = columns.len().next_multiple_of(isa.lanes());
        let (panel, rest) = panels.split_at_mut(width * k);
        panels = rest;
        if is_run(columns) {
            for (row, to) in rows.clone().zip(panel.chunks_exact_mut(width)) {
                let (to, padding) = to.split_at_mut(columns.len());
                to.copy_from_slice(&from[row + columns[0]..][..to.len()]);
                padding.fill(0.0);
            }
        } else {
            pack_by_columns(rows.clone(), columns, from, width, panel);
        }
    }
}

/// [`pack`] of an operand of `k` rows and `n` columns whose values are computed: `value(row, column)`.
///
/// # Panics
/// If `out` has another length than [`packed_len`].
pub fn pack_values(isa: Isa, (k, n): (usize, usize), value: impl Fn(usize, usize) -> Real, out: &mut [Real]) {
    assert_eq!(out.len(), packed_len(isa, n, k));
    let mut panels = out;
    for first in (0..n).step_by(2 * isa.lanes()) {
        let columns = (n - first).min(2 * isa.lanes());
        let width = columns.next_multiple_of(isa.lanes());
        let (panel, rest) = panels.split_at_mut(width * k);
        panels = rest;
        for (row, to) in panel.chunks_exact_mut(width).enumerate() {
            to.iter_mut().take(columns).enumerate().for_each(|(j, to)| *to = value(row, first + j));
            to[columns..].fill(0.0);
        }
    }
}

/// Rows of a panel that are packed together, a column at a time: what lies side by side in a column is read once.
const ROWS: usize = 16;

/// Packs one panel of `width` whose columns lie apart.
fn pack_by_columns(
    mut rows: impl Iterator<Item = usize>,
    columns: &[usize],
    from: &[Real],
    width: usize,
    panel: &mut [Real],
) {
    for panel in panel.chunks_mut(ROWS * width) {
        let mut block = [0; ROWS];
        let block = &mut block[..panel.len() / width];
        block.iter_mut().zip(&mut rows).for_each(|(at, row)| *at = row);
        let block_is_run = is_run(block);
        for (j, column) in columns.iter().enumerate() {
            let to = panel[j..].iter_mut().step_by(width);
            if block_is_run {
                to.zip(&from[block[0] + column..][..block.len()]).for_each(|(to, from)| *to = *from);
            } else {
                to.zip(&*block).for_each(|(to, row)| *to = from[row + column]);
            }
        }
        panel.chunks_exact_mut(width).for_each(|to| to[columns.len()..].fill(0.0));
    }
}

/// Whether the places lie side by side.
fn is_run(places: &[usize]) -> bool {
    places.windows(2).all(|pair| pair[0] + 1 == pair[1])
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
    /// Computes the product; `b` is packed. Values of `c` between its pixels stay as they are.
    ///
    /// # Panics
    /// If there is no tap, or a slice ends before the last value that the product names.
    pub fn run(&self, isa: Isa, a: &[Real], b: &[Real], c: &mut [Real], end: End) {
        if self.is_empty() {
            return;
        }
        assert!(c.len() >= self.c.extent(self.plane, self.n));
        // SAFETY: `c` is borrowed and holds `n` values at every pixel.
        unsafe { self.run_shared(isa, a, b, c.as_mut_ptr(), end) }
    }

    /// [`Product::run`] into memory between whose values other threads write theirs.
    ///
    /// # Panics
    /// If there is no tap, or a slice ends before the last value that the product names.
    ///
    /// # Safety
    /// `c` is valid for reads and writes of `n` values at every pixel, and nothing else reads or writes these meanwhile.
    pub unsafe fn run_shared(&self, isa: Isa, a: &[Real], b: &[Real], c: *mut Real, end: End) {
        if self.is_empty() {
            return;
        }
        let reach = self.taps.iter().max().expect("a kernel has at least one tap");
        assert!(a.len() >= self.a.extent(self.plane, sum(&[*reach, self.k])));
        assert!(b.len() >= packed_len(isa, self.n, product(&[self.k, self.taps.len()])));
        end.check(self.n, isa.lanes());
        // SAFETY: `a` holds `k` values at every tap of every pixel, `c` holds `n` at every pixel by the contract above,
        // `b` is a whole packed operand, and the coefficients are whole vectors.
        unsafe { nn(isa, self, a.as_ptr(), b.as_ptr(), c, end) }
    }

    /// Whether it has no value.
    fn is_empty(&self) -> bool {
        product(&[self.plane.0, self.plane.1, self.n]) == 0
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
///
/// # Panics
/// If a slice ends before the last value that the product names.
pub fn outer_product_into(
    isa: Isa,
    (h, w): (usize, usize),
    (m, n): (usize, usize),
    a: Pixels,
    b: Pixels,
    c: &mut [Real],
    c_row: usize,
) {
    if product(&[h, w]) == 0 || m == 0 || n == 0 {
        return;
    }
    assert!(a.data.len() >= a.steps.extent((h, w), m) && b.data.len() >= b.steps.extent((h, w), n));
    assert!(c.len() >= sum(&[product(&[m - 1, c_row]), n]));
    let (pa, pb) = (a.data.as_ptr(), b.data.as_ptr());
    // SAFETY: the last pixel of `a` and of `b` and the last row of `c` are in bounds.
    unsafe { tn(isa, (h, w), (m, n), pa, a.steps, pb, b.steps, c.as_mut_ptr(), c_row) }
}
