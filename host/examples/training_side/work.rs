//! The least that a step does: operations and memory traffic.

use edgeslim::network::{Channels, Conv, ConvKind, Graph, Linear, NodeOp};

/// Of one step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    /// Multiplications and additions of convolutions and classifier.
    pub flops: f64,
    /// Activations and their gradients to and from memory.
    pub bytes: f64,
}

impl Work {
    /// Both together.
    pub fn plus(self, other: Work) -> Work {
        Work { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }

    /// A multiple.
    pub fn scaled(self, factor: f64) -> Work {
        Work { flops: self.flops * factor, bytes: self.bytes * factor }
    }
}

/// A forward pass of `n` images, and where `is_training` the backward pass.
///
/// Batch norm and activation are taken to be fused into the convolutions, and every activation to pass through memory
/// once a use: forward, a convolution reads its input and writes its output; backward, it reads output, the output's
/// gradient and input, and writes the input's gradient. Weights are left out.
pub fn work(graph: &Graph, channels: &Channels, n: usize, is_training: bool) -> Work {
    let (c, planes) = (graph.node_channels(channels), graph.node_planes());
    let floats = |id: usize| (planes[id].0 * planes[id].1 * c[id]) as f64;
    let mut total = Work::default();
    for (id, node) in graph.nodes.iter().enumerate() {
        let inputs = node.op.inputs();
        let (read, written) = (inputs.iter().map(|&input| floats(input)).sum::<f64>(), floats(id));
        let macs = match &node.op {
            NodeOp::Conv(Conv { kind, kernel, input, .. }) => {
                let c_in = match kind {
                    ConvKind::Dense => c[*input],
                    ConvKind::Grouped { groups } => c[*input] / groups,
                    ConvKind::Depthwise => 1,
                };
                written * (kernel.taps() * c_in) as f64
            }
            NodeOp::Linear(Linear { input, .. }) | NodeOp::Head { input } => (c[*input] * c[id]) as f64,
            _ => 0.0,
        };
        let has_input_grad = inputs.iter().any(|&input| input != 0);
        let (mut passes, mut traffic) = (1.0, read + written);
        if is_training {
            passes += if has_input_grad { 2.0 } else { 1.0 };
            traffic += match &node.op {
                NodeOp::Conv(_) if has_input_grad => 2.0 * read + 2.0 * written,
                NodeOp::Conv(_) => read + 2.0 * written,
                _ => read + written,
            };
        }
        let step = Work { flops: 2.0 * macs * passes, bytes: 4.0 * traffic };
        total = total.plus(step.scaled(n as f64));
    }
    total
}
