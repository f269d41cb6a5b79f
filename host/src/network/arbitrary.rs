//! Valid networks of any shape, for property tests.

use super::graph::{Activation, Conv, ConvKind, Graph, Node, NodeOp, Shape, Unit};
use device_bench::Padding;

/// What one node is made from: operator, inputs, unit and shape, each picked from what fits.
pub type Gene = [usize; 4];

/// One node per gene and a head, without those that the head does not read; every gene gives something valid.
pub fn graph(genes: &[Gene]) -> Graph {
    let image = Node { name: "image".into(), op: NodeOp::Input };
    let input = Shape { h: 12, w: 10, c: 3 };
    let mut graph = Graph { name: "any".into(), input, classes: 7, nodes: vec![image], units: Vec::new() };
    for &gene in genes {
        let op = op(&mut graph, gene);
        graph.nodes.push(Node { name: format!("node{}", graph.nodes.len()), op });
    }
    let last = graph.nodes.len() - 1;
    graph.nodes.push(Node { name: "head".into(), op: NodeOp::Head { input: last } });
    without_unread(graph)
}

fn without_unread(mut graph: Graph) -> Graph {
    let mut kept = graph.is_read();
    (kept[0], kept[graph.nodes.len() - 1]) = (true, true);
    let new_id = |old: usize| kept[..old].iter().filter(|kept| **kept).count();
    for node in &mut graph.nodes {
        match &mut node.op {
            NodeOp::Input => {}
            NodeOp::Conv(conv) => conv.input = new_id(conv.input),
            NodeOp::Add { a, b, .. } => (*a, *b) = (new_id(*a), new_id(*b)),
            NodeOp::Head { input } => *input = new_id(*input),
        }
    }
    let mut keep = kept.iter();
    graph.nodes.retain(|_| keep.next() == Some(&true));
    graph
}

fn op(graph: &mut Graph, [kind, near, unit, shape]: Gene) -> NodeOp {
    let (planes, units) = (graph.node_planes(), graph.node_units());
    // Mostly one of the last nodes, as in real networks.
    let input = graph.nodes.len() - 1 - near % graph.nodes.len().min(4);
    let activation = if shape.is_multiple_of(2) { Activation::Relu } else { Activation::None };
    let fits = |&b: &usize| units[b].is_some() && units[b] == units[input] && planes[b] == planes[input];
    let terms: Vec<usize> = (0..graph.nodes.len()).filter(fits).collect();
    if kind.is_multiple_of(3) && !terms.is_empty() {
        return NodeOp::Add { a: input, b: terms[unit % terms.len()], activation };
    }
    let (h, w) = planes[input];
    let kernel = [1, 3, 2][shape % 3].min(h.min(w));
    let stride = if shape % 7 == 0 { 2 } else { 1 };
    let (before, after) = ((kernel - 1) / 2, kernel / 2);
    let [top, bottom, left, right] = [before, after, before, after].map(|n| n as u8);
    let padding = Padding { top, bottom, left, right };
    let conv = |kind, unit| NodeOp::Conv(Conv { input, kind, kernel, stride, padding, unit, activation });
    match units[input] {
        Some(unit) if kind % 3 == 1 => conv(ConvKind::Depthwise, unit),
        _ => {
            let n_units = graph.units.len();
            let unit = unit % (n_units + 3);
            if unit >= n_units {
                let full = 1 + shape % 40;
                let bins = (full.div_ceil(2)..=full).collect();
                graph.units.push(Unit { name: format!("unit{n_units}"), full, bins });
            }
            conv(ConvKind::Dense, unit.min(n_units))
        }
    }
}
