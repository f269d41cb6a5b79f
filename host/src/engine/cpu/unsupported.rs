//! What the CPU engine does not do; `CandleEngine` does.

use crate::network::{Activation, Conv, ConvKind, Graph, Node, NodeOp};

/// The first node that this engine cannot run, and why.
pub fn unsupported(graph: &Graph) -> Option<String> {
    graph.nodes.iter().find_map(|node| Some(format!("{} (node `{}`)", what(node)?, node.name)))
}

fn what(node: &Node) -> Option<&'static str> {
    match &node.op {
        NodeOp::Conv(Conv { kind: ConvKind::Grouped { .. }, .. }) => return Some(node.op.name()),
        NodeOp::Conv(Conv { kernel, .. }) if kernel.h != kernel.w => {
            return Some("a kernel that is no square");
        }
        NodeOp::Conv(Conv { units, .. }) if units.len() > 1 => return Some("a convolution of several units"),
        NodeOp::Input | NodeOp::Conv(_) | NodeOp::Add { .. } | NodeOp::Head { .. } => {}
        _ => return Some(node.op.name()),
    }
    match node.op.activation() {
        Activation::None | Activation::Relu => None,
        other => Some(other.name()),
    }
}
