use super::{Guarded, Rng, Sum, any_end, assert_untouched, for_cases, guarded, most};
use crate::gemm::{Pixels, Product, Steps, outer_product, outer_product_into, pack, pack_values, packed_len};
use crate::{Isa, Real};

fn plane(rng: &mut Rng) -> (usize, usize) {
    match rng.size(0..=3) {
        0 => (1, rng.size(1..=3)),
        1 => (1, rng.size(1..=most(30, 17))),
        _ => (rng.size(1..=most(5, 3)), rng.size(1..=most(14, 5))),
    }
}

/// Pixels of `n` values with gaps of up to `gap` between pixels and between lines.
fn steps(rng: &mut Rng, w: usize, n: usize, gap: usize) -> Steps {
    let pixel = n + rng.size(0..=gap);
    Steps { pixel, line: w * pixel + rng.size(0..=2 * gap) }
}

/// Values up to the end of the last pixel.
fn len(steps: Steps, (h, w): (usize, usize), n: usize) -> usize {
    (h - 1) * steps.line + (w - 1) * steps.pixel + n
}

/// Where the pixels of a plane begin.
fn pixels((h, w): (usize, usize), steps: Steps) -> impl Iterator<Item = usize> {
    (0..h).flat_map(move |y| (0..w).map(move |x| y * steps.line + x * steps.pixel))
}

/// An operand of `k` rows and `n` columns that lie anywhere.
struct Operand {
    rows: Vec<usize>,
    columns: Vec<usize>,
    values: Guarded,
}

impl Operand {
    fn new(rng: &mut Rng, k: usize, n: usize) -> Operand {
        let anywhere = |rng: &mut Rng, n: usize| (0..n).map(|_| rng.size(0..=40)).collect::<Vec<_>>();
        // Some lie side by side, as most layers' do.
        let (mut rows, mut columns) = (anywhere(rng, k), anywhere(rng, n));
        match rng.size(0..=2) {
            0 => rows = (3..3 + k).collect(),
            1 => columns = (5..5 + n).collect(),
            _ => {}
        }
        let last = |at: &[usize]| at.iter().max().copied().unwrap_or(0);
        let values = guarded(&rng.values(last(&rows) + last(&columns) + 1, 1.0));
        Operand { rows, columns, values }
    }

    fn at(&self, row: usize, column: usize) -> Real {
        self.values[self.rows[row] + self.columns[column]]
    }

    fn packed(&self, isa: Isa) -> Guarded {
        let mut out = guarded(&vec![Real::NAN; packed_len(isa, self.columns.len(), self.rows.len())]);
        pack(isa, self.rows.iter().copied(), &self.columns, &self.values, &mut out);
        out
    }
}

#[test]
fn a_packed_operand_has_panels_of_two_vectors_padded_with_zeros() {
    for_cases(100, |isa, rng| {
        let (k, n, width) = (rng.size(0..=9), rng.channels(), 2 * isa.lanes());
        let operand = Operand::new(rng, k, n);
        let packed = operand.packed(isa);
        let mut computed = guarded(&vec![Real::NAN; packed.len()]);
        pack_values(isa, (k, n), |row, column| operand.at(row, column), &mut computed);
        assert_eq!(*computed, *packed);
        let n_padded = n.next_multiple_of(isa.lanes());
        assert_eq!(packed.len(), n_padded * k);
        for column in 0..n_padded {
            let first = column / width * width;
            let panel = &packed[first * k..];
            for row in 0..k {
                let value = panel[row * width.min(n_padded - first) + column - first];
                assert_eq!(value, if column < n { operand.at(row, column) } else { 0.0 });
            }
        }
    });
}

#[test]
fn a_product_is_its_sum_over_taps_and_writes_nothing_else() {
    for_cases(600, |isa, rng| {
        let (plane, n) = (plane(rng), rng.channels());
        let k = if rng.size(0..=1) == 0 { rng.size(0..=5) } else { rng.channels().min(most(70, 9)) };
        let taps: Vec<usize> = (0..rng.size(1..=most(9, 3))).map(|_| rng.size(0..=50)).collect();
        // Pixels under a kernel overlap.
        let (pixel, line) = (rng.size(0..=k + 3), rng.size(0..=plane.1 * (k + 3)));
        let (a_steps, c_steps) = (Steps { pixel, line }, steps(rng, plane.1, n, 5));
        let reach = taps.iter().max().expect("a tap") + k;
        let a = rng.buffer(len(a_steps, plane, reach), 1.0);
        let operand = Operand::new(rng, k * taps.len(), n);
        let before = rng.values(len(c_steps, plane, n), 1.0);
        let padded = n.next_multiple_of(isa.lanes());
        let (scale, shift) = (rng.buffer(padded, 2.0), rng.buffer(padded, 8.0));
        let end = any_end(rng, &scale, &shift);

        let mut c = guarded(&before);
        let product = Product { plane, n, k, taps: &taps, a: a_steps, c: c_steps };
        product.run(isa, &a, &operand.packed(isa), &mut c, end);

        let mut outside = vec![true; c.len()];
        for (from, to) in pixels(plane, a_steps).zip(pixels(plane, c_steps)) {
            for j in 0..n {
                let terms = taps.iter().enumerate().flat_map(|(t, tap)| {
                    let (a, operand) = (&a, &operand);
                    (0..k).map(move |i| (a[from + tap + i], operand.at(t * k + i, j)))
                });
                let expected = Sum::of_products(0.0, terms).ended(end, j, before[to + j]);
                expected.check(c[to + j], || format!("{product:?} {end:?} at {to} column {j}"));
                outside[to + j] = false;
            }
        }
        assert_untouched(&before, &c, |i| outside[i]);
    });
}

#[test]
fn an_outer_product_is_added_up_over_pixels_and_writes_nothing_else() {
    for_cases(400, |isa, rng| {
        let (plane, m, n) = (plane(rng), rng.channels(), rng.channels());
        let (a_steps, b_steps) = (steps(rng, plane.1, m, 3), steps(rng, plane.1, n, 3));
        let a = rng.buffer(len(a_steps, plane, m), 1.0);
        let b = rng.buffer(len(b_steps, plane, n), 1.0);
        let c_row = n + rng.size(0..=9);
        let before = rng.values((m - 1) * c_row + n, 1.0);
        let mut c = guarded(&before);
        let (pa, pb) = (Pixels { data: &a, steps: a_steps }, Pixels { data: &b, steps: b_steps });
        if c_row == n {
            outer_product(isa, plane, (m, n), pa, pb, &mut c);
        } else {
            outer_product_into(isa, plane, (m, n), pa, pb, &mut c, c_row);
        }
        for i in 0..m {
            for j in 0..n {
                let pairs = pixels(plane, a_steps).zip(pixels(plane, b_steps));
                let terms = pairs.map(|(pa, pb)| (a[pa + i], b[pb + j]));
                let expected = Sum::of_products(before[i * c_row + j], terms);
                expected.check(c[i * c_row + j], || format!("{plane:?} {m} × {n}: {i}, {j}"));
            }
        }
        assert_untouched(&before, &c, |i| i % c_row >= n);
    });
}
