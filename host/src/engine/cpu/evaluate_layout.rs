//! Where an evaluation keeps the outputs of nodes: in slots that are used again, with the zeros around an image that the
//! convolutions which read it need, so that none of them copies it.

use cpu_kernels::Real;
use cpu_kernels::winograd::Images;

use super::core::fill_inside;
use super::evaluate_parts::PIXELS;
use super::geometry::{Geometry, Layer, Margins};
use crate::network::{Activation, ConvKind, Graph, NodeId, NodeOp};

/// Which nodes share their memory.
///
/// The convolution that a residual block ends with adds its output to the sum's other operand where that lies; the sum is
/// done then.
#[derive(Debug, Default)]
pub struct Sharing {
    /// Per node, the first one in whose memory its output lies: mostly itself.
    pub leaders: Vec<NodeId>,
    /// Per convolution, the sum that it computes.
    pub sums: Vec<Option<NodeId>>,
}

impl Sharing {
    /// In this graph.
    pub fn new(graph: &Graph) -> Sharing {
        let n = graph.nodes.len();
        let mut sharing = Sharing { leaders: (0..n).collect(), sums: vec![None; n] };
        for (sum, node) in graph.nodes.iter().enumerate() {
            let NodeOp::Add { a, b, .. } = node.op else { continue };
            let (other, last) = (a.min(b), a.max(b));
            if is_last_of_block(graph, other, last, sum) {
                sharing.leaders[last] = sharing.leaders[other];
                sharing.leaders[sum] = sharing.leaders[other];
                sharing.sums[last] = Some(sum);
            }
        }
        sharing
    }

    /// Whether another node computes this sum.
    pub fn is_done(&self, node: NodeId) -> bool {
        self.leaders[node] != node && self.sums[node].is_none()
    }
}

/// Whether `last` can add its output to that of `other`: nothing else reads it, and nothing reads `other` any more.
fn is_last_of_block(graph: &Graph, other: NodeId, last: NodeId, sum: NodeId) -> bool {
    let NodeOp::Conv(conv) = &graph.nodes[last].op else { return false };
    let reads = |of: NodeId| {
        let all = graph.nodes.iter().enumerate();
        all.filter(move |(idx, node)| *idx != sum && node.op.inputs().contains(&of)).map(|(idx, _)| idx)
    };
    let is_plain = conv.kind == ConvKind::Dense && conv.activation == Activation::None;
    is_plain && other != last && reads(last).next().is_none() && reads(other).all(|idx| idx < last)
}

/// The margins that each node writes around its output; `None` where its consumers cannot read or it cannot write any.
pub fn margins(graph: &Graph, sharing: &Sharing) -> Vec<Option<Margins>> {
    let nodes = graph.nodes.iter().zip(graph.node_planes());
    let mut margins: Vec<_> =
        nodes.map(|(node, (h, w))| writes(&node.op, h * w).then(Margins::default)).collect();
    for node in &graph.nodes {
        for input in node.op.inputs() {
            margins[input] = match (&node.op, Layer::of(&node.op)) {
                (_, Some(layer)) => margins[input].map(|m| m.max(Margins::of(layer.padding))),
                (NodeOp::Add { .. }, None) => margins[input],
                _ => None,
            };
        }
    }
    // What shares its memory lies in it alike.
    for (idx, leader) in sharing.leaders.iter().enumerate() {
        margins[*leader] = margins[*leader].zip(margins[idx]).map(|(a, b)| a.max(b));
    }
    sharing.leaders.iter().map(|leader| margins[*leader]).collect()
}

/// Whether it can write lines that lie apart. Pointwise convolutions of small planes lose more than a copy: they read their
/// weights for one image instead of several.
fn writes(op: &NodeOp, pixels: usize) -> bool {
    match op {
        NodeOp::Conv(conv) => conv.kind == ConvKind::Dense && (conv.kernel.taps() > 1 || pixels >= PIXELS),
        NodeOp::Input | NodeOp::Add { .. } => true,
        _ => false,
    }
}

/// A slot for every node's output, free again after its last consumer; slot 0 is for temporaries.
pub fn assign_slots(graph: &Graph, sharing: &Sharing) -> Vec<usize> {
    let leaders = &sharing.leaders;
    let mut last_use = vec![0; graph.nodes.len()];
    for (idx, node) in graph.nodes.iter().enumerate() {
        node.op.inputs().iter().for_each(|&input| last_use[leaders[input]] = idx);
    }
    let (mut free, mut n_slots) = (Vec::new(), 1);
    let mut slots = Vec::with_capacity(graph.nodes.len());
    for (idx, node) in graph.nodes.iter().enumerate() {
        if leaders[idx] == idx {
            slots.push(free.pop().unwrap_or_else(|| {
                n_slots += 1;
                n_slots - 1
            }));
        } else {
            slots.push(slots[leaders[idx]]);
        }
        let mut inputs: Vec<NodeId> = node.op.inputs().iter().map(|&input| leaders[input]).collect();
        inputs.sort_unstable();
        inputs.dedup();
        free.extend(inputs.iter().filter(|&&input| last_use[input] == idx).map(|&input| slots[input]));
    }
    slots
}

/// How a node's output lies in its slot.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Lines of an image.
    pub h: usize,
    /// Values of a line inside of the margins.
    pub inside: usize,
    /// The first value inside.
    pub first: usize,
    /// How lines and images lie.
    pub images: Images,
}

impl Layout {
    /// Of images of `c` channels.
    pub fn new((h, w): (usize, usize), c: usize, margins: Margins) -> Layout {
        let line = (margins.left + w + margins.right) * c;
        let image = (margins.top + h + margins.bottom) * line;
        Layout {
            h,
            inside: w * c,
            first: margins.top * line + margins.left * c,
            images: Images { line, image },
        }
    }

    /// Whether nothing lies between the lines.
    pub fn is_dense(&self) -> bool {
        self.images.line == self.inside && self.images.image == self.h * self.inside
    }

    /// Where the first tap of the first pixel of `g` reads, whose padding is within the margins.
    pub fn first_tap(&self, g: &Geometry) -> usize {
        self.first - g.top * self.images.line - g.left * g.c_in
    }

    /// Where line `y` of an image begins.
    pub fn line(&self, image: usize, y: usize) -> usize {
        self.first + image * self.images.image + y * self.images.line
    }

    /// Zeros around every image.
    pub fn clear_margins(&self, slot: &mut [Real]) {
        if !self.is_dense() {
            for image in slot.chunks_exact_mut(self.images.image) {
                fill_inside(image, self.first, self.images.line, self.inside, self.h, |_, _| {});
            }
        }
    }
}
