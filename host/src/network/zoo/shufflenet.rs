//! ShuffleNet v1 with three groups (Zhang et al., arXiv 1707.01083) and ShuffleNet v2 (Ma et al., arXiv 1807.11164), ×1.0, and
//! forms of both for small images.

use super::{Builder, Form, dense, depthwise};
use crate::network::Activation;
use crate::network::graph::{ConvKind, Kernel, NodeId, NodeOp, Pool, PoolKind, UnitId};
use device_bench::Padding;

/// Of ShuffleNet v1.
const GROUPS: usize = 3;
/// A unit's output over its bottleneck (section 3.2).
const BOTTLENECK: usize = 4;

/// What comes before the stages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stem {
    /// A convolution of stride 2 and a max pool of stride 2.
    Published,
    /// A convolution that keeps the plane.
    Small,
}

/// A network of either version.
pub(super) struct Network {
    stem: Stem,
    stem_channels: usize,
    /// Output channels and units of each stage, the first of stride 2.
    stages: [(usize, usize); 3],
    /// Of the 1×1 convolution behind the stages; version 1 has none.
    last: usize,
}

/// Table 1, three groups.
pub(super) const V1: Network =
    Network { stem: Stem::Published, stem_channels: 24, stages: [(240, 4), (480, 8), (960, 4)], last: 0 };

/// Three tenths as wide.
pub(super) const V1_SMALL: Network =
    Network { stem: Stem::Small, stem_channels: 24, stages: [(72, 4), (144, 8), (288, 4)], last: 0 };

/// Table 5, ×1.
pub(super) const V2: Network =
    Network { stem: Stem::Published, stem_channels: 24, stages: [(116, 4), (232, 8), (464, 4)], last: 1024 };

/// About a quarter as wide.
pub(super) const V2_SMALL: Network =
    Network { stem: Stem::Small, stem_channels: 24, stages: [(32, 4), (64, 8), (128, 4)], last: 256 };

fn stem(b: &mut Builder, network: &Network, unit: UnitId) -> NodeId {
    let stride = if network.stem == Stem::Published { 2 } else { 1 };
    let node = b.conv("stem", 0, unit, dense(3, stride, Activation::Relu));
    if network.stem == Stem::Small {
        return node;
    }
    b.node("stem.pool", halving_pool(node, PoolKind::Max))
}

fn halving_pool(input: NodeId, kind: PoolKind) -> NodeOp {
    NodeOp::Pool(Pool { input, kind, kernel: Kernel::square(3), stride: 2, padding: Padding::all(1) })
}

/// A stage's first unit concatenates its input, pooled, and its own channels, so that all its sums have the units of the stages
/// before and one of its own; every bottleneck has its own unit.
pub(super) fn build_v1(b: &mut Builder, network: &Network) {
    let mut full = network.stem_channels;
    let mut units = vec![b.grouped_unit("stem", full, GROUPS)];
    let mut node = stem(b, network, units[0]);
    for (i, (channels, n_units)) in network.stages.into_iter().enumerate() {
        let own = b.grouped_unit(format!("stage{}", i + 2), channels - full, GROUPS);
        for j in 0..n_units {
            let name = format!("stage{}.unit{}", i + 2, j + 1);
            let inner = b.grouped_unit(format!("{name}.inner"), channels / BOTTLENECK, GROUPS);
            // The stem has few channels: what reads it is not grouped (section 3.2).
            let reduce = if i + j == 0 { dense(1, 1, Activation::Relu) } else { grouped(Activation::Relu) };
            node = if j == 0 {
                let pooled = b.node(format!("{name}.pool"), halving_pool(node, PoolKind::Average));
                let form = (reduce, 2, Activation::Relu);
                let branch = bottleneck(b, &name, node, inner, vec![own], form);
                b.node(format!("{name}.concat"), NodeOp::Concat { a: pooled, b: branch })
            } else {
                let form = (reduce, 1, Activation::None);
                let branch = bottleneck(b, &name, node, inner, units.clone(), form);
                let sum = NodeOp::Add { a: branch, b: node, activation: Activation::Relu };
                b.node(format!("{name}.sum"), sum)
            };
            if j == 0 {
                units.push(own);
            }
        }
        full = channels;
    }
    b.node("head", NodeOp::Head { input: node });
}

const fn grouped(activation: Activation) -> Form {
    Form { kind: ConvKind::Grouped { groups: GROUPS }, ..dense(1, 1, activation) }
}

/// 1×1 convolution to `inner`, shuffle, depthwise convolution of `stride`, grouped 1×1 convolution to `units`.
fn bottleneck(
    b: &mut Builder,
    name: &str,
    input: NodeId,
    inner: UnitId,
    units: Vec<UnitId>,
    (reduce, stride, activation): (Form, usize, Activation),
) -> NodeId {
    let node = b.conv(format!("{name}.reduce"), input, inner, reduce);
    let node = b.node(format!("{name}.shuffle"), NodeOp::Shuffle { input: node, groups: GROUPS });
    let node = b.conv(format!("{name}.depthwise"), node, inner, depthwise(3, stride, Activation::None));
    b.conv_of(format!("{name}.expand"), node, units, grouped(activation))
}

/// All units of a stage work on one half of the channels and leave the other, so that every half has the stage's unit; what is
/// inside of a unit has its own.
pub(super) fn build_v2(b: &mut Builder, network: &Network) {
    let mut before = vec![b.unit("stem", network.stem_channels)];
    let mut node = stem(b, network, before[0]);
    for (i, (channels, n_units)) in network.stages.into_iter().enumerate() {
        let half = b.unit(format!("stage{}", i + 2), channels / 2);
        for j in 0..n_units {
            let name = format!("stage{}.unit{}", i + 2, j + 1);
            let inner = b.unit(format!("{name}.inner"), channels / 2);
            let (left, right, stride) = if j == 0 {
                let left = format!("{name}.left");
                let linear = depthwise(3, 2, Activation::None);
                let depthwise = b.conv_of(format!("{left}.depthwise"), node, before.clone(), linear);
                (b.conv(left, depthwise, half, dense(1, 1, Activation::Relu)), node, 2)
            } else {
                let [left, right] = [0, 1].map(|part| {
                    b.node(format!("{name}.split{part}"), NodeOp::Split { input: node, part, parts: 2 })
                });
                (left, right, 1)
            };
            let right = b.conv(format!("{name}.reduce"), right, inner, dense(1, 1, Activation::Relu));
            let right =
                b.conv(format!("{name}.depthwise"), right, inner, depthwise(3, stride, Activation::None));
            let right = b.conv(format!("{name}.expand"), right, half, dense(1, 1, Activation::Relu));
            let both = b.node(format!("{name}.concat"), NodeOp::Concat { a: left, b: right });
            node = b.node(format!("{name}.shuffle"), NodeOp::Shuffle { input: both, groups: 2 });
        }
        before = vec![half, half];
    }
    let last = b.unit("last", network.last);
    node = b.conv("last", node, last, dense(1, 1, Activation::Relu));
    b.node("head", NodeOp::Head { input: node });
}
