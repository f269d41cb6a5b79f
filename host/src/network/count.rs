//! Multiply-accumulates and parameters of a subnet, counted as the papers do.

use super::graph::{Channels, Graph, Node, NodeOp};

/// What a subnet costs without a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Multiply-accumulates of convolutions and linear layers; batch norm, sums, pools and scaling are not counted.
    pub macs: u64,
    /// Weights, biases, γ and β.
    pub params: u64,
}

impl Graph {
    /// Counts the subnet `channels`, which the graph offers; the graph has passed [`Graph::check`].
    pub fn counts(&self, channels: &Channels) -> Counts {
        let sum = |a: Counts, b: Counts| Counts { macs: a.macs + b.macs, params: a.params + b.params };
        self.node_counts(channels).into_iter().fold(Counts { macs: 0, params: 0 }, sum)
    }

    /// The same, node by node.
    pub fn node_counts(&self, channels: &Channels) -> Vec<Counts> {
        let (maps, planes) = (self.channel_maps(channels), self.node_planes());
        let count = |(id, node): (usize, &Node)| {
            let Some(weight) = self.weight_map(id, &maps) else { return Counts { macs: 0, params: 0 } };
            let taps = node.op.window().map_or(1, |window| window.kernel.taps());
            let c_out = weight.rows.len() as u64;
            let weights = c_out * (weight.columns.len() * taps) as u64;
            let vectors = if matches!(node.op, NodeOp::Conv(_)) { 2 } else { 1 };
            Counts { macs: weights * (planes[id].0 * planes[id].1) as u64, params: weights + vectors * c_out }
        };
        self.nodes.iter().enumerate().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::network::zoo::{self, ZooOptions};
    use crate::network::{Shape, lower};

    #[test]
    fn counts_are_those_of_the_layers_and_their_batch_norms() {
        for name in ["mobilenet-v1", "mobilenet-v1-tiny"] {
            let shape = Shape { h: 28, w: 28, c: 1 };
            let graph = zoo::network(name, shape, 10, ZooOptions::default()).unwrap();
            for channels in [graph.full(), graph.smallest()] {
                let (counts, lowered) = (graph.counts(&channels), lower(&graph, &channels).unwrap());
                let (h, w) = graph.node_planes()[graph.nodes.len() - 2];
                let c = graph.node_channels(&channels);
                let pooled = (h * w * c[c.len() - 2]) as u64;
                assert_eq!(
                    counts.macs,
                    lowered.macs() - pooled,
                    "{name}: the head's pool is no multiplication"
                );
                // A folded batch norm is the bias of its convolution: one number of its two.
                let folded: usize = c[1..c.len() - 1].iter().sum();
                assert_eq!(counts.params, lowered.params() + folded as u64, "{name}");
            }
        }
    }
}
