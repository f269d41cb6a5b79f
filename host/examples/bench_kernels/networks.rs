//! The networks of MLPerf Tiny v1.1 as layers, and TensorFlow's SAME padding.

use device_bench::{LayerSpec, Op, Padding};

/// A network's name in the baseline, and its layers in order.
pub fn networks() -> [(&'static str, Vec<LayerSpec>); 4] {
    [
        ("resnet8", resnet8()),
        ("vww_mobilenet_v1_0.25_96", visual_wake_words()),
        ("ds_cnn", ds_cnn()),
        ("ad_autoencoder", autoencoder()),
    ]
}

/// A layer on `h` × `w` × `c_in` whose output has `ceil(size / stride)` pixels each way, more padding behind than before.
pub fn same(
    op: Op,
    (h, w): (u16, u16),
    (c_in, c_out): (u16, u16),
    (kh, kw): (u8, u8),
    stride: u8,
) -> LayerSpec {
    let around = |size: u16, kernel: u8| {
        let stride = u16::from(stride);
        let all = ((size.div_ceil(stride) - 1) * stride + u16::from(kernel)).saturating_sub(size) as u8;
        (all / 2, all - all / 2)
    };
    let ((top, bottom), (left, right)) = (around(h, kh), around(w, kw));
    LayerSpec {
        op,
        in_h: h,
        in_w: w,
        c_in,
        c_out,
        kernel_h: kh,
        kernel_w: kw,
        stride,
        groups: 1,
        padding: Padding { top, bottom, left, right },
    }
}

fn conv(size: u16, c_in: u16, c_out: u16, kernel: u8, stride: u8) -> LayerSpec {
    same(Op::Conv, (size, size), (c_in, c_out), (kernel, kernel), stride)
}

fn resnet8() -> Vec<LayerSpec> {
    let mut layers = vec![
        conv(32, 3, 16, 3, 1),
        conv(32, 16, 16, 3, 1),
        conv(32, 16, 16, 3, 1),
        LayerSpec::add(32, 32, 16),
    ];
    for (size, c) in [(32, 16), (16, 32)] {
        layers.extend([
            conv(size, c, 2 * c, 3, 2),
            conv(size / 2, 2 * c, 2 * c, 3, 1),
            conv(size, c, 2 * c, 1, 2),
            LayerSpec::add(size / 2, size / 2, 2 * c),
        ]);
    }
    layers.extend([LayerSpec::global_avg_pool(8, 8, 64), LayerSpec::linear(64, 10)]);
    layers
}

/// MobileNet v1 ×0.25 on 96 × 96.
fn visual_wake_words() -> Vec<LayerSpec> {
    let mut layers = vec![conv(96, 3, 8, 3, 2)];
    let (mut size, mut c) = (48, 8);
    let blocks = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)];
    for (c_out, stride) in blocks.into_iter().chain([(128, 1); 5]).chain([(256, 2), (256, 1)]) {
        layers.push(same(Op::Depthwise, (size, size), (c, c), (3, 3), stride));
        size = size.div_ceil(u16::from(stride));
        layers.push(conv(size, c, c_out, 1, 1));
        c = c_out;
    }
    layers.extend([LayerSpec::global_avg_pool(3, 3, 256), LayerSpec::linear(256, 2)]);
    layers
}

/// Keyword spotting on 49 × 10 features.
fn ds_cnn() -> Vec<LayerSpec> {
    let plane = (25, 5);
    let mut layers = vec![same(Op::Conv, (49, 10), (1, 64), (10, 4), 2)];
    for _ in 0..4 {
        layers.push(same(Op::Depthwise, plane, (64, 64), (3, 3), 1));
        layers.push(same(Op::Conv, plane, (64, 64), (1, 1), 1));
    }
    layers.extend([LayerSpec::global_avg_pool(25, 5, 64), LayerSpec::linear(64, 12)]);
    layers
}

/// Anomaly detection.
fn autoencoder() -> Vec<LayerSpec> {
    let widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640];
    widths.windows(2).map(|pair| LayerSpec::linear(pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_the_baselines_multiply_accumulates() {
        let macs = |layer: &LayerSpec| match layer.op {
            Op::Conv | Op::Depthwise | Op::Linear => layer.macs(),
            _ => 0,
        };
        let found = networks().map(|(_, layers)| layers.iter().map(macs).sum::<u64>());
        assert_eq!(found, [12_501_632, 7_489_664, 2_656_768, 264_192]);
    }
}
