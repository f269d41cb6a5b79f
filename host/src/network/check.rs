//! The rules that a [`Graph`] keeps; everything downstream relies on them.

mod rule;

use super::graph::{Conv, Graph, Linear, Node, NodeId, NodeOp, UnitId};
use super::width::{Width, pairs};
use std::collections::{BTreeSet, HashSet};

/// The most nodes, and the most units.
pub(super) const MAX_NODES: u64 = 2048;
/// The most weights and biases: 256 MiB of them, and training keeps four copies.
const MAX_WEIGHTS: u64 = 1 << 26;
/// The most pairs of input and output bins over all nodes: at a hundred layers a second they take half a day.
const MAX_BIN_PAIRS: u64 = 1 << 22;

/// Index of a node or unit that nothing has: what reads it is checked as far as it can be.
pub(super) const UNKNOWN: usize = usize::MAX;

/// What breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The network as a whole.
    Network,
    /// A unit.
    Unit(UnitId),
    /// A node.
    Node(NodeId),
}

/// A rule that a graph breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Order or kind of the nodes.
    #[error("network `{network}`: the image is the only input, and the last node is the only head")]
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
    /// A node that does not reach the head: it would cost time on the board and give no gradient.
    #[error("node `{node}` does not reach the head, through whatever reads it; remove it, or read it")]
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
    #[error("node `{node}`: {rule}{found}")]
    Untied {
        /// The node.
        node: String,
        /// What must hold.
        rule: &'static str,
        /// What is there instead, after a semicolon; or nothing.
        found: String,
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

/// What is known of the outputs of the nodes so far: of a node that breaks a rule, not everything.
#[derive(Default)]
struct Outputs {
    widths: Vec<Option<Width>>,
    planes: Vec<Option<(usize, usize)>>,
}

type Mistakes = Vec<(Place, GraphError)>;

impl Graph {
    /// Checks order, names, tied units, bins and shapes.
    ///
    /// # Errors
    /// [`GraphError`] with the first rule that the graph breaks.
    pub fn check(&self) -> Result<(), GraphError> {
        self.mistakes().into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// All rules that the graph breaks, and where. What follows from a mistake alone is none: a sum of a node that
    /// has no known plane is not compared.
    pub fn mistakes(&self) -> Vec<(Place, GraphError)> {
        let mut found = Mistakes::new();
        let small = |n: usize, limit: usize| n > 0 && n <= limit;
        let Graph { input, classes, .. } = self;
        if !small(input.h, 255) || !small(input.w, 255) || !small(input.c, 65535) || !small(*classes, 65535) {
            found.push((Place::Network, GraphError::Input));
        }
        for (what, n) in [("nodes", self.nodes.len()), ("units", self.units.len())] {
            found.extend(at_most(&self.name, what, n as u64, MAX_NODES).err().map(|e| (Place::Network, e)));
        }
        if !found.is_empty() {
            return found;
        }
        self.check_ends(&mut found);
        repeated(self.nodes.iter().map(|n| &n.name), Place::Node, &mut found);
        repeated(self.units.iter().map(|u| &u.name), Place::Unit, &mut found);
        self.check_nodes(&mut found);
        if found.is_empty() {
            self.check_sizes(&mut found);
        }
        self.check_read(&mut found);
        found
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

    /// Where all inputs are known and stand before their readers.
    fn check_read(&self, found: &mut Mistakes) {
        let ordered = |(id, node): (NodeId, &Node)| node.op.inputs().iter().all(|&input| input < id);
        let has_head = self.nodes.iter().any(|node| matches!(node.op, NodeOp::Head { .. }));
        if !has_head || !self.nodes.iter().enumerate().all(ordered) {
            return;
        }
        for (id, (node, read)) in self.nodes.iter().zip(self.is_read()).enumerate() {
            if !read && !matches!(node.op, NodeOp::Input | NodeOp::Head { .. }) {
                found.push((Place::Node(id), GraphError::Unread { node: node.name.clone() }));
            }
        }
    }

    fn check_sizes(&self, found: &mut Mistakes) {
        let pairs = at_most(&self.name, "pairs of bins to measure", self.bin_pairs(), MAX_BIN_PAIRS);
        let params = self.counts(&self.widest()).params;
        let weights = at_most(&self.name, "weights and biases at the widest", params, MAX_WEIGHTS);
        found.extend([pairs, weights].into_iter().filter_map(Result::err).map(|e| (Place::Network, e)));
    }

    /// Channels of input and output that a choice of bins can ask for, summed over the nodes: no more layers than these are ever
    /// measured. Where there are very many, the choices of bins.
    fn bin_pairs(&self) -> u64 {
        let (widths, mut steps) = (self.node_widths(), MAX_BIN_PAIRS as usize);
        let mut n_pairs = |(id, node): (NodeId, &Node)| {
            let Some(&input) = node.op.inputs().first() else { return 0 };
            if let Some(pairs) = pairs(&widths[input], &widths[id], &self.units, &mut steps) {
                return pairs.len() as u64;
            }
            let units: BTreeSet<UnitId> = widths[id].units().chain(widths[input].units()).collect();
            units.iter().fold(1u64, |n, &unit| n.saturating_mul(self.units[unit].bins.len() as u64))
        };
        self.nodes.iter().enumerate().map(&mut n_pairs).fold(0, u64::saturating_add)
    }

    fn check_ends(&self, found: &mut Mistakes) {
        let last = self.nodes.len().saturating_sub(1);
        let is_head = |node: &Node| matches!(node.op, NodeOp::Head { .. });
        // A last node that reads nothing known may be meant for a head.
        let may_be_head = |node: &Node| is_head(node) || node.op.inputs().contains(&UNKNOWN);
        let misplaced = |&id: &NodeId| {
            let node = &self.nodes[id];
            matches!(node.op, NodeOp::Input) != (id == 0) || (is_head(node) && id != last)
        };
        let mut places: Vec<Place> = (0..self.nodes.len()).filter(misplaced).map(Place::Node).collect();
        if places.is_empty() && (last == 0 || !may_be_head(&self.nodes[last])) {
            places.push(if last == 0 { Place::Network } else { Place::Node(last) });
        }
        let ends = |place| (place, GraphError::Ends { network: self.name.clone() });
        found.extend(places.into_iter().map(ends));
    }

    fn check_nodes(&self, found: &mut Mistakes) {
        let bins: Vec<_> = (0..self.units.len()).filter_map(|unit| self.bins_error(unit)).collect();
        let bins_hold = bins.is_empty();
        found.extend(bins);
        let mut outputs = Outputs::default();
        for (id, node) in self.nodes.iter().enumerate() {
            let (width, plane) = match self.check_references(id, node) {
                Ok(()) => (self.width(node, &outputs, bins_hold), self.plane(node, &outputs.planes)),
                Err(error) => (Err(error), Ok(None)),
            };
            let errors = [width.as_ref().err(), plane.as_ref().err()].into_iter().flatten().cloned();
            found.extend(errors.map(|error| (Place::Node(id), error)));
            outputs.widths.push(width.ok().flatten());
            outputs.planes.push(plane.ok().flatten());
        }
    }

    fn bins_error(&self, id: UnitId) -> Option<(Place, GraphError)> {
        let unit = &self.units[id];
        let (first, last) = (unit.bins.first().unwrap_or(&0), unit.bins.last().unwrap_or(&0));
        let rule = if *first == 0 || *last > 65535 {
            "there is at least one bin, and each is between 1 and 65535 channels"
        } else if !unit.bins.is_sorted_by(|a, b| a < b) {
            "bins are ascending"
        } else if !unit.bins.contains(&unit.full) {
            "the full count (x1.0) is one of the bins"
        } else {
            return None;
        };
        Some((Place::Unit(id), GraphError::Bins { unit: unit.name.clone(), rule }))
    }

    /// Whether a node reads what stands before it, and names units that there are.
    fn check_references(&self, id: NodeId, node: &Node) -> Result<(), GraphError> {
        if let Some(&input) = node.op.inputs().iter().find(|&&input| input >= id) {
            return Err(GraphError::Order { node: node.name.clone(), input });
        }
        let (NodeOp::Conv(Conv { units, .. }) | NodeOp::Linear(Linear { units, .. })) = &node.op else {
            return Ok(());
        };
        if units.is_empty() {
            let rule = "a convolution or linear layer has at least one unit";
            return Err(GraphError::Untied { node: node.name.clone(), rule, found: String::new() });
        }
        let n_units = self.units.len();
        match units.iter().find(|&&unit| unit >= n_units) {
            Some(&unit) => Err(GraphError::NoUnit { node: node.name.clone(), unit, n_units }),
            None => Ok(()),
        }
    }

    /// The width of a node's output, as far as it is known, if the node keeps its operator's rule.
    fn width(&self, node: &Node, outputs: &Outputs, bins_hold: bool) -> Result<Option<Width>, GraphError> {
        rule::check(self, node, outputs, bins_hold)?;
        let width = node.op.width(self, &outputs.widths);
        let too_many =
            |width: &Width| !width.is_small() || (bins_hold && width.count(&self.widest()) > 65535);
        if width.as_ref().is_some_and(too_many) {
            let rule = "a node has at most 65535 channels";
            return Err(GraphError::Untied { node: node.name.clone(), rule, found: String::new() });
        }
        Ok(width)
    }

    /// The plane of a node's output, as far as it is known.
    fn plane(
        &self,
        node: &Node,
        planes: &[Option<(usize, usize)>],
    ) -> Result<Option<(usize, usize)>, GraphError> {
        match &node.op {
            NodeOp::Input => Ok(Some((self.input.h, self.input.w))),
            NodeOp::Linear(_) | NodeOp::GlobalAverage { .. } | NodeOp::Head { .. } => Ok(Some((1, 1))),
            op => {
                let Some((h, w)) = planes[op.inputs()[0]] else { return Ok(None) };
                let Some(window) = op.window() else { return Ok(Some((h, w))) };
                let fits = |plane: &(usize, usize)| plane.0 <= 255 && plane.1 <= 255;
                let plane = if window.is_valid() { window.positions((h, w)).filter(fits) } else { None };
                let (kernel, stride) = (window.kernel, window.stride);
                let refused = || GraphError::Plane {
                    node: node.name.clone(),
                    kernel_h: kernel.h,
                    kernel_w: kernel.w,
                    stride,
                    h,
                    w,
                };
                plane.map(Some).ok_or_else(refused)
            }
        }
    }
}

fn at_most(network: &str, what: &'static str, found: u64, most: u64) -> Result<(), GraphError> {
    if found <= most {
        return Ok(());
    }
    Err(GraphError::TooMany { network: network.to_owned(), what, found, most })
}

/// Tells each name that stood before.
fn repeated<'a>(names: impl Iterator<Item = &'a String>, place: fn(usize) -> Place, found: &mut Mistakes) {
    let mut seen = HashSet::new();
    for (i, name) in names.enumerate() {
        if !seen.insert(name) {
            found.push((place(i), GraphError::DuplicateName { name: name.clone() }));
        }
    }
}

#[cfg(test)]
mod tests;
