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
        _ => {}
    }
    let wanted = node.op.activation();
    activation(wanted).is_none().then(|| wanted.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::graph::{Kernel, Shape};
    use crate::network::zoo::{ZooOptions, network};

    #[test]
    fn a_depthwise_kernel_that_is_no_square_is_refused_by_name() {
        let shape = Shape { h: 28, w: 28, c: 1 };
        let mut graph = network("mobilenet-v1-tiny", shape, 10, ZooOptions::default()).unwrap();
        assert_eq!(unsupported(&graph), None);
        let NodeOp::Conv(conv) = &mut graph.nodes[2].op else { panic!("{:?}", graph.nodes[2]) };
        conv.kernel = Kernel { h: 3, w: 1 };
        let message = unsupported(&graph).expect("no kernel for it");
        assert!(message.contains(&graph.nodes[2].name), "{message}");
    }
}
