//! A file's names made indices.

use super::{File, FileError, FileNode, FileOp, FilePadding, FileUnit, IMAGE};
use crate::nearest::did_you_mean;
use crate::network::GraphError;
use crate::network::check::{MAX_NODES, at_most};
use crate::network::graph::{Activation, Conv, ConvKind, Graph, Node, NodeId, NodeOp, Shape, Unit, UnitId};
use crate::network::lower::lower;
use crate::network::zoo::{self, ZooOptions};
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
    let mut reader = Reader { text, units, nodes: vec![image], node_units: vec![None] };
    for node in &file.nodes {
        reader.push(node)?;
    }
    let graph = Graph { name: file.name, input, classes, nodes: reader.nodes, units: reader.units };
    graph.check()?;
    lower(&graph, &graph.widest())?;
    Ok(graph)
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
    /// As [`Graph::node_units`].
    node_units: Vec<Option<UnitId>>,
}

impl Reader<'_> {
    fn push(&mut self, node: &FileNode) -> Result<(), FileError> {
        self.check_keys(node)?;
        let (op, unit) = match node.op {
            FileOp::Conv | FileOp::Depthwise => self.conv(node)?,
            FileOp::Add => {
                let [a, b] = self.need(node, "inputs", node.inputs.as_ref())?;
                let [a, b] = [self.input(node, a)?, self.input(node, b)?];
                (NodeOp::Add { a, b, activation: activation(node) }, self.node_units[a])
            }
            FileOp::Head => {
                let input = self.input(node, self.need(node, "input", node.input.as_ref())?)?;
                (NodeOp::Head { input }, None)
            }
        };
        self.nodes.push(Node { name: node.name.as_ref().clone(), op });
        self.node_units.push(unit);
        Ok(())
    }

    fn conv(&self, node: &FileNode) -> Result<(NodeOp, Option<UnitId>), FileError> {
        let input = self.input(node, self.need(node, "input", node.input.as_ref())?)?;
        let of_input = self.node_units[input].filter(|_| node.op == FileOp::Depthwise);
        let unit = match (&node.unit, of_input) {
            (None, Some(unit)) => unit,
            (unit, _) => self.unit(node, self.need(node, "unit", unit.as_ref())?)?,
        };
        let kind = match node.op {
            FileOp::Depthwise => ConvKind::Depthwise,
            _ => ConvKind::Dense,
        };
        let padding = match node.padding.unwrap_or(FilePadding::All(0)) {
            FilePadding::All(n) => Padding::all(n),
            FilePadding::Sides([top, bottom, left, right]) => Padding { top, bottom, left, right },
        };
        let kernel = self.need(node, "kernel", node.kernel)?;
        let (stride, activation) = (node.stride.unwrap_or(1), activation(node));
        Ok((NodeOp::Conv(Conv { input, kind, kernel, stride, padding, unit, activation }), Some(unit)))
    }

    fn check_keys(&self, node: &FileNode) -> Result<(), FileError> {
        let given = [
            ("input", node.input.is_some()),
            ("inputs", node.inputs.is_some()),
            ("unit", node.unit.is_some()),
            ("kernel", node.kernel.is_some()),
            ("stride", node.stride.is_some()),
            ("padding", node.padding.is_some()),
            ("activation", node.activation.is_some()),
        ];
        let foreign = given.iter().find(|(key, given)| *given && !node.op.keys().contains(key));
        foreign.map_or(Ok(()), |(key, _)| Err(self.key_error(node, "takes no", key)))
    }

    fn need<T>(&self, node: &FileNode, key: &'static str, value: Option<T>) -> Result<T, FileError> {
        value.ok_or_else(|| self.key_error(node, "needs", key))
    }

    fn key_error(&self, node: &FileNode, rule: &'static str, key: &'static str) -> FileError {
        let (line, op) = (self.line(&node.name), node.op.name());
        FileError::Key { line, node: node.name.as_ref().clone(), op, rule, key }
    }

    fn input(&self, node: &FileNode, name: &Spanned<String>) -> Result<NodeId, FileError> {
        let names = self.nodes.iter().map(|n| n.name.as_str());
        self.find(node, name, "node above it", names)
    }

    fn unit(&self, node: &FileNode, name: &Spanned<String>) -> Result<UnitId, FileError> {
        self.find(node, name, "unit", self.units.iter().map(|u| u.name.as_str()))
    }

    fn find<'n>(
        &self,
        node: &FileNode,
        name: &Spanned<String>,
        what: &'static str,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<usize, FileError> {
        let unknown = || FileError::Unknown {
            line: self.line(name),
            node: node.name.as_ref().clone(),
            what,
            name: name.as_ref().clone(),
            suggestion: did_you_mean(name.as_ref(), names.clone()),
        };
        names.clone().position(|known| known == name.as_ref()).ok_or_else(unknown)
    }

    /// Counted from 1.
    fn line(&self, name: &Spanned<String>) -> usize {
        1 + self.text.bytes().take(name.span().start).filter(|&b| b == b'\n').count()
    }
}

fn activation(node: &FileNode) -> Activation {
    node.activation.unwrap_or(Activation::None)
}
