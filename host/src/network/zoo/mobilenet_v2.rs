//! MobileNet v2 (arXiv 1801.04381): the published network, and its usual form for small images.

use super::{Builder, dense, depthwise};
use crate::network::Activation;
use crate::network::graph::{NodeId, NodeOp, UnitId};

/// After every convolution but a block's last, which is linear.
const ACTIVATION: Activation = Activation::Relu6;

/// Table 2 of the paper, ×1.0: expansion, channels, number of blocks, stride of the first.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// `stem_stride` is 2 in the paper; 1 keeps a small image's plane up to the second stage.
///
/// Blocks whose input and output are added share one unit; an expansion and its depthwise convolution have their own.
pub(super) fn build(b: &mut Builder, stem_stride: usize) {
    let mut unit = b.unit("stem", 32);
    let mut node = b.conv("stem", 0, unit, dense(3, stem_stride, ACTIVATION));
    for (i, &(expansion, channels, n_blocks, stride)) in STAGES.iter().enumerate() {
        let output = b.unit(format!("stage{}", i + 1), channels);
        let name = |j| format!("stage{}.block{j}", i + 1);
        let full = if i == 0 { 32 } else { STAGES[i - 1].1 };
        node = block(b, &name(1), (node, unit, full * expansion), output, stride);
        for j in 2..=n_blocks {
            let input = node;
            let linear = block(b, &name(j), (input, output, channels * expansion), output, 1);
            let sum = NodeOp::Add { a: linear, b: input, activation: Activation::None };
            node = b.node(format!("{}.sum", name(j)), sum);
        }
        unit = output;
    }
    unit = b.unit("last", 1280);
    node = b.conv("last", node, unit, dense(1, 1, ACTIVATION));
    b.node("head", NodeOp::Head { input: node });
}

/// Expansion to `expanded` channels (none in the first stage, whose input they are), depthwise 3×3, linear 1×1.
fn block(
    b: &mut Builder,
    name: &str,
    (input, input_unit, expanded): (NodeId, UnitId, usize),
    output: UnitId,
    stride: usize,
) -> NodeId {
    let (mut node, mut unit) = (input, input_unit);
    if !name.starts_with("stage1.") {
        unit = b.unit(format!("{name}.expanded"), expanded);
        node = b.conv(format!("{name}.expand"), node, unit, dense(1, 1, ACTIVATION));
    }
    node = b.conv(format!("{name}.depthwise"), node, unit, depthwise(3, stride, ACTIVATION));
    b.conv(format!("{name}.linear"), node, output, dense(1, 1, Activation::None))
}
