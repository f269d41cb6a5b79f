//! A network as nodes, units and bins.
//!
//! A *unit* is a set of layers whose channels must agree (a residual sum, a depthwise conv and its input). A
//! *subnet* is one channel count per unit; weights are stored at the widest and the active part is the prefix.

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
    /// Each channel by itself; its output unit is its input's unit.
    Depthwise,
}

/// What follows a sum, a batch norm or a linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(0, x)`.
    Relu,
    /// `min(max(0, x), 6)`.
    Relu6,
    /// `x · hard_sigmoid(x)` (MobileNet v3, arXiv 1905.02244, section 5.2).
    HardSwish,
    /// `relu6(x + 3) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// Every one of them.
    pub const ALL: [Activation; 6] = [
        Activation::None,
        Activation::Relu,
        Activation::Relu6,
        Activation::HardSwish,
        Activation::HardSigmoid,
        Activation::Sigmoid,
    ];

    /// As files write it.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::None => "none",
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::HardSwish => "hard_swish",
            Activation::HardSigmoid => "hard_sigmoid",
            Activation::Sigmoid => "sigmoid",
        }
    }

    /// Its value at `x`, in the formulas of TensorFlow and PyTorch.
    pub fn apply(self, x: f32) -> f32 {
        let hard_sigmoid = |x: f32| (x + 3.0).clamp(0.0, 6.0) / 6.0;
        match self {
            Activation::None => x,
            Activation::Relu => x.max(0.0),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::HardSwish => x * hard_sigmoid(x),
            Activation::HardSigmoid => hard_sigmoid(x),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        }
    }
}

/// Convolution without bias, then batch norm, then an activation.
///
/// Parameters, for a node named `n` at the widest channel counts: `n.weight` `[c_out, c_in, k, k]` (depthwise:
/// `[c, 1, k, k]`), `n.gamma` and `n.beta` `[c_out]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conv {
    /// The node whose output it reads.
    pub input: NodeId,
    /// How channels connect.
    pub kind: ConvKind,
    /// Side of the square kernel.
    pub kernel: usize,
    /// Stride in both directions.
    pub stride: usize,
    /// Zero padding.
    pub padding: Padding,
    /// The unit of the output channels.
    pub unit: UnitId,
    /// What follows the batch norm.
    pub activation: Activation,
}

/// What a node does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeOp {
    /// The image, [`Graph::input`] pixels; always node 0.
    Input,
    /// Convolution, batch norm, activation.
    Conv(Conv),
    /// Sum of two nodes of one shape and unit, then an activation.
    Add {
        /// First term.
        a: NodeId,
        /// Second term.
        b: NodeId,
        /// What follows the sum.
        activation: Activation,
    },
    /// Global average pooling and a linear classifier; always the last node. Parameters `n.weight`
    /// `[classes, c_in]` and `n.bias` `[classes]`.
    Head {
        /// The node whose output it reads.
        input: NodeId,
    },
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

    /// Output channels of every node under `channels`; the head's are its classes.
    pub fn node_channels(&self, channels: &Channels) -> Vec<usize> {
        let mut c: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            c.push(match &node.op {
                NodeOp::Input => self.input.c,
                NodeOp::Conv(conv) => channels.0[conv.unit],
                NodeOp::Add { a, .. } => c[*a],
                NodeOp::Head { .. } => self.classes,
            });
        }
        c
    }

    /// Output height and width of every node; the head's are 1 × 1.
    pub fn node_planes(&self) -> Vec<(usize, usize)> {
        let mut p: Vec<(usize, usize)> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            p.push(match &node.op {
                NodeOp::Input => (self.input.h, self.input.w),
                NodeOp::Conv(conv) => {
                    let (h, w) = p[conv.input];
                    let pad = conv.padding;
                    let out = |n: usize, before: u8, after: u8| {
                        (n + usize::from(before) + usize::from(after) - conv.kernel) / conv.stride + 1
                    };
                    (out(h, pad.top, pad.bottom), out(w, pad.left, pad.right))
                }
                NodeOp::Add { a, .. } => p[*a],
                NodeOp::Head { .. } => (1, 1),
            });
        }
        p
    }
}
