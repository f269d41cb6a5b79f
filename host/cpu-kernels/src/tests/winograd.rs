use super::{ACTIVATIONS, Sum, assert_untouched, for_cases, guarded};
use crate::gemm::End;
use crate::winograd::Winograd;
use crate::{Isa, Real};

/// Roundings of a result beyond those of its plain sum: transforms add up to 16 values of either operand.
const TRANSFORMS: f64 = 64.0;

#[test]
fn a_convolution_in_tiles_is_its_sum_over_taps() {
    for_cases(300, |isa, rng| {
        let (c_in, c_out) = (rng.channels(), rng.channels());
        let (h_out, w_out) = (2 * rng.size(1..=4), 2 * rng.size(1..=6));
        let padded_row = (w_out + 2) * c_in + rng.size(0..=5);
        let g = Winograd { c_in, c_out, h_out, w_out, padded_row };
        let padded = guarded(&rng.values((h_out + 1) * padded_row + (w_out + 2) * c_in, 1.0));
        let weight = rng.values(c_out * c_in * 9, 1.0);
        let mut packed = guarded(&vec![Real::NAN; g.packed_len(isa)]);
        g.pack(isa, |o, i, tap| weight[(o * c_in + i) * 9 + tap], &mut packed);
        let whole = c_out.next_multiple_of(isa.lanes());
        let (scale, shift) = (guarded(&rng.values(whole, 1.0)), guarded(&rng.values(whole, 1.0)));
        let activation = *rng.pick(&ACTIVATIONS);
        let end = match rng.size(0..=2) {
            0 => End::Replace,
            1 => End::Add,
            _ => End::Affine { scale: &scale, shift: &shift, activation },
        };
        let before = rng.values(h_out * w_out * c_out, 1.0);
        let mut y = guarded(&before);
        let mut scratch = guarded(&vec![Real::NAN; g.scratch_len()]);
        g.run(isa, &padded, &packed, &mut scratch, &mut y, end);
        for (at, (&y, &before)) in y.iter().zip(&before).enumerate() {
            let (pixel, o) = (at / c_out, at % c_out);
            let (oy, ox) = (pixel / w_out, pixel % w_out);
            let terms = (0..9 * c_in).map(|t| {
                let (tap, i) = (t / c_in, t % c_in);
                let x = padded[(oy + tap / 3) * padded_row + (ox + tap % 3) * c_in + i];
                (x, weight[(o * c_in + i) * 9 + tap])
            });
            let sum = Sum::of_products(0.0, terms).rounded(TRANSFORMS);
            let wanted = match end {
                End::Replace => sum,
                End::Add => sum.and(Sum::new(before)),
                End::Affine { .. } => sum.affine(scale[o], shift[o]).activated(activation),
            };
            wanted.check(y, || format!("{g:?}, {end:?}, value {at}"));
        }
    });
}

#[test]
fn nothing_is_written_where_there_is_no_channel() {
    let g = Winograd { c_in: 0, c_out: 3, h_out: 2, w_out: 2, padded_row: 0 };
    let before = [1.0; 12];
    let mut y = before;
    g.run(Isa::PORTABLE, &[], &[], &mut [], &mut y, End::Replace);
    assert_untouched(&before, &y, |_| true);
}

#[test]
#[should_panic(expected = "tiles are 2 × 2 pixels")]
fn odd_planes_are_refused() {
    let g = Winograd { c_in: 1, c_out: 1, h_out: 3, w_out: 2, padded_row: 4 };
    g.run(Isa::PORTABLE, &[0.0; 99], &[0.0; 999], &mut [0.0; 999], &mut [0.0; 99], End::Replace);
}
