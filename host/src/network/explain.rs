//! A network in words and numbers: what each node makes, which channels are tied and why, and what the network takes.

use super::graph::{Channels, Conv, ConvKind, Graph, Node, NodeId, NodeOp, Pool, PoolKind, Shape, UnitId};
use super::lower::lower;
use super::{Activation, Counts, Width};
use crate::memory;
use serde::Serialize;

/// Everything that is known of a network before it is trained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Its name.
    pub name: String,
    /// The image.
    pub input: Shape,
    /// Classes of the head.
    pub classes: usize,
    /// In the network's order.
    pub nodes: Vec<NodeFacts>,
    /// In the network's order.
    pub units: Vec<UnitFacts>,
    /// What it takes with the channels of each of three subnets.
    pub sizes: OfSubnets<Size>,
}

/// One value for each of the three subnets that every network has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OfSubnets<T> {
    /// Every unit at its smallest.
    pub smallest: T,
    /// Every unit at width x1.0.
    pub full: T,
    /// Every unit at its widest.
    pub widest: T,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// As [`operator`] has it.
    pub op: String,
    /// The nodes that it reads.
    pub inputs: Vec<String>,
    /// Height and width of what it reads, pixels; none for the image.
    pub input_plane: Option<(usize, usize)>,
    /// Height and width of what it writes, pixels.
    pub plane: (usize, usize),
    /// Channels of what it writes.
    pub channels: OfSubnets<usize>,
    /// The units that these follow from.
    pub units: Vec<String>,
    /// At width x1.0.
    pub counts: Counts,
}

/// A unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnitFacts {
    /// Its name.
    pub name: String,
    /// Channels at width x1.0.
    pub full: usize,
    /// What can be chosen.
    pub bins: Vec<usize>,
    /// The convolutions and linear layers that have it, whose channels are always chosen together.
    pub layers: Vec<String>,
    /// Why they are tied, and what else depends on the unit: a sentence a node.
    pub because: Vec<String>,
}

/// What a subnet takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Size {
    /// Multiply-accumulates and parameters, counted as papers do.
    #[serde(flatten)]
    pub counts: Counts,
    /// Arena of the planner, bytes; none if a layer is too large for any kernel.
    pub ram_bytes: Option<usize>,
    /// The model's blob, bytes; none if a layer is too large for any kernel.
    pub flash_bytes: Option<u64>,
}

/// Explains a network that has passed [`Graph::check`].
pub fn explain(graph: &Graph) -> Explanation {
    let widths = graph.node_widths();
    let subnets = OfSubnets { smallest: graph.smallest(), full: graph.full(), widest: graph.widest() };
    Explanation {
        name: graph.name.clone(),
        input: graph.input,
        classes: graph.classes,
        nodes: node_facts(graph, &widths, &subnets),
        units: (0..graph.units.len()).map(|unit| unit_facts(graph, &widths, unit)).collect(),
        sizes: subnets.map(|channels| size(graph, channels)),
    }
}

impl<T> OfSubnets<T> {
    fn map<U>(&self, f: impl Fn(&T) -> U) -> OfSubnets<U> {
        OfSubnets { smallest: f(&self.smallest), full: f(&self.full), widest: f(&self.widest) }
    }
}

fn node_facts(graph: &Graph, widths: &[Width], subnets: &OfSubnets<Channels>) -> Vec<NodeFacts> {
    let planes = graph.node_planes();
    let channels = subnets.map(|channels| graph.node_channels(channels));
    let counts = graph.node_counts(&subnets.full);
    let facts = |(id, node): (NodeId, &Node)| {
        let inputs = node.op.inputs();
        NodeFacts {
            name: node.name.clone(),
            op: operator(&node.op),
            input_plane: inputs.first().map(|&input| planes[input]),
            inputs: inputs.into_iter().map(|input| graph.nodes[input].name.clone()).collect(),
            plane: planes[id],
            channels: channels.map(|channels| channels[id]),
            units: widths[id].units().map(|unit| graph.units[unit].name.clone()).collect(),
            counts: counts[id],
        }
    };
    graph.nodes.iter().enumerate().map(facts).collect()
}

fn unit_facts(graph: &Graph, widths: &[Width], id: UnitId) -> UnitFacts {
    let layers = graph.nodes.iter().filter(|node| match &node.op {
        NodeOp::Conv(conv) => conv.units.contains(&id),
        NodeOp::Linear(linear) => linear.units.contains(&id),
        _ => false,
    });
    let reads_unit =
        |node: &&Node| node.op.inputs().iter().any(|&input| widths[input].units().any(|unit| unit == id));
    let unit = &graph.units[id];
    UnitFacts {
        name: unit.name.clone(),
        full: unit.full,
        bins: unit.bins.clone(),
        layers: layers.map(|node| node.name.clone()).collect(),
        because: graph.nodes.iter().filter(reads_unit).filter_map(|node| tie(graph, node)).collect(),
    }
}

/// What a node asks of the channels that it reads, in words.
fn tie(graph: &Graph, node: &Node) -> Option<String> {
    let (of, name) = (|id: NodeId| &graph.nodes[id].name, &node.name);
    let cut =
        |input: NodeId, n: usize| format!("`{name}` cuts `{}` into {n} equal runs of channels", of(input));
    Some(match &node.op {
        NodeOp::Add { a, b, .. } => format!("`{name}` adds `{}` and `{}`", of(*a), of(*b)),
        NodeOp::Conv(Conv { kind: ConvKind::Depthwise, input, .. }) => {
            format!("`{name}` filters each channel of `{}` by itself", of(*input))
        }
        NodeOp::Scale { input, gate } => {
            format!("`{name}` scales each channel of `{}` by `{}`", of(*input), of(*gate))
        }
        NodeOp::Concat { a, b } => {
            format!("`{name}` has the channels of `{}`, then those of `{}`", of(*a), of(*b))
        }
        NodeOp::Conv(Conv { kind: ConvKind::Grouped { groups }, input, .. }) => cut(*input, *groups),
        NodeOp::Shuffle { input, groups } => cut(*input, *groups),
        NodeOp::Split { input, parts, .. } => cut(*input, *parts),
        _ => return None,
    })
}

fn size(graph: &Graph, channels: &Channels) -> Size {
    let lowered = lower(graph, channels).ok();
    Size {
        counts: graph.counts(channels),
        ram_bytes: lowered.as_ref().map(|lowered| memory::plan(lowered).layout.arena_bytes),
        flash_bytes: lowered.as_ref().map(|lowered| lowered.flash_bytes()),
    }
}

/// An operator as files call it, with kernel, stride and activation: `conv 3x3/2 relu`.
pub fn operator(op: &NodeOp) -> String {
    let mut words = vec![match op {
        NodeOp::Input => "image".to_owned(),
        NodeOp::Conv(Conv { kind: ConvKind::Depthwise, .. }) => "depthwise".to_owned(),
        NodeOp::Conv(_) => "conv".to_owned(),
        NodeOp::Linear(_) => "linear".to_owned(),
        NodeOp::Add { .. } => "add".to_owned(),
        NodeOp::Concat { .. } => "concat".to_owned(),
        NodeOp::Shuffle { groups, .. } => format!("shuffle of {groups}"),
        NodeOp::Split { part, parts, .. } => format!("split {part} of {parts}"),
        NodeOp::Pool(Pool { kind: PoolKind::Max, .. }) => "max_pool".to_owned(),
        NodeOp::Pool(_) => "average_pool".to_owned(),
        NodeOp::GlobalAverage { .. } => "global_average".to_owned(),
        NodeOp::Scale { .. } => "scale".to_owned(),
        NodeOp::Head { .. } => "head".to_owned(),
    }];
    if let Some(window) = op.window() {
        let stride = if window.stride == 1 { String::new() } else { format!("/{}", window.stride) };
        words.push(format!("{}x{}{stride}", window.kernel.h, window.kernel.w));
    }
    if let NodeOp::Conv(Conv { kind: ConvKind::Grouped { groups }, .. }) = op {
        words.push(format!("groups {groups}"));
    }
    if op.activation() != Activation::None {
        words.push(op.activation().name().to_owned());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{arbitrary, look};

    #[test]
    fn the_unit_of_a_residual_block_is_explained_by_its_sums() {
        let explanation = explain(&look("resnet-8", None, None).unwrap());
        let stem = &explanation.units[0];
        assert_eq!(stem.layers, ["stem", "block1.conv2"]);
        assert_eq!(stem.because, ["`block1.sum` adds `block1.conv2` and `stem`"]);
        let inner = &explanation.units[1];
        assert_eq!((&inner.layers[..], inner.because.len()), (&["block1.conv1".to_owned()][..], 0));
        let conv = explanation.nodes.iter().find(|node| node.name == "block2.conv1").unwrap();
        assert_eq!(
            (conv.op.as_str(), conv.input_plane, conv.plane),
            ("conv 3x3/2 relu", Some((32, 32)), (16, 16))
        );
        assert_eq!(conv.channels, OfSubnets { smallest: 8, full: 32, widest: 32 });
    }

    #[test]
    fn a_depthwise_convolution_is_tied_to_its_input() {
        let explanation = explain(&look("mobilenet-v1-tiny", None, None).unwrap());
        let unit = explanation.units.iter().find(|unit| unit.layers.len() == 2).unwrap();
        let [first, second] = &unit.layers[..] else { unreachable!() };
        assert_eq!(unit.because, [format!("`{second}` filters each channel of `{first}` by itself")]);
    }

    #[test]
    fn any_network_is_explained_and_its_nodes_add_up_to_it() {
        for seed in 0..200 {
            let graph = arbitrary::any_graph(&arbitrary::genes(seed, 1 + seed % 8));
            let explanation = explain(&graph);
            let full = explanation.sizes.full;
            assert_eq!(full.counts.macs, explanation.nodes.iter().map(|node| node.counts.macs).sum::<u64>());
            assert_eq!(
                full.counts.params,
                explanation.nodes.iter().map(|node| node.counts.params).sum::<u64>()
            );
            assert!(full.ram_bytes.is_some() && full.flash_bytes.is_some());
            assert_eq!(explanation.nodes.len(), graph.nodes.len());
        }
    }
}
