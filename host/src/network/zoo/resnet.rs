//! Residual networks for small images: three stages of 16, 32 and 64 channels.
//!
//! One block a stage is ResNet-8 of MLPerf Tiny's image classification, three are ResNet-20 (He et al., arXiv
//! 1512.03385, section 4.2). A shortcut that halves the plane is a 1×1 convolution (option B of the paper): the
//! zero-padded one of its CIFAR experiments would tie channels of different stages.

use super::{Builder, dense};
use crate::network::Activation;
use crate::network::graph::{NodeId, NodeOp, UnitId};

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
