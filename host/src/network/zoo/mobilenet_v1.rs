//! MobileNet v1 (arXiv 1704.04861): the published network, and three forms for small images.

use super::{Builder, dense, depthwise};
use crate::network::{Activation, NodeOp};

/// Stem, then `(channels, stride)` of each depthwise-separable block.
pub(super) struct Form {
    stem: usize,
    stem_stride: usize,
    blocks: &'static [(usize, usize)],
}

/// Table 1 of the paper, ×1.0: 569 M MAC on 224×224×3.
pub(super) const IMAGENET: Form = Form {
    stem: 32,
    stem_stride: 2,
    blocks: &[
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (1024, 2),
        (1024, 1),
    ],
};

/// A quarter of [`IMAGENET`]'s channels: MLPerf Tiny's visual wake words, 7.5 M MAC on 96×96×3.
pub(super) const VISUAL_WAKE_WORDS: Form = Form {
    stem: 8,
    stem_stride: 2,
    blocks: &[
        (16, 1),
        (32, 2),
        (32, 1),
        (64, 2),
        (64, 1),
        (128, 2),
        (128, 1),
        (128, 1),
        (128, 1),
        (128, 1),
        (128, 1),
        (256, 2),
        (256, 1),
    ],
};

/// 5.8 M MAC on 28×28×1.
pub(super) const SMALL: Form =
    Form { stem: 32, stem_stride: 1, blocks: &[(64, 1), (64, 2), (96, 1), (128, 2), (128, 1)] };

/// 2.5 M MAC on 28×28×1.
pub(super) const TINY: Form =
    Form { stem: 16, stem_stride: 1, blocks: &[(32, 1), (48, 2), (64, 1), (96, 2), (96, 1)] };

/// A block's depthwise convolution shares the unit of its input; its pointwise one opens a unit.
pub(super) fn build(b: &mut Builder, form: &Form) {
    let relu = Activation::Relu;
    let mut unit = b.unit("stem", form.stem);
    let mut node = b.conv("stem", 0, unit, dense(3, form.stem_stride, relu));
    for (i, &(channels, stride)) in form.blocks.iter().enumerate() {
        let name = format!("block{}", i + 1);
        node = b.conv(format!("{name}.depthwise"), node, unit, depthwise(3, stride, relu));
        unit = b.unit(&name, channels);
        node = b.conv(format!("{name}.pointwise"), node, unit, dense(1, 1, relu));
    }
    b.node("head", NodeOp::Head { input: node });
}
