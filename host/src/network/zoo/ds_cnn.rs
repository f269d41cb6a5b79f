//! DS-CNN (arXiv 1711.07128), in the small form of MLPerf Tiny's keyword spotting.

use super::{Builder, dense, depthwise};
use crate::network::graph::{Conv, ConvKind, Kernel};
use crate::network::{Activation, NodeOp};
use device_bench::Padding;

const CHANNELS: usize = 64;
const BLOCKS: usize = 4;

/// A stem of 10 × 4 over features in time, and depthwise-separable blocks of one width.
pub(super) fn build(b: &mut Builder) {
    let relu = Activation::Relu;
    let mut unit = b.unit("stem", CHANNELS);
    let stem = Conv {
        input: 0,
        kind: ConvKind::Dense,
        kernel: Kernel { h: 10, w: 4 },
        stride: 2,
        // TensorFlow's SAME on 49 × 10.
        padding: Padding { top: 4, bottom: 5, left: 1, right: 1 },
        units: vec![unit],
        activation: relu,
    };
    let mut node = b.node("stem", NodeOp::Conv(stem));
    for block in 1..=BLOCKS {
        node = b.conv(format!("block{block}.depthwise"), node, unit, depthwise(3, 1, relu));
        unit = b.unit(format!("block{block}"), CHANNELS);
        node = b.conv(format!("block{block}.pointwise"), node, unit, dense(1, 1, relu));
    }
    b.node("head", NodeOp::Head { input: node });
}
