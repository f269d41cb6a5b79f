//! What the CPU engine does not do; `CandleEngine` does.

use crate::network::{Activation, Graph, NodeOp};

/// The first node that this engine cannot run, and why.
pub fn unsupported(graph: &Graph) -> Option<String> {
    graph.nodes.iter().find_map(|node| {
        let activation = match &node.op {
            NodeOp::Conv(conv) => conv.activation,
            NodeOp::Add { activation, .. } => *activation,
            NodeOp::Input | NodeOp::Head { .. } => Activation::None,
        };
        match activation {
            Activation::None | Activation::Relu => None,
            other => Some(format!("{} (node `{}`)", other.name(), node.name)),
        }
    })
}
