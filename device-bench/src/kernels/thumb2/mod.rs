//! Inner loops for Armv7-M and Armv8-M without the DSP extension, in assembly.

use super::depthwise::Window;
use super::micro::{Micro, PIXELS, Portable, Taps, Windows};
use super::pack::LINEAR_BLOCK;
use super::{Layer, products, window};
use crate::quant::Channel;
use core::arch::asm;

/// Armv7-M.
pub(super) struct Thumb2;

impl Micro for Thumb2 {
    #[inline(always)]
    unsafe fn widen4(windows: &Windows, target: &mut [u32], words: usize) {
        // SAFETY: the caller's promise.
        unsafe { Portable::widen4(windows, target, words) };
    }

    #[inline(always)]
    fn widen1(source: &[i8], target: &mut [u32]) {
        Portable::widen1(source, target);
    }

    #[inline(always)]
    fn pair4(x: &[u32], weights: &[u32]) -> [[i32; PIXELS]; 2] {
        products::pair4(x, weights)
    }

    #[inline(always)]
    fn pair1<const STEP: usize>(x: &[u32], weights: &[u32]) -> [i32; 2] {
        Portable::pair1::<STEP>(x, weights)
    }

    #[inline(always)]
    fn block8(x: &[u32], weights: &[u32]) -> [i32; LINEAR_BLOCK] {
        products::block8(x, weights)
    }

    #[inline(always)]
    fn products4(x: &[u32], weights: &[u32], channels: &[Channel], zero: i8, output: &mut [i8]) {
        products::products4(x, weights, channels, zero, output);
    }

    #[inline(always)]
    fn window4(input: &[i8], weights: &[i8], taps: Taps, zero: i8) -> [i32; 4] {
        Portable::window4(input, weights, taps, zero)
    }

    #[inline(always)]
    fn window(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        window::run(window, layer, sums, output);
    }

    #[inline(always)]
    fn window_of_few(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        window::run_few(window, layer, sums, output);
    }

    #[inline(always)]
    fn sum4(input: &[i8], taps: Taps) -> [i32; 4] {
        Portable::sum4(input, taps)
    }

    #[inline(always)]
    fn max4(input: &[i8], taps: Taps) -> [i8; 4] {
        Portable::max4(input, taps)
    }

    /// With a carry for SMMLAR's rounding; see `dsp/simd.rs`.
    #[inline(always)]
    fn finish(channel: &Channel, twice_sum: i32, zero: i8) -> i8 {
        let twice_acc = channel.twice_bias.wrapping_add(twice_sum);
        let rounding = (2 * i32::from(zero) + 1) << (channel.shift_but_one & 31);
        let out: i32;
        // SAFETY: arithmetic on registers; SSAT may set Q.
        unsafe {
            asm!(
                "smull {low}, {out}, {acc}, {multiplier}",
                "adds {low}, {low}, #0x80000000",
                "adc {out}, {out}, {rounding}",
                "add {out}, {out}, {acc}, asr #31",
                "asr {out}, {out}, {shift}",
                "ssat {out}, #8, {out}, asr #1",
                low = out(reg) _, out = out(reg) out, acc = in(reg) twice_acc,
                multiplier = in(reg) channel.multiplier, rounding = in(reg) rounding,
                shift = in(reg) channel.shift_but_one,
                options(pure, nomem, nostack)
            )
        };
        out as i8
    }
}
