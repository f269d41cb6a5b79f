//! [`Op`]: what a layer computes.

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
    /// Convolution in `groups` runs of channels of one length, each output run on its input run; weights
    /// `[c_out, kh, kw, c_in / groups]`.
    GroupedConv,
    /// Two tensors of one plane and one scale, channel behind channel: `c_in` of the first, then the second's.
    Concat,
    /// Output channel `c` is input channel `table[c]`: a shuffle, a split or both; the table, `[c_out]` of 16 bits, takes the
    /// place of weights. An entry beyond the last channel means the last.
    Select,
    /// A tensor times one of one pixel, channel by channel; `c_in == c_out`.
    Scale,
    /// Any function of one value, a table of 256 outputs in the place of weights, in the order of unsigned bytes;
    /// `c_in == c_out`.
    Lookup,
}

impl Op {
    /// Every operator, in table order.
    pub const ALL: [Op; 11] = [
        Op::Conv,
        Op::Depthwise,
        Op::Linear,
        Op::AvgPool,
        Op::MaxPool,
        Op::Add,
        Op::GroupedConv,
        Op::Concat,
        Op::Select,
        Op::Scale,
        Op::Lookup,
    ];

    /// The name in tables and files, as in `cost-tables/data/*.csv`.
    pub const fn name(self) -> &'static str {
        match self {
            Op::Conv => "conv",
            Op::Depthwise => "depthwise",
            Op::Linear => "linear",
            Op::AvgPool => "avg_pool",
            Op::MaxPool => "max_pool",
            Op::Add => "add",
            Op::GroupedConv => "grouped_conv",
            Op::Concat => "concat",
            Op::Select => "select",
            Op::Scale => "scale",
            Op::Lookup => "lookup",
        }
    }

    /// The operator with this [`Op::name`].
    pub fn from_name(name: &str) -> Option<Op> {
        Op::ALL.into_iter().find(|op| op.name() == name)
    }

    /// Whether it has a window that moves over the plane.
    pub const fn has_window(self) -> bool {
        matches!(self, Op::Conv | Op::Depthwise | Op::AvgPool | Op::MaxPool | Op::GroupedConv)
    }

    /// Whether input and output channels of its layers may differ.
    pub const fn changes_channels(self) -> bool {
        matches!(self, Op::Conv | Op::Linear | Op::GroupedConv | Op::Concat | Op::Select)
    }
}
