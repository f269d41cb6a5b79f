//! MobileNet v1 (arXiv 1704.04861) in two forms for small images.

use super::{Builder, dense, depthwise};
use crate::network::{Activation, NodeOp};

/// Stem channels, then `(channels, stride)` of each depthwise-separable block.
pub(super) struct Form {
    stem: usize,
    blocks: &'static [(usize, usize)],
}

/// 5.8 M MAC on 28×28×1.
pub(super) const SMALL: Form = Form { stem: 32, blocks: &[(64, 1), (64, 2), (96, 1), (128, 2), (128, 1)] };

/// 2.5 M MAC on 28×28×1.
pub(super) const TINY: Form = Form { stem: 16, blocks: &[(32, 1), (48, 2), (64, 1), (96, 2), (96, 1)] };

/// A block's depthwise convolution shares the unit of its input; its pointwise one opens a unit.
pub(super) fn build(b: &mut Builder, form: &Form) {
    let relu = Activation::Relu;
    let mut unit = b.unit("stem", form.stem);
    let mut node = b.conv("stem", 0, unit, dense(3, 1, relu));
    for (i, &(channels, stride)) in form.blocks.iter().enumerate() {
        let name = format!("block{}", i + 1);
        node = b.conv(format!("{name}.depthwise"), node, unit, depthwise(3, stride));
        unit = b.unit(&name, channels);
        node = b.conv(format!("{name}.pointwise"), node, unit, dense(1, 1, relu));
    }
    b.node("head", NodeOp::Head { input: node });
}
