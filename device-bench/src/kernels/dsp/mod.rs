//! Inner loops for the DSP extension of Armv7E-M and Armv8-M.
//!
//! One SXTB16 widens two bytes, one SMLAD multiplies and adds two pairs. Patches are kept in the order in which
//! SXTB16 leaves four bytes, `0 2 1 3`, so that weights need no shuffle.

mod simd;
mod word;

use super::micro::{Micro, Taps};
use simd::{smlabb, smlad, smlatt, sxtb16, sxtb16_ror8};
use word::{load_bytes, load_halfwords, store_halfwords};

pub(super) use simd::NATIVE;

/// The DSP extension.
pub(super) struct Dsp;

impl Micro for Dsp {
    const GROUP: usize = 4;

    #[inline(always)]
    fn widen(input: &[i8], patch: &mut [i16]) {
        let len = input.len().min(patch.len());
        for at in (0..len & !3).step_by(4) {
            // SAFETY: `at + 4 <= len`, and `len` is within both.
            unsafe {
                let word = load_bytes(input, at);
                store_halfwords(patch, at, [sxtb16(word), sxtb16_ror8(word)]);
            }
        }
        for at in len & !3..len {
            patch[at] = i16::from(input[at]);
        }
    }

    #[inline(always)]
    fn dot<const P: usize, const C: usize>(patches: [&[i16]; P], weights: [&[i8]; C]) -> [[i32; C]; P] {
        let len = shortest(weights).min(patches.iter().map(|patch| patch.len()).min().unwrap_or(0));
        let mut acc = [[0i32; C]; P];
        for at in (0..len & !3).step_by(4) {
            // SAFETY: `at + 4 <= len`, and `len` is within every slice.
            let xs = patches.map(|x| unsafe { [load_halfwords(x, at), load_halfwords(x, at + 2)] });
            for (c, row) in weights.iter().enumerate() {
                // SAFETY: as above.
                let w = unsafe { load_bytes(row, at) };
                let (even, odd) = (sxtb16(w), sxtb16_ror8(w));
                for (p, x) in xs.iter().enumerate() {
                    acc[p][c] = smlad(x[1], odd, smlad(x[0], even, acc[p][c]));
                }
            }
        }
        for at in len & !3..len {
            for (p, patch) in patches.iter().enumerate() {
                for (c, row) in weights.iter().enumerate() {
                    acc[p][c] = acc[p][c].wrapping_add(i32::from(patch[at]) * i32::from(row[at]));
                }
            }
        }
        acc
    }

    #[inline(always)]
    fn dot_narrow<const C: usize>(input: &[i8], weights: [&[i8]; C]) -> [i32; C] {
        let len = shortest(weights).min(input.len());
        let mut acc = [0i32; C];
        for at in (0..len & !3).step_by(4) {
            // SAFETY: `at + 4 <= len`, and `len` is within every slice.
            let x = unsafe { load_bytes(input, at) };
            let (x_even, x_odd) = (sxtb16(x), sxtb16_ror8(x));
            for (sum, row) in acc.iter_mut().zip(weights) {
                // SAFETY: as above.
                let w = unsafe { load_bytes(row, at) };
                *sum = smlad(x_odd, sxtb16_ror8(w), smlad(x_even, sxtb16(w), *sum));
            }
        }
        for at in len & !3..len {
            for (sum, row) in acc.iter_mut().zip(weights) {
                *sum = sum.wrapping_add(i32::from(input[at]) * i32::from(row[at]));
            }
        }
        acc
    }

    #[inline(always)]
    fn window4(input: &[i8], weights: &[i8], taps: Taps) -> [i32; 4] {
        let input = &input[..taps.reach(taps.input_row)];
        let weights = &weights[..taps.reach(taps.weight_row)];
        let mut acc = [0i32; 4];
        for row in 0..taps.rows {
            for column in 0..taps.columns {
                let at = column * taps.step;
                // SAFETY: `reach` is four elements from the last tap on, and both slices are that long.
                let (x, w) = unsafe {
                    let x = load_bytes(input, row * taps.input_row + at);
                    (x, load_bytes(weights, row * taps.weight_row + at))
                };
                let (x_even, x_odd) = (sxtb16(x), sxtb16_ror8(x));
                let (w_even, w_odd) = (sxtb16(w), sxtb16_ror8(w));
                acc[0] = smlabb(x_even, w_even, acc[0]);
                acc[1] = smlabb(x_odd, w_odd, acc[1]);
                acc[2] = smlatt(x_even, w_even, acc[2]);
                acc[3] = smlatt(x_odd, w_odd, acc[3]);
            }
        }
        acc
    }
}

fn shortest<const C: usize>(rows: [&[i8]; C]) -> usize {
    rows.iter().map(|row| row.len()).min().unwrap_or(0)
}
