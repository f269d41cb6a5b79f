//! What the CPU engine does not do; `CandleEngine` does.

use cpu_kernels::Activation as Kernel;

use crate::network::{Activation, Conv, ConvKind, Graph, Node, NodeOp};

/// The kernels' name of an activation, if they have it.
pub fn activation(activation: Activation) -> Option<Kernel> {
    Some(match activation {
        Activation::None => Kernel::None,
        Activation::Relu => Kernel::Relu,
        Activation::Relu6 => Kernel::Relu6,
        Activation::HardSwish => Kernel::HardSwish,
        Activation::HardSigmoid => Kernel::HardSigmoid,
        Activation::Sigmoid => Kernel::Sigmoid,
    })
}

/// The first node that this engine cannot run, and why.
pub fn unsupported(graph: &Graph) -> Option<String> {
    graph.nodes.iter().find_map(|node| Some(format!("{} (node `{}`)", what(node)?, node.name)))
}

fn what(node: &Node) -> Option<&'static str> {
    match &node.op {
        NodeOp::Conv(Conv { kind: ConvKind::Depthwise, kernel, .. }) if kernel.h != kernel.w => {
            return Some("a depthwise kernel that is no square");
        }
        NodeOp::Input | NodeOp::Conv(_) | NodeOp::Linear(_) | NodeOp::Add { .. } | NodeOp::Head { .. } => {}
        _ => return Some(node.op.name()),
    }
    let wanted = node.op.activation();
    activation(wanted).is_none().then(|| wanted.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::arbitrary;

    #[test]
    fn a_graph_is_refused_by_the_first_node_that_cannot_run() {
        let graph = arbitrary::any_graph(&[[9, 0, 9, 24], [4, 0, 0, 2]]);
        let name =
            graph.nodes.iter().find(|node| node.op.activation() != Activation::None).map(|node| &node.name);
        let message = unsupported(&graph).expect("a pool or an activation is new");
        assert!(message.contains("pool") || message.contains(name.expect("one of the two")), "{message}");
        assert_eq!(unsupported(&arbitrary::graph(&[[1, 0, 0, 3], [1, 0, 0, 2]])), None);
    }
}
