//! How the products of one convolution find their operands.

use cpu_kernels::gemm::{Product, Steps, packed_len};
use cpu_kernels::winograd::{Images, Operands, Winograd};
use cpu_kernels::{Isa, Real};

use super::geometry::Geometry;
use crate::network::ChannelMap;

/// Where the output gradient lies in a border of zeros.
#[derive(Debug, Clone, Copy, Default)]
pub struct Border {
    /// Values of a line.
    pub line: usize,
    /// Values of the whole.
    pub len: usize,
    /// The first pixel inside.
    pub first: usize,
}

/// Pixels of the input gradient that the same taps reach: those whose row and column leave the same remainder by
/// the stride. For each class the gradient is a stride-1 convolution of the output gradient in its border.
#[derive(Debug, Clone, Default)]
pub struct Class {
    /// Lines and pixels a line.
    pub plane: (usize, usize),
    /// Its first pixel in the input gradient.
    pub first: usize,
    /// Where the last tap of the first pixel reads the bordered output gradient.
    pub from: usize,
    /// Offsets from there, one per tap.
    pub offsets: Vec<usize>,
    /// The kernel's taps, in the same order.
    pub taps: Vec<usize>,
}

/// What the products of one layer need, besides their operands. Weights are stored at the widest.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Where each active output channel's weights begin.
    pub outs: Vec<usize>,
    /// Where each active input channel's weights begin, within an output channel's.
    pub ins: Vec<usize>,
    /// The stored index of each active output channel.
    pub channels: Vec<usize>,
    /// Taps of the kernel.
    pub taps: usize,
    /// Weights of a stored output channel.
    pub row: usize,
    /// Offsets in the padded image of the runs that a product adds up: a dense kernel's rows, where all input
    /// channels of a row lie side by side, or a grouped kernel's taps.
    pub runs: Vec<usize>,
    /// Values of a run; the forward's is longer where a row has several pixels.
    pub run: usize,
    /// Pixels of a row of the forward product.
    pub span: usize,
    /// Values of a run of the forward product.
    pub window: usize,
    /// The forward in tiles, where that is faster than its product.
    pub tiles: Option<Winograd>,
    /// The input gradient in tiles, where that is faster than its products.
    pub input_tiles: Option<Winograd>,
    /// The weight gradient in tiles, where that is faster than outer products.
    pub weight_tiles: Option<Winograd>,
    /// The border that the classes read.
    pub border: Border,
    /// How pixels of a class lie in the input gradient.
    pub class_steps: Steps,
    /// All pixels of the input gradient.
    pub classes: Vec<Class>,
}

impl Plan {
    /// Finds the active weights of a layer.
    ///
    /// - `rows`, `columns`: active channels, `None` for the first ones
    /// - `stored`: input channels that an output channel's weights are stored for
    pub fn select(
        &mut self,
        (c_out, rows): (usize, Option<&ChannelMap>),
        (c_in, columns): (usize, Option<&ChannelMap>),
        stored: usize,
        taps: usize,
    ) {
        (self.row, self.taps) = (stored * taps, taps);
        self.channels.clear();
        self.ins.clear();
        match rows {
            Some(map) => self.channels.extend(map.indices()),
            None => self.channels.extend(0..c_out),
        }
        match columns {
            Some(map) => self.ins.extend(map.indices().map(|i| i * taps)),
            None => self.ins.extend((0..c_in).map(|i| i * taps)),
        }
        self.outs.clear();
        self.outs.extend(self.channels.iter().map(|o| o * self.row));
    }

    /// Whether the active channels are the first ones, in order.
    pub fn is_prefix(&self) -> bool {
        self.channels.iter().enumerate().all(|(k, o)| k == *o)
            && self.ins.iter().enumerate().all(|(k, i)| k * self.taps == *i)
    }

    /// Plans the products of `g`; keeps its buffers.
    pub fn update(&mut self, g: &Geometry, isa: Isa) {
        self.runs.clear();
        self.span = g.span(isa.lanes());
        self.tiles = g.tiles(isa, self.span);
        self.weight_tiles = g.weight_tiles(isa);
        if g.groups == 1 {
            self.run = g.kernel.w * g.c_in;
            self.runs.extend((0..g.kernel.h).map(|ky| ky * g.padded_row()));
        } else {
            self.run = g.group_in();
            let taps = (0..g.taps()).map(|t| t / g.kernel.w * g.padded_row() + t % g.kernel.w * g.c_in);
            self.runs.extend(taps);
        }
        self.window = if self.span > 1 { g.window(self.span) * g.c_in } else { self.run };
        let s = g.stride;
        // The most taps of a class along a side, less one.
        let (before_y, before_x) = (g.kernel.h.div_ceil(s) - 1, g.kernel.w.div_ceil(s) - 1);
        // Per remainder: first coordinate, how many, and the first in units of the stride.
        let along = |n: usize, pad: usize, r: usize| {
            let first = (r + s - pad % s) % s;
            (first, n.saturating_sub(first).div_ceil(s), (first + pad) / s)
        };
        let needed = |n: usize, n_out: usize, pad: usize| {
            let end = |r: usize| {
                let (_, count, from) = along(n, pad, r);
                if count == 0 { 0 } else { from + count }
            };
            (0..s).map(end).max().unwrap_or(0).max(n_out)
        };
        let border_h = before_y + needed(g.h, g.h_out, g.top);
        let line = (before_x + needed(g.w, g.w_out, g.left)) * g.c_out;
        self.input_tiles = g.input_tiles(isa, line, border_h * line);
        self.border = Border { line, len: border_h * line, first: before_y * line + before_x * g.c_out };
        self.class_steps = Steps { pixel: s * g.c_in, line: s * g.w * g.c_in };
        self.classes.resize_with(s * s, Class::default);
        for (idx, class) in self.classes.iter_mut().enumerate() {
            let (ry, rx) = (idx / s, idx % s);
            let (y, h, from_y) = along(g.h, g.top, ry);
            let (x, w, from_x) = along(g.w, g.left, rx);
            let n_taps = |side: usize, r: usize| if r < side { (side - r).div_ceil(s) } else { 0 };
            let (n_y, n_x) = (n_taps(g.kernel.h, ry), n_taps(g.kernel.w, rx));
            class.plane = (h, w);
            class.first = (y * g.w + x) * g.c_in;
            class.offsets.clear();
            class.taps.clear();
            class.from = 0;
            if n_y * n_x == 0 {
                continue;
            }
            class.from = (from_y + before_y + 1 - n_y) * line + (from_x + before_x + 1 - n_x) * g.c_out;
            for a in 0..n_y {
                for b in 0..n_x {
                    class.offsets.push((n_y - 1 - a) * line + (n_x - 1 - b) * g.c_out);
                    class.taps.push((s * a + ry) * g.kernel.w + s * b + rx);
                }
            }
        }
    }

    /// Values of the packed weights of the forward, of all groups.
    pub fn forward_len(&self, isa: Isa, g: &Geometry) -> usize {
        if g.is_depthwise {
            return g.depthwise().packed_len();
        }
        let (columns, rows) = self.operand(g);
        match &self.tiles {
            Some(tiles) => tiles.packed_len(isa),
            None => g.groups * packed_len(isa, columns, rows),
        }
    }

    /// Values of the packed weights of the input gradient, of all groups.
    pub fn input_len(&self, isa: Isa, g: &Geometry) -> usize {
        if g.is_depthwise {
            return g.depthwise().packed_len();
        }
        match &self.input_tiles {
            Some(tiles) => tiles.packed_len(isa),
            None => g.groups * g.taps() * packed_len(isa, g.group_in(), g.group_out()),
        }
    }

    /// Temporaries of the forward and of the input gradient, besides their images.
    pub fn scratch_lens(&self) -> [usize; 2] {
        [&self.tiles, &self.input_tiles].map(|tiles| tiles.map_or(0, |tiles| tiles.scratch_len()))
    }

    /// Temporaries of the weight gradient, besides its images: tiles, and their sums.
    pub fn weight_lens(&self) -> [usize; 2] {
        let batch = self.images()[1];
        self.weight_tiles.map_or([0; 2], |tiles| [tiles.tiles_len(batch).iter().sum(), tiles.sums_len()])
    }

    /// Images that the forward and the backward are best computed of together.
    pub fn images(&self) -> [usize; 2] {
        let of = |tiles: &Option<Winograd>| tiles.map_or(1, |tiles| tiles.images());
        [of(&self.tiles), of(&self.input_tiles).max(of(&self.weight_tiles))]
    }

    /// What the weight gradient in tiles is computed of: padded images, and output gradients in their borders.
    pub fn operands<'a>(&self, padded: &'a [Real], dz: &'a [Real]) -> Operands<'a> {
        let images = Images { line: self.border.line, image: self.border.len };
        Operands { padded, dy: &dz[self.border.first..], images }
    }

    /// Columns and rows of a group's weights in the forward product.
    pub fn operand(&self, g: &Geometry) -> (usize, usize) {
        (self.span * g.group_out(), self.runs.len() * self.window)
    }

    /// The weight of a row and column of [`Plan::operand`], for rows of several pixels.
    pub fn spanned(&self, g: &Geometry, weight: &[Real], row: usize, column: usize) -> Real {
        let (ky, x, i) = (row / self.window, row % self.window / g.c_in, row % g.c_in);
        let (pixel, o) = (column / g.c_out, column % g.c_out);
        match x.checked_sub(pixel * g.stride).filter(|&kx| kx < g.kernel.w) {
            Some(kx) => weight[self.outs[o] + self.ins[i] + ky * g.kernel.w + kx],
            None => 0.0,
        }
    }

    /// The forward product of one group of a padded image; lines of the output are `line` apart.
    pub fn product(&self, g: &Geometry, line: usize) -> Product<'_> {
        let (n, row) = (self.span * g.group_out(), self.span * g.c_out);
        let a = g.input_steps();
        Product {
            plane: (g.h_out, g.w_out / self.span),
            n,
            k: self.window,
            taps: &self.runs,
            a: Steps { pixel: self.span * a.pixel, ..a },
            c: Steps { pixel: row, line },
        }
    }
}
