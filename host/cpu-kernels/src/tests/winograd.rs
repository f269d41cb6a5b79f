use super::{Sum, any_end, assert_untouched, for_cases, guarded, most};
use crate::disjoint::Disjoint;
use crate::gemm::End;
use crate::pool::Pool;
use crate::winograd::{Images, Operands, Tile, Winograd};
use crate::{Isa, Real};

/// Roundings of a result beyond those of its plain sum: transforms add up to 16 or 36 values of either operand, the larger
/// ones with weights up to 2.5.
fn roundings(tile: Tile) -> f64 {
    match tile {
        Tile::Two => 16.0,
        Tile::Four => 48.0,
    }
}

#[test]
fn a_convolution_in_tiles_is_its_sum_over_taps() {
    for_cases(300, |isa, rng| {
        let [c_in, c_out] = [(); 2].map(|()| rng.channels().min(most(70, 5)));
        let tile = *rng.pick(&[Tile::Two, Tile::Four]);
        let n = rng.size(1..=most(3, 2));
        let (h_out, w_out) = (tile.side() * rng.size(1..=most(4, 1)), tile.side() * rng.size(1..=most(6, 2)));
        let padded_row = (w_out + 2) * c_in + rng.size(0..=5);
        let padded_image = (h_out + 2) * padded_row + rng.size(0..=5);
        let g = Winograd { tile, c_in, c_out, h_out, w_out, padded_row, padded_image };
        let len = (n - 1) * padded_image + (h_out + 1) * padded_row + (w_out + 2) * c_in;
        let padded = guarded(&rng.values(len, 1.0));
        let weight = rng.values(c_out * c_in * 9, 1.0);
        let mut packed = guarded(&vec![Real::NAN; g.packed_len(isa)]);
        g.pack(isa, &mut Pool::new(1), |o, i, tap| weight[(o * c_in + i) * 9 + tap], &mut packed);
        let whole = c_out.next_multiple_of(isa.lanes());
        let (scale, shift) = (guarded(&rng.values(whole, 1.0)), guarded(&rng.values(whole, 1.0)));
        let end = any_end(rng, &scale, &shift);
        let line = w_out * c_out + rng.size(0..=5);
        let images = Images { line, image: h_out * line + rng.size(0..=5) };
        let before = rng.values((n - 1) * images.image + (h_out - 1) * line + w_out * c_out, 1.0);
        let mut y = guarded(&before);
        let mut scratch = guarded(&vec![Real::NAN; g.scratch_len()]);
        g.run(isa, n, &padded, &packed, &mut scratch, &mut y, images, end);
        for (at, (&y, &before)) in y.iter().zip(&before).enumerate() {
            let (image, oy) = (at / images.image, at % images.image / line);
            let (ox, o) = (at % images.image % line / c_out, at % images.image % line % c_out);
            if oy >= h_out || ox >= w_out {
                assert_eq!(y, before, "{g:?}, {images:?}, value {at} is in no image");
                continue;
            }
            let terms = (0..9 * c_in).map(|t| {
                let (tap, i) = (t / c_in, t % c_in);
                let x =
                    padded[image * padded_image + (oy + tap / 3) * padded_row + (ox + tap % 3) * c_in + i];
                (x, weight[(o * c_in + i) * 9 + tap])
            });
            let sum = Sum::of_products(0.0, terms).rounded(roundings(tile));
            let wanted = sum.ended(end, o, before);
            wanted.check(y, || format!("{g:?}, {end:?}, value {at}"));
        }
    });
}

#[test]
fn a_weight_gradient_in_tiles_is_its_sum_over_pixels() {
    for_cases(200, |isa, rng| {
        let [c_in, c_out] = [(); 2].map(|()| rng.channels().min(most(70, 5)));
        let tile = *rng.pick(&[Tile::Two, Tile::Four]);
        let n = rng.size(1..=most(3, 2));
        let (h_out, w_out) = (tile.side() * rng.size(1..=most(3, 1)), tile.side() * rng.size(1..=most(3, 2)));
        let padded_row = (w_out + 2) * c_in + rng.size(0..=5);
        let padded_image = (h_out + 2) * padded_row + rng.size(0..=5);
        let g = Winograd { tile, c_in, c_out, h_out, w_out, padded_row, padded_image };
        let len = (n - 1) * padded_image + (h_out + 1) * padded_row + (w_out + 2) * c_in;
        let padded = guarded(&rng.values(len, 1.0));
        let line = w_out * c_out + rng.size(0..=5);
        let image = h_out * line + rng.size(0..=5);
        let dy = guarded(&rng.values((n - 1) * image + (h_out - 1) * line + w_out * c_out, 1.0));
        let mut tiles = guarded(&vec![Real::NAN; g.tiles_len(n).iter().sum()]);
        let mut sums = guarded(&vec![0.0; g.sums_len()]);
        let operands = Operands { padded: &padded, dy: &dy, images: Images { line, image } };
        g.add_tiles(isa, n, operands, &mut tiles, &mut sums);
        let before = rng.values(9 * c_in * c_out, 1.0);
        let mut weights = guarded(&before);
        let split = rng.size(0..=c_in);
        let all = Disjoint::new(&mut weights);
        for rows in [(0, split), (split, c_in - split)] {
            // SAFETY: no other thread knows the weights.
            unsafe { g.fold_rows(isa, rows, &sums, &all) };
        }
        for (at, (&dw, &before)) in weights.iter().zip(&before).enumerate() {
            let (tap, i, o) = (at / (c_in * c_out), at / c_out % c_in, at % c_out);
            let terms = (0..n * h_out * w_out).map(|pixel| {
                let (idx, y, x) = (pixel / (h_out * w_out), pixel / w_out % h_out, pixel % w_out);
                let at = idx * padded_image + (y + tap / 3) * padded_row + (x + tap % 3) * c_in + i;
                (padded[at], dy[idx * image + y * line + x * c_out + o])
            });
            let wanted = Sum::of_products(0.0, terms).rounded(roundings(tile)).and(Sum::new(before));
            wanted.check(dw, || format!("{g:?}, tap {tap} of {i} to {o}"));
        }
    });
}

#[test]
fn nothing_is_written_where_there_is_no_channel() {
    let (tile, padded_row, padded_image) = (Tile::Two, 0, 0);
    let g = Winograd { tile, c_in: 0, c_out: 3, h_out: 2, w_out: 2, padded_row, padded_image };
    let before = [1.0; 12];
    let mut y = before;
    g.run(Isa::PORTABLE, 1, &[], &[], &mut [], &mut y, Images::dense((2, 2), 3), End::Replace);
    assert_untouched(&before, &y, |_| true);
}

#[test]
#[should_panic(expected = "the output is made of whole tiles")]
fn parts_of_tiles_are_refused() {
    let (tile, padded_row, padded_image) = (Tile::Four, 9, 99);
    let g = Winograd { tile, c_in: 1, c_out: 1, h_out: 4, w_out: 6, padded_row, padded_image };
    let (images, mut scratch, mut y) = (Images::dense((4, 6), 1), [0.0; 9999], [0.0; 99]);
    g.run(Isa::PORTABLE, 1, &[0.0; 99], &[0.0; 999], &mut scratch, &mut y, images, End::Replace);
}
