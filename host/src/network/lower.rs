//! The only place that turns a graph and channels into layers: what is priced is what is deployed.

use super::graph::{Channels, Conv, ConvKind, Graph, Node, NodeId, NodeOp, Pool, PoolKind, UnitId};
use super::plane::Window;
use super::{Activation, Width};
use device_bench::{LayerSpec, Op};
use std::collections::BTreeSet;

/// Index of a tensor in [`Lowered::tensor_bytes`].
pub type TensorId = usize;

/// One layer as it runs on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoweredLayer {
    /// The node that it comes from; a head becomes two layers.
    pub node: NodeId,
    /// Its shape.
    pub spec: LayerSpec,
    /// What it reads; two tensors for an add.
    pub inputs: Vec<TensorId>,
    /// What it writes.
    pub output: TensorId,
}

/// A subnet as the board runs it, layer after layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// In order of execution.
    pub layers: Vec<LoweredLayer>,
    /// Bytes of every tensor; tensor 0 is the image, the last the logits.
    pub tensor_bytes: Vec<usize>,
}

/// Channels that the graph does not offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// Not one count per unit.
    #[error("{network} has {units} units, but {given} channel counts were given")]
    Count {
        /// Name of the network.
        network: String,
        /// Units that it has.
        units: usize,
        /// Counts given.
        given: usize,
    },
    /// A count outside a unit's trained range.
    #[error("unit `{unit}` of {network}: {value} channels, but it was trained with {min} to {max}")]
    Range {
        /// Name of the network.
        network: String,
        /// Name of the unit.
        unit: String,
        /// The count given.
        value: usize,
        /// Its smallest bin.
        min: usize,
        /// Its largest bin.
        max: usize,
    },
    /// An operator that trains but has no int8 kernel.
    #[error("node `{node}` cannot be deployed yet: there is no int8 kernel for {what}")]
    NoKernel {
        /// Name of the node.
        node: String,
        /// The operator or activation.
        what: &'static str,
    },
    /// A layer that no kernel can run.
    #[error("node `{node}`: {spec}: {source}")]
    Shape {
        /// Name of the node.
        node: String,
        /// The layer.
        spec: LayerSpec,
        /// The rule that it breaks.
        source: device_bench::layer::ShapeError,
    },
}

/// The layers of a subnet, in order of execution. `graph` has passed [`Graph::check`].
///
/// # Errors
/// [`LowerError`] if `channels` is not one count within the trained range per unit.
pub fn lower(graph: &Graph, channels: &Channels) -> Result<Lowered, LowerError> {
    check_channels(graph, channels)?;
    let c = graph.node_channels(channels);
    let planes = graph.node_planes();
    let mut lowered =
        Lowered { layers: Vec::new(), tensor_bytes: vec![graph.input.h * graph.input.w * graph.input.c] };
    let mut tensor_of_node: Vec<TensorId> = vec![0];
    for (node, n) in graph.nodes.iter().enumerate().skip(1) {
        n.check_kernel()?;
        let sources = n.op.inputs();
        let mut inputs: Vec<TensorId> = sources.iter().map(|&i| tensor_of_node[i]).collect();
        for spec in node_specs(&n.op, planes[sources[0]], c[sources[0]], c[node]) {
            spec.check().map_err(|source| LowerError::Shape { node: n.name.clone(), spec, source })?;
            let output = lowered.tensor_bytes.len();
            lowered.tensor_bytes.push(spec.output_bytes());
            lowered.layers.push(LoweredLayer { node, spec, inputs, output });
            inputs = vec![output];
        }
        tensor_of_node.push(lowered.tensor_bytes.len() - 1);
    }
    Ok(lowered)
}

/// Every distinct layer that a choice of bins can ask for (per node all choices for its input and output), sorted.
///
/// # Errors
/// [`LowerError::NoKernel`] if a node has no int8 kernel.
pub fn all_specs(graph: &Graph) -> Result<Vec<LayerSpec>, LowerError> {
    let (widths, planes) = (graph.node_widths(), graph.node_planes());
    let mut specs = BTreeSet::new();
    for (id, node) in graph.nodes.iter().enumerate().skip(1) {
        node.check_kernel()?;
        let source = node.op.inputs()[0];
        for (c_in, c_out) in choices(graph, &widths[source], &widths[id]) {
            specs.extend(node_specs(&node.op, planes[source], c_in, c_out));
        }
    }
    Ok(specs.into_iter().collect())
}

/// Channels of two widths under every choice of bins.
fn choices(graph: &Graph, input: &Width, output: &Width) -> BTreeSet<(usize, usize)> {
    let units: BTreeSet<UnitId> = input.units().chain(output.units()).collect();
    let (mut channels, mut bin_idx) = (graph.smallest(), vec![0; graph.units.len()]);
    let mut pairs = BTreeSet::new();
    loop {
        pairs.insert((input.count(&channels), output.count(&channels)));
        // Counts up: the first unit that has a next bin takes it, those before it start anew.
        let next = units.iter().find(|&&unit| {
            let bins = &graph.units[unit].bins;
            bin_idx[unit] = (bin_idx[unit] + 1) % bins.len();
            channels.0[unit] = bins[bin_idx[unit]];
            bin_idx[unit] != 0
        });
        if next.is_none() {
            return pairs;
        }
    }
}

impl Lowered {
    /// Multiply-accumulates of the whole network.
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(|l| l.spec.macs()).sum()
    }

    /// Weights and biases.
    pub fn params(&self) -> u64 {
        self.layers
            .iter()
            .map(|l| l.spec.weight_bytes() as u64 + device_bench::kernels::n_bias(&l.spec) as u64)
            .sum()
    }

    /// Bytes of flash that the model's blob takes, exactly.
    pub fn flash_bytes(&self) -> u64 {
        device_bench::model::blob_bytes(self.layers.iter().map(|l| &l.spec)) as u64
    }
}

impl Node {
    fn check_kernel(&self) -> Result<(), LowerError> {
        match self.op.without_kernel() {
            Some(what) => Err(LowerError::NoKernel { node: self.name.clone(), what }),
            None => Ok(()),
        }
    }
}

impl NodeOp {
    /// What of it no int8 kernel computes.
    pub(super) fn without_kernel(&self) -> Option<&'static str> {
        match self {
            NodeOp::Conv(Conv { kind: ConvKind::Grouped { .. }, .. })
            | NodeOp::Concat { .. }
            | NodeOp::Shuffle { .. }
            | NodeOp::Split { .. }
            | NodeOp::Scale { .. } => Some(self.name()),
            _ => match self.activation() {
                Activation::None | Activation::Relu | Activation::Relu6 => None,
                other => Some(other.name()),
            },
        }
    }
}

fn check_channels(graph: &Graph, channels: &Channels) -> Result<(), LowerError> {
    let network = || graph.name.clone();
    let (units, given) = (graph.units.len(), channels.0.len());
    if units != given {
        return Err(LowerError::Count { network: network(), units, given });
    }
    for (unit, &value) in graph.units.iter().zip(&channels.0) {
        let (min, max) = (unit.min(), unit.max());
        if !(min..=max).contains(&value) {
            return Err(LowerError::Range { network: network(), unit: unit.name.clone(), value, min, max });
        }
    }
    Ok(())
}

/// The layers of one node, whose input plane is `(h, w)`; each reads the one before.
fn node_specs(op: &NodeOp, (h, w): (usize, usize), c_in: usize, c_out: usize) -> Vec<LayerSpec> {
    let short = |n: usize| u16::try_from(n).expect("Graph::check bounds planes and channels");
    let (h, w, c_in, c_out) = (short(h), short(w), short(c_in), short(c_out));
    let windowed = |op: Op, window: Window| LayerSpec {
        op,
        in_h: h,
        in_w: w,
        c_in,
        c_out,
        kernel_h: window.kernel.h as u8,
        kernel_w: window.kernel.w as u8,
        stride: window.stride as u8,
        padding: window.padding,
    };
    match (op, op.window()) {
        (NodeOp::Conv(Conv { kind: ConvKind::Depthwise, .. }), Some(window)) => {
            vec![windowed(Op::Depthwise, window)]
        }
        (NodeOp::Conv(_), Some(window)) => vec![windowed(Op::Conv, window)],
        (NodeOp::Pool(Pool { kind: PoolKind::Max, .. }), Some(window)) => vec![windowed(Op::MaxPool, window)],
        (NodeOp::Pool(_), Some(window)) => vec![windowed(Op::AvgPool, window)],
        (NodeOp::Add { .. }, _) => vec![LayerSpec::add(h, w, c_in)],
        (NodeOp::Linear(_), _) => vec![LayerSpec::linear(c_in, c_out)],
        (NodeOp::GlobalAverage { .. }, _) => vec![LayerSpec::global_avg_pool(h, w, c_in)],
        (NodeOp::Head { .. }, _) => {
            vec![LayerSpec::global_avg_pool(h, w, c_in), LayerSpec::linear(c_in, c_out)]
        }
        _ => unreachable!("Node::check_kernel refuses {}", op.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, arbitrary, zoo};

    fn tiny() -> Graph {
        let shape = Shape { h: 28, w: 28, c: 1 };
        zoo::network("mobilenet-v1-tiny", shape, 10, zoo::ZooOptions::default()).unwrap()
    }

    #[test]
    fn a_head_lowers_to_a_pool_and_a_linear_layer() {
        let lowered = lower(&tiny(), &tiny().full()).unwrap();
        let last: Vec<Op> = lowered.layers.iter().rev().take(2).map(|l| l.spec.op).collect();
        assert_eq!(last, [Op::Linear, Op::AvgPool]);
        assert_eq!(lowered.tensor_bytes.last(), Some(&10));
    }

    #[test]
    fn channels_below_the_trained_range_are_refused_by_name() {
        let graph = tiny();
        let mut channels = graph.full();
        channels.0[2] = 4;
        let message = lower(&graph, &channels).unwrap_err().to_string();
        assert!(message.contains(&graph.units[2].name) && message.contains("4 channels"), "{message}");
    }

    #[test]
    fn every_layer_of_any_choice_of_bins_is_among_all_specs() {
        for name in zoo::NAMES {
            let graph =
                zoo::network(name, Shape { h: 28, w: 28, c: 1 }, 10, zoo::ZooOptions::default()).unwrap();
            let specs = all_specs(&graph).unwrap();
            assert!(specs.is_sorted() && specs.iter().all(|s| s.check().is_ok()));
            for salt in 0..50 {
                let pick = |(i, u): (usize, &crate::network::Unit)| {
                    u.bins[(salt * 7 + i * (salt + 3)) % u.bins.len()]
                };
                let channels = Channels(graph.units.iter().enumerate().map(pick).collect());
                for layer in lower(&graph, &channels).unwrap().layers {
                    assert!(specs.binary_search(&layer.spec).is_ok(), "{name}: {}", layer.spec);
                }
            }
        }
    }

    #[test]
    fn the_small_mobilenet_has_the_macs_of_its_description() {
        let graph =
            zoo::network("mobilenet-v1", Shape { h: 28, w: 28, c: 1 }, 10, zoo::ZooOptions::default())
                .unwrap();
        let macs = lower(&graph, &graph.full()).unwrap().macs();
        assert!((5_700_000..5_900_000).contains(&macs), "{macs}");
    }

    #[test]
    fn any_network_lowers_or_names_the_operator_without_a_kernel() {
        let (mut lowered, mut refused) = (0, std::collections::BTreeSet::new());
        for seed in 0..400 {
            let graph = arbitrary::any_graph(&arbitrary::genes(seed, 1 + seed % 4));
            match lower(&graph, &arbitrary::channels(&graph, seed)) {
                Ok(network) => {
                    let specs = all_specs(&graph).unwrap();
                    assert!(network.layers.iter().all(|layer| specs.binary_search(&layer.spec).is_ok()));
                    lowered += 1;
                }
                Err(LowerError::NoKernel { node, what }) => {
                    let message = LowerError::NoKernel { node, what }.to_string();
                    assert!(
                        message.contains("cannot be deployed yet: there is no int8 kernel for"),
                        "{message}"
                    );
                    refused.insert(what);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(lowered > 40, "{lowered}");
        for what in [
            "grouped convolution",
            "channel shuffle",
            "channel split",
            "concatenation",
            "channel scaling",
            "hard_swish",
        ] {
            assert!(refused.contains(what), "{what}: {refused:?}");
        }
    }
}
