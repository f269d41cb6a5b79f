//! The rules that a [`Graph`] keeps; everything downstream relies on them.

use super::graph::{Conv, ConvKind, Graph, Linear, Node, NodeId, NodeOp, Unit, UnitId};
use super::width::Width;
use std::collections::{BTreeSet, HashSet};

/// The most nodes, and the most units.
pub(super) const MAX_NODES: u64 = 2048;
/// The most weights and biases: 256 MiB of them, and training keeps four copies.
const MAX_WEIGHTS: u64 = 1 << 26;
/// The most pairs of input and output bins over all nodes: at a hundred layers a second they take half a day.
const MAX_BIN_PAIRS: u64 = 1 << 22;

/// The first rule that a graph breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Order or kind of the nodes.
    #[error("network `{network}`: node 0 is the only input and the last node is the only head")]
    Ends {
        /// Name of the network.
        network: String,
    },
    /// Two nodes or two units with one name.
    #[error("the name `{name}` is used twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A node reads one that does not stand before it.
    #[error("node `{node}` reads node {input}, which does not stand before it")]
    Order {
        /// The reader.
        node: String,
        /// Index that it reads.
        input: NodeId,
    },
    /// A node that nothing reads: it would cost time on the board and give no gradient.
    #[error("node `{node}` is read by no other; remove it")]
    Unread {
        /// The node.
        node: String,
    },
    /// A node names a unit that does not exist.
    #[error("node `{node}` names unit {unit}, but there are {n_units}")]
    NoUnit {
        /// The node.
        node: String,
        /// Its unit.
        unit: UnitId,
        /// How many there are.
        n_units: usize,
    },
    /// An operator whose channels are not tied to its inputs' as it needs them.
    #[error("node `{node}`: {rule}")]
    Untied {
        /// The node.
        node: String,
        /// What must hold.
        rule: &'static str,
    },
    /// Kernel, stride, padding or plane that no layer can have.
    #[error(
        "node `{node}`: kernel {kernel_h}x{kernel_w}, stride {stride} and padding do not fit a plane of {h}x{w}: padding is less than \
         the kernel, and every plane between 1 and 255 pixels a side"
    )]
    Plane {
        /// The node.
        node: String,
        /// Rows of the kernel.
        kernel_h: usize,
        /// Its columns.
        kernel_w: usize,
        /// Stride.
        stride: usize,
        /// Input height.
        h: usize,
        /// Input width.
        w: usize,
    },
    /// Bins that are empty, unordered, zero, or do not hold the full count.
    #[error("unit `{unit}`: {rule}")]
    Bins {
        /// The unit.
        unit: String,
        /// What must hold.
        rule: &'static str,
    },
    /// More than any microcontroller's network has, or than can be trained here.
    #[error("network `{network}` has {found} {what}, at most {most} are supported")]
    TooMany {
        /// Name of the network.
        network: String,
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many there may be.
        most: u64,
    },
    /// An image without pixels, or a network without classes.
    #[error("image and classes are between 1 and 65535, planes of images at most 255 pixels a side")]
    Input,
}

impl Graph {
    /// Checks order, names, tied units, bins and shapes.
    ///
    /// # Errors
    /// [`GraphError`] with the first rule that the graph breaks.
    pub fn check(&self) -> Result<(), GraphError> {
        let small = |n: usize, limit: usize| n > 0 && n <= limit;
        let Graph { input, classes, .. } = self;
        if !small(input.h, 255) || !small(input.w, 255) || !small(input.c, 65535) || !small(*classes, 65535) {
            return Err(GraphError::Input);
        }
        self.check_counts()?;
        self.check_ends()?;
        unique(self.nodes.iter().map(|n| &n.name))?;
        unique(self.units.iter().map(|u| &u.name))?;
        self.check_bins()?;
        self.check_nodes()?;
        at_most(&self.name, "pairs of bins to measure", self.bin_pairs(), MAX_BIN_PAIRS)?;
        at_most(
            &self.name,
            "weights and biases at the widest",
            self.counts(&self.widest()).params,
            MAX_WEIGHTS,
        )?;
        self.check_read()
    }

    /// Whether the head reads the node, directly or through others.
    pub(super) fn is_read(&self) -> Vec<bool> {
        let mut read = vec![false; self.nodes.len()];
        for (id, node) in self.nodes.iter().enumerate().rev() {
            if read[id] || matches!(node.op, NodeOp::Head { .. }) {
                node.op.inputs().iter().for_each(|&input| read[input] = true);
            }
        }
        read
    }

    fn check_read(&self) -> Result<(), GraphError> {
        let inner = |node: &Node| !matches!(node.op, NodeOp::Input | NodeOp::Head { .. });
        match self.nodes.iter().zip(self.is_read()).find(|(node, read)| !read && inner(node)) {
            Some((node, _)) => Err(GraphError::Unread { node: node.name.clone() }),
            None => Ok(()),
        }
    }

    fn check_counts(&self) -> Result<(), GraphError> {
        at_most(&self.name, "nodes", self.nodes.len() as u64, MAX_NODES)?;
        at_most(&self.name, "units", self.units.len() as u64, MAX_NODES)
    }

    /// Choices of bins of input and output, summed over the nodes: no more layers than these are ever measured.
    fn bin_pairs(&self) -> u64 {
        let widths = self.node_widths();
        let pairs = |(id, node): (NodeId, &Node)| {
            let inputs = node.op.inputs();
            let Some(&input) = inputs.first() else { return 0 };
            let units: BTreeSet<UnitId> = widths[id].units().chain(widths[input].units()).collect();
            units.iter().fold(1u64, |n, &unit| n.saturating_mul(self.units[unit].bins.len() as u64))
        };
        self.nodes.iter().enumerate().map(pairs).fold(0, u64::saturating_add)
    }

    fn check_ends(&self) -> Result<(), GraphError> {
        let last = self.nodes.len().saturating_sub(1);
        let placed = self.nodes.iter().enumerate().all(|(i, node)| {
            matches!(node.op, NodeOp::Input) == (i == 0)
                && matches!(node.op, NodeOp::Head { .. }) == (i == last)
        });
        if placed && last > 0 { Ok(()) } else { Err(GraphError::Ends { network: self.name.clone() }) }
    }

    fn check_bins(&self) -> Result<(), GraphError> {
        for unit in &self.units {
            let err = |rule| Err(GraphError::Bins { unit: unit.name.clone(), rule });
            if unit.bins.is_empty() || unit.bins[0] == 0 || unit.max() > 65535 {
                return err("there is at least one bin, and each is between 1 and 65535 channels");
            }
            if !unit.bins.is_sorted_by(|a, b| a < b) {
                return err("bins are ascending");
            }
            if !unit.bins.contains(&unit.full) {
                return err("the full count (x1.0) is one of the bins");
            }
        }
        Ok(())
    }

    fn check_nodes(&self) -> Result<(), GraphError> {
        let mut widths: Vec<Width> = Vec::new();
        let mut planes: Vec<(usize, usize)> = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            if let Some(&input) = node.op.inputs().iter().find(|&&i| i >= id) {
                return Err(GraphError::Order { node: node.name.clone(), input });
            }
            self.check_units(node)?;
            if let Some(rule) = broken_rule(&node.op, &widths, &planes, &self.units) {
                return Err(GraphError::Untied { node: node.name.clone(), rule });
            }
            let width = node.op.width(self, &widths);
            if !width.is_small() || width.count(&self.widest()) > 65535 {
                return Err(GraphError::Untied {
                    node: node.name.clone(),
                    rule: "a node has at most 65535 channels",
                });
            }
            widths.push(width);
            planes.push(self.plane(node, &planes)?);
        }
        Ok(())
    }

    fn check_units(&self, node: &Node) -> Result<(), GraphError> {
        let (NodeOp::Conv(Conv { units, .. }) | NodeOp::Linear(Linear { units, .. })) = &node.op else {
            return Ok(());
        };
        if units.is_empty() {
            let rule = "a convolution or linear layer has at least one unit";
            return Err(GraphError::Untied { node: node.name.clone(), rule });
        }
        let n_units = self.units.len();
        match units.iter().find(|&&unit| unit >= n_units) {
            Some(&unit) => Err(GraphError::NoUnit { node: node.name.clone(), unit, n_units }),
            None => Ok(()),
        }
    }

    fn plane(&self, node: &Node, planes: &[(usize, usize)]) -> Result<(usize, usize), GraphError> {
        match &node.op {
            NodeOp::Input => Ok((self.input.h, self.input.w)),
            NodeOp::Linear(_) | NodeOp::GlobalAverage { .. } | NodeOp::Head { .. } => Ok((1, 1)),
            op => {
                let (h, w) = planes[op.inputs()[0]];
                let Some(window) = op.window() else { return Ok((h, w)) };
                let fits = |plane: &(usize, usize)| plane.0 <= 255 && plane.1 <= 255;
                let plane = if window.is_valid() { window.positions((h, w)).filter(fits) } else { None };
                let (kernel, stride) = (window.kernel, window.stride);
                plane.ok_or_else(|| GraphError::Plane {
                    node: node.name.clone(),
                    kernel_h: kernel.h,
                    kernel_w: kernel.w,
                    stride,
                    h,
                    w,
                })
            }
        }
    }
}

/// The rule about its inputs that an operator breaks.
fn broken_rule(
    op: &NodeOp,
    widths: &[Width],
    planes: &[(usize, usize)],
    units: &[Unit],
) -> Option<&'static str> {
    let even = |width: &Width, n: usize| width.is_multiple_of(n, units);
    let (holds, rule) = match op {
        NodeOp::Conv(Conv { kind: ConvKind::Depthwise, input, units, .. }) => {
            (Width::sum(units) == widths[*input], "a depthwise convolution has the unit of its input")
        }
        NodeOp::Conv(Conv { kind: ConvKind::Grouped { groups }, input, units, .. }) => (
            *groups >= 2 && even(&widths[*input], *groups) && even(&Width::sum(units), *groups),
            "a grouped convolution has at least 2 groups, and every bin of the units of its input and output is a multiple of them",
        ),
        NodeOp::Linear(Linear { input, .. }) => (
            planes[*input] == (1, 1),
            "a linear layer reads planes of one pixel; put a global average before it",
        ),
        NodeOp::Add { a, b, .. } => (
            !widths[*a].is_constant() && widths[*a] == widths[*b] && planes[*a] == planes[*b],
            "the terms of a sum have one unit and one plane",
        ),
        NodeOp::Concat { a, b } => (planes[*a] == planes[*b], "the parts of a concatenation have one plane"),
        NodeOp::Shuffle { input, groups } => (
            *groups >= 2 && even(&widths[*input], *groups),
            "a channel shuffle has at least 2 groups, and every bin of its input's units is a multiple of them",
        ),
        NodeOp::Split { input, part, parts } => (
            *parts >= 2 && part < parts && even(&widths[*input], *parts),
            "a channel split has at least 2 parts, takes one of them, and every bin of its input's units is a multiple of them",
        ),
        NodeOp::Scale { input, gate } => (
            widths[*input] == widths[*gate] && planes[*gate] == (1, 1),
            "a gate has the unit of what it scales and a plane of one pixel",
        ),
        NodeOp::Input
        | NodeOp::Conv(_)
        | NodeOp::Pool(_)
        | NodeOp::GlobalAverage { .. }
        | NodeOp::Head { .. } => return None,
    };
    (!holds).then_some(rule)
}

pub(super) fn at_most(network: &str, what: &'static str, found: u64, most: u64) -> Result<(), GraphError> {
    if found <= most {
        return Ok(());
    }
    Err(GraphError::TooMany { network: network.to_owned(), what, found, most })
}

fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), GraphError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(GraphError::DuplicateName { name: name.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, zoo};

    fn resnet() -> Graph {
        zoo::network("resnet-8", Shape { h: 32, w: 32, c: 3 }, 10, zoo::ZooOptions::default()).unwrap()
    }

    #[test]
    fn bins_that_miss_the_full_count_are_refused() {
        let mut graph = resnet();
        graph.units[0].full = 9;
        assert!(matches!(graph.check(), Err(GraphError::Bins { .. })));
    }

    #[test]
    fn a_sum_of_different_units_is_refused() {
        let mut graph = resnet();
        let add = graph.nodes.iter_mut().find(|n| matches!(n.op, NodeOp::Add { .. })).unwrap();
        let NodeOp::Add { b, .. } = &mut add.op else { unreachable!() };
        *b = 2;
        assert!(matches!(graph.check(), Err(GraphError::Untied { .. })));
    }

    #[test]
    fn a_node_that_nothing_reads_is_refused_by_name() {
        // Stem, depthwise and pointwise; the head reads the depthwise.
        let mut graph =
            zoo::network("mobilenet-v1-tiny", Shape { h: 28, w: 28, c: 1 }, 10, zoo::ZooOptions::default())
                .unwrap();
        let last = graph.nodes.len() - 1;
        let NodeOp::Head { input } = &mut graph.nodes[last].op else { unreachable!() };
        *input -= 1;
        let node = graph.nodes[last - 1].name.clone();
        assert_eq!(graph.check(), Err(GraphError::Unread { node }));
    }

    #[test]
    fn a_node_cannot_read_a_later_one() {
        let mut graph = resnet();
        let NodeOp::Conv(conv) = &mut graph.nodes[1].op else { unreachable!() };
        conv.input = 5;
        assert!(matches!(graph.check(), Err(GraphError::Order { input: 5, .. })));
    }

    #[test]
    fn padding_cannot_grow_a_plane_beyond_what_a_pool_covers() {
        let mut graph = resnet();
        let NodeOp::Conv(conv) = &mut graph.nodes[1].op else { unreachable!() };
        (conv.kernel, conv.padding) = (crate::network::Kernel::square(200), device_bench::Padding::all(199));
        assert_eq!(graph.check(), Ok(()), "32 + 2 * 199 - 200 + 1 = 231");
        let NodeOp::Conv(conv) = &mut graph.nodes[2].op else { unreachable!() };
        (conv.kernel, conv.padding) = (crate::network::Kernel::square(200), device_bench::Padding::all(199));
        assert!(matches!(graph.check(), Err(GraphError::Plane { h: 231, .. })));
    }

    #[test]
    fn networks_that_no_memory_holds_are_refused_by_what_they_have_too_much_of() {
        let refused = |change: fn(&mut Graph)| {
            let mut graph = resnet();
            change(&mut graph);
            graph.check().unwrap_err().to_string()
        };
        let message = refused(|graph| graph.units = vec![graph.units[0].clone(); 3000]);
        assert!(message.contains("3000 units"), "{message}");
        let message = refused(|graph| graph.units.iter_mut().for_each(|u| u.bins = (1..=4000).collect()));
        assert!(message.contains("pairs of bins"), "{message}");
        let message = refused(|graph| graph.units.iter_mut().for_each(|u| u.bins = vec![u.full, 60_000]));
        assert!(message.contains("weights and biases"), "{message}");
        let mut graph = resnet();
        graph.units.iter_mut().for_each(|unit| unit.bins = (1..=2 * unit.full).collect());
        assert_eq!(graph.check(), Ok(()));
    }

    #[test]
    fn a_kernel_larger_than_its_plane_is_refused() {
        let mut graph = resnet();
        let NodeOp::Conv(conv) = &mut graph.nodes[1].op else { unreachable!() };
        conv.kernel = crate::network::Kernel::square(99);
        assert!(matches!(graph.check(), Err(GraphError::Plane { .. })));
    }
}
