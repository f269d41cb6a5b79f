//! The products of convolutions and linear layers in assembly: with SMLAD where there is the DSP extension, with MLA else.

use super::micro::PIXELS;
use super::pack::LINEAR_BLOCK;
use crate::quant::Channel;
use core::arch::global_asm;

#[cfg(dsp)]
global_asm!(super::assembly!(), include_str!("dsp/products.s"), options(raw));
#[cfg(thumb2)]
global_asm!(include_str!("thumb2/products.s"), options(raw));

/// The arguments of the products, in the order in which both `products.s` read them.
#[repr(C)]
struct Job {
    x: *const u32,
    x_end: *const u32,
    /// For `edgeslim_sums`, where the sums go.
    output: *mut i8,
    c_out: usize,
    channels: *const Channel,
    /// Behind the first pixel's last whole pair of channels.
    output_end: *const i8,
    weights: *const u32,
    /// Twice the zero point plus one.
    rounding: i32,
}

unsafe extern "C" {
    fn edgeslim_products(job: *const Job);
    fn edgeslim_last_product(job: *const Job);
    fn edgeslim_sums(job: *const Job);
    fn edgeslim_block8(x: *const u32, weights: *const u32, x_end: *const u32, sums: *mut i32);
}

/// As [`Micro::products4`](super::micro::Micro::products4).
#[inline(always)]
pub(super) fn products4(x: &[u32], weights: &[u32], channels: &[Channel], zero: i8, output: &mut [i8]) {
    let c_out = channels.len();
    let words = x.len() / PIXELS;
    assert!(words > 0 && x.len() == words * PIXELS && c_out > 0);
    assert!(weights.len() >= c_out.div_ceil(2) * words && output.len() == PIXELS * c_out);
    let mut job = Job {
        x: x.as_ptr(),
        x_end: x.as_ptr_range().end,
        output_end: output[..c_out & !1].as_ptr_range().end,
        output: output.as_mut_ptr(),
        c_out,
        channels: channels.as_ptr(),
        weights: weights.as_ptr(),
        rounding: 2 * i32::from(zero) + 1,
    };
    if c_out > 1 {
        // SAFETY: asserted above: `x` is read from its start to its end, one word of weights for four of `x` and each pair
        // of channels, both channels, and written is one byte a channel and pixel.
        unsafe { edgeslim_products(&job) };
    }
    if c_out % 2 == 1 {
        job.weights = weights[c_out / 2 * words..].as_ptr();
        job.output = output[c_out - 1..].as_mut_ptr();
        job.channels = &channels[c_out - 1];
        // SAFETY: the same for the last channel alone.
        unsafe { edgeslim_last_product(&job) };
    }
}

/// As [`Micro::pair4`](super::micro::Micro::pair4).
#[inline(always)]
pub(super) fn pair4(x: &[u32], weights: &[u32]) -> [[i32; PIXELS]; 2] {
    let words = x.len() / PIXELS;
    assert!(words > 0 && x.len() == words * PIXELS && weights.len() >= words);
    let mut sums = [[0; PIXELS]; 2];
    let job = Job {
        x: x.as_ptr(),
        x_end: x.as_ptr_range().end,
        output: sums.as_mut_ptr().cast(),
        c_out: 0,
        channels: core::ptr::null(),
        output_end: core::ptr::null(),
        weights: weights.as_ptr(),
        rounding: 0,
    };
    // SAFETY: `x` is read from its start to its end, one word of weights for four of `x`, and eight sums are written.
    unsafe { edgeslim_sums(&job) };
    sums
}

/// As [`Micro::block8`](super::micro::Micro::block8).
#[inline(always)]
pub(super) fn block8(x: &[u32], weights: &[u32]) -> [i32; LINEAR_BLOCK] {
    assert!(!x.is_empty() && weights.len() >= x.len() * (LINEAR_BLOCK / 2));
    let mut sums = [0; LINEAR_BLOCK];
    // SAFETY: `x` is read from its start to its end, with four words of weights for each, and eight sums are written.
    unsafe { edgeslim_block8(x.as_ptr(), weights.as_ptr(), x.as_ptr_range().end, sums.as_mut_ptr()) };
    sums
}
