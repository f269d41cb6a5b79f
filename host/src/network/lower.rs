//! The only place that turns a graph and channels into layers: what is priced is what is deployed.

use super::Width;
use super::graph::{Channels, Conv, ConvKind, Graph, NodeId, NodeOp, Pool, PoolKind};
use super::plane::Window;
use super::selection::{Selection, selections};
use super::width::pairs;
use device_bench::kernels::n_bias;
use device_bench::{LayerSpec, Op};
use std::collections::BTreeSet;

/// Index of a tensor in [`Lowered::tensor_bytes`].
pub type TensorId = usize;

/// One layer as it runs on the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoweredLayer {
    /// The node that it comes from; a head becomes two layers, and so does an activation that is no clamp.
    pub node: NodeId,
    /// Its shape.
    pub spec: LayerSpec,
    /// Of a selection, the input channel of each output channel; empty for other layers.
    pub selected: Vec<u16>,
    /// What it reads, one or two tensors.
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
    /// Channels that cannot be cut as a node cuts them; no choice of bins has such.
    #[error(
        "node `{node}` cuts its {channels} channels into {parts} parts of one length; choose a multiple of {parts}"
    )]
    Groups {
        /// Name of the node.
        node: String,
        /// Channels of its input or output.
        channels: usize,
        /// Groups or parts.
        parts: usize,
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
/// Shuffles and splits become one layer for each node of them that another operator reads, whatever their order.
///
/// # Errors
/// [`LowerError`] if `channels` is not one count within the trained range per unit.
pub fn lower(graph: &Graph, channels: &Channels) -> Result<Lowered, LowerError> {
    check_channels(graph, channels)?;
    let mut lowering = Lowering::new(graph, channels)?;
    for (node, n) in graph.nodes.iter().enumerate().skip(1) {
        if lowering.selections[node].is_some() {
            continue;
        }
        let sources = n.op.inputs();
        let mut inputs = Vec::new();
        for &source in &sources {
            inputs.push(lowering.tensor(source)?);
        }
        let (plane, c_in) = (lowering.planes[sources[0]], lowering.c[sources[0]]);
        for spec in node_specs(&n.op, (plane, lowering.planes[node]), c_in, lowering.c[node]) {
            let output = lowering.push(node, spec, inputs, Vec::new())?;
            (inputs, lowering.tensor_of_node[node]) = (vec![output], Some(output));
        }
    }
    Ok(lowering.lowered)
}

/// A lowering under way.
struct Lowering<'a> {
    graph: &'a Graph,
    /// Channels of every node.
    c: Vec<usize>,
    /// Of every node.
    planes: Vec<(usize, usize)>,
    /// Of those nodes that are shuffles and splits.
    selections: Vec<Option<Selection>>,
    /// Of those nodes that are written.
    tensor_of_node: Vec<Option<TensorId>>,
    lowered: Lowered,
}

impl Lowering<'_> {
    fn new<'a>(graph: &'a Graph, channels: &Channels) -> Result<Lowering<'a>, LowerError> {
        let c = graph.node_channels(channels);
        check_groups(graph, &c)?;
        let mut tensor_of_node = vec![None; graph.nodes.len()];
        tensor_of_node[0] = Some(0);
        Ok(Lowering {
            graph,
            planes: graph.node_planes(),
            selections: selections(graph, &c),
            c,
            tensor_of_node,
            lowered: Lowered {
                layers: Vec::new(),
                tensor_bytes: vec![graph.input.h * graph.input.w * graph.input.c],
            },
        })
    }

    /// Where a node's output is; a selection is written when it is first asked for.
    fn tensor(&mut self, node: NodeId) -> Result<TensorId, LowerError> {
        if let Some(tensor) = self.tensor_of_node[node] {
            return Ok(tensor);
        }
        let Selection { source, channels } =
            self.selections[node].take().expect("a node that is no selection is written before it is read");
        let input = self.tensor_of_node[source].expect("as above");
        let spec = select(self.planes[node], self.c[source], self.c[node]);
        let selected = channels.into_iter().map(short).collect();
        let output = self.push(node, spec, vec![input], selected)?;
        self.tensor_of_node[node] = Some(output);
        Ok(output)
    }

    /// Adds a layer; returns the tensor that it writes.
    fn push(
        &mut self,
        node: NodeId,
        spec: LayerSpec,
        inputs: Vec<TensorId>,
        selected: Vec<u16>,
    ) -> Result<TensorId, LowerError> {
        let name = || self.graph.nodes[node].name.clone();
        spec.check().map_err(|source| LowerError::Shape { node: name(), spec, source })?;
        let output = self.lowered.tensor_bytes.len();
        self.lowered.tensor_bytes.push(spec.output_bytes());
        self.lowered.layers.push(LoweredLayer { node, spec, selected, inputs, output });
        Ok(output)
    }
}

/// Every distinct layer that a choice of bins can ask for (per node all choices for its input and output), sorted.
pub fn all_specs(graph: &Graph) -> Vec<LayerSpec> {
    let (widths, planes) = (graph.node_widths(), graph.node_planes());
    let selections = selections(graph, &graph.node_channels(&graph.widest()));
    let mut specs = BTreeSet::new();
    for (id, node) in graph.nodes.iter().enumerate().skip(1) {
        if selections[id].is_some() {
            continue;
        }
        let sources = node.op.inputs();
        for (c_in, c_out) in choices(graph, &widths[sources[0]], &widths[id]) {
            specs.extend(node_specs(&node.op, (planes[sources[0]], planes[id]), c_in, c_out));
        }
        for source in sources {
            let Some(Selection { source: whole, .. }) = selections[source] else { continue };
            let counts = choices(graph, &widths[whole], &widths[source]);
            specs.extend(counts.into_iter().map(|(c_in, c_out)| select(planes[source], c_in, c_out)));
        }
    }
    specs.into_iter().collect()
}

/// Channels of two widths under every choice of bins.
fn choices(graph: &Graph, input: &Width, output: &Width) -> Vec<(usize, usize)> {
    let mut steps = usize::MAX;
    pairs(input, output, &graph.units, &mut steps).expect("Graph::check bounds them")
}

impl Lowered {
    /// Multiply-accumulates of the whole network.
    pub fn macs(&self) -> u64 {
        self.layers.iter().map(|l| l.spec.macs()).sum()
    }

    /// Weights and biases.
    pub fn params(&self) -> u64 {
        let params = |spec: &LayerSpec| match n_bias(spec) as u64 {
            0 => 0,
            biases => spec.weight_bytes() as u64 + biases,
        };
        self.layers.iter().map(|l| params(&l.spec)).sum()
    }

    /// Bytes of flash that the model's blob takes, exactly.
    pub fn flash_bytes(&self) -> u64 {
        device_bench::model::blob_bytes(self.layers.iter().map(|l| &l.spec)) as u64
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

/// Whether what is cut into groups or parts is a multiple of them, in and out.
fn check_groups(graph: &Graph, c: &[usize]) -> Result<(), LowerError> {
    for (id, node) in graph.nodes.iter().enumerate() {
        let (input, output, parts) = match node.op {
            NodeOp::Conv(Conv { kind: ConvKind::Grouped { groups }, input, .. }) => (c[input], c[id], groups),
            NodeOp::Shuffle { input, groups } => (c[input], c[input], groups),
            NodeOp::Split { input, parts, .. } => (c[input], c[input], parts),
            _ => continue,
        };
        if let Some(channels) = [input, output].into_iter().find(|channels| channels % parts != 0) {
            return Err(LowerError::Groups { node: node.name.clone(), channels, parts });
        }
    }
    Ok(())
}

/// A number that `Graph::check` bounds.
fn short(n: usize) -> u16 {
    u16::try_from(n).expect("Graph::check bounds planes and channels")
}

fn select((h, w): (usize, usize), c_in: usize, c_out: usize) -> LayerSpec {
    LayerSpec::select(short(h), short(w), short(c_in), short(c_out))
}

/// The layers of one node, no selection, from its first input's plane to its own; each reads the one before.
fn node_specs(
    op: &NodeOp,
    ((h, w), (out_h, out_w)): ((usize, usize), (usize, usize)),
    c_in: usize,
    c_out: usize,
) -> Vec<LayerSpec> {
    let [h, w, out_h, out_w, c_in, c_out] = [h, w, out_h, out_w, c_in, c_out].map(short);
    let windowed = |op: Op, Window { kernel, stride, padding }: Window| LayerSpec {
        kernel_h: kernel.h as u8,
        kernel_w: kernel.w as u8,
        ..LayerSpec { op, ..LayerSpec::conv(h, w, c_in, c_out, 1, stride as u8, padding) }
    };
    let mut specs = match (op, op.window()) {
        (NodeOp::Conv(Conv { kind, .. }), Some(window)) => vec![match kind {
            ConvKind::Dense => windowed(Op::Conv, window),
            ConvKind::Grouped { groups } => windowed(Op::Conv, window).grouped(short(*groups)),
            ConvKind::Depthwise => windowed(Op::Depthwise, window),
        }],
        (NodeOp::Pool(Pool { kind: PoolKind::Max, .. }), Some(window)) => vec![windowed(Op::MaxPool, window)],
        (NodeOp::Pool(_), Some(window)) => vec![windowed(Op::AvgPool, window)],
        (NodeOp::Add { .. }, _) => vec![LayerSpec::add(h, w, c_in)],
        (NodeOp::Concat { .. }, _) => vec![LayerSpec::concat(h, w, c_in, c_out)],
        (NodeOp::Scale { .. }, _) => vec![LayerSpec::scale(h, w, c_in)],
        (NodeOp::Linear(_), _) => vec![LayerSpec::linear(c_in, c_out)],
        (NodeOp::GlobalAverage { .. }, _) => vec![LayerSpec::global_avg_pool(h, w, c_in)],
        (NodeOp::Head { .. }, _) => {
            vec![LayerSpec::global_avg_pool(h, w, c_in), LayerSpec::linear(c_in, c_out)]
        }
        _ => unreachable!("{} is a selection or the image", op.name()),
    };
    if !op.activation().is_clamp() {
        specs.push(LayerSpec::lookup(out_h, out_w, c_out));
    }
    specs
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
            let specs = all_specs(&graph);
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
    fn any_network_lowers_and_every_layer_is_among_all_specs() {
        let mut seen = BTreeSet::new();
        for seed in 0..400 {
            let graph = arbitrary::any_graph(&arbitrary::genes(seed, 1 + seed % 6));
            let specs = all_specs(&graph);
            let lowered = lower(&graph, &arbitrary::channels(&graph, seed)).unwrap();
            for LoweredLayer { spec, inputs, output, .. } in &lowered.layers {
                assert!(specs.binary_search(spec).is_ok(), "{spec}");
                let n_inputs = if spec.second_input_bytes() > 0 { 2 } else { 1 };
                let bytes = [spec.input_bytes(), spec.second_input_bytes()];
                let read: Vec<usize> = inputs.iter().map(|&tensor| lowered.tensor_bytes[tensor]).collect();
                assert_eq!(read, bytes[..n_inputs], "{spec}");
                assert_eq!(lowered.tensor_bytes[*output], spec.output_bytes());
                seen.insert(spec.op);
            }
        }
        assert_eq!(seen.len(), Op::ALL.len(), "{seen:?}");
    }

    #[test]
    fn shuffles_and_splits_behind_each_other_are_one_layer() {
        let unit = crate::network::Unit { name: "a".into(), full: 12, bins: vec![8, 12] };
        let conv = |input| {
            NodeOp::Conv(Conv {
                input,
                kind: ConvKind::Dense,
                kernel: crate::network::Kernel::square(1),
                stride: 1,
                padding: device_bench::Padding::NONE,
                units: vec![0],
                activation: crate::network::Activation::None,
            })
        };
        let split = |part| NodeOp::Split { input: 2, part, parts: 2 };
        let ops = [
            NodeOp::Input,
            conv(0),
            NodeOp::Shuffle { input: 1, groups: 4 },
            split(1),
            split(0),
            NodeOp::Concat { a: 3, b: 4 },
            NodeOp::Head { input: 5 },
        ];
        let nodes = ops.into_iter().enumerate();
        let nodes = nodes.map(|(i, op)| crate::network::Node { name: format!("n{i}"), op }).collect();
        let input = Shape { h: 5, w: 4, c: 3 };
        let graph = Graph { name: "split".into(), input, classes: 2, nodes, units: vec![unit] };
        assert_eq!(graph.check(), Ok(()));
        let lowered = lower(&graph, &Channels(vec![8])).unwrap();
        let ops: Vec<Op> = lowered.layers.iter().map(|layer| layer.spec.op).collect();
        assert_eq!(ops, [Op::Conv, Op::Select, Op::Select, Op::Concat, Op::AvgPool, Op::Linear]);
        // Eight channels in four groups of two: 0 2 4 6, 1 3 5 7.
        assert_eq!(lowered.layers[1].selected, [1, 3, 5, 7]);
        assert_eq!(lowered.layers[2].selected, [0, 2, 4, 6]);
        assert_eq!(lowered.layers[2].inputs, lowered.layers[1].inputs);
        assert_eq!(lowered.layers[1].spec, LayerSpec::select(5, 4, 8, 4));
    }
}
