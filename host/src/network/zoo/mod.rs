//! Architectures by name. `NAME-imagenet` is the published network of a name whose plain form is for small images.

mod ds_cnn;
mod inverted;
mod mobilenet_v1;
mod resnet;
mod shufflenet;

use super::Activation;
use super::check::GraphError;
use super::graph::{Conv, ConvKind, Graph, Kernel, Node, NodeId, NodeOp, Shape, Unit, UnitId};
use device_bench::Padding;

/// The names of [`network`].
pub const NAMES: [&str; 18] = [
    "mobilenet-v1",
    "mobilenet-v1-tiny",
    "mobilenet-v1-vww",
    "mobilenet-v1-imagenet",
    "mobilenet-v2",
    "mobilenet-v2-imagenet",
    "mnasnet-b1",
    "mnasnet-b1-imagenet",
    "resnet-8",
    "resnet-20",
    "resnet-56",
    "resnet-50",
    "resnet-50-imagenet",
    "shufflenet-v1",
    "shufflenet-v1-imagenet",
    "shufflenet-v2",
    "shufflenet-v2-imagenet",
    "ds-cnn",
];

/// What a network is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// The network's name without its form.
    pub network: &'static str,
    /// `imagenet` for the published network, `small` for what runs on small images.
    pub form: &'static str,
    /// The image.
    pub input: Shape,
    /// Classes.
    pub classes: usize,
}

impl Task {
    /// Of one of [`NAMES`]: the size that published counts are told for, or that of small data sets.
    pub fn of(name: &'static str) -> Task {
        let square = |side, c| Shape { h: side, w: side, c };
        if let Some(network) = name.strip_suffix("-imagenet") {
            return Task { network, form: "imagenet", input: square(224, 3), classes: 1000 };
        }
        let (input, classes) = match name {
            "mobilenet-v1-vww" => (square(96, 3), 2),
            "ds-cnn" => (Shape { h: 49, w: 10, c: 1 }, 12),
            "resnet-8" | "resnet-20" | "resnet-56" => (square(32, 3), 10),
            _ => (square(28, 1), 10),
        };
        Task { network: name, form: "small", input, classes }
    }
}

/// Which channel counts a zoo network offers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZooOptions {
    /// Widest bin as a multiple of the full count, at least 1.
    pub max_width: f64,
    /// Smallest bin as a multiple of the full count, above 0 and at most 1.
    pub min_width: f64,
    /// Bins are multiples of it (the full count is always a bin).
    pub bin_multiple: usize,
}

impl Default for ZooOptions {
    /// Multiples of 8 from ×0.25 to ×1.0.
    fn default() -> Self {
        ZooOptions { max_width: 1.0, min_width: 0.25, bin_multiple: 8 }
    }
}

impl ZooOptions {
    /// Checks the widths and the multiple.
    ///
    /// # Errors
    /// [`ZooError::Options`] if one is out of range.
    pub fn check(self) -> Result<(), ZooError> {
        let ZooOptions { max_width, min_width, bin_multiple } = self;
        let widths = min_width > 0.0 && min_width <= 1.0 && (1.0..=4.0).contains(&max_width);
        if widths && bin_multiple > 0 { Ok(()) } else { Err(ZooError::Options(self)) }
    }
}

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ZooError {
    /// A name that the zoo does not have.
    #[error(
        "no network is called `{name}`{}; there are {}, and files that end in .toml",
        crate::nearest::did_you_mean(name, NAMES), NAMES.join(", ")
    )]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// Options outside their range.
    #[error("widths from {} to {} in multiples of {}: 0 < min_width <= 1 <= max_width <= 4 and a multiple of at least 1", .0.min_width, .0.max_width, .0.bin_multiple)]
    Options(ZooOptions),
    /// An image that the architecture cannot take.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// The network `name` for images of shape `input`.
///
/// # Errors
/// [`ZooError`] for an unknown name, options out of range or an image that is too small.
pub fn network(name: &str, input: Shape, classes: usize, options: ZooOptions) -> Result<Graph, ZooError> {
    options.check()?;
    let mut builder = Builder::new(options);
    match name {
        "mobilenet-v1" => mobilenet_v1::build(&mut builder, &mobilenet_v1::SMALL),
        "mobilenet-v1-tiny" => mobilenet_v1::build(&mut builder, &mobilenet_v1::TINY),
        "mobilenet-v1-imagenet" => mobilenet_v1::build(&mut builder, &mobilenet_v1::IMAGENET),
        "mobilenet-v1-vww" => mobilenet_v1::build(&mut builder, &mobilenet_v1::VISUAL_WAKE_WORDS),
        "mobilenet-v2" => inverted::build(&mut builder, &inverted::MOBILENET_V2, 1),
        "mobilenet-v2-imagenet" => inverted::build(&mut builder, &inverted::MOBILENET_V2, 2),
        "mnasnet-b1" => inverted::build(&mut builder, &inverted::MNASNET_B1, 1),
        "mnasnet-b1-imagenet" => inverted::build(&mut builder, &inverted::MNASNET_B1, 2),
        "resnet-8" => resnet::build(&mut builder, 1),
        "resnet-20" => resnet::build(&mut builder, 3),
        "resnet-56" => resnet::build(&mut builder, 9),
        "resnet-50" => resnet::build_50_small(&mut builder),
        "resnet-50-imagenet" => resnet::build_50(&mut builder),
        "shufflenet-v1" => shufflenet::build_v1(&mut builder, &shufflenet::V1_SMALL),
        "shufflenet-v1-imagenet" => shufflenet::build_v1(&mut builder, &shufflenet::V1),
        "shufflenet-v2" => shufflenet::build_v2(&mut builder, &shufflenet::V2_SMALL),
        "shufflenet-v2-imagenet" => shufflenet::build_v2(&mut builder, &shufflenet::V2),
        "ds-cnn" => ds_cnn::build(&mut builder),
        _ => return Err(ZooError::Unknown { name: name.into() }),
    }
    let graph = Graph { name: name.into(), input, classes, nodes: builder.nodes, units: builder.units };
    graph.check()?;
    Ok(graph)
}

/// Nodes and units in the making; node 0 is the image.
struct Builder {
    options: ZooOptions,
    nodes: Vec<Node>,
    units: Vec<Unit>,
}

impl Builder {
    fn new(options: ZooOptions) -> Self {
        let image = Node { name: "image".into(), op: NodeOp::Input };
        Builder { options, nodes: vec![image], units: Vec::new() }
    }

    fn unit(&mut self, name: impl Into<String>, full: usize) -> UnitId {
        self.units.push(Unit { name: name.into(), full, bins: bins(full, self.options) });
        self.units.len() - 1
    }

    fn node(&mut self, name: impl Into<String>, op: NodeOp) -> NodeId {
        self.nodes.push(Node { name: name.into(), op });
        self.nodes.len() - 1
    }

    /// A unit whose bins are multiples of `groups` too, as `full` is.
    fn grouped_unit(&mut self, name: impl Into<String>, full: usize, groups: usize) -> UnitId {
        let step = self.options.bin_multiple;
        let bin_multiple = if step.is_multiple_of(groups) { step } else { step.saturating_mul(groups) };
        let bins = bins(full, ZooOptions { bin_multiple, ..self.options });
        self.units.push(Unit { name: name.into(), full, bins });
        self.units.len() - 1
    }

    /// A convolution that keeps the plane (halves it at stride 2).
    fn conv(&mut self, name: impl Into<String>, input: NodeId, unit: UnitId, form: Form) -> NodeId {
        self.conv_of(name, input, vec![unit], form)
    }

    /// The same with several units behind each other.
    fn conv_of(&mut self, name: impl Into<String>, input: NodeId, units: Vec<UnitId>, form: Form) -> NodeId {
        let Form { kind, kernel, stride, activation } = form;
        let padding = Padding::all((kernel / 2) as u8);
        let kernel = Kernel::square(kernel);
        self.node(name, NodeOp::Conv(Conv { input, kind, kernel, stride, padding, units, activation }))
    }
}

#[derive(Clone, Copy)]
struct Form {
    kind: ConvKind,
    kernel: usize,
    stride: usize,
    activation: Activation,
}

const fn dense(kernel: usize, stride: usize, activation: Activation) -> Form {
    Form { kind: ConvKind::Dense, kernel, stride, activation }
}

const fn depthwise(kernel: usize, stride: usize, activation: Activation) -> Form {
    Form { kind: ConvKind::Depthwise, kernel, stride, activation }
}

/// At least as many as [`bins`] gives.
pub(super) fn n_bins(full: usize, options: ZooOptions) -> usize {
    let (low, high) = ends(full, options);
    (high - low) / options.bin_multiple + 2
}

/// The least and the largest count that may be a bin.
fn ends(full: usize, options: ZooOptions) -> (usize, usize) {
    // A hair of slack, so that 0.35 * 100 does not round up to 36.
    let low = (full as f64 * options.min_width - 1e-9).ceil() as usize;
    let high = ((full as f64 * options.max_width + 1e-9) as usize).max(full);
    (low.checked_next_multiple_of(options.bin_multiple).map_or(full, |low| low.min(full)), high)
}

/// Multiples between the two widths, and the full count.
pub(super) fn bins(full: usize, options: ZooOptions) -> Vec<usize> {
    let step = options.bin_multiple;
    let (low, high) = ends(full, options);
    let mut bins: Vec<usize> = (low..=high).filter(|n| n.is_multiple_of(step) || *n == full).collect();
    bins.dedup();
    bins
}

#[cfg(test)]
mod tests;
