//! Finds and widens the windows of a convolution, four pixels at a time.

use super::Layer;
use super::micro::{Micro, PIXELS, Windows};
use super::pack::{Runs, run_words};
use crate::layer::{LayerSpec, Padding};

/// Most stretches of a kernel row in which each of four windows stays on or off the plane: each enters and leaves it once.
const STRETCHES: usize = 1 + 2 * PIXELS;

/// Bytes for the plane's edges, where `runs` of each window are widened at once: where taps are whole words, a run of zero
/// points; else four windows to put together. None without padding.
pub(super) const fn edge_bytes(spec: &LayerSpec, runs: Runs) -> usize {
    let Padding { top, bottom, left, right } = spec.padding;
    if top as usize + bottom as usize + left as usize + right as usize == 0 {
        0
    } else if spec.c_in.is_multiple_of(4) {
        aligned(runs.len)
    } else {
        aligned(runs.len.saturating_mul(runs.n).saturating_mul(PIXELS))
    }
}

const fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// Elements of a kernel row, up to `end`, for which the windows of `outside` (a bit each) are beside the plane.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    end: usize,
    outside: u32,
}

/// The windows of four pixels, or of fewer that are the plane's all.
pub(super) struct Gather<'a> {
    pub runs: Runs,
    spec: &'a LayerSpec,
    input: &'a [i8],
    zero: i8,
    /// [`edge_bytes`].
    edges: &'a mut [i8],
    out_w: usize,
    /// From row to row of the plane, bytes, for each window.
    lines: [usize; PIXELS],
    /// The next pixel.
    next: (usize, usize),
    /// Input row and column of each window's first tap; beside the plane where there is padding.
    corners: [(i32, i32); PIXELS],
    /// Each window's first tap, on the plane, or where it would be.
    starts: [*const i8; PIXELS],
    /// Whether no window reaches above or below the plane.
    rows_inside: bool,
    /// None where windows are to be put together.
    stretches: [Stretch; STRETCHES],
    n_stretches: usize,
}

impl<'a> Gather<'a> {
    /// - `input`: all of the layer's
    /// - `edges`: [`edge_bytes`] for `at_once`, the most of each window that is widened at once
    pub fn new(layer: &'a Layer<'_>, input: &'a [i8], edges: &'a mut [i8], at_once: Runs) -> Gather<'a> {
        assert!(input.len() == layer.spec.input_bytes() && edges.len() == edge_bytes(&layer.spec, at_once));
        let zero = layer.input_zero[0];
        edges.fill(zero);
        Gather {
            runs: Runs::of(&layer.spec),
            spec: &layer.spec,
            input,
            zero,
            edges,
            out_w: usize::from(layer.spec.out_w()),
            lines: [usize::from(layer.spec.in_w) * usize::from(layer.spec.c_in); PIXELS],
            next: (0, 0),
            corners: [(0, 0); PIXELS],
            starts: [core::ptr::null(); PIXELS],
            rows_inside: true,
            stretches: [Stretch::default(); STRETCHES],
            n_stretches: 0,
        }
    }

    /// Goes to a pixel.
    pub fn seek(&mut self, pixel: usize) {
        self.next = (pixel / self.out_w, pixel % self.out_w);
    }

    /// Takes the next `n` pixels; where they are fewer than four, the last one stands for the rest.
    pub fn next(&mut self, n: usize) {
        let spec = self.spec;
        let (stride, in_w) = (i32::from(spec.stride), i32::from(spec.in_w));
        let (last_row, last_column) =
            (i32::from(spec.in_h) - i32::from(spec.kernel_h), in_w - i32::from(spec.kernel_w));
        let (mut y, mut x) = self.next;
        let mut row = y as i32 * stride - i32::from(spec.padding.top);
        let mut column = x as i32 * stride - i32::from(spec.padding.left);
        let (mut columns_inside, mut rows_inside) = (true, true);
        for pixel in 0..PIXELS {
            self.corners[pixel] = (row, column);
            let start = (row * in_w + column) as isize * spec.c_in as isize;
            self.starts[pixel] = self.input.as_ptr().wrapping_offset(start);
            columns_inside &= column >= 0 && column <= last_column;
            rows_inside &= row >= 0 && row <= last_row;
            if pixel + 1 < n || n == PIXELS {
                (x, column) = (x + 1, column + stride);
                if x == self.out_w {
                    (y, x) = (y + 1, 0);
                    (row, column) = (row + stride, -i32::from(spec.padding.left));
                }
            }
        }
        self.next = (y, x);
        self.rows_inside = rows_inside;
        self.n_stretches = 1;
        self.stretches[0] = Stretch { end: self.runs.len, outside: 0 };
        if !(columns_inside && rows_inside || spec.c_in.is_multiple_of(4)) {
            self.n_stretches = 0;
        } else if !columns_inside {
            self.find_stretches();
        }
    }

    /// Cuts kernel rows where a window enters or leaves the plane.
    fn find_stretches(&mut self) {
        let channels = usize::from(self.spec.c_in);
        self.n_stretches = 0;
        let mut before = u32::MAX;
        for tap in 0..usize::from(self.spec.kernel_w) {
            let mut outside = 0;
            for (pixel, (_, column)) in self.corners.iter().enumerate() {
                outside |= u32::from((column + tap as i32) as u32 >= u32::from(self.spec.in_w)) << pixel;
            }
            self.n_stretches += usize::from(outside != before);
            before = outside;
            self.stretches[self.n_stretches - 1] = Stretch { end: (tap + 1) * channels, outside };
        }
    }

    /// The elements `from..to` of `n` kernel rows from `run` on; of windows that reach beside the plane a copy, with zero points
    /// there.
    #[inline(never)]
    fn put_together(&mut self, (run, n): (usize, usize), (from, to): (usize, usize)) -> Windows {
        let spec = self.spec;
        let (channels, len, line_len) = (usize::from(spec.c_in), to - from, self.lines[0]);
        let mut windows = Windows { rows: self.starts, lines: self.lines, len, n };
        assert!(len > 0 && self.edges.len() >= n * len * PIXELS);
        let copies = self.edges.chunks_exact_mut(n * len);
        for (pixel, (window, &(row, column))) in copies.zip(&self.corners).enumerate() {
            let on_plane = (i32::from(spec.in_w) - column).min(i32::from(spec.kernel_w));
            let whole = column >= 0
                && on_plane == i32::from(spec.kernel_w)
                && row >= 0
                && row <= i32::from(spec.in_h) - i32::from(spec.kernel_h);
            if whole {
                windows.rows[pixel] = self.starts[pixel].wrapping_add(run * line_len + from);
                continue;
            }
            window.fill(self.zero);
            let begin = ((-column).max(0) as usize * channels).max(from);
            let end = (on_plane as usize * channels).min(to);
            let row = row + run as i32;
            // Wherever it points to outside of the plane, nothing is read there.
            let mut at = row.wrapping_mul(line_len as i32).wrapping_add(column * channels as i32) as usize;
            for (line, target) in (row..).zip(window.chunks_exact_mut(len)) {
                if line >= 0 && line < i32::from(spec.in_h) && begin < end {
                    copy(&self.input[at.wrapping_add(begin)..][..end - begin], &mut target[begin - from..]);
                }
                at = at.wrapping_add(line_len);
            }
            (windows.rows[pixel], windows.lines[pixel]) = (window.as_ptr(), len);
        }
        windows
    }

    /// Widens the windows, `[runs.words(), PIXELS]`.
    pub fn widen_all<M: Micro>(&mut self, target: &mut [u32]) {
        let words = run_words(self.runs.len) * PIXELS;
        if self.n_stretches == 0 {
            let windows = self.put_together((0, self.runs.n), (0, self.runs.len));
            // SAFETY: windows lie on the plane or were put together.
            unsafe { M::widen4(&windows, target, words) };
            return;
        }
        let mut at = 0;
        for stretch in &self.stretches[..self.n_stretches] {
            let windows = self.windows(stretch, (at, stretch.end), self.runs.n);
            let target = &mut target[at / 2 * PIXELS..];
            if self.rows_inside {
                // SAFETY: within a stretch a window's rows lie on the plane or are all zero points: there is a run of them
                // where there is padding, and only there is anything outside.
                unsafe { M::widen4(&windows, target, words) };
            } else {
                for run in 0..self.runs.n {
                    // SAFETY: as above, but for rows above or below the plane, of which `row` makes zero points.
                    unsafe { M::widen4(&self.row(run, windows), &mut target[run * words..], words) };
                }
            }
            at = stretch.end;
        }
    }

    /// Widens the elements `from..to` of kernel row `run`; `from` is a multiple of four, and `to` too unless it is the end.
    pub fn widen<M: Micro>(&mut self, run: usize, (from, to): (usize, usize), target: &mut [u32]) {
        if self.n_stretches == 0 {
            let windows = self.put_together((run, 1), (from, to));
            // SAFETY: as in `widen_all`.
            unsafe { M::widen4(&windows, target, 0) };
            return;
        }
        let mut rest = target;
        let mut at = from;
        for stretch in &self.stretches[..self.n_stretches] {
            let end = stretch.end.min(to);
            if end <= at {
                continue;
            }
            // SAFETY: as in `widen_all`; `at..end` lies within the row.
            unsafe { M::widen4(&self.row(run, self.windows(stretch, (at, end), 1)), rest, 0) };
            // Only the last stretch may end within a word.
            let (_, after) = rest.split_at_mut((end - at) / 2 * PIXELS);
            (rest, at) = (after, end);
        }
    }

    /// The elements `from..to` of the first `n` kernel rows, which lie in a stretch; zero points for windows beside the plane.
    fn windows(&self, stretch: &Stretch, (from, to): (usize, usize), n: usize) -> Windows {
        let mut windows = Windows { rows: self.starts, lines: self.lines, len: to - from, n };
        for (pixel, (row, line)) in windows.rows.iter_mut().zip(&mut windows.lines).enumerate() {
            *row = row.wrapping_add(from);
            if stretch.outside & (1 << pixel) != 0 {
                (*row, *line) = (self.edges.as_ptr(), 0);
            }
        }
        windows
    }

    /// Row `run` of `windows`; zero points for windows of which it lies above or below the plane.
    fn row(&self, run: usize, mut windows: Windows) -> Windows {
        windows.n = 1;
        for ((row, line), (first, _)) in windows.rows.iter_mut().zip(windows.lines).zip(&self.corners) {
            *row = row.wrapping_add(run * line);
            if !self.rows_inside && (first + run as i32) as u32 >= u32::from(self.spec.in_h) {
                *row = self.edges.as_ptr();
            }
        }
        windows
    }
}

/// Copies bytes, four at a time; the target is as long or longer.
#[inline(always)]
fn copy(source: &[i8], target: &mut [i8]) {
    let (target, _) = target.split_at_mut(source.len());
    let (fours, rest) = source.as_chunks::<4>();
    let (target_fours, target_rest) = target.as_chunks_mut::<4>();
    for (to, from) in target_fours.iter_mut().zip(fours) {
        *to = *from;
    }
    for (to, from) in target_rest.iter_mut().zip(rest) {
        *to = *from;
    }
}
