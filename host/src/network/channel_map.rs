//! Which stored channels of a node are active in a subnet.

use super::graph::{Channels, Conv, ConvKind, Graph, Linear, NodeId, NodeOp, UnitId};
use std::ops::Range;

/// The active channels of a node, in order, as indices among its channels at the widest.
///
/// Weights are stored at the widest, so this is where a subnet's weights lie. Most maps are a prefix; a
/// concatenation has a prefix in each part, a grouped convolution one in each group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelMap {
    /// Not empty, not adjacent.
    runs: Vec<Range<usize>>,
}

impl ChannelMap {
    /// The first `n`.
    pub fn prefix(n: usize) -> ChannelMap {
        ChannelMap::of(std::iter::once(0..n))
    }

    fn of(parts: impl IntoIterator<Item = Range<usize>>) -> ChannelMap {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            match runs.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => runs.push(part),
            }
        }
        ChannelMap { runs }
    }

    /// Runs of neighbours, in the order of the active channels.
    pub fn runs(&self) -> &[Range<usize>] {
        &self.runs
    }

    /// Active channels.
    pub fn len(&self) -> usize {
        self.runs.iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether no channel is active.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether the active channels are the first ones, in order.
    pub fn is_prefix(&self) -> bool {
        matches!(self.runs.as_slice(), [] | [Range { start: 0, .. }])
    }

    /// The stored index of every active channel.
    pub fn indices(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        self.runs.iter().flat_map(Clone::clone)
    }

    fn then(&self, other: &ChannelMap, offset: usize) -> ChannelMap {
        let moved = other.runs.iter().map(|run| run.start + offset..run.end + offset);
        ChannelMap::of(self.runs.iter().cloned().chain(moved))
    }
}

/// Where the active part of a weight lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightMap {
    /// Of its first dimension, the output channels.
    pub rows: ChannelMap,
    /// Of its second dimension: input channels, those of one group, or one for a depthwise convolution.
    pub columns: ChannelMap,
}

impl Graph {
    /// The map of every node's output under `channels`.
    ///
    /// A convolution or linear layer of several units has a prefix of each, one after the other, as a
    /// concatenation has. A split counts anew: its active channels are its first.
    pub fn channel_maps(&self, channels: &Channels) -> Vec<ChannelMap> {
        let (active, widest) = (self.node_channels(channels), self.node_channels(&self.widest()));
        let mut maps: Vec<ChannelMap> = Vec::with_capacity(self.nodes.len());
        for (id, node) in self.nodes.iter().enumerate() {
            maps.push(match &node.op {
                NodeOp::Input | NodeOp::Head { .. } | NodeOp::Split { .. } => ChannelMap::prefix(active[id]),
                NodeOp::Conv(Conv { kind: ConvKind::Grouped { groups }, .. }) => {
                    let (stored, used) = (widest[id] / groups, active[id] / groups);
                    ChannelMap::of((0..*groups).map(|group| group * stored..group * stored + used))
                }
                NodeOp::Conv(Conv { kind: ConvKind::Depthwise, input, .. }) => maps[*input].clone(),
                NodeOp::Conv(Conv { kind: ConvKind::Dense, units, .. })
                | NodeOp::Linear(Linear { units, .. }) => self.prefix_of_each(units, channels),
                NodeOp::Concat { a, b } => maps[*a].then(&maps[*b], widest[*a]),
                NodeOp::Shuffle { input, groups } => {
                    let stored = widest[*input] / groups;
                    let shuffled: Vec<usize> =
                        maps[*input].indices().map(|i| i % stored * groups + i / stored).collect();
                    let used = active[id] / groups;
                    let order = (0..active[id]).map(|i| shuffled[i % groups * used + i / groups]);
                    ChannelMap::of(order.map(|i| i..i + 1))
                }
                op => maps[op.inputs()[0]].clone(),
            });
        }
        maps
    }

    fn prefix_of_each(&self, units: &[UnitId], channels: &Channels) -> ChannelMap {
        let mut offset = 0;
        ChannelMap::of(units.iter().map(|&unit| {
            let start = offset;
            offset += self.units[unit].max();
            start..start + channels.0[unit]
        }))
    }

    /// The map of the weight of node `id`, where it has one; `maps` are those of [`Graph::channel_maps`].
    pub fn weight_map(&self, id: NodeId, maps: &[ChannelMap]) -> Option<WeightMap> {
        let columns = match &self.nodes[id].op {
            NodeOp::Conv(conv) => match conv.kind {
                ConvKind::Dense => maps[conv.input].clone(),
                ConvKind::Grouped { groups } => ChannelMap::prefix(maps[conv.input].len() / groups),
                ConvKind::Depthwise => ChannelMap::prefix(1),
            },
            NodeOp::Linear(Linear { input, .. }) | NodeOp::Head { input } => maps[*input].clone(),
            _ => return None,
        };
        Some(WeightMap { rows: maps[id].clone(), columns })
    }
}

#[cfg(test)]
mod tests;
