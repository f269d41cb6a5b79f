//! [`LayerSpec`]: the one vocabulary of shapes. Key of the cost table, unit of the wire and of deployment.

mod op;
mod shapes;

pub use op::Op;

use core::fmt;
use serde::{Deserialize, Serialize};

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
    /// Kernel height; 1 for operators without a window.
    pub kernel_h: u8,
    /// Kernel width; 1 for operators without a window.
    pub kernel_w: u8,
    /// Stride in both directions; 1 for operators without a window.
    pub stride: u8,
    /// Runs of channels that a grouped convolution keeps apart, at least 2; 1 for all other operators.
    #[serde(default = "ungrouped")]
    pub groups: u16,
    /// Padding of the input plane.
    pub padding: Padding,
}

/// What files of before there were groups mean.
fn ungrouped() -> u16 {
    1
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
    /// A grouped convolution without two groups at least, or whose channels are no multiples of them; groups of another
    /// operator.
    #[error(
        "groups are at least 2 and divide the channels of a grouped convolution, and 1 for other operators"
    )]
    Groups,
    /// A concatenation without a second part.
    #[error("a concatenation has more channels than its first part")]
    Parts,
    /// The padded plane is smaller than the kernel, the padding not smaller than the kernel, or the output plane
    /// wider than 65535.
    #[error("kernel and padding do not fit the input plane")]
    Kernel,
    /// The layer has more than 2^31 multiply-accumulates or elements.
    #[error("the layer is too large for 32-bit sizes")]
    TooLarge,
}

impl LayerSpec {
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

    /// Bytes of the (first) input tensor.
    pub const fn input_bytes(&self) -> usize {
        self.in_h as usize * self.in_w as usize * self.c_in as usize
    }

    /// Bytes of the second input tensor; 0 for operators with one.
    pub const fn second_input_bytes(&self) -> usize {
        match self.op {
            Op::Add => self.input_bytes(),
            Op::Concat => {
                self.in_h as usize * self.in_w as usize * self.c_out.saturating_sub(self.c_in) as usize
            }
            Op::Scale => self.c_in as usize,
            _ => 0,
        }
    }

    /// Input channels that an output channel of a convolution sees; 0 if the shape is invalid.
    pub const fn c_in_of_group(&self) -> u16 {
        of_group(self.c_in, self.groups)
    }

    /// Output channels of a group of a convolution; 0 if the shape is invalid.
    pub const fn c_out_of_group(&self) -> u16 {
        of_group(self.c_out, self.groups)
    }

    /// Bytes of the output tensor.
    pub const fn output_bytes(&self) -> usize {
        self.out_h() as usize * self.out_w() as usize * self.c_out as usize
    }

    /// Weights, one byte each, or bytes of a table; 0 for layers without.
    pub const fn weight_bytes(&self) -> usize {
        let kernel = self.kernel_h as usize * self.kernel_w as usize;
        match self.op {
            Op::Conv => self.c_out as usize * kernel * self.c_in as usize,
            Op::Depthwise => kernel * self.c_in as usize,
            Op::GroupedConv => self.c_out as usize * kernel * self.c_in_of_group() as usize,
            Op::Linear => self.c_out as usize * self.input_bytes(),
            Op::Select => self.c_out as usize * 2,
            Op::Lookup => 256,
            Op::AvgPool | Op::MaxPool | Op::Add | Op::Concat | Op::Scale => 0,
        }
    }

    /// Multiply-accumulates; a pool counts its window, an operator without weights and window one an element.
    pub const fn macs(&self) -> u64 {
        let out = self.output_bytes() as u64;
        let kernel = self.kernel_h as u64 * self.kernel_w as u64;
        match self.op {
            Op::Conv => out * kernel * self.c_in as u64,
            Op::Depthwise | Op::AvgPool | Op::MaxPool => out * kernel,
            Op::GroupedConv => out * kernel * self.c_in_of_group() as u64,
            Op::Linear => self.c_out as u64 * self.input_bytes() as u64,
            Op::Add | Op::Concat | Op::Select | Op::Scale | Op::Lookup => out,
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
        if !self.op.changes_channels() && self.c_in != self.c_out {
            return Err(ShapeError::Channels);
        }
        let divides = self.groups > 1
            && self.c_in.is_multiple_of(self.groups)
            && self.c_out.is_multiple_of(self.groups);
        if if self.op == Op::GroupedConv { !divides } else { self.groups != 1 } {
            return Err(ShapeError::Groups);
        }
        if self.op == Op::Concat && self.c_in >= self.c_out {
            return Err(ShapeError::Parts);
        }
        let p = self.padding;
        let pad_fits = p.top < self.kernel_h
            && p.bottom < self.kernel_h
            && p.left < self.kernel_w
            && p.right < self.kernel_w;
        let point = self.kernel_h == 1 && self.kernel_w == 1 && self.stride == 1;
        if !pad_fits || self.out_h() == 0 || self.out_w() == 0 || (!self.op.has_window() && !point) {
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

const fn of_group(channels: u16, groups: u16) -> u16 {
    match channels.checked_div(groups) {
        Some(channels) => channels,
        None => 0,
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
        if self.op.has_window() {
            write!(f, " k{}", self.kernel_h)?;
            if self.kernel_w != self.kernel_h {
                write!(f, "x{}", self.kernel_w)?;
            }
            write!(f, " s{}", self.stride)?;
        }
        if self.groups != 1 {
            write!(f, " g{}", self.groups)?;
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
