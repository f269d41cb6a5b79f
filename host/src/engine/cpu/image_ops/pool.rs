//! Pooling over windows, a run of channels at a time.

use std::ops::Range;

use cpu_kernels::Real;

use crate::network::{PoolKind, Window};

/// Channels that the backward of a maximum works on at a time.
const RUN: usize = 32;

/// A pool of one plane.
#[derive(Debug, Clone, Copy)]
pub struct WindowPool {
    kind: PoolKind,
    window: Window,
    c: usize,
    h: usize,
    w: usize,
    h_out: usize,
    w_out: usize,
}

impl WindowPool {
    /// Pools `c` channels of a plane of `(h, w)` that `window` fits.
    pub fn new(kind: PoolKind, window: Window, (h, w): (usize, usize), c: usize) -> WindowPool {
        let (h_out, w_out) =
            window.positions((h, w)).expect("Graph::check refuses a kernel that does not fit");
        WindowPool { kind, window, c, h, w, h_out, w_out }
    }

    /// Writes the output `[h_out, w_out, c]` of the image `xs` `[h, w, c]`. What is no number stays none.
    pub fn forward(&self, xs: &[Real], out: &mut [Real]) {
        for (taps, out) in self.windows().zip(out.chunks_exact_mut(self.c)) {
            let pixel = |tap: usize| &xs[tap * self.c..][..self.c];
            match self.kind {
                PoolKind::Max => maximum(taps.pixels().map(pixel), out),
                PoolKind::Average => {
                    out.fill(0.0);
                    for xs in taps.pixels().map(pixel) {
                        out.iter_mut().zip(xs).for_each(|(sum, x)| *sum += x);
                    }
                    let count = taps.count() as Real;
                    out.iter_mut().for_each(|sum| *sum /= count);
                }
            }
        }
    }

    /// Writes the gradient `d_in` of `xs` from `d_out` of the output.
    pub fn backward(&self, xs: &[Real], d_out: &[Real], d_in: &mut [Real]) {
        d_in.fill(0.0);
        for (taps, d) in self.windows().zip(d_out.chunks_exact(self.c)) {
            match self.kind {
                PoolKind::Max => self.maximum_backward(&taps, xs, d, d_in),
                PoolKind::Average => {
                    let share = 1.0 / taps.count() as Real;
                    for tap in taps.pixels() {
                        let d_in = &mut d_in[tap * self.c..][..self.c];
                        d_in.iter_mut().zip(d).for_each(|(d_in, d)| *d_in += d * share);
                    }
                }
            }
        }
    }

    /// Adds the gradient `d` of one output pixel to that of the first largest pixel of its window.
    fn maximum_backward(&self, taps: &Taps, xs: &[Real], d: &[Real], d_in: &mut [Real]) {
        for (idx, d) in d.chunks(RUN).enumerate() {
            let (mut largest, mut left) = ([0.0; RUN], [0.0; RUN]);
            let (largest, left) = (&mut largest[..d.len()], &mut left[..d.len()]);
            let run = |tap: usize| tap * self.c + idx * RUN..tap * self.c + idx * RUN + d.len();
            maximum(taps.pixels().map(|tap| &xs[run(tap)]), largest);
            left.copy_from_slice(d);
            for tap in taps.pixels() {
                let compared = xs[run(tap)].iter().zip(&*largest);
                for ((d_in, left), (x, largest)) in d_in[run(tap)].iter_mut().zip(&mut *left).zip(compared) {
                    let is_smaller = x < largest;
                    *d_in += if is_smaller { 0.0 } else { *left };
                    *left = if is_smaller { *left } else { 0.0 };
                }
            }
        }
    }

    /// The window of every output pixel, row by row.
    fn windows(&self) -> impl Iterator<Item = Taps> + use<> {
        let WindowPool { window: Window { kernel, stride, padding }, h, w, h_out, w_out, .. } = *self;
        let (top, left) = (usize::from(padding.top), usize::from(padding.left));
        (0..h_out).flat_map(move |y| {
            let rows = on_plane(y * stride, kernel.h, top, h);
            (0..w_out).map(move |x| Taps {
                rows: rows.clone(),
                columns: on_plane(x * stride, kernel.w, left, w),
                w,
            })
        })
    }
}

/// The part of `side` padded pixels from `first` that lies on the plane of `n` after `before` of padding.
fn on_plane(first: usize, side: usize, before: usize, n: usize) -> Range<usize> {
    first.saturating_sub(before)..(first + side - before).min(n)
}

/// The pixels of one window on the plane; there is at least one.
struct Taps {
    rows: Range<usize>,
    columns: Range<usize>,
    w: usize,
}

impl Taps {
    fn count(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Their indices in the plane, row by row.
    fn pixels(&self) -> impl Iterator<Item = usize> + use<> {
        let (columns, w) = (self.columns.clone(), self.w);
        self.rows.clone().flat_map(move |y| columns.clone().map(move |x| y * w + x))
    }
}

/// The largest of each channel; what is no number stays none.
fn maximum<'a>(mut pixels: impl Iterator<Item = &'a [Real]>, out: &mut [Real]) {
    out.copy_from_slice(pixels.next().expect("a window has at least one pixel on the plane"));
    for xs in pixels {
        for (largest, &x) in out.iter_mut().zip(xs) {
            *largest = if x > *largest || x.is_nan() { x } else { *largest };
        }
    }
}
