//! A file's names made indices.

use super::{File, FileError, FileKernel, FileNode, FileOp, FilePadding, FileUnit, FileUnits, IMAGE};
use crate::nearest::did_you_mean;
use crate::network::GraphError;
use crate::network::check::{MAX_NODES, at_most};
use crate::network::graph::{
    Conv, ConvKind, Graph, Kernel, Linear, Node, NodeId, NodeOp, Pool, PoolKind, Shape, Unit, UnitId,
};
use crate::network::lower::{LowerError, lower};
use crate::network::zoo::{self, ZooOptions};
use crate::network::{Activation, Window};
use device_bench::Padding;
use toml::Spanned;

/// The network that `text` describes, for images of shape `input`. `options` have passed [`ZooOptions::check`]; they
/// make the bins of units that list none.
///
/// # Errors
/// [`FileError`] with the first thing that is wrong.
pub fn parse(text: &str, input: Shape, classes: usize, options: ZooOptions) -> Result<Graph, FileError> {
    let file: File = toml::from_str(text).map_err(|e| FileError::Syntax(Box::new(e)))?;
    let shape = |[h, w, c]: [usize; 3]| format!("{h}x{w}x{c}");
    agree("input", file.input.map(shape), shape([input.h, input.w, input.c]))?;
    agree("classes", file.classes.map(|n| n.to_string()), classes.to_string())?;
    for (what, n) in [("nodes", file.nodes.len()), ("units", file.units.len())] {
        at_most(&file.name, what, n as u64, MAX_NODES)?;
    }
    let units = file.units.into_iter().map(|unit| read_unit(unit, options)).collect::<Result<_, _>>()?;
    let image = Node { name: IMAGE.into(), op: NodeOp::Input };
    let mut reader = Reader { text, units, nodes: vec![image] };
    for node in &file.nodes {
        reader.push(node)?;
    }
    let graph = Graph { name: file.name, input, classes, nodes: reader.nodes, units: reader.units };
    graph.check()?;
    match lower(&graph, &graph.widest()) {
        // It trains, and says so where it is to be deployed.
        Ok(_) | Err(LowerError::NoKernel { .. }) => Ok(graph),
        Err(error) => Err(error.into()),
    }
}

fn agree(what: &'static str, file: Option<String>, data: String) -> Result<(), FileError> {
    match file {
        Some(file) if file != data => Err(FileError::Data { what, file, data }),
        _ => Ok(()),
    }
}

fn read_unit(FileUnit { name, full, bins }: FileUnit, options: ZooOptions) -> Result<Unit, FileError> {
    if full > usize::from(u16::MAX) {
        return Err(GraphError::Bins { unit: name, rule: "there are at most 65535 channels" }.into());
    }
    if bins.is_none() && zoo::n_bins(full, options) > MAX_BINS {
        let rule = "there are at most 4096 bins; list them, or raise bin_multiple in edgeslim.toml";
        return Err(GraphError::Bins { unit: name, rule }.into());
    }
    Ok(Unit { name, full, bins: bins.unwrap_or_else(|| zoo::bins(full, options)) })
}

/// The most bins of a unit that lists none.
const MAX_BINS: usize = 4096;

/// The nodes read so far.
struct Reader<'a> {
    text: &'a str,
    units: Vec<Unit>,
    nodes: Vec<Node>,
}

impl Reader<'_> {
    fn push(&mut self, node: &FileNode) -> Result<(), FileError> {
        self.check_keys(node)?;
        let op = match node.op {
            FileOp::Conv | FileOp::Depthwise => NodeOp::Conv(self.conv(node)?),
            FileOp::Linear => NodeOp::Linear(Linear {
                input: self.only_input(node)?,
                units: self.units(node)?,
                activation: activation(node),
            }),
            FileOp::Add => {
                let [a, b] = self.both_inputs(node)?;
                NodeOp::Add { a, b, activation: activation(node) }
            }
            FileOp::Concat => {
                let [a, b] = self.both_inputs(node)?;
                NodeOp::Concat { a, b }
            }
            FileOp::Scale => {
                let [input, gate] = self.both_inputs(node)?;
                NodeOp::Scale { input, gate }
            }
            FileOp::Shuffle => NodeOp::Shuffle {
                input: self.only_input(node)?,
                groups: self.need(node, "groups", node.groups)?,
            },
            FileOp::Split => NodeOp::Split {
                input: self.only_input(node)?,
                part: self.need(node, "part", node.part)?,
                parts: self.need(node, "parts", node.parts)?,
            },
            FileOp::MaxPool => NodeOp::Pool(self.pool(node, PoolKind::Max)?),
            FileOp::AveragePool => NodeOp::Pool(self.pool(node, PoolKind::Average)?),
            FileOp::GlobalAverage => NodeOp::GlobalAverage { input: self.only_input(node)? },
            FileOp::Head => NodeOp::Head { input: self.only_input(node)? },
        };
        self.nodes.push(Node { name: node.name.as_ref().clone(), op });
        Ok(())
    }

    fn conv(&self, node: &FileNode) -> Result<Conv, FileError> {
        let input = self.only_input(node)?;
        let (kind, units) = match (node.op, node.groups) {
            (FileOp::Depthwise, _) => (ConvKind::Depthwise, self.units_or_those_of(node, input)?),
            (_, Some(groups)) => (ConvKind::Grouped { groups }, self.units(node)?),
            (_, None) => (ConvKind::Dense, self.units(node)?),
        };
        let Window { kernel, stride, padding } = self.window(node)?;
        Ok(Conv { input, kind, kernel, stride, padding, units, activation: activation(node) })
    }

    fn pool(&self, node: &FileNode, kind: PoolKind) -> Result<Pool, FileError> {
        let Window { kernel, stride, padding } = self.window(node)?;
        Ok(Pool { input: self.only_input(node)?, kind, kernel, stride, padding })
    }

    fn window(&self, node: &FileNode) -> Result<Window, FileError> {
        let kernel = match self.need(node, "kernel", node.kernel)? {
            FileKernel::Square(side) => Kernel::square(side),
            FileKernel::Sides([h, w]) => Kernel { h, w },
        };
        let padding = match node.padding.unwrap_or(FilePadding::All(0)) {
            FilePadding::All(n) => Padding::all(n),
            FilePadding::Sides([top, bottom, left, right]) => Padding { top, bottom, left, right },
        };
        Ok(Window { kernel, stride: node.stride.unwrap_or(1), padding })
    }

    fn units(&self, node: &FileNode) -> Result<Vec<UnitId>, FileError> {
        let names = self.need(node, "unit", node.unit.as_ref())?;
        let find = |name: &String| self.unit(node, names.span().start, name);
        match names.as_ref() {
            FileUnits::One(name) => Ok(vec![find(name)?]),
            FileUnits::Sum(names) => names.iter().map(find).collect(),
        }
    }

    /// A depthwise convolution's, where it names none: those of the convolution whose channels it reads.
    fn units_or_those_of(&self, node: &FileNode, input: NodeId) -> Result<Vec<UnitId>, FileError> {
        if node.unit.is_some() {
            return self.units(node);
        }
        match units_of(&self.nodes, input) {
            Some(units) => Ok(units),
            None => Err(self.key_error(node, "needs", "unit")),
        }
    }

    fn only_input(&self, node: &FileNode) -> Result<NodeId, FileError> {
        self.input(node, self.need(node, "input", node.input.as_ref())?)
    }

    fn both_inputs(&self, node: &FileNode) -> Result<[NodeId; 2], FileError> {
        let [a, b] = self.need(node, "inputs", node.inputs.as_ref())?;
        Ok([self.input(node, a)?, self.input(node, b)?])
    }

    fn check_keys(&self, node: &FileNode) -> Result<(), FileError> {
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
        let foreign = given.iter().find(|(key, given)| *given && !node.op.keys().contains(key));
        foreign.map_or(Ok(()), |(key, _)| Err(self.key_error(node, "takes no", key)))
    }

    fn need<T>(&self, node: &FileNode, key: &'static str, value: Option<T>) -> Result<T, FileError> {
        value.ok_or_else(|| self.key_error(node, "needs", key))
    }

    fn key_error(&self, node: &FileNode, rule: &'static str, key: &'static str) -> FileError {
        let (line, op) = (self.line(node.name.span().start), node.op.name());
        FileError::Key { line, node: node.name.as_ref().clone(), op, rule, key }
    }

    fn input(&self, node: &FileNode, name: &Spanned<String>) -> Result<NodeId, FileError> {
        let names = self.nodes.iter().map(|n| n.name.as_str());
        self.find(node, (name.span().start, name.as_ref()), "node above it", names)
    }

    fn unit(&self, node: &FileNode, at: usize, name: &str) -> Result<UnitId, FileError> {
        self.find(node, (at, name), "unit", self.units.iter().map(|u| u.name.as_str()))
    }

    fn find<'n>(
        &self,
        node: &FileNode,
        (at, name): (usize, &str),
        what: &'static str,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<usize, FileError> {
        let unknown = || FileError::Unknown {
            line: self.line(at),
            node: node.name.as_ref().clone(),
            what,
            name: name.to_owned(),
            suggestion: did_you_mean(name, names.clone()),
        };
        names.clone().position(|known| known == name).ok_or_else(unknown)
    }

    /// Of a byte of the text, counted from 1.
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|&b| b == b'\n').count()
    }
}

fn activation(node: &FileNode) -> Activation {
    node.activation.unwrap_or(Activation::None)
}

/// The most units that a depthwise convolution takes from its input without naming them.
const MAX_TAKEN: usize = 64;

/// The units whose sum is the width of node `id`, unless that is constant, a part of a sum, or has too many.
fn units_of(nodes: &[Node], id: NodeId) -> Option<Vec<UnitId>> {
    let units = match &nodes[id].op {
        NodeOp::Conv(Conv { units, .. }) | NodeOp::Linear(Linear { units, .. }) => units.clone(),
        NodeOp::Concat { a, b } => [units_of(nodes, *a)?, units_of(nodes, *b)?].concat(),
        NodeOp::Input | NodeOp::Split { .. } | NodeOp::Head { .. } => return None,
        op => units_of(nodes, op.inputs()[0])?,
    };
    (units.len() <= MAX_TAKEN).then_some(units)
}
