//! Inner loops for Armv6-M and Armv8-M baseline, in assembly.

use super::Layer;
use super::depthwise::Window;
use super::micro::{Micro, PIXELS, Portable, Taps, Windows};
use super::pack::LINEAR_BLOCK;
use crate::quant::Channel;
use core::arch::global_asm;

global_asm!(include_str!("dot.s"), options(raw));

/// Armv6-M.
pub(super) struct Thumb1;

/// The arguments of a depthwise window, in the order in which `dot.s` reads them.
#[repr(C)]
struct WindowJob {
    input: *const i8,
    weights: *const i8,
    columns: usize,
    rows: usize,
    step: usize,
    next_input: usize,
    next_weights: usize,
    /// Of four channels, none is subtracted.
    zero: i32,
    sums: *mut i32,
}

/// Two words, returned in two registers.
type Pair = u64;

unsafe extern "C" {
    fn edgeslim_dot_of_four(x: *const u32, weights: *const u32, x_end: *const u32) -> Pair;
    fn edgeslim_dot(x: *const u32, weights: *const u32, x_end: *const u32) -> Pair;
    fn edgeslim_dot_in_block(x: *const u32, weights: *const u32, x_end: *const u32) -> Pair;
    fn edgeslim_finish(twice_sum: i32, channel: *const Channel, rounding: i32) -> i32;
    fn edgeslim_window2(job: *const WindowJob);
    fn edgeslim_window3(job: *const WindowJob);
    fn edgeslim_window4(job: *const WindowJob);
}

const fn words(pair: Pair) -> [i32; 2] {
    [pair as i32, (pair >> 32) as i32]
}

/// The sums of the first of four pixels in `x`, `[words, PIXELS]` but for what is before that pixel.
#[inline(always)]
fn dot_of_four(x: &[u32], weights: &[u32]) -> [i32; 2] {
    let n = x.len().div_ceil(PIXELS);
    assert!(n > 0 && weights.len() >= n);
    let end = x.as_ptr().wrapping_add(n * PIXELS);
    // SAFETY: one word in four of `x` is read, `n` of them, and as many of the weights.
    words(unsafe { edgeslim_dot_of_four(x.as_ptr(), weights.as_ptr(), end) })
}

type WindowKernel = unsafe extern "C" fn(*const WindowJob);

/// The sums of a window's first channels by the kernel that is for `n` of them.
#[inline(always)]
fn window_sums(
    kernel: WindowKernel,
    n: usize,
    (input, weights): (&[i8], &[i8]),
    taps: Taps,
    zero: i8,
) -> [i32; 4] {
    let Taps { rows, columns, step, input_row, weight_row } = taps;
    let reach = |row: usize| taps.reach(row) - 4 + n;
    assert!(rows > 0 && columns > 0);
    assert!(input.len() >= reach(input_row) && weights.len() >= reach(weight_row));
    let mut sums = [0; 4];
    let job = WindowJob {
        input: input.as_ptr(),
        weights: weights.as_ptr(),
        columns,
        rows,
        step,
        next_input: input_row - columns * step,
        next_weights: weight_row - columns * step,
        zero: zero.into(),
        sums: sums.as_mut_ptr(),
    };
    // SAFETY: `n` channels are read of every tap of the window, which lies within both slices, and four sums written.
    unsafe { kernel(&job) };
    sums
}

impl Micro for Thumb1 {
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
        let sums = [0, 1, 2, 3].map(|pixel| dot_of_four(&x[pixel..], weights));
        [sums.map(|[even, _]| even), sums.map(|[_, odd]| odd)]
    }

    fn products4(x: &[u32], weights: &[u32], channels: &[Channel], zero: i8, output: &mut [i8]) {
        let c_out = channels.len();
        let words = x.len() / PIXELS;
        assert!(words > 0 && x.len() == words * PIXELS);
        assert!(weights.len() >= c_out.div_ceil(2) * words && output.len() == PIXELS * c_out);
        let (rounding, x_end) = (2 * i32::from(zero) + 1, x.as_ptr_range().end);
        let mut weights = weights.as_ptr();
        for c in (0..c_out).step_by(2) {
            for pixel in 0..PIXELS {
                let x = x.as_ptr().wrapping_add(pixel);
                // SAFETY: one word in four of `x` is read, and a word of the pair's weights for each. Channels `c` and, if
                // there is one, the next are read, and their outputs written.
                unsafe {
                    let [even, odd] =
                        self::words(edgeslim_dot_of_four(x, weights, x_end.wrapping_add(pixel)));
                    let channel = channels.as_ptr().wrapping_add(c);
                    let target = output.as_mut_ptr().wrapping_add(pixel * c_out + c);
                    *target = edgeslim_finish(even.wrapping_mul(2), channel, rounding) as i8;
                    if c + 1 < c_out {
                        *target.add(1) = edgeslim_finish(odd.wrapping_mul(2), channel.add(1), rounding) as i8;
                    }
                }
            }
            weights = weights.wrapping_add(words);
        }
    }

    #[inline(always)]
    fn pair1<const STEP: usize>(x: &[u32], weights: &[u32]) -> [i32; 2] {
        if STEP == PIXELS {
            return dot_of_four(x, weights);
        }
        assert!(STEP == 1 && !x.is_empty() && weights.len() >= x.len());
        // SAFETY: `x` is read from its start to its end, with a word of weights for each.
        words(unsafe { edgeslim_dot(x.as_ptr(), weights.as_ptr(), x.as_ptr_range().end) })
    }

    #[inline(always)]
    fn block8(x: &[u32], weights: &[u32]) -> [i32; LINEAR_BLOCK] {
        assert!(!x.is_empty() && weights.len() >= x.len() * (LINEAR_BLOCK / 2));
        let mut sums = [0; LINEAR_BLOCK];
        for (pair, sums) in sums.as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let weights = weights[pair..].as_ptr();
            // SAFETY: `x` is read from its start to its end, with one word in four of the weights for each.
            *sums = words(unsafe { edgeslim_dot_in_block(x.as_ptr(), weights, x.as_ptr_range().end) });
        }
        sums
    }

    #[inline(always)]
    fn window4(input: &[i8], weights: &[i8], taps: Taps, zero: i8) -> [i32; 4] {
        if zero != 0 {
            return Portable::window4(input, weights, taps, zero);
        }
        window_sums(edgeslim_window4, 4, (input, weights), taps, 0)
    }

    fn window_of_few(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
        let (kernel, n): (WindowKernel, usize) = match output.len() {
            2 => (edgeslim_window2, 2),
            3 => (edgeslim_window3, 3),
            _ => return window.each::<Self>(layer, sums, output),
        };
        let zero = if sums.is_empty() { 0 } else { layer.input_zero[0] };
        let acc = window_sums(kernel, n, (window.input, window.weights), window.taps, zero);
        window.finish_few::<Self>(layer, sums, output, |c, _| acc[c]);
    }

    #[inline(always)]
    fn sum4(input: &[i8], taps: Taps) -> [i32; 4] {
        Portable::sum4(input, taps)
    }

    #[inline(always)]
    fn max4(input: &[i8], taps: Taps) -> [i8; 4] {
        Portable::max4(input, taps)
    }

    #[inline(always)]
    fn finish(channel: &Channel, twice_sum: i32, zero: i8) -> i8 {
        // SAFETY: three words are read of the channel.
        unsafe { edgeslim_finish(twice_sum, channel, 2 * i32::from(zero) + 1) as i8 }
    }
}
