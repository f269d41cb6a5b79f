//! [`LayerSpec`]: the one vocabulary of shapes. Key of the cost table, unit of the wire and of deployment.

use core::fmt;
use serde::{Deserialize, Serialize};

/// An int8 operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Dense convolution, also pointwise (kernel 1); weights `[c_out, kh, kw, c_in]`.
    Conv,
    /// Depthwise convolution, multiplier 1, `c_in == c_out`; weights `[kh, kw, c]`.
    Depthwise,
    /// Fully connected on `in_h * in_w * c_in` inputs; weights `[c_out, in_h * in_w * c_in]`.
    Linear,
    /// Average over windows; `c_in == c_out`; a global pool has the plane as its kernel.
    AvgPool,
    /// Maximum over windows; `c_in == c_out`.
    MaxPool,
    /// Sum of two tensors of one shape, each with its own scale; `c_in == c_out`.
    Add,
}

impl Op {
    /// Every operator, in table order.
    pub const ALL: [Op; 6] = [Op::Conv, Op::Depthwise, Op::Linear, Op::AvgPool, Op::MaxPool, Op::Add];

    /// The name in tables and files, as in `cost-tables/data/*.csv`.
    pub const fn name(self) -> &'static str {
        match self {
            Op::Conv => "conv",
            Op::Depthwise => "depthwise",
            Op::Linear => "linear",
            Op::AvgPool => "avg_pool",
            Op::MaxPool => "max_pool",
            Op::Add => "add",
        }
    }

    /// The operator with this [`Op::name`].
    pub fn from_name(name: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.name() == name)
    }
}

/// Zero-point pixels added around a plane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Padding {
    /// Rows above.
    pub top: u8,
    /// Rows below.
    pub bottom: u8,
    /// Columns to the left.
    pub left: u8,
    /// Columns to the right.
    pub right: u8,
}

impl Padding {
    /// No padding.
    pub const NONE: Padding = Padding { top: 0, bottom: 0, left: 0, right: 0 };

    /// The same number of pixels on all four sides (PyTorch's `padding=n`).
    pub const fn all(n: u8) -> Padding {
        Padding { top: n, bottom: n, left: n, right: n }
    }
}

/// One layer's shape: everything its latency depends on except the board.
///
/// Planes are NHWC with one image. Which clamp or scales a layer has is not part of it: kernels take the same path for all scales
/// from 2^-22 to a half, and a clamp that is not the whole range is a pass behind them. Trained layers seldom have others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LayerSpec {
    /// The operator.
    pub op: Op,
    /// Input height, pixels.
    pub in_h: u16,
    /// Input width, pixels.
    pub in_w: u16,
    /// Input channels.
    pub c_in: u16,
    /// Output channels.
    pub c_out: u16,
    /// Kernel height; 1 for linear and add.
    pub kernel_h: u8,
    /// Kernel width; 1 for linear and add.
    pub kernel_w: u8,
    /// Stride in both directions.
    pub stride: u8,
    /// Padding of the input plane.
    pub padding: Padding,
}

/// A shape that no kernel can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ShapeError {
    /// A dimension, the kernel or the stride is zero.
    #[error("a dimension, kernel or stride of the layer is zero")]
    Zero,
    /// The operator keeps its channels but `c_in != c_out`.
    #[error("the operator keeps its channels, but c_in and c_out differ")]
    Channels,
    /// The padded plane is smaller than the kernel, the padding not smaller than the kernel, or the output plane
    /// wider than 65535.
    #[error("kernel and padding do not fit the input plane")]
    Kernel,
    /// The layer has more than 2^31 multiply-accumulates or elements.
    #[error("the layer is too large for 32-bit sizes")]
    TooLarge,
}

impl LayerSpec {
    /// A pointwise or dense convolution with a square kernel.
    pub const fn conv(
        in_h: u16,
        in_w: u16,
        c_in: u16,
        c_out: u16,
        kernel: u8,
        stride: u8,
        padding: Padding,
    ) -> Self {
        LayerSpec {
            op: Op::Conv,
            in_h,
            in_w,
            c_in,
            c_out,
            kernel_h: kernel,
            kernel_w: kernel,
            stride,
            padding,
        }
    }

    /// A depthwise convolution with a square kernel.
    pub const fn depthwise(
        in_h: u16,
        in_w: u16,
        channels: u16,
        kernel: u8,
        stride: u8,
        padding: Padding,
    ) -> Self {
        LayerSpec {
            op: Op::Depthwise,
            in_h,
            in_w,
            c_in: channels,
            c_out: channels,
            kernel_h: kernel,
            kernel_w: kernel,
            stride,
            padding,
        }
    }

    /// A fully connected layer on `c_in` inputs.
    pub const fn linear(c_in: u16, c_out: u16) -> Self {
        LayerSpec {
            op: Op::Linear,
            in_h: 1,
            in_w: 1,
            c_in,
            c_out,
            kernel_h: 1,
            kernel_w: 1,
            stride: 1,
            padding: Padding::NONE,
        }
    }

    /// The mean of the whole plane, per channel.
    pub const fn global_avg_pool(in_h: u16, in_w: u16, channels: u16) -> Self {
        LayerSpec {
            op: Op::AvgPool,
            in_h,
            in_w,
            c_in: channels,
            c_out: channels,
            kernel_h: in_h as u8,
            kernel_w: in_w as u8,
            stride: 1,
            padding: Padding::NONE,
        }
    }

    /// The sum of two planes.
    pub const fn add(in_h: u16, in_w: u16, channels: u16) -> Self {
        LayerSpec {
            op: Op::Add,
            in_h,
            in_w,
            c_in: channels,
            c_out: channels,
            kernel_h: 1,
            kernel_w: 1,
            stride: 1,
            padding: Padding::NONE,
        }
    }

    /// Output height, pixels; 0 if the shape is invalid.
    pub const fn out_h(&self) -> u16 {
        match self.op {
            Op::Linear => 1,
            _ => out_dim(self.in_h, self.padding.top, self.padding.bottom, self.kernel_h, self.stride),
        }
    }

    /// Output width, pixels; 0 if the shape is invalid.
    pub const fn out_w(&self) -> u16 {
        match self.op {
            Op::Linear => 1,
            _ => out_dim(self.in_w, self.padding.left, self.padding.right, self.kernel_w, self.stride),
        }
    }

    /// Bytes of one input tensor (an add has two of them).
    pub const fn input_bytes(&self) -> usize {
        self.in_h as usize * self.in_w as usize * self.c_in as usize
    }

    /// Bytes of the output tensor.
    pub const fn output_bytes(&self) -> usize {
        self.out_h() as usize * self.out_w() as usize * self.c_out as usize
    }

    /// Weights, one byte each; 0 for layers without.
    pub const fn weight_bytes(&self) -> usize {
        let kernel = self.kernel_h as usize * self.kernel_w as usize;
        match self.op {
            Op::Conv => self.c_out as usize * kernel * self.c_in as usize,
            Op::Depthwise => kernel * self.c_in as usize,
            Op::Linear => self.c_out as usize * self.input_bytes(),
            Op::AvgPool | Op::MaxPool | Op::Add => 0,
        }
    }

    /// Multiply-accumulates; a pool counts its window, an add one an element.
    pub const fn macs(&self) -> u64 {
        let out = self.output_bytes() as u64;
        let kernel = self.kernel_h as u64 * self.kernel_w as u64;
        match self.op {
            Op::Conv => out * kernel * self.c_in as u64,
            Op::Depthwise | Op::AvgPool | Op::MaxPool => out * kernel,
            Op::Linear => self.c_out as u64 * self.input_bytes() as u64,
            Op::Add => out,
        }
    }

    /// Whether a kernel can run this shape.
    ///
    /// # Errors
    /// [`ShapeError`] with the first rule that the shape breaks.
    pub fn check(&self) -> Result<(), ShapeError> {
        let dims = [self.in_h, self.in_w, self.c_in, self.c_out];
        if dims.contains(&0) || self.kernel_h == 0 || self.kernel_w == 0 || self.stride == 0 {
            return Err(ShapeError::Zero);
        }
        if !matches!(self.op, Op::Conv | Op::Linear) && self.c_in != self.c_out {
            return Err(ShapeError::Channels);
        }
        let p = self.padding;
        let pad_fits = p.top < self.kernel_h
            && p.bottom < self.kernel_h
            && p.left < self.kernel_w
            && p.right < self.kernel_w;
        let point = self.kernel_h == 1 && self.kernel_w == 1 && self.stride == 1;
        if !pad_fits
            || self.out_h() == 0
            || self.out_w() == 0
            || (matches!(self.op, Op::Linear | Op::Add) && !point)
        {
            return Err(ShapeError::Kernel);
        }
        let elements = dims[..3].iter().map(|&d| u64::from(d)).product::<u64>();
        let out = u64::from(self.out_h()) * u64::from(self.out_w()) * u64::from(self.c_out);
        let per_out = match self.op {
            Op::Linear => elements,
            _ => u64::from(self.kernel_h) * u64::from(self.kernel_w) * u64::from(self.c_in),
        };
        if elements.max(out).max(per_out.saturating_mul(out)) > i32::MAX as u64 {
            return Err(ShapeError::TooLarge);
        }
        Ok(())
    }
}

const fn out_dim(size: u16, before: u8, after: u8, kernel: u8, stride: u8) -> u16 {
    let padded = size as u32 + before as u32 + after as u32;
    if stride == 0 || padded < kernel as u32 {
        return 0;
    }
    let out = (padded - kernel as u32) / stride as u32 + 1;
    if out > u16::MAX as u32 { 0 } else { out as u16 }
}

/// `conv 28x28x16->32 k3 s1`
impl fmt::Display for LayerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}x{}->{}", self.op.name(), self.in_h, self.in_w, self.c_in, self.c_out)?;
        if !matches!(self.op, Op::Linear | Op::Add) {
            write!(f, " k{}", self.kernel_h)?;
            if self.kernel_w != self.kernel_h {
                write!(f, "x{}", self.kernel_w)?;
            }
            write!(f, " s{}", self.stride)?;
        }
        let p = self.padding;
        if p != Padding::NONE {
            write!(f, " p{},{},{},{}", p.top, p.bottom, p.left, p.right)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_does_not_make_a_plane_wider_than_its_numbers() {
        let padded = |in_h, padding| LayerSpec {
            kernel_h: 255,
            padding: Padding { top: padding, bottom: padding, ..Padding::NONE },
            ..LayerSpec::depthwise(in_h, 1, 1, 1, 1, Padding::NONE)
        };
        assert_eq!((padded(65535, 127).out_h(), padded(65535, 127).check()), (65535, Ok(())));
        assert_eq!(padded(65535, 128).check(), Err(ShapeError::Kernel));
        assert_eq!(padded(65535, 254).check(), Err(ShapeError::Kernel));
    }
}
