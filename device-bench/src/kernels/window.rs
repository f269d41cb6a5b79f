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

#[cfg(thumb2)]
unsafe extern "C" {
    fn edgeslim_window_of_1(job: *const Job);
    fn edgeslim_window_of_2(job: *const Job);
    fn edgeslim_window_of_3(job: *const Job);
    fn edgeslim_window_of_1_at_edge(job: *const Job);
    fn edgeslim_window_of_2_at_edge(job: *const Job);
    fn edgeslim_window_of_3_at_edge(job: *const Job);
}

/// As [`Micro::window`](super::micro::Micro::window).
pub(super) fn run(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
    assert!(output.len() >= 4);
    let job = job(window, layer, sums, output);
    // SAFETY: all channels of every tap of the window are read, four at a time, the last four so that they are the last;
    // the window lies within both slices. So are their sums and parameters, and written.
    unsafe { if sums.is_empty() { edgeslim_window(&job) } else { edgeslim_window_at_edge(&job) } };
}

/// As [`Micro::window_of_few`](super::micro::Micro::window_of_few).
#[cfg(thumb2)]
pub(super) fn run_few(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) {
    let kernel = match (output.len(), sums.is_empty()) {
        (1, true) => edgeslim_window_of_1,
        (2, true) => edgeslim_window_of_2,
        (3, true) => edgeslim_window_of_3,
        (1, false) => edgeslim_window_of_1_at_edge,
        (2, false) => edgeslim_window_of_2_at_edge,
        (3, false) => edgeslim_window_of_3_at_edge,
        _ => unreachable!("four channels go together"),
    };
    let job = job(window, layer, sums, output);
    // SAFETY: as many channels are read of every tap of the window, which lies within both slices, of the sums and of the
    // parameters, and written.
    unsafe { kernel(&job) };
}

/// Whose pointers have all channels of the window behind them, one parameter, output and, if any, sum each.
#[inline(always)]
fn job(window: &Window<'_>, layer: &Layer<'_>, sums: &[u32], output: &mut [i8]) -> Job {
    let Taps { rows, columns, step, input_row, weight_row } = window.taps;
    let channels = output.len();
    assert!(rows > 0 && columns > 0 && layer.channels.len() == channels && step == channels);
    let reach = |row: usize| window.taps.reach(row) - 4 + channels;
    assert!(window.input.len() >= reach(input_row) && window.weights.len() >= reach(weight_row));
    assert!(sums.is_empty() || sums.len() == channels);
    let n = channels.div_ceil(4);
    Job {
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
    }
}
