//! The rule of each operator about what it reads.

use super::{GraphError, Outputs};
use crate::network::graph::{Conv, ConvKind, Graph, Linear, Node, NodeId, NodeOp};
use crate::network::width::Width;

/// Checks the rule of `node`'s operator, as far as its inputs are known. Bins that break a rule themselves
/// (`!bins_hold`) are multiples of anything.
pub(super) fn check(
    graph: &Graph,
    node: &Node,
    outputs: &Outputs,
    bins_hold: bool,
) -> Result<(), GraphError> {
    let Outputs { widths, planes } = outputs;
    let even = |width: &Option<Width>, n: usize| {
        !bins_hold || width.as_ref().is_none_or(|width| width.is_multiple_of(n, &graph.units))
    };
    let (holds, rule) = match &node.op {
        NodeOp::Conv(Conv { kind: ConvKind::Depthwise, input, units, .. }) => (
            agree(&Some(Width::sum(units)), &widths[*input]),
            "a depthwise convolution has the unit of its input",
        ),
        NodeOp::Conv(Conv { kind: ConvKind::Grouped { groups }, input, units, .. }) => (
            *groups >= 2 && even(&widths[*input], *groups) && even(&Some(Width::sum(units)), *groups),
            "a grouped convolution has at least 2 groups, and every bin of the units of its input and output is a multiple of them",
        ),
        NodeOp::Linear(Linear { input, .. }) => (
            agree(&planes[*input], &Some((1, 1))),
            "a linear layer reads planes of one pixel; put a global average before it",
        ),
        NodeOp::Add { a, b, .. } => (
            ![*a, *b].iter().any(|&term| widths[term].as_ref().is_some_and(Width::is_constant))
                && agree(&widths[*a], &widths[*b])
                && agree(&planes[*a], &planes[*b]),
            "the terms of a sum have one unit and one plane",
        ),
        NodeOp::Concat { a, b } => {
            (agree(&planes[*a], &planes[*b]), "the parts of a concatenation have one plane")
        }
        NodeOp::Shuffle { input, groups } => (
            *groups >= 2 && even(&widths[*input], *groups),
            "a channel shuffle has at least 2 groups, and every bin of its input's units is a multiple of them",
        ),
        NodeOp::Split { input, part, parts } => (
            *parts >= 2 && part < parts && even(&widths[*input], *parts),
            "a channel split has at least 2 parts, takes one of them, and every bin of its input's units is a multiple of them",
        ),
        NodeOp::Scale { input, gate } => (
            agree(&widths[*input], &widths[*gate]) && agree(&planes[*gate], &Some((1, 1))),
            "a gate has the unit of what it scales and a plane of one pixel",
        ),
        NodeOp::Input
        | NodeOp::Conv(_)
        | NodeOp::Pool(_)
        | NodeOp::GlobalAverage { .. }
        | NodeOp::Head { .. } => return Ok(()),
    };
    if holds {
        return Ok(());
    }
    Err(GraphError::Untied { node: node.name.clone(), rule, found: found(graph, node, outputs) })
}

/// Whether two are equal, as far as both are known.
fn agree<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
    a.is_none() || b.is_none() || a == b
}

/// What the node reads and has itself, in words.
fn found(graph: &Graph, node: &Node, outputs: &Outputs) -> String {
    let read = |id: NodeId| {
        let width = outputs.widths[id].as_ref().map(|width| width.in_words(&graph.units));
        let plane = outputs.planes[id].map(|(h, w)| format!("{h}x{w} pixels"));
        let known: Vec<String> = plane.into_iter().chain(width).collect();
        format!("; `{}` has {}", graph.nodes[id].name, known.join(" of "))
    };
    let mut words: String = node.op.inputs().into_iter().map(read).collect();
    if let NodeOp::Conv(Conv { units, .. }) = &node.op {
        words += &format!("; the convolution itself has {}", Width::sum(units).in_words(&graph.units));
    }
    words
}
