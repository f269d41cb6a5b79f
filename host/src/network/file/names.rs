//! A file's names made indices.

use super::keys::NodePiece;
use super::mistake::{FileError, Found};
use super::{FileKernel, FileNode, FileOp, FilePadding, FileUnits, IMAGE};
use crate::nearest::did_you_mean;
use crate::network::check::UNKNOWN;
use crate::network::graph::{
    Conv, ConvKind, Kernel, Linear, Node, NodeId, NodeOp, Pool, PoolKind, Unit, UnitId,
};
use crate::network::{Activation, Window};
use device_bench::Padding;
use toml::Spanned;

/// The nodes of a file after the image. What cannot be read is told, and stands as a sum of [`UNKNOWN`] nodes.
pub(super) fn read_nodes(pieces: &[NodePiece], units: &[Unit], found: &mut Found) -> Vec<Node> {
    let image = Node { name: IMAGE.into(), op: NodeOp::Input };
    let mut reader = Reader { pieces, units, nodes: vec![image], found };
    for NodePiece { name, node } in pieces {
        let op = node.as_ref().and_then(|node| reader.op(node));
        let unread = NodeOp::Add { a: UNKNOWN, b: UNKNOWN, activation: Activation::None };
        reader.nodes.push(Node { name: name.as_ref().clone(), op: op.unwrap_or(unread) });
    }
    reader.nodes
}

/// The nodes read so far.
struct Reader<'a, 'f> {
    pieces: &'a [NodePiece],
    units: &'a [Unit],
    nodes: Vec<Node>,
    found: &'a mut Found<'f>,
}

impl Reader<'_, '_> {
    /// What the node does, if it has all keys that its operator needs.
    fn op(&mut self, node: &FileNode) -> Option<NodeOp> {
        self.check_keys(node);
        let activation = node.activation.unwrap_or(Activation::None);
        Some(match node.op {
            FileOp::Conv | FileOp::Depthwise => NodeOp::Conv(self.conv(node, activation)?),
            FileOp::Linear => {
                let (input, units) = (self.only_input(node), self.units(node));
                NodeOp::Linear(Linear { input: input?, units: units?, activation })
            }
            FileOp::Add => {
                let [a, b] = self.both_inputs(node)?;
                NodeOp::Add { a, b, activation }
            }
            FileOp::Concat => {
                let [a, b] = self.both_inputs(node)?;
                NodeOp::Concat { a, b }
            }
            FileOp::Scale => {
                let [input, gate] = self.both_inputs(node)?;
                NodeOp::Scale { input, gate }
            }
            FileOp::Shuffle => {
                let (input, groups) = (self.only_input(node), self.need(node, "groups", node.groups));
                NodeOp::Shuffle { input: input?, groups: groups? }
            }
            FileOp::Split => {
                let input = self.only_input(node);
                let (part, parts) =
                    (self.need(node, "part", node.part), self.need(node, "parts", node.parts));
                NodeOp::Split { input: input?, part: part?, parts: parts? }
            }
            FileOp::MaxPool => NodeOp::Pool(self.pool(node, PoolKind::Max)?),
            FileOp::AveragePool => NodeOp::Pool(self.pool(node, PoolKind::Average)?),
            FileOp::GlobalAverage => NodeOp::GlobalAverage { input: self.only_input(node)? },
            FileOp::Head => NodeOp::Head { input: self.only_input(node)? },
        })
    }

    fn conv(&mut self, node: &FileNode, activation: Activation) -> Option<Conv> {
        let input = self.only_input(node);
        let (kind, units) = match (node.op, node.groups) {
            (FileOp::Depthwise, _) => (ConvKind::Depthwise, self.units_or_those_of(node, input)),
            (_, Some(groups)) => (ConvKind::Grouped { groups }, self.units(node)),
            (_, None) => (ConvKind::Dense, self.units(node)),
        };
        let Window { kernel, stride, padding } = self.window(node)?;
        Some(Conv { input: input?, kind, kernel, stride, padding, units: units?, activation })
    }

    fn pool(&mut self, node: &FileNode, kind: PoolKind) -> Option<Pool> {
        let (input, window) = (self.only_input(node), self.window(node));
        let Window { kernel, stride, padding } = window?;
        Some(Pool { input: input?, kind, kernel, stride, padding })
    }

    fn window(&mut self, node: &FileNode) -> Option<Window> {
        let kernel = match self.need(node, "kernel", node.kernel)? {
            FileKernel::Square(side) => Kernel::square(side),
            FileKernel::Sides([h, w]) => Kernel { h, w },
        };
        let padding = match node.padding.unwrap_or(FilePadding::All(0)) {
            FilePadding::All(n) => Padding::all(n),
            FilePadding::Sides([top, bottom, left, right]) => Padding { top, bottom, left, right },
        };
        let is_read = !["stride", "padding"].iter().any(|key| node.wrong.contains(key));
        is_read.then(|| Window { kernel, stride: node.stride.unwrap_or(1), padding })
    }

    fn units(&mut self, node: &FileNode) -> Option<Vec<UnitId>> {
        let names = self.need(node, "unit", node.unit.as_ref())?;
        let mut find = |name: &String| self.unit(node, names.span().start, name);
        Some(match names.as_ref() {
            FileUnits::One(name) => vec![find(name)],
            FileUnits::Sum(names) => names.iter().map(find).collect(),
        })
    }

    /// A depthwise convolution's, where it names none: those of the convolution whose channels it reads.
    fn units_or_those_of(&mut self, node: &FileNode, input: Option<NodeId>) -> Option<Vec<UnitId>> {
        if node.unit.is_some() || node.wrong.contains(&"unit") {
            return self.units(node);
        }
        match units_of(&self.nodes, input?) {
            Taken::Units(units) => Some(units),
            Taken::Unknown => None,
            Taken::None => self.need(node, "unit", None),
        }
    }

    fn only_input(&mut self, node: &FileNode) -> Option<NodeId> {
        let name = self.need(node, "input", node.input.as_ref())?;
        Some(self.input(node, name))
    }

    fn both_inputs(&mut self, node: &FileNode) -> Option<[NodeId; 2]> {
        let [a, b] = self.need(node, "inputs", node.inputs.as_ref())?;
        Some([self.input(node, a), self.input(node, b)])
    }

    fn check_keys(&mut self, node: &FileNode) {
        let given = [
            ("input", node.input.is_some()),
            ("inputs", node.inputs.is_some()),
            ("unit", node.unit.is_some()),
            ("kernel", node.kernel.is_some()),
            ("stride", node.stride.is_some()),
            ("padding", node.padding.is_some()),
            ("groups", node.groups.is_some()),
            ("part", node.part.is_some()),
            ("parts", node.parts.is_some()),
            ("activation", node.activation.is_some()),
        ];
        for (key, _) in given.iter().filter(|(key, given)| *given && !node.op.keys().contains(key)) {
            self.key_error(node, "takes no", key);
        }
    }

    fn need<T>(&mut self, node: &FileNode, key: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() && !node.wrong.contains(&key) {
            self.key_error(node, "needs", key);
        }
        value
    }

    fn key_error(&mut self, node: &FileNode, rule: &'static str, key: &'static str) {
        let (name, op) = (node.name.as_ref(), node.op.name());
        self.found.tell(node.name.span().start, || FileError::Key { node: name.clone(), op, rule, key });
    }

    fn input(&mut self, node: &FileNode, name: &Spanned<String>) -> NodeId {
        let known = self.nodes.iter().position(|known| known.name == *name.as_ref());
        known.unwrap_or_else(|| {
            let below = || self.pieces.iter().any(|piece| piece.name.as_ref() == name.as_ref());
            let above = self.nodes.iter().map(|node| node.name.as_str());
            self.found.tell(name.span().start, || {
                let hint = if below() {
                    "; it stands below, move it up".into()
                } else {
                    did_you_mean(name.as_ref(), above)
                };
                unknown(node, "node above it", name.as_ref(), hint)
            });
            UNKNOWN
        })
    }

    fn unit(&mut self, node: &FileNode, at: usize, name: &str) -> UnitId {
        let known = self.units.iter().position(|known| known.name == name);
        known.unwrap_or_else(|| {
            let names = self.units.iter().map(|unit| unit.name.as_str());
            self.found.tell(at, || unknown(node, "unit", name, did_you_mean(name, names)));
            UNKNOWN
        })
    }
}

fn unknown(node: &FileNode, what: &'static str, name: &str, hint: String) -> FileError {
    FileError::Unknown { owner: format!("node `{}`", node.name.as_ref()), what, name: name.into(), hint }
}

/// The most units that a depthwise convolution takes from its input without naming them.
const MAX_TAKEN: usize = 64;

/// What a depthwise convolution that names no unit takes from its input.
enum Taken {
    /// The units whose sum is the input's width.
    Units(Vec<UnitId>),
    /// The input cannot be read.
    Unknown,
    /// The width is constant, a part of a sum, or has too many units.
    None,
}

fn units_of(nodes: &[Node], id: NodeId) -> Taken {
    if id == UNKNOWN {
        return Taken::Unknown;
    }
    let units = match &nodes[id].op {
        NodeOp::Conv(Conv { units, .. }) | NodeOp::Linear(Linear { units, .. }) => units.clone(),
        NodeOp::Concat { a, b } => match (units_of(nodes, *a), units_of(nodes, *b)) {
            (Taken::Units(a), Taken::Units(b)) => [a, b].concat(),
            (Taken::Unknown, _) | (_, Taken::Unknown) => return Taken::Unknown,
            _ => return Taken::None,
        },
        NodeOp::Input | NodeOp::Split { .. } | NodeOp::Head { .. } => return Taken::None,
        op => return units_of(nodes, op.inputs()[0]),
    };
    if units.len() <= MAX_TAKEN { Taken::Units(units) } else { Taken::None }
}
