//! A graph's indices made names.

use super::{File, FileNode, FileOp, FilePadding, FileUnit, IMAGE};
use crate::network::graph::{Conv, ConvKind, Graph, Node, NodeId, NodeOp};
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
        input: None,
        classes: None,
        units: units
            .map(|u| FileUnit { name: u.name.clone(), full: u.full, bins: Some(u.bins.clone()) })
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
    let bare = FileNode {
        name: spanned(&node.name),
        op: FileOp::Head,
        input: None,
        inputs: None,
        unit: None,
        kernel: None,
        stride: None,
        padding: None,
        activation: None,
    };
    match &node.op {
        NodeOp::Input => unreachable!("Graph::check refuses a second input"),
        NodeOp::Head { input } => FileNode { input: Some(name(*input)), ..bare },
        NodeOp::Add { a, b, activation } => FileNode {
            op: FileOp::Add,
            inputs: Some([name(*a), name(*b)]),
            activation: Some(*activation),
            ..bare
        },
        NodeOp::Conv(conv) => FileNode {
            op: if conv.kind == ConvKind::Depthwise { FileOp::Depthwise } else { FileOp::Conv },
            input: Some(name(conv.input)),
            unit: (conv.kind == ConvKind::Dense).then(|| spanned(&graph.units[conv.unit].name)),
            kernel: Some(conv.kernel),
            stride: Some(conv.stride),
            padding: Some(padding(conv)),
            activation: Some(conv.activation),
            ..bare
        },
    }
}

fn padding(conv: &Conv) -> FilePadding {
    let p = conv.padding;
    let sides = [p.top, p.bottom, p.left, p.right];
    if sides.iter().all(|&side| side == p.top) { FilePadding::All(p.top) } else { FilePadding::Sides(sides) }
}

/// A name that stands in no file yet.
fn spanned(name: &str) -> Spanned<String> {
    Spanned::new(0..0, name.to_owned())
}
