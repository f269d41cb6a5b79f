//! A graph's indices made names.

use super::{File, FileKernel, FileNode, FileOp, FilePadding, FileUnit, FileUnits, IMAGE};
use crate::network::graph::{ConvKind, Graph, Node, NodeId, NodeOp, PoolKind, UnitId};
use device_bench::Padding;
use toml::Spanned;

const HEADER: &str =
    "# A network of edgeslim. Images and classes are the data's; `input = [height, width, channels]` and
# `classes = n` here refuse other data. A unit without `bins` offers those that the run's widths ask for.
";

/// The file of a network that has passed [`Graph::check`]; reading it gives the same graph again.
///
/// Input and classes are left to the data, so that it is a starting point for other data too.
pub fn to_toml(graph: &Graph) -> String {
    let units = graph.units.iter();
    let file = File {
        name: graph.name.clone(),
        units: units
            .map(|u| FileUnit {
                name: spanned(&u.name),
                full: Spanned::new(0..0, u.full),
                bins: Some(Spanned::new(0..0, u.bins.clone())),
            })
            .collect(),
        nodes: graph.nodes.iter().skip(1).map(|node| write_node(graph, node)).collect(),
    };
    let text = toml::to_string(&file).expect("names and small numbers can be written as TOML");
    format!("{HEADER}{text}")
}

fn write_node(graph: &Graph, node: &Node) -> FileNode {
    let name = |node: NodeId| match node {
        0 => spanned(IMAGE),
        _ => spanned(&graph.nodes[node].name),
    };
    let units = |units: &[UnitId]| match units {
        [unit] => FileUnits::One(graph.units[*unit].name.clone()),
        units => FileUnits::Sum(units.iter().map(|&unit| graph.units[unit].name.clone()).collect()),
    };
    let mut written = bare(&node.name);
    match &node.op {
        NodeOp::Input => unreachable!("Graph::check refuses a second input"),
        NodeOp::Conv(conv) => {
            written.op = if conv.kind == ConvKind::Depthwise { FileOp::Depthwise } else { FileOp::Conv };
            written.unit = Some(Spanned::new(0..0, units(&conv.units)));
            if let ConvKind::Grouped { groups } = conv.kind {
                written.groups = Some(groups);
            }
            written.activation = Some(conv.activation);
        }
        NodeOp::Linear(linear) => {
            written.op = FileOp::Linear;
            written.unit = Some(Spanned::new(0..0, units(&linear.units)));
            written.activation = Some(linear.activation);
        }
        NodeOp::Add { activation, .. } => (written.op, written.activation) = (FileOp::Add, Some(*activation)),
        NodeOp::Concat { .. } => written.op = FileOp::Concat,
        NodeOp::Scale { .. } => written.op = FileOp::Scale,
        NodeOp::Shuffle { groups, .. } => (written.op, written.groups) = (FileOp::Shuffle, Some(*groups)),
        NodeOp::Split { part, parts, .. } => {
            (written.op, written.part, written.parts) = (FileOp::Split, Some(*part), Some(*parts));
        }
        NodeOp::Pool(pool) if pool.kind == PoolKind::Max => written.op = FileOp::MaxPool,
        NodeOp::Pool(_) => written.op = FileOp::AveragePool,
        NodeOp::GlobalAverage { .. } => written.op = FileOp::GlobalAverage,
        NodeOp::Head { .. } => {}
    }
    if let Some(window) = node.op.window() {
        let (h, w) = (window.kernel.h, window.kernel.w);
        written.kernel = Some(if h == w { FileKernel::Square(h) } else { FileKernel::Sides([h, w]) });
        (written.stride, written.padding) = (Some(window.stride), Some(padding(window.padding)));
    }
    match node.op.inputs()[..] {
        [a, b] => written.inputs = Some([name(a), name(b)]),
        [a] => written.input = Some(name(a)),
        _ => unreachable!("an operator reads one node or two"),
    }
    written
}

fn bare(name: &str) -> FileNode {
    FileNode {
        name: spanned(name),
        op: FileOp::Head,
        input: None,
        inputs: None,
        unit: None,
        kernel: None,
        stride: None,
        padding: None,
        groups: None,
        part: None,
        parts: None,
        activation: None,
        wrong: Vec::new(),
    }
}

fn padding(p: Padding) -> FilePadding {
    let sides = [p.top, p.bottom, p.left, p.right];
    if sides.iter().all(|&side| side == p.top) { FilePadding::All(p.top) } else { FilePadding::Sides(sides) }
}

/// A name that is not read from a file.
fn spanned(name: &str) -> Spanned<String> {
    Spanned::new(0..0, name.to_owned())
}
