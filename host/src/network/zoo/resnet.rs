//! Residual networks (He et al., arXiv 1512.03385). A shortcut that changes the plane or the channels is a 1×1 convolution
//! (option B of the paper): the zero-padded one of its CIFAR experiments would tie channels of different stages.

use super::{Builder, dense};
use crate::network::Activation;
use crate::network::graph::{Kernel, NodeId, NodeOp, Pool, PoolKind, UnitId};
use device_bench::Padding;

/// For small images, three stages of 16, 32 and 64 channels (section 4.2): one block a stage is ResNet-8 of MLPerf Tiny's
/// image classification, three are ResNet-20, nine ResNet-56.
///
/// Stem and first stage share a unit: its shortcuts are identities.
pub(super) fn build(b: &mut Builder, blocks_per_stage: usize) {
    let mut unit = b.unit("stem", 16);
    let mut node = b.conv("stem", 0, unit, dense(3, 1, Activation::Relu));
    for (stage, full) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..blocks_per_stage {
            let name = format!("block{}", stage * blocks_per_stage + block + 1);
            let opens = stage > 0 && block == 0;
            if opens {
                unit = b.unit(&name, full);
            }
            node = residual(b, &name, node, (full, unit), if opens { 2 } else { 1 });
        }
    }
    b.node("head", NodeOp::Head { input: node });
}

/// Two 3×3 convolutions and a shortcut; at stride 2 the shortcut is a 1×1 convolution.
fn residual(
    b: &mut Builder,
    name: &str,
    input: NodeId,
    (full, unit): (usize, UnitId),
    stride: usize,
) -> NodeId {
    let inner = b.unit(format!("{name}.inner"), full);
    let a = b.conv(format!("{name}.conv1"), input, inner, dense(3, stride, Activation::Relu));
    let a = b.conv(format!("{name}.conv2"), a, unit, dense(3, 1, Activation::None));
    let shortcut = match stride {
        1 => input,
        _ => b.conv(format!("{name}.shortcut"), input, unit, dense(1, stride, Activation::None)),
    };
    b.node(format!("{name}.sum"), NodeOp::Add { a, b: shortcut, activation: Activation::Relu })
}

/// Blocks of each stage of ResNet-50.
const BOTTLENECKS: [usize; 4] = [3, 4, 6, 3];
/// A block's output over what its 3×3 convolution has.
const EXPANSION: usize = 4;

/// ResNet-50 (table 1), its strides in the 3×3 convolutions, as torchvision has it.
pub(super) fn build_50(b: &mut Builder) {
    let stem = b.unit("stem", 64);
    let node = b.conv("stem", 0, stem, dense(7, 2, Activation::Relu));
    let pool = Pool {
        input: node,
        kind: PoolKind::Max,
        kernel: Kernel::square(3),
        stride: 2,
        padding: Padding::all(1),
    };
    let node = b.node("stem.pool", NodeOp::Pool(pool));
    bottlenecks(b, node, 64);
}

/// Its form for small images, an eighth as wide and without the pool: 4 M MAC on 28×28×1.
pub(super) fn build_50_small(b: &mut Builder) {
    let stem = b.unit("stem", 16);
    let node = b.conv("stem", 0, stem, dense(3, 2, Activation::Relu));
    bottlenecks(b, node, 8);
}

/// Four stages of `base`, `2 base`, … channels; all blocks of a stage share the unit of their outputs.
fn bottlenecks(b: &mut Builder, mut node: NodeId, base: usize) {
    for (stage, blocks) in BOTTLENECKS.into_iter().enumerate() {
        let full = base << stage;
        let unit = b.unit(format!("stage{}", stage + 1), EXPANSION * full);
        for block in 0..blocks {
            let name = format!("stage{}.block{}", stage + 1, block + 1);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let inner = ["reduced", "inner"].map(|part| b.unit(format!("{name}.{part}"), full));
            let a = b.conv(format!("{name}.conv1"), node, inner[0], dense(1, 1, Activation::Relu));
            let a = b.conv(format!("{name}.conv2"), a, inner[1], dense(3, stride, Activation::Relu));
            let a = b.conv(format!("{name}.conv3"), a, unit, dense(1, 1, Activation::None));
            let shortcut = match block {
                0 => b.conv(format!("{name}.shortcut"), node, unit, dense(1, stride, Activation::None)),
                _ => node,
            };
            node =
                b.node(format!("{name}.sum"), NodeOp::Add { a, b: shortcut, activation: Activation::Relu });
        }
    }
    b.node("head", NodeOp::Head { input: node });
}
