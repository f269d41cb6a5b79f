//! Networks of inverted residual blocks: MobileNet v2 (arXiv 1801.04381) and MNasNet-B1 (arXiv 1807.11626, without
//! squeeze-and-excite), the published ones and their usual forms for small images.

use super::{Builder, dense, depthwise};
use crate::network::Activation;
use crate::network::graph::{NodeId, NodeOp, UnitId};

/// Blocks of one width.
struct Stage {
    /// The depthwise convolution's channels over the input's; without an expansion, the input's are its own.
    expansion: usize,
    /// Side of the depthwise kernel.
    kernel: usize,
    channels: usize,
    blocks: usize,
    /// Of the first block.
    stride: usize,
}

const fn stage(expansion: usize, kernel: usize, channels: usize, blocks: usize, stride: usize) -> Stage {
    Stage { expansion, kernel, channels, blocks, stride }
}

/// A network.
pub(super) struct Form {
    /// After every convolution but a block's last, which is linear.
    activation: Activation,
    stages: &'static [Stage],
}

/// Table 2 of the paper, ×1.0.
pub(super) const MOBILENET_V2: Form = Form {
    activation: Activation::Relu6,
    stages: &[
        stage(1, 3, 16, 1, 1),
        stage(6, 3, 24, 2, 2),
        stage(6, 3, 32, 3, 2),
        stage(6, 3, 64, 4, 2),
        stage(6, 3, 96, 3, 1),
        stage(6, 3, 160, 3, 2),
        stage(6, 3, 320, 1, 1),
    ],
};

/// MNasNet-B1, ×1.0, as torchvision's `mnasnet1_0` has it.
pub(super) const MNASNET_B1: Form = Form {
    activation: Activation::Relu,
    stages: &[
        stage(1, 3, 16, 1, 1),
        stage(3, 3, 24, 3, 2),
        stage(3, 5, 40, 3, 2),
        stage(6, 5, 80, 3, 2),
        stage(6, 3, 96, 2, 1),
        stage(6, 5, 192, 4, 2),
        stage(6, 3, 320, 1, 1),
    ],
};

/// `stem_stride` is 2 in the papers; 1 keeps a small image's plane up to the second stage.
///
/// Blocks whose input and output are added share one unit; an expansion and its depthwise convolution have their own.
pub(super) fn build(b: &mut Builder, form: &Form, stem_stride: usize) {
    let mut unit = b.unit("stem", 32);
    let mut node = b.conv("stem", 0, unit, dense(3, stem_stride, form.activation));
    for (i, stage) in form.stages.iter().enumerate() {
        let output = b.unit(format!("stage{}", i + 1), stage.channels);
        let name = |j| format!("stage{}.block{j}", i + 1);
        let full = if i == 0 { 32 } else { form.stages[i - 1].channels };
        let shape = (stage, form.activation);
        node = block(b, &name(1), (node, unit, full), output, (stage.stride, shape));
        for j in 2..=stage.blocks {
            let input = node;
            let linear = block(b, &name(j), (input, output, stage.channels), output, (1, shape));
            let sum = NodeOp::Add { a: linear, b: input, activation: Activation::None };
            node = b.node(format!("{}.sum", name(j)), sum);
        }
        unit = output;
    }
    unit = b.unit("last", 1280);
    node = b.conv("last", node, unit, dense(1, 1, form.activation));
    b.node("head", NodeOp::Head { input: node });
}

/// Expansion of an input of `full` channels, depthwise convolution, linear 1×1.
fn block(
    b: &mut Builder,
    name: &str,
    (input, input_unit, full): (NodeId, UnitId, usize),
    output: UnitId,
    (stride, (stage, activation)): (usize, (&Stage, Activation)),
) -> NodeId {
    let (mut node, mut unit) = (input, input_unit);
    if stage.expansion > 1 {
        unit = b.unit(format!("{name}.expanded"), full * stage.expansion);
        node = b.conv(format!("{name}.expand"), node, unit, dense(1, 1, activation));
    }
    node = b.conv(format!("{name}.depthwise"), node, unit, depthwise(stage.kernel, stride, activation));
    b.conv(format!("{name}.linear"), node, output, dense(1, 1, Activation::None))
}
