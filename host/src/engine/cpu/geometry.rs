//! The geometry of one convolution at the active channels, and which way to compute it is the fastest.

use cpu_kernels::Isa;
use cpu_kernels::depthwise::Depthwise;
use cpu_kernels::gemm::Steps;
use cpu_kernels::winograd::{Tile, Winograd};
use device_bench::Padding;

use crate::network::{Conv, ConvKind, Kernel, Linear, NodeId, NodeOp};

/// A convolution, or a linear layer as a convolution of one pixel.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    pub input: NodeId,
    pub kind: ConvKind,
    pub kernel: Kernel,
    pub stride: usize,
    pub padding: Padding,
    /// Batch norm; else a bias.
    pub has_norm: bool,
}

impl Layer {
    /// What `op` is as a convolution.
    pub fn of(op: &NodeOp) -> Option<Layer> {
        match *op {
            NodeOp::Conv(Conv { input, kind, kernel, stride, padding, .. }) => {
                Some(Layer { input, kind, kernel, stride, padding, has_norm: true })
            }
            NodeOp::Linear(Linear { input, .. }) => Some(Layer {
                input,
                kind: ConvKind::Dense,
                kernel: Kernel::square(1),
                stride: 1,
                padding: Padding::NONE,
                has_norm: false,
            }),
            _ => None,
        }
    }
}

/// Zeros around an image, in pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Margins {
    pub top: usize,
    pub left: usize,
    pub bottom: usize,
    pub right: usize,
}

impl Margins {
    /// What a convolution adds to its input.
    pub fn of(padding: Padding) -> Margins {
        let Padding { top, bottom, left, right } = padding;
        Margins { top: top.into(), left: left.into(), bottom: bottom.into(), right: right.into() }
    }

    /// The wider of each.
    pub fn max(self, other: Margins) -> Margins {
        Margins {
            top: self.top.max(other.top),
            left: self.left.max(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.max(other.right),
        }
    }
}

/// One convolution at the active channels.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    pub is_depthwise: bool,
    /// 1 unless the convolution is grouped.
    pub groups: usize,
    pub c_in: usize,
    pub c_out: usize,
    pub h: usize,
    pub w: usize,
    pub h_out: usize,
    pub w_out: usize,
    pub kernel: Kernel,
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
        !self.is_depthwise && self.groups == 1 && self.taps() == 1 && self.stride == 1 && !padded
    }

    /// The same on images that have these margins, which are at least as wide as its own padding; its own stays what is
    /// outside of the image.
    pub fn within(self, margins: Margins) -> Geometry {
        let (h_padded, w_padded) =
            (margins.top + self.h + margins.bottom, margins.left + self.w + margins.right);
        Geometry { h_padded, w_padded, ..self }
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel.taps()
    }

    /// Input channels that an output channel sees.
    pub fn group_in(&self) -> usize {
        if self.is_depthwise { 1 } else { self.c_in / self.groups }
    }

    /// Output channels of a group.
    pub fn group_out(&self) -> usize {
        self.c_out / self.groups
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
        if self.is_depthwise {
            return self.depthwise().packed_len();
        }
        self.taps() * self.group_in() * self.c_out
    }

    /// Multiply-accumulates of an image.
    pub fn macs(&self) -> usize {
        self.h_out * self.w_out * self.taps() * self.group_in() * self.c_out
    }

    /// Output pixels of a line that one row of the forward product computes, in vectors of `lanes` columns.
    ///
    /// Few output channels would leave most of a vector empty. The channels of neighbouring pixels lie side by side, so a
    /// row may have those of several; each pixel's weights are zero where only its neighbours look.
    pub fn span(&self, lanes: usize) -> usize {
        if self.is_depthwise || self.groups > 1 {
            return 1;
        }
        let spans = [2, 4].into_iter().filter(|&span| self.w_out.is_multiple_of(span));
        let cost = |span| self.cost_of_four(span, lanes);
        spans.fold(1, |best, span| if cost(span) < cost(best) { span } else { best })
    }

    /// Multiply-adds of a vector of `lanes` that four output pixels take in rows of `span`.
    fn cost_of_four(&self, span: usize, lanes: usize) -> usize {
        let vectors = (span * self.c_out).div_ceil(lanes);
        4 / span * self.kernel.h * self.window(span) * self.c_in * vectors
    }

    /// The forward in tiles, if that is faster than rows of `span` pixels.
    pub fn tiles(&self, isa: Isa, span: usize) -> Option<Winograd> {
        self.fastest(isa, |tile| self.in_tiles(tile), 4 * self.cost_of_four(span, isa.lanes()))
    }

    /// The input gradient in tiles, if that is faster; the output gradient has lines of `line` values and images of
    /// `image`.
    pub fn input_tiles(&self, isa: Isa, line: usize, image: usize) -> Option<Winograd> {
        let &Geometry { c_in, c_out, h, w, .. } = self;
        let (padded_row, padded_image) = (line, image);
        let tiles =
            |tile| Winograd { tile, c_in: c_out, c_out: c_in, h_out: h, w_out: w, padded_row, padded_image };
        self.fastest(isa, tiles, 16 * self.taps() * c_out * c_in.div_ceil(isa.lanes()))
    }

    /// The weight gradient in tiles, if that is faster.
    pub fn weight_tiles(&self, isa: Isa) -> Option<Winograd> {
        let direct = 16 * self.taps() * self.c_in * self.c_out.div_ceil(isa.lanes());
        self.fastest(isa, |tile| self.in_tiles(tile), direct)
    }

    fn in_tiles(&self, tile: Tile) -> Winograd {
        let &Geometry { c_in, c_out, h_out, w_out, .. } = self;
        let (padded_row, padded_image) = (self.padded_row(), self.padded_len());
        Winograd { tile, c_in, c_out, h_out, w_out, padded_row, padded_image }
    }

    /// The tiles that take the least time, if it is a tenth less than that of `direct` multiply-adds for 16 pixels.
    fn fastest(&self, isa: Isa, tiles: impl Fn(Tile) -> Winograd, direct: usize) -> Option<Winograd> {
        let is_3x3 = (self.kernel.h, self.kernel.w) == (3, 3);
        if !is_3x3 || self.stride != 1 || self.groups != 1 || self.is_depthwise {
            return None;
        }
        let fitting = [Tile::Two, Tile::Four].map(tiles).into_iter().filter(Winograd::fits);
        fitting.min_by_key(|tiles| tiles.cost(isa)).filter(|tiles| 10 * tiles.cost(isa) < 9 * direct)
    }

    /// Input pixels of a line that `span` output pixels see.
    pub fn window(&self, span: usize) -> usize {
        self.kernel.w + self.stride * (span - 1)
    }

    /// How the pixels under the first tap lie in the padded image.
    pub fn input_steps(&self) -> Steps {
        Steps { pixel: self.stride * self.c_in, line: self.stride * self.padded_row() }
    }

    /// Whether a depthwise input gradient is itself a stride-1 convolution, with the flipped kernel.
    pub fn flips(&self) -> bool {
        let side = self.kernel.h;
        let fits = |n: usize, out: usize, before: usize| before < side && n + side > before + out;
        self.stride == 1
            && fits(self.h, self.h_out, self.top)
            && fits(self.w, self.w_out, self.left)
            && self.h_padded - self.h - self.top < side
            && self.w_padded - self.w - self.left < side
    }

    /// The same for the depthwise kernels, which are square.
    pub fn depthwise(&self) -> Depthwise {
        Depthwise {
            c: self.c_out,
            kernel: self.kernel.h,
            stride: self.stride,
            h_out: self.h_out,
            w_out: self.w_out,
            padded_row: self.w_padded * self.c_out,
        }
    }
}
