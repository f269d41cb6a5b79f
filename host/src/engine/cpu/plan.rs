//! The geometry of one convolution at the active channels, and how its products find their operands.

use cpu_kernels::depthwise::Depthwise;
use cpu_kernels::gemm::Steps;

use crate::network::ConvKind;

/// One convolution at the active channels.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    pub kind: ConvKind,
    pub c_in: usize,
    /// Input channels that the weights are stored at.
    pub c_in_max: usize,
    pub c_out: usize,
    pub h: usize,
    pub w: usize,
    pub h_out: usize,
    pub w_out: usize,
    pub kernel: usize,
    pub stride: usize,
    pub top: usize,
    pub left: usize,
    pub h_padded: usize,
    pub w_padded: usize,
}

impl Geometry {
    /// Whether the image itself is the operand of one matrix product.
    pub fn is_pointwise(&self) -> bool {
        let padded = self.h_padded * self.w_padded != self.h * self.w;
        self.kind == ConvKind::Dense && self.kernel == 1 && self.stride == 1 && !padded
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Values of a row of the padded image.
    pub fn padded_row(&self) -> usize {
        self.w_padded * self.c_in
    }

    /// Values of the padded image.
    pub fn padded_len(&self) -> usize {
        self.h_padded * self.padded_row()
    }

    /// Values of an output image.
    pub fn out_len(&self) -> usize {
        self.h_out * self.w_out * self.c_out
    }

    /// Values of an input image.
    pub fn in_len(&self) -> usize {
        self.h * self.w * self.c_in
    }

    /// Active weights, depthwise ones padded to whole vectors.
    pub fn n_weights(&self) -> usize {
        match self.kind {
            ConvKind::Depthwise => self.depthwise().packed_len(),
            _ => self.taps() * self.c_in * self.c_out,
        }
    }

    /// Multiply-accumulates of an image.
    pub fn macs(&self) -> usize {
        let a_pixel = match self.kind {
            ConvKind::Depthwise => self.taps() * self.c_out,
            _ => self.taps() * self.c_in * self.c_out,
        };
        self.h_out * self.w_out * a_pixel
    }

    /// Values of one kernel row over all input channels; they lie side by side in the image.
    pub fn run(&self) -> usize {
        self.kernel * self.c_in
    }

    /// How the pixels under the first tap lie in the padded image.
    pub fn input_steps(&self) -> Steps {
        Steps { pixel: self.stride * self.c_in, line: self.stride * self.padded_row() }
    }

    /// Whether a depthwise input gradient is itself a stride-1 convolution, with the flipped kernel.
    pub fn flips(&self) -> bool {
        let fits =
            |n: usize, out: usize, before: usize| before < self.kernel && n + self.kernel > before + out;
        self.stride == 1
            && fits(self.h, self.h_out, self.top)
            && fits(self.w, self.w_out, self.left)
            && self.h_padded - self.h - self.top < self.kernel
            && self.w_padded - self.w - self.left < self.kernel
    }

    /// The same for the depthwise kernels.
    pub fn depthwise(&self) -> Depthwise {
        Depthwise {
            c: self.c_out,
            kernel: self.kernel,
            stride: self.stride,
            h_out: self.h_out,
            w_out: self.w_out,
            padded_row: self.w_padded * self.c_out,
        }
    }
}

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

/// What the products of one convolution need, besides their operands.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Offsets of the kernel's rows in the padded image.
    pub rows: Vec<usize>,
    /// The border that the classes read.
    pub border: Border,
    /// How pixels of a class lie in the input gradient.
    pub class_steps: Option<Steps>,
    /// All pixels of the input gradient.
    pub classes: Vec<Class>,
}

impl Plan {
    /// Plans for `g`; keeps its buffers.
    pub fn update(&mut self, g: &Geometry) {
        self.rows.clear();
        self.rows.extend((0..g.kernel).map(|ky| ky * g.padded_row()));
        let s = g.stride;
        // The most taps of a class along one side, less one.
        let before = g.kernel.div_ceil(s) - 1;
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
            before + (0..s).map(end).max().unwrap_or(0).max(n_out)
        };
        let (border_h, border_w) = (needed(g.h, g.h_out, g.top), needed(g.w, g.w_out, g.left));
        let line = border_w * g.c_out;
        self.border = Border { line, len: border_h * line, first: before * line + before * g.c_out };
        self.class_steps = Some(Steps { pixel: s * g.c_in, line: s * g.w * g.c_in });
        self.classes.resize_with(s * s, Class::default);
        for (idx, class) in self.classes.iter_mut().enumerate() {
            let (ry, rx) = (idx / s, idx % s);
            let (y, h, from_y) = along(g.h, g.top, ry);
            let (x, w, from_x) = along(g.w, g.left, rx);
            let n_taps = |r: usize| if r < g.kernel { (g.kernel - r).div_ceil(s) } else { 0 };
            let (n_y, n_x) = (n_taps(ry), n_taps(rx));
            class.plane = (h, w);
            class.first = (y * g.w + x) * g.c_in;
            class.offsets.clear();
            class.taps.clear();
            class.from = 0;
            if n_y * n_x == 0 {
                continue;
            }
            class.from = (from_y + before + 1 - n_y) * line + (from_x + before + 1 - n_x) * g.c_out;
            for a in 0..n_y {
                for b in 0..n_x {
                    class.offsets.push((n_y - 1 - a) * line + (n_x - 1 - b) * g.c_out);
                    class.taps.push((s * a + ry) * g.kernel + s * b + rx);
                }
            }
        }
    }
}
