//! Valid networks of any shape, for property tests.

use super::graph::{
    Channels, Conv, ConvKind, Graph, Kernel, Linear, Node, NodeId, NodeOp, Pool, PoolKind, Shape, Unit,
    UnitId,
};
use super::{Activation, Width};
use device_bench::Padding;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What one node is made from: operator, inputs, unit and shape, each picked from what fits.
pub type Gene = [usize; 4];

/// One node per gene and a head, without those that the head does not read; every gene gives something valid.
///
/// Only dense and depthwise convolutions and sums, without or with a ReLU.
pub fn graph(genes: &[Gene]) -> Graph {
    build(genes, |graph, gene| deployable(graph, gene, 1))
}

/// As [`graph`], of all operators and activations.
pub fn any_graph(genes: &[Gene]) -> Graph {
    build(genes, any_op)
}

/// Any `n` genes.
pub fn genes(seed: usize, n: usize) -> Vec<Gene> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
    (0..n).map(|_| [(); 4].map(|()| rng.random_range(0..10_000))).collect()
}

/// A choice of bins.
pub fn channels(graph: &Graph, salt: usize) -> Channels {
    let pick = |(i, unit): (usize, &Unit)| unit.bins[(salt * 7 + i * (salt + 3)) % unit.bins.len()];
    Channels(graph.units.iter().enumerate().map(pick).collect())
}

fn build(genes: &[Gene], op: impl Fn(&mut Graph, Gene) -> NodeOp) -> Graph {
    let image = Node { name: "image".into(), op: NodeOp::Input };
    let input = Shape { h: 12, w: 10, c: 3 };
    let mut graph = Graph { name: "any".into(), input, classes: 7, nodes: vec![image], units: Vec::new() };
    for &gene in genes {
        let op = op(&mut graph, gene);
        push(&mut graph, op);
    }
    let last = graph.nodes.len() - 1;
    graph.nodes.push(Node { name: "head".into(), op: NodeOp::Head { input: last } });
    without_unread(graph)
}

fn push(graph: &mut Graph, op: NodeOp) -> NodeId {
    graph.nodes.push(Node { name: format!("node{}", graph.nodes.len()), op });
    graph.nodes.len() - 1
}

fn without_unread(mut graph: Graph) -> Graph {
    let mut kept = graph.is_read();
    (kept[0], kept[graph.nodes.len() - 1]) = (true, true);
    let new_id = |old: usize| kept[..old].iter().filter(|kept| **kept).count();
    for node in &mut graph.nodes {
        node.op.inputs_mut().into_iter().for_each(|input| *input = new_id(*input));
    }
    let mut keep = kept.iter();
    graph.nodes.retain(|_| keep.next() == Some(&true));
    graph
}

/// Mostly one of the last nodes, as in real networks.
fn near_end(graph: &Graph, near: usize) -> NodeId {
    graph.nodes.len() - 1 - near % graph.nodes.len().min(4)
}

/// A new unit of multiples of `step`, or one of those that has only such bins.
fn unit(graph: &mut Graph, pick: usize, shape: usize, step: usize) -> UnitId {
    let n_units = graph.units.len();
    let unit = pick % (n_units + 3);
    if unit < n_units && graph.units[unit].bins.iter().all(|bin| bin % step == 0) {
        return unit;
    }
    let full = 1 + shape % (40 / step);
    let bins = (full.div_ceil(2)..=full).map(|bin| bin * step).collect();
    graph.units.push(Unit { name: format!("unit{n_units}"), full: full * step, bins });
    n_units
}

fn window(plane: (usize, usize), shape: usize) -> (Kernel, usize, Padding) {
    let side = [1, 3, 2][shape % 3].min(plane.0.min(plane.1));
    let stride = if shape.is_multiple_of(7) { 2 } else { 1 };
    let (before, after) = ((side - 1) / 2, side / 2);
    let [top, bottom, left, right] = [before, after, before, after].map(|n| n as u8);
    (Kernel::square(side), stride, Padding { top, bottom, left, right })
}

fn same_width(graph: &Graph, id: NodeId, fits: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
    let widths = graph.node_widths();
    (0..graph.nodes.len()).filter(|&other| widths[other] == widths[id] && fits(other)).collect()
}

fn deployable(graph: &mut Graph, [kind, near, pick, shape]: Gene, step: usize) -> NodeOp {
    let (planes, widths) = (graph.node_planes(), graph.node_widths());
    let input = near_end(graph, near);
    let activation = if shape.is_multiple_of(2) { Activation::Relu } else { Activation::None };
    let terms = same_width(graph, input, |b| planes[b] == planes[input] && !widths[b].is_constant());
    if kind.is_multiple_of(3) && !terms.is_empty() {
        return NodeOp::Add { a: input, b: terms[pick % terms.len()], activation };
    }
    let (kernel, stride, padding) = window(planes[input], shape);
    let units: Vec<UnitId> = widths[input].units().collect();
    let (kind, units) = if kind % 3 == 1 && !units.is_empty() && Width::sum(&units) == widths[input] {
        (ConvKind::Depthwise, units)
    } else {
        (ConvKind::Dense, vec![unit(graph, pick, shape, step)])
    };
    NodeOp::Conv(Conv { input, kind, kernel, stride, padding, units, activation })
}

/// A rectangle, any padding that it allows, strides to 3.
fn any_window((h, w): (usize, usize), shape: usize) -> (Kernel, usize, Padding) {
    let kernel = Kernel { h: (1 + shape % 4).min(h), w: (1 + shape / 4 % 3).min(w) };
    let pad = |salt: usize, side: usize| (shape / salt % side.min(3)) as u8;
    let padding = Padding {
        top: pad(5, kernel.h),
        bottom: pad(7, kernel.h),
        left: pad(11, kernel.w),
        right: pad(13, kernel.w),
    };
    (kernel, 1 + shape / 17 % 3, padding)
}

fn any_op(graph: &mut Graph, gene: Gene) -> NodeOp {
    let [kind, near, pick, shape] = gene;
    let (planes, widths) = (graph.node_planes(), graph.node_widths());
    let input = near_end(graph, near);
    let (kernel, stride, padding) = any_window(planes[input], shape);
    let activation = Activation::ALL[pick % Activation::ALL.len()];
    let groups = 2 + shape % 2;
    let even = |graph: &Graph| widths[input].is_multiple_of(groups, &graph.units);
    match kind % 12 {
        0 if even(graph) => NodeOp::Shuffle { input, groups },
        1 if even(graph) => NodeOp::Split { input, part: pick % groups, parts: groups },
        2 if even(graph) => {
            let units = vec![unit(graph, pick, shape, 6)];
            let kind = ConvKind::Grouped { groups };
            NodeOp::Conv(Conv { input, kind, kernel, stride, padding, units, activation })
        }
        3 if widths[input].count(&graph.widest()) < 100 => {
            let parts: Vec<NodeId> = (0..graph.nodes.len()).filter(|&b| planes[b] == planes[input]).collect();
            NodeOp::Concat { a: input, b: parts[pick % parts.len()] }
        }
        4 => {
            let kind = [PoolKind::Max, PoolKind::Average][pick % 2];
            NodeOp::Pool(Pool { input, kind, kernel, stride, padding })
        }
        5 if !widths[input].is_constant() && Width::sum(&all_units(&widths[input])) == widths[input] => {
            let units = all_units(&widths[input]);
            let squeezed = push(graph, NodeOp::GlobalAverage { input });
            let hidden = vec![unit(graph, pick, shape, 6)];
            let hidden = Linear { input: squeezed, units: hidden, activation: Activation::Relu };
            let hidden = push(graph, NodeOp::Linear(hidden));
            let gate = push(graph, NodeOp::Linear(Linear { input: hidden, units, activation }));
            NodeOp::Scale { input, gate }
        }
        6 => {
            let units = vec![unit(graph, pick, shape, 6), unit(graph, pick + 1, shape, 6)];
            let kind = ConvKind::Dense;
            NodeOp::Conv(Conv { input, kind, kernel, stride, padding, units, activation })
        }
        _ => match deployable(graph, gene, 6) {
            NodeOp::Conv(conv) => NodeOp::Conv(Conv { kernel, stride, padding, activation, ..conv }),
            NodeOp::Add { a, b, .. } => NodeOp::Add { a, b, activation },
            op => op,
        },
    }
}

fn all_units(width: &Width) -> Vec<UnitId> {
    width.units().collect()
}

#[test]
fn genes_reach_every_operator_and_give_what_passes_the_checks() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..300 {
        let graph = any_graph(&genes(seed, 1 + seed % 8));
        assert_eq!(graph.check(), Ok(()));
        graph.nodes.iter().for_each(|node| *seen.entry(node.op.name()).or_insert(0) += 1);
    }
    assert_eq!(seen.len(), 14, "{seen:?}");
    assert!(seen.values().all(|&n| n >= 20), "{seen:?}");
}
