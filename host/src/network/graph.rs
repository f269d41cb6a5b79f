//! A network as nodes, units and bins.
//!
//! A *unit* is a set of layers whose channels must agree (a residual sum, a depthwise conv and its input). A
//! *subnet* is one channel count per unit; weights are stored at the widest, and
//! [`Graph::channel_maps`] says which part of them is active.

use super::activation::Activation;
use device_bench::Padding;
use serde::{Deserialize, Serialize};

/// Index of a node in [`Graph::nodes`].
pub type NodeId = usize;
/// Index of a unit in [`Graph::units`].
pub type UnitId = usize;

/// How a convolution connects channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvKind {
    /// Every input channel to every output channel; also pointwise.
    Dense,
    /// Input and output channels are cut into `groups` runs of one length; each output run sees its input run.
    Grouped {
        /// How many, at least 2; the counts of input and output are multiples of it in every subnet.
        groups: usize,
    },
    /// Each channel by itself; its channels are its input's.
    Depthwise,
}

/// The window of a convolution or pool, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
}

impl Kernel {
    /// As many rows as columns.
    pub const fn square(side: usize) -> Kernel {
        Kernel { h: side, w: side }
    }

    /// Pixels of the window.
    pub const fn taps(self) -> usize {
        self.h * self.w
    }
}

/// Convolution without bias, then batch norm, then an activation.
///
/// Parameters, for a node named `n` at the widest channel counts: `n.weight` `[c_out, c_in / groups, kh, kw]`
/// (depthwise: `[c, 1, kh, kw]`), `n.gamma` and `n.beta` `[c_out]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv {
    /// The node whose output it reads.
    pub input: NodeId,
    /// How channels connect.
    pub kind: ConvKind,
    /// Its window.
    pub kernel: Kernel,
    /// Stride in both directions.
    pub stride: usize,
    /// Zero padding.
    pub padding: Padding,
    /// The units whose counts add up to the output channels: mostly one, several where the output is added to a
    /// concatenation.
    pub units: Vec<UnitId>,
    /// What follows the batch norm.
    pub activation: Activation,
}

/// Every input channel to every output channel of a plane of one pixel, with a bias and no batch norm.
///
/// Parameters: `n.weight` `[c_out, c_in]` and `n.bias` `[c_out]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linear {
    /// The node whose output it reads, 1 × 1 pixels.
    pub input: NodeId,
    /// As [`Conv::units`].
    pub units: Vec<UnitId>,
    /// What follows the bias.
    pub activation: Activation,
}

/// What a pool makes of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolKind {
    /// The largest; a backward pass reaches the first of several equal ones, row by row.
    Max,
    /// The mean of the pixels on the plane; padding does not count (TFLite; PyTorch's `count_include_pad=False`).
    Average,
}

/// Pooling over windows; the channels stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The node whose output it reads.
    pub input: NodeId,
    /// What it makes of a window.
    pub kind: PoolKind,
    /// Its window.
    pub kernel: Kernel,
    /// Stride in both directions.
    pub stride: usize,
    /// Pixels that belong to windows but have no value.
    pub padding: Padding,
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeOp {
    /// The image, [`Graph::input`] pixels; always node 0.
    Input,
    /// Convolution, batch norm, activation.
    Conv(Conv),
    /// Linear layer with bias, activation.
    Linear(Linear),
    /// Sum of two nodes of one shape and width, then an activation.
    Add {
        /// First term.
        a: NodeId,
        /// Second term.
        b: NodeId,
        /// What follows the sum.
        activation: Activation,
    },
    /// The channels of `a`, then those of `b`.
    Concat {
        /// First channels.
        a: NodeId,
        /// Last channels.
        b: NodeId,
    },
    /// Channel `group · (c / groups) + i` becomes channel `i · groups + group` (ShuffleNet, arXiv 1707.01083).
    Shuffle {
        /// The node whose output it reads.
        input: NodeId,
        /// How many runs of channels are interleaved, at least 2.
        groups: usize,
    },
    /// One of `parts` runs of channels of one length (ShuffleNet v2's channel split).
    Split {
        /// The node whose output it reads.
        input: NodeId,
        /// Which run, from 0.
        part: usize,
        /// How many there are, at least 2.
        parts: usize,
    },
    /// Pooling over windows.
    Pool(Pool),
    /// The mean of the whole plane.
    GlobalAverage {
        /// The node whose output it reads.
        input: NodeId,
    },
    /// Every channel times the one pixel of its gate (squeeze-and-excite, arXiv 1709.01507).
    Scale {
        /// What is scaled.
        input: NodeId,
        /// Factors, 1 × 1 pixels, as many channels as the input.
        gate: NodeId,
    },
    /// Global average pooling and a linear classifier; always the last node. Parameters `n.weight`
    /// `[classes, c_in]` and `n.bias` `[classes]`.
    Head {
        /// The node whose output it reads.
        input: NodeId,
    },
}

impl NodeOp {
    /// The nodes that it reads.
    pub fn inputs(&self) -> Vec<NodeId> {
        let mut op = self.clone();
        op.inputs_mut().into_iter().map(|input| *input).collect()
    }

    /// See [`NodeOp::inputs`].
    pub(super) fn inputs_mut(&mut self) -> Vec<&mut NodeId> {
        match self {
            NodeOp::Input => vec![],
            NodeOp::Conv(Conv { input, .. })
            | NodeOp::Linear(Linear { input, .. })
            | NodeOp::Pool(Pool { input, .. })
            | NodeOp::Shuffle { input, .. }
            | NodeOp::Split { input, .. }
            | NodeOp::GlobalAverage { input }
            | NodeOp::Head { input } => vec![input],
            NodeOp::Add { a, b, .. } | NodeOp::Concat { a, b } | NodeOp::Scale { input: a, gate: b } => {
                vec![a, b]
            }
        }
    }

    /// The activation that it ends in.
    pub const fn activation(&self) -> Activation {
        match self {
            NodeOp::Conv(Conv { activation, .. })
            | NodeOp::Linear(Linear { activation, .. })
            | NodeOp::Add { activation, .. } => *activation,
            _ => Activation::None,
        }
    }

    /// In the words of messages.
    pub const fn name(&self) -> &'static str {
        match self {
            NodeOp::Input => "image",
            NodeOp::Conv(Conv { kind: ConvKind::Dense, .. }) => "convolution",
            NodeOp::Conv(Conv { kind: ConvKind::Grouped { .. }, .. }) => "grouped convolution",
            NodeOp::Conv(Conv { kind: ConvKind::Depthwise, .. }) => "depthwise convolution",
            NodeOp::Linear(_) => "linear layer",
            NodeOp::Add { .. } => "sum",
            NodeOp::Concat { .. } => "concatenation",
            NodeOp::Shuffle { .. } => "channel shuffle",
            NodeOp::Split { .. } => "channel split",
            NodeOp::Pool(Pool { kind: PoolKind::Max, .. }) => "max pool",
            NodeOp::Pool(Pool { kind: PoolKind::Average, .. }) => "average pool",
            NodeOp::GlobalAverage { .. } => "global average",
            NodeOp::Scale { .. } => "channel scaling",
            NodeOp::Head { .. } => "head",
        }
    }
}

/// A named node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Unique; the prefix of its parameters' names.
    pub name: String,
    /// What it does.
    pub op: NodeOp,
}

/// Layers whose channels are tied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Unique.
    pub name: String,
    /// Channels at width ×1.0 of the named network.
    pub full: usize,
    /// The counts that can be chosen, ascending; the last is the widest that is stored.
    pub bins: Vec<usize>,
}

impl Unit {
    /// The widest count; weights are stored at it.
    pub fn max(&self) -> usize {
        *self.bins.last().expect("Graph::check refuses a unit without bins")
    }

    /// The smallest count that is trained.
    pub fn min(&self) -> usize {
        self.bins[0]
    }
}

/// Height, width, channels of an input image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Pixels.
    pub h: usize,
    /// Pixels.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

/// A network; nodes are in topological order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// Name in the zoo or of the file.
    pub name: String,
    /// The image.
    pub input: Shape,
    /// Classes of the head.
    pub classes: usize,
    /// In topological order, node 0 the input, the last the head.
    pub nodes: Vec<Node>,
    /// What can be chosen.
    pub units: Vec<Unit>,
}

/// A subnet: one channel count per unit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channels(pub Vec<usize>);

impl Graph {
    /// Every unit at width ×1.0.
    pub fn full(&self) -> Channels {
        Channels(self.units.iter().map(|u| u.full).collect())
    }

    /// Every unit at its widest.
    pub fn widest(&self) -> Channels {
        Channels(self.units.iter().map(Unit::max).collect())
    }

    /// Every unit at its smallest.
    pub fn smallest(&self) -> Channels {
        Channels(self.units.iter().map(Unit::min).collect())
    }
}
