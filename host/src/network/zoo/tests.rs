use super::*;
use crate::engine::Params;
use crate::network::count::Counts;
use crate::network::lower;
use candle_core::Device;

#[test]
fn every_network_takes_both_images_and_passes_the_check() {
    for name in NAMES {
        for (side, c) in [(28, 1), (32, 3)] {
            network(name, Shape { h: side, w: side, c }, 10, ZooOptions::default()).unwrap();
        }
    }
}

#[test]
fn a_near_name_is_suggested() {
    let error = network("mobilnet-v1", Shape { h: 28, w: 28, c: 1 }, 10, ZooOptions::default()).unwrap_err();
    assert!(error.to_string().contains("did you mean `mobilenet-v1`"), "{error}");
}

#[test]
fn bins_reach_the_widths_asked_for() {
    assert_eq!(bins(32, ZooOptions::default()), [8, 16, 24, 32]);
    assert_eq!(bins(16, ZooOptions { max_width: 1.5, ..ZooOptions::default() }), [8, 16, 24]);
    assert_eq!(bins(10, ZooOptions::default()), [8, 10]);
    assert_eq!(bins(4, ZooOptions::default()), [4]);
    assert_eq!(bins(4, ZooOptions { bin_multiple: usize::MAX, ..ZooOptions::default() }), [4]);
}

#[test]
fn the_number_of_bins_is_known_before_they_are_made() {
    for full in [1, 7, 8, 100, 255] {
        for bin_multiple in [1, 3, 8, 1000, usize::MAX] {
            let options = ZooOptions { max_width: 2.5, min_width: 0.1, bin_multiple };
            let (n, most) = (bins(full, options).len(), n_bins(full, options));
            assert!(n <= most && most <= n + 2, "{full} in {bin_multiple}: {n}, {most}");
        }
    }
}

/// Trained parameters (γ and β included) and multiply-accumulates at full width.
fn size(name: &str, side: usize, c: usize, classes: usize) -> (usize, u64) {
    let graph = network(name, Shape { h: side, w: side, c }, classes, ZooOptions::default()).unwrap();
    let params = Params::new(&graph, 1, &Device::Cpu).unwrap();
    let n_params = params.vars().iter().map(|(_, var)| var.elem_count()).sum();
    (n_params, lower(&graph, &graph.full()).unwrap().macs())
}

fn assert_within(got: u64, published: u64, share: f64, what: &str) {
    let error = (got as f64 / published as f64 - 1.0).abs();
    assert!(error < share, "{what}: {got}, published {published}");
}

/// Parameters and multiply-accumulates as papers count them, at full width and the size that a network is made for.
fn counts(name: &'static str) -> Counts {
    let Task { input, classes, .. } = Task::of(name);
    let graph = network(name, input, classes, ZooOptions::default()).unwrap();
    graph.counts(&graph.full())
}

/// Keras' and torchvision's counts of the parameters; multiply-accumulates of convolutions and classifier: the papers' 569 M,
/// and of AutoSlim's table 1 301 M, 315 M and 4.1 G (torchvision says 4.09 G).
#[test]
fn published_networks_have_the_published_size() {
    for (name, params, macs) in [
        ("mobilenet-v1-imagenet", 4_231_976, 569_000_000),
        ("mobilenet-v2-imagenet", 3_504_872, 301_000_000),
        ("mnasnet-b1-imagenet", 4_383_312, 315_000_000),
        ("resnet-50-imagenet", 25_557_032, 4_090_000_000),
    ] {
        let found = counts(name);
        assert_eq!(found.params, params, "{name}");
        assert_within(found.macs, macs, 0.01, name);
    }
}

/// MLPerf Tiny v1.1: multiply-accumulates of the layers that `host/examples/bench_kernels/networks.rs` lists, where SAME is
/// TensorFlow's, which takes a pixel less at some edges. He et al. state 0.85 M parameters for ResNet-56.
#[test]
fn networks_of_mlperf_tiny_and_resnet_56_have_the_published_size() {
    assert_within(counts("resnet-8").macs, 12_501_632, 0.001, "ResNet-8");
    assert_within(counts("ds-cnn").macs, 2_656_768, 0.001, "DS-CNN");
    assert_within(counts("mobilenet-v1-vww").macs, 7_489_664, 0.001, "visual wake words");
    assert_within(counts("resnet-56").params, 855_770, 0.01, "ResNet-56");
    assert_within(counts("resnet-56").macs, 125_485_696, 0.01, "ResNet-56");
}

/// Multiply-accumulates of convolutions and classifier: table 1 of the first paper says 137 M for three groups, its table 5 524 M
/// at twice the width; table 5 of the second says 146 M, torchvision 2 278 604 parameters.
#[test]
fn shufflenets_have_the_published_size() {
    assert_within(counts("shufflenet-v1-imagenet").macs, 137_000_000, 0.01, "v1");
    let options = ZooOptions { max_width: 2.0, ..ZooOptions::default() };
    let twice = network("shufflenet-v1-imagenet", Shape { h: 224, w: 224, c: 3 }, 1000, options).unwrap();
    assert_within(twice.counts(&twice.widest()).macs, 524_000_000, 0.01, "v1, twice as wide");
    let v2 = counts("shufflenet-v2-imagenet");
    assert_within(v2.macs, 146_000_000, 0.01, "v2");
    assert_eq!(v2.params, 2_278_604);
}

/// What a laptop trains in minutes.
#[test]
fn small_forms_take_less_than_six_million_multiply_accumulates() {
    for name in ["resnet-50", "shufflenet-v1", "shufflenet-v2"] {
        let small = counts(name);
        assert!((3_000_000..6_000_000).contains(&small.macs), "{name}: {small:?}");
    }
}

/// MLPerf Tiny states 12.5 M for ResNet-8; He et al. state 0.27 M parameters for ResNet-20, to which two 1×1 shortcuts
/// (16·32 + 32·64 weights, 96 γ and β) come here. Its multiply-accumulates by hand: a stem of 27·16 on 32²,
/// six convolutions of 9·16² on 32²; 9·16·32 and five of 9·32² on 16²; 9·32·64 and five of 9·64² on 8²; shortcuts
/// of 16·32 on 16² and 32·64 on 8²; 640 of the classifier; one a value of three sums a stage, and of the pooled plane.
#[test]
fn networks_for_small_images_have_the_size_counted_by_hand() {
    let (_, macs) = size("resnet-8", 32, 3, 10);
    assert_within(macs, 12_500_000, 0.01, "ResNet-8");
    let (params, macs) = size("resnet-20", 32, 3, 10);
    assert_eq!(params, 269_722 + 16 * 32 + 32 * 64 + 2 * 96);
    let by_hand = 1024 * (27 * 16 + 6 * 9 * 256)
        + 256 * (9 * 512 + 5 * 9 * 1024 + 512)
        + 64 * (9 * 2048 + 5 * 9 * 4096 + 2048)
        + 640
        + 3 * (1024 * 16 + 256 * 32 + 64 * 64)
        + 64 * 64;
    assert_eq!(macs, by_hand);
}
