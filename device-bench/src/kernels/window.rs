//! A depthwise window in assembly, with or without the DSP extension.

use super::depthwise::Window;
use super::micro::Taps;
use super::{Layer, assembly};
use crate::quant::Channel;
use core::arch::global_asm;

global_asm!(assembly!(), include_str!("window.s"), options(raw));

/// The arguments, in the order in which `window.s` reads them.
#[repr(C)]
struct Job {
    input: *const i8,
    weights: *const i8,
    columns: usize,
    rows: usize,
    step: usize,
    next_input: usize,
    next_weights: usize,
    zero: i32,
    sums: *const u32,
    channels: *const Channel,
    /// Twice the zero point plus one.
    rounding: i32,
    output: *mut i8,
    n: usize,
    /// Channels of the last four that are the last but one's too.
    common: usize,
}

unsafe extern "C" {
    fn edgeslim_window(job: *const Job);
    fn edgeslim_window_at_edge(job: *const Job);
}

/// As [`Micro::window`](super::micro::Micro::window).
pub(super) fn run(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
    let Taps { rows, columns, step, input_row, weight_row } = window.taps;
    let channels = output.len();
    assert!(rows > 0 && columns > 0 && channels >= 4 && layer.channels.len() == channels && step == channels);
    let reach = |row: usize| window.taps.reach(row) - 4 + channels;
    assert!(window.input.len() >= reach(input_row) && window.weights.len() >= reach(weight_row));
    assert!(sums.is_empty() || sums.len() == channels);
    let n = channels.div_ceil(4);
    let job = Job {
        input: window.input.as_ptr(),
        weights: window.weights.as_ptr(),
        columns,
        rows,
        step,
        next_input: input_row - columns * step,
        next_weights: weight_row - columns * step,
        zero: layer.input_zero[0].into(),
        sums: sums.as_ptr(),
        channels: layer.channels.as_ptr(),
        rounding: 2 * i32::from(layer.output_zero) + 1,
        output: output.as_mut_ptr(),
        n,
        common: 4 * n - channels,
    };
    // SAFETY: all channels of every tap of the window are read, four at a time, the last four so that they are the last;
    // the window lies within both slices. So are their sums and parameters, and written.
    unsafe { if sums.is_empty() { edgeslim_window(&job) } else { edgeslim_window_at_edge(&job) } };
}
