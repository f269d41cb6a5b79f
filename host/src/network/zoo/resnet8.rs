//! ResNet-8 of MLPerf Tiny's image classification: three residual blocks of 16, 32 and 64 channels.

use super::{Builder, dense};
use crate::network::Activation;
use crate::network::graph::{NodeId, NodeOp, UnitId};

/// Stem and first block share a unit: the block's shortcut is the identity.
pub(super) fn build(b: &mut Builder) {
    let stem = b.unit("stem", 16);
    let node = b.conv("stem", 0, stem, dense(3, 1, Activation::Relu));
    let node = block(b, "block1", node, (16, stem), 1);
    let unit = b.unit("block2", 32);
    let node = block(b, "block2", node, (32, unit), 2);
    let unit = b.unit("block3", 64);
    let node = block(b, "block3", node, (64, unit), 2);
    b.node("head", NodeOp::Head { input: node });
}

/// Two 3×3 convolutions and a shortcut; at stride 2 the shortcut is a 1×1 convolution.
fn block(b: &mut Builder, name: &str, input: NodeId, (full, unit): (usize, UnitId), stride: usize) -> NodeId {
    let inner = b.unit(format!("{name}.inner"), full);
    let a = b.conv(format!("{name}.conv1"), input, inner, dense(3, stride, Activation::Relu));
    let a = b.conv(format!("{name}.conv2"), a, unit, dense(3, 1, Activation::None));
    let shortcut = match stride {
        1 => input,
        _ => b.conv(format!("{name}.shortcut"), input, unit, dense(1, stride, Activation::None)),
    };
    b.node(format!("{name}.sum"), NodeOp::Add { a, b: shortcut, activation: Activation::Relu })
}
