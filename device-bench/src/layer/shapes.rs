//! The usual shapes of each operator.

use super::{LayerSpec, Op, Padding};

impl LayerSpec {
    /// A layer without a window.
    const fn pointwise(op: Op, in_h: u16, in_w: u16, c_in: u16, c_out: u16) -> Self {
        let padding = Padding::NONE;
        LayerSpec { op, in_h, in_w, c_in, c_out, kernel_h: 1, kernel_w: 1, stride: 1, groups: 1, padding }
    }

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
        let point = LayerSpec::pointwise(Op::Conv, in_h, in_w, c_in, c_out);
        LayerSpec { kernel_h: kernel, kernel_w: kernel, stride, padding, ..point }
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
            ..LayerSpec::conv(in_h, in_w, channels, channels, kernel, stride, padding)
        }
    }

    /// This convolution in `groups`.
    pub const fn grouped(self, groups: u16) -> Self {
        LayerSpec { op: Op::GroupedConv, groups, ..self }
    }

    /// A fully connected layer on `c_in` inputs.
    pub const fn linear(c_in: u16, c_out: u16) -> Self {
        LayerSpec::pointwise(Op::Linear, 1, 1, c_in, c_out)
    }

    /// The mean of the whole plane, per channel.
    pub const fn global_avg_pool(in_h: u16, in_w: u16, channels: u16) -> Self {
        let point = LayerSpec::pointwise(Op::AvgPool, in_h, in_w, channels, channels);
        LayerSpec { kernel_h: in_h as u8, kernel_w: in_w as u8, ..point }
    }

    /// The sum of two planes.
    pub const fn add(in_h: u16, in_w: u16, channels: u16) -> Self {
        LayerSpec::pointwise(Op::Add, in_h, in_w, channels, channels)
    }

    /// `first` channels, then those that `channels` has more.
    pub const fn concat(in_h: u16, in_w: u16, first: u16, channels: u16) -> Self {
        LayerSpec::pointwise(Op::Concat, in_h, in_w, first, channels)
    }

    /// `c_out` of `c_in` channels.
    pub const fn select(in_h: u16, in_w: u16, c_in: u16, c_out: u16) -> Self {
        LayerSpec::pointwise(Op::Select, in_h, in_w, c_in, c_out)
    }

    /// A plane times one pixel.
    pub const fn scale(in_h: u16, in_w: u16, channels: u16) -> Self {
        LayerSpec::pointwise(Op::Scale, in_h, in_w, channels, channels)
    }

    /// A function of each value.
    pub const fn lookup(in_h: u16, in_w: u16, channels: u16) -> Self {
        LayerSpec::pointwise(Op::Lookup, in_h, in_w, channels, channels)
    }
}
