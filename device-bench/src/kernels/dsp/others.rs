//! Widening, addition and the last channels of a linear layer in assembly.

use crate::kernels::micro::{Micro, PIXELS, Portable, Windows};
use crate::kernels::pack::run_words;
use crate::quant::Channel;
use core::arch::global_asm;

global_asm!(include_str!("widen.s"), options(raw));
global_asm!(include_str!("add.s"), options(raw));

/// The arguments of the widening, in the order in which `widen.s` reads them.
#[repr(C)]
struct WidenJob {
    rows: [*const i8; PIXELS],
    lines: [usize; PIXELS],
    len: usize,
    n: usize,
    target: *mut u32,
    target_bytes: usize,
}

/// The arguments of an addition, in the order in which `add.s` reads them.
#[repr(C)]
struct AddJob {
    a: *const i8,
    b: *const i8,
    output: *mut i8,
    table_a: *const u32,
    table_b: *const u32,
    a_end: *const i8,
    multiplier: i32,
    /// Twice the zero point plus one, shifted as the high half of the product is.
    rounding: i32,
    shift_but_one: i32,
}

unsafe extern "C" {
    fn edgeslim_add4(job: *const AddJob);
    fn edgeslim_pair1(x: *const u32, weights: *const u32, x_end: *const u32, sums: *mut i32);
    fn edgeslim_pair1_of_four(x: *const u32, weights: *const u32, x_end: *const u32, sums: *mut i32);
    fn edgeslim_widen1(source: *const i8, end: *const i8, target: *mut u32);
    fn edgeslim_widen4(job: *const WidenJob);
}

/// As [`Micro::pair1`](crate::kernels::micro::Micro::pair1), for neighbouring words and one of four pixels.
#[inline(always)]
pub(super) fn pair1<const STEP: usize>(x: &[u32], weights: &[u32]) -> [i32; 2] {
    let n = x.len().div_ceil(STEP);
    assert!(n > 0 && weights.len() >= n);
    let end = x.as_ptr().wrapping_add(n * STEP);
    let mut sums = [0; 2];
    // SAFETY: every `STEP`th word of `x` is read, `n` of them, with a word of weights for each, and two sums are written.
    unsafe {
        match STEP {
            1 => edgeslim_pair1(x.as_ptr(), weights.as_ptr(), end, sums.as_mut_ptr()),
            PIXELS => edgeslim_pair1_of_four(x.as_ptr(), weights.as_ptr(), end, sums.as_mut_ptr()),
            _ => unreachable!("there are pixels alone and by fours"),
        }
    }
    sums
}

/// As [`Micro::widen1`](crate::kernels::micro::Micro::widen1).
pub(super) fn widen1(source: &[i8], target: &mut [u32]) {
    let (whole, tail) = source.split_at(source.len() & !7);
    let (words, rest) = target.split_at_mut(whole.len() / 2);
    if !whole.is_empty() {
        // SAFETY: eight bytes are read of a multiple of eight, and four words written for them.
        unsafe { edgeslim_widen1(whole.as_ptr(), whole.as_ptr_range().end, words.as_mut_ptr()) };
    }
    Portable::widen1(tail, rest);
}

/// As [`Micro::widen4`](crate::kernels::micro::Micro::widen4).
///
/// # Safety
/// All elements of the rows can be read.
#[inline(always)]
pub(super) unsafe fn widen4(windows: &Windows, target: &mut [u32], words: usize) {
    let Windows { rows, lines, len, n } = *windows;
    assert!(len > 0 && n > 0 && target.len() >= (n - 1) * words + run_words(len) * PIXELS);
    let job = WidenJob { rows, lines, len, n, target: target.as_mut_ptr(), target_bytes: 4 * words };
    // SAFETY: the caller's promise, and the target has room for four pixels' words, a row of them after the other.
    unsafe { edgeslim_widen4(&job) };
}

/// As [`Micro::add`](crate::kernels::micro::Micro::add).
pub(super) fn add(
    [a, b]: [&[i8]; 2],
    [table_a, table_b]: [&[u32; 256]; 2],
    channel: Channel,
    zero: i8,
    output: &mut [i8],
) {
    assert!(a.len() == output.len() && b.len() == output.len());
    let whole = output.len() & !3;
    let job = AddJob {
        a: a.as_ptr(),
        b: b.as_ptr(),
        output: output.as_mut_ptr(),
        table_a: table_a.as_ptr(),
        table_b: table_b.as_ptr(),
        a_end: a[..whole].as_ptr_range().end,
        multiplier: channel.multiplier,
        rounding: (2 * i32::from(zero) + 1) << (channel.shift_but_one & 31),
        shift_but_one: channel.shift_but_one,
    };
    if whole > 0 {
        // SAFETY: four bytes are read of either input, and written, until the end of the first input's whole fours; all
        // three have one length. A byte is an index of its table.
        unsafe { edgeslim_add4(&job) };
    }
    Portable::add([&a[whole..], &b[whole..]], [table_a, table_b], channel, zero, &mut output[whole..]);
}
