//! 3 × 3 depthwise convolutions in assembly.

use crate::kernels::planes::{PLANES, Planes};
use crate::kernels::{Layer, cast};
use crate::quant::Channel;
use core::arch::global_asm;

global_asm!(crate::kernels::assembly!(), include_str!("depthwise.s"), options(raw));

/// The arguments of the writer of planes, in the order in which `depthwise.s` reads them.
#[derive(Clone, Copy)]
#[repr(C)]
struct PlanesJob {
    input: *const i8,
    channels: usize,
    target: *mut u32,
    plane_bytes: usize,
    pairs: usize,
    flags: usize,
    padding: u32,
    n_rows: usize,
    input_row_bytes: usize,
    gap_bytes: usize,
}

/// The arguments of up to four channels, likewise.
#[repr(C)]
struct ChannelsJob {
    pixel_bytes: usize,
    skip_bytes: usize,
    pairs: usize,
    single: usize,
    n_rows: usize,
    words: *const u32,
    output: *mut i8,
    weights: *const i8,
    parameters: *const Channel,
    plane_bytes: usize,
    /// Twice the zero point plus one.
    rounding: i32,
    n_channels: usize,
}

unsafe extern "C" {
    fn edgeslim_planes(job: *const PlanesJob);
    fn edgeslim_depthwise_s1_32(job: *const ChannelsJob);
    fn edgeslim_depthwise_s1_64(job: *const ChannelsJob);
    fn edgeslim_depthwise_s1_128(job: *const ChannelsJob);
    fn edgeslim_depthwise_s1_256(job: *const ChannelsJob);
    fn edgeslim_depthwise_s2_32(job: *const ChannelsJob);
    fn edgeslim_depthwise_s2_64(job: *const ChannelsJob);
    fn edgeslim_depthwise_s2_128(job: *const ChannelsJob);
    fn edgeslim_depthwise_s2_256(job: *const ChannelsJob);
}

fn channel_kernel(stride: u8, pitch: usize) -> unsafe extern "C" fn(*const ChannelsJob) {
    match (stride, pitch) {
        (1, 32) => edgeslim_depthwise_s1_32,
        (1, 64) => edgeslim_depthwise_s1_64,
        (1, 128) => edgeslim_depthwise_s1_128,
        (1, _) => edgeslim_depthwise_s1_256,
        (_, 32) => edgeslim_depthwise_s2_32,
        (_, 64) => edgeslim_depthwise_s2_64,
        (_, 128) => edgeslim_depthwise_s2_128,
        (..) => edgeslim_depthwise_s2_256,
    }
}

/// As [`Micro::depthwise`](crate::kernels::micro::Micro::depthwise).
pub(super) fn run(layer: &Layer<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u32]) -> Option<()> {
    let spec = &layer.spec;
    let planes = Planes::of(spec)?;
    let (stride, channels) = (usize::from(spec.stride), usize::from(spec.c_in));
    let (out_h, out_w) = (usize::from(spec.out_h()), usize::from(spec.out_w()));
    assert!(input.len() == spec.input_bytes() && output.len() == spec.output_bytes());
    assert!(layer.weights.len() == 9 * channels && layer.channels.len() == channels);
    let unaligned = scratch.as_ptr().align_offset(planes.pitch);
    let plane_bytes = planes.plane_bytes(stride);
    let words = scratch.get_mut(unaligned..unaligned + PLANES * plane_bytes / 4)?;
    let kernel = channel_kernel(spec.stride, planes.pitch);
    let mut job = ChannelsJob {
        pixel_bytes: channels,
        skip_bytes: planes.row_offset() + (stride - 1) * planes.pitch,
        pairs: planes.pairs,
        single: planes.single,
        n_rows: 0,
        words: core::ptr::null(),
        output: core::ptr::null_mut(),
        weights: core::ptr::null(),
        parameters: core::ptr::null(),
        plane_bytes,
        rounding: 2 * i32::from(layer.output_zero) + 1,
        n_channels: 0,
    };
    for first in (0..out_h).step_by(planes.strip) {
        let n_rows = planes.strip.min(out_h - first);
        let (writer, last_row) = start_strip(layer, &planes, input, (first, n_rows), words);
        let output = &mut output[first * out_w * channels..][..n_rows * out_w * channels];
        for c in (0..channels).step_by(PLANES) {
            // The last four channels are four too: some are widened twice. Where there are fewer, what follows in the row or
            // the next one is widened for nothing.
            let base = c.min(channels.saturating_sub(PLANES));
            if writer.n_rows > 0 {
                let writer = PlanesJob { input: writer.input.wrapping_add(base), ..writer };
                // SAFETY: see `start_strip`.
                unsafe { edgeslim_planes(&writer) };
            }
            if let Some(row) = last_row {
                write_last_row(layer, &planes, input, row, words);
            }
            job.n_rows = n_rows;
            job.words = words.as_ptr().wrapping_byte_add(planes.row_offset() + (c - base) * plane_bytes);
            job.output = output.as_mut_ptr().wrapping_add(c);
            job.weights = cast::as_i8(layer.weights).as_ptr().wrapping_add(c);
            job.parameters = layer.channels.as_ptr().wrapping_add(c);
            job.n_channels = PLANES.min(channels - c);
            // SAFETY: channels from `c` on are read, `n_channels` of them, nine weights each, and the planes from `c`'s on.
            // Each holds three rows of words for every output row, with a word or two behind those of its pairs, at the
            // pitch that this kernel is for, and starts at a multiple of it. The output has a row of `out_w` pixels for each
            // row, of which one byte a channel is written.
            unsafe { kernel(&job) };
        }
    }
    Some(())
}

/// Writes row `row` of the planes of less than four channels, the input's last: behind it there is nothing to read.
#[inline(never)]
fn write_last_row(layer: &Layer<'_>, planes: &Planes, input: &[i8], row: usize, words: &mut [u32]) {
    let spec = &layer.spec;
    let (channels, left) = (usize::from(spec.c_in), usize::from(spec.padding.left));
    let line = &input[input.len() - usize::from(spec.in_w) * channels..];
    let plane_words = planes.plane_bytes(usize::from(spec.stride)) / 4;
    for (plane, words) in words.chunks_exact_mut(plane_words).take(channels).enumerate() {
        let words = &mut words[(planes.row_offset() + row * planes.pitch) / 4..][..planes.row_words()];
        words.fill(u32::from(layer.input_zero[0] as u16) * 0x1_0001);
        let halfwords = cast::as_halfwords_mut(words)[left..].iter_mut();
        for (to, from) in halfwords.zip(line[plane..].iter().step_by(channels)) {
            *to = i16::from(*from);
        }
    }
}

/// Writes the rows of padding that `n_rows` output rows from `first` on go over, and says what is to be done for the first
/// four channels, and which row [`write_last_row`] is to write.
fn start_strip(
    layer: &Layer<'_>,
    planes: &Planes,
    input: &[i8],
    (first, n_rows): (usize, usize),
    words: &mut [u32],
) -> (PlanesJob, Option<usize>) {
    let spec = &layer.spec;
    let (stride, channels) = (usize::from(spec.stride), usize::from(spec.c_in));
    let (in_h, in_w) = (usize::from(spec.in_h), usize::from(spec.in_w));
    let (top, left) = (usize::from(spec.padding.top), usize::from(spec.padding.left));
    let plane_bytes = planes.plane_bytes(stride);
    let rows = planes.rows(stride, n_rows);
    // Rows from here on, of which those from `top` on are the input's.
    let begin = first * stride;
    let above = top.saturating_sub(begin).min(rows);
    let below = (begin + rows).saturating_sub(top + in_h).min(rows - above);
    let padding = u32::from_le_bytes([layer.input_zero[0] as u8; 4]);
    let zeros = u32::from(layer.input_zero[0] as u16) * 0x1_0001;
    for row in (0..above).chain(rows - below..rows) {
        for plane in 0..PLANES {
            let at = (plane * plane_bytes + row * planes.pitch + planes.row_offset()) / 4;
            words[at..at + planes.row_words()].fill(zeros);
        }
    }
    let n_rows = rows - above - below;
    let ends = n_rows > 0 && begin + above - top + n_rows == in_h;
    let last_row = (channels < PLANES && ends).then(|| above + n_rows - 1);
    let n_rows = n_rows - usize::from(last_row.is_some());
    let row_words = planes.row_words();
    let inner = in_w - left.min(in_w);
    let pairs = (inner / 2).min(row_words - left);
    let last = usize::from(inner % 2 == 1 && pairs == inner / 2 && left + pairs < row_words);
    let behind = row_words - left - pairs - last;
    let input = if n_rows > 0 { &input[(begin + above - top) * in_w * channels..] } else { &[] };
    assert!(input.len() >= n_rows * in_w * channels);
    let at = (above * planes.pitch + planes.row_offset()) / 4;
    assert!(channels >= PLANES || n_rows == 0 || input.len() >= n_rows * in_w * channels + PLANES - channels);
    // For the writer: read are four bytes of `left + 2 * pairs + last` pixels, at most `in_w`, of `n_rows` rows of the
    // input, which is long enough, as asserted; the four are channels of one pixel, or of some behind it. Written are `row_words` words of as many
    // rows of four planes, a pitch apart; each plane has room for a row more, for what is behind the last.
    let job = PlanesJob {
        input: input.as_ptr(),
        channels,
        target: words[at..].as_mut_ptr(),
        plane_bytes,
        pairs,
        flags: left + 2 * last + 4 * behind,
        padding,
        n_rows,
        input_row_bytes: in_w * channels,
        gap_bytes: planes.pitch - 4 * row_words,
    };
    (job, last_row)
}
