//! Inner loops for the DSP extension of Armv7E-M and Armv8-M: the longest in assembly, others of single instructions.
//! Elsewhere the plain ones take their place.

#[cfg(dsp)]
mod depthwise;
#[cfg(dsp)]
mod others;
mod simd;
mod word;

use super::micro::{Micro, PIXELS, Portable, Taps, Windows};
use super::pack::LINEAR_BLOCK;
#[cfg(dsp)]
use super::{Layer, depthwise::Window, products, window};
use crate::quant::{Channel, Clamp};
use simd::{smlabb, smlatt, ssub16, sxtab16, sxtab16_ror8, sxtb16, sxtb16_ror8};
use word::{load_bytes, store_bytes};

/// The DSP extension.
pub(super) struct Dsp;

impl Micro for Dsp {
    #[inline(always)]
    unsafe fn widen4(windows: &Windows, target: &mut [u32], words: usize) {
        // SAFETY: the caller's promise.
        #[cfg(dsp)]
        unsafe {
            others::widen4(windows, target, words);
        }
        // SAFETY: the caller's promise.
        #[cfg(not(dsp))]
        unsafe {
            Portable::widen4(windows, target, words);
        }
    }

    #[inline(always)]
    fn widen1(source: &[i8], target: &mut [u32]) {
        #[cfg(dsp)]
        return others::widen1(source, target);
        #[cfg(not(dsp))]
        Portable::widen1(source, target)
    }

    #[inline(always)]
    fn pair4(x: &[u32], weights: &[u32]) -> [[i32; PIXELS]; 2] {
        #[cfg(dsp)]
        return products::pair4(x, weights);
        #[cfg(not(dsp))]
        Portable::pair4(x, weights)
    }

    #[inline(always)]
    fn pair1<const STEP: usize>(x: &[u32], weights: &[u32]) -> [i32; 2] {
        #[cfg(dsp)]
        return others::pair1::<STEP>(x, weights);
        #[cfg(not(dsp))]
        Portable::pair1::<STEP>(x, weights)
    }

    #[inline(always)]
    fn block8(x: &[u32], weights: &[u32]) -> [i32; LINEAR_BLOCK] {
        #[cfg(dsp)]
        return products::block8(x, weights);
        #[cfg(not(dsp))]
        Portable::block8(x, weights)
    }

    #[cfg(dsp)]
    #[inline(always)]
    fn products4(x: &[u32], weights: &[u32], channels: &[Channel], zero: i8, output: &mut [i8]) {
        products::products4(x, weights, channels, zero, output);
    }

    #[cfg(dsp)]
    fn depthwise(layer: &Layer<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u32]) -> Option<()> {
        depthwise::run(layer, input, output, scratch)
    }

    #[cfg(dsp)]
    #[inline(always)]
    fn window(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        window::run(window, layer, sums, output);
    }

    #[inline(always)]
    fn window4(input: &[i8], weights: &[i8], taps: Taps, zero: i8) -> [i32; 4] {
        let input = &input[..taps.reach(taps.input_row)];
        let weights = &weights[..taps.reach(taps.weight_row)];
        let zeros = (i32::from(zero) & 0xffff) | i32::from(zero) << 16;
        let mut acc = [0i32; 4];
        for row in 0..taps.rows {
            for column in 0..taps.columns {
                let at = column * taps.step;
                // SAFETY: `reach` is four elements from the last tap on, and both slices are that long.
                let (x, w) = unsafe {
                    let x = load_bytes(input, row * taps.input_row + at);
                    (x, load_bytes(weights, row * taps.weight_row + at))
                };
                let (mut x_even, mut x_odd) = (sxtb16(x), sxtb16_ror8(x));
                if zero != 0 {
                    (x_even, x_odd) = (ssub16(x_even, zeros), ssub16(x_odd, zeros));
                }
                let (w_even, w_odd) = (sxtb16(w), sxtb16_ror8(w));
                acc[0] = smlabb(x_even, w_even, acc[0]);
                acc[1] = smlabb(x_odd, w_odd, acc[1]);
                acc[2] = smlatt(x_even, w_even, acc[2]);
                acc[3] = smlatt(x_odd, w_odd, acc[3]);
            }
        }
        acc
    }

    #[inline(always)]
    fn sum4(input: &[i8], taps: Taps) -> [i32; 4] {
        /// Taps whose sum stays within a halfword.
        const MOST: usize = 256;
        let input = &input[..taps.reach(taps.input_row)];
        let mut sums = [0; 4];
        for row in 0..taps.rows {
            for first in (0..taps.columns).step_by(MOST) {
                let (mut even, mut odd) = (0, 0);
                let last = taps.columns.min(first + MOST);
                let mut add = |column: usize| {
                    // SAFETY: `reach` is four elements from the last tap on.
                    let x = unsafe { load_bytes(input, row * taps.input_row + column * taps.step) };
                    (even, odd) = (sxtab16(even, x), sxtab16_ror8(odd, x));
                };
                let unrolled = first + ((last - first) & !3);
                for column in (first..unrolled).step_by(4) {
                    (column..column + 4).for_each(&mut add);
                }
                (unrolled..last).for_each(add);
                let halves = [even as i16, odd as i16, (even >> 16) as i16, (odd >> 16) as i16];
                sums.iter_mut().zip(halves).for_each(|(sum, half)| *sum += i32::from(half));
            }
        }
        sums
    }

    #[inline(always)]
    fn max4(input: &[i8], taps: Taps) -> [i8; 4] {
        let input = &input[..taps.reach(taps.input_row)];
        let mut largest = i32::from_le_bytes([i8::MIN as u8; 4]);
        for row in 0..taps.rows {
            for column in 0..taps.columns {
                // SAFETY: `reach` is four elements from the last tap on.
                let x = unsafe { load_bytes(input, row * taps.input_row + column * taps.step) };
                largest = simd::max4(largest, x);
            }
        }
        largest.to_le_bytes().map(|byte| byte as i8)
    }

    #[inline(always)]
    fn finish(channel: &Channel, twice_sum: i32, zero: i8) -> i8 {
        simd::finish(channel, twice_sum, zero)
    }

    #[cfg(dsp)]
    #[inline(always)]
    fn add(inputs: [&[i8]; 2], tables: [&[u32; 256]; 2], channel: Channel, zero: i8, output: &mut [i8]) {
        others::add(inputs, tables, channel, zero, output);
    }

    fn clamp(values: &mut [i8], clamp: Clamp) {
        let four = |bound: i8| i32::from_le_bytes([bound as u8; 4]);
        let bounds = [four(clamp.min), four(clamp.max)];
        let (quads, tail) = values.as_chunks_mut::<4>();
        for quad in quads {
            // SAFETY: four bytes are read and written of four.
            unsafe {
                let word = load_bytes(quad, 0);
                store_bytes(quad, 0, simd::clamp4(word, bounds));
            }
        }
        Portable::clamp(tail, clamp);
    }
}
