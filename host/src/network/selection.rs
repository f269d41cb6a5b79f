//! Shuffles and splits, in any order, as one choice among the channels of the node before them.

use super::graph::{Graph, NodeId, NodeOp};

/// What a shuffle or split gives, told by the node before all of them that lie behind each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    /// A node that is neither shuffle nor split.
    pub source: NodeId,
    /// Of its channels, in the order in which they are read.
    pub channels: Vec<usize>,
}

/// The selection of every node that is one; `c` are all nodes' channels, each a multiple of the groups or parts that
/// it is cut into.
pub(super) fn selections(graph: &Graph, c: &[usize]) -> Vec<Option<Selection>> {
    let mut selections: Vec<Option<Selection>> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter().enumerate() {
        selections.push(match node.op {
            NodeOp::Shuffle { input, groups } => {
                let run = c[id] / groups;
                Some(selected(input, (0..c[id]).map(|i| i % groups * run + i / groups), &selections))
            }
            NodeOp::Split { input, part, .. } => {
                Some(selected(input, part * c[id]..(part + 1) * c[id], &selections))
            }
            _ => None,
        });
    }
    selections
}

/// `channels` of node `input`.
fn selected(
    input: NodeId,
    channels: impl Iterator<Item = usize>,
    selections: &[Option<Selection>],
) -> Selection {
    match &selections[input] {
        None => Selection { source: input, channels: channels.collect() },
        Some(of) => Selection { source: of.source, channels: channels.map(|i| of.channels[i]).collect() },
    }
}
