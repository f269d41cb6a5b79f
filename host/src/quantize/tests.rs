use super::*;
use crate::dataset::{self, Images};
use crate::engine::{CpuEngine, Engine, Mode, Params};
use crate::memory::{Layout, plan};
use crate::network::lower::lower;
use crate::network::zoo::{NAMES, ZooOptions, network};
use crate::network::{Channels, Graph, Shape, arbitrary};
use crate::train::{NesterovSgd, SgdParams, recalibrate, soft_cross_entropy};
use candle_core::{DType, Device, Tensor};
use candle_nn::Optimizer as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn graph(name: &str, side: usize, c: usize) -> Graph {
    network(name, Shape { h: side, w: side, c }, 10, ZooOptions::default()).unwrap()
}

/// An engine whose batch norms are not the identity that they start as.
fn engine(graph: &Graph, seed: u64) -> CpuEngine {
    let params = Params::new(graph, seed, &Device::Cpu).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (name, var) in params.vars() {
        if name.ends_with(".gamma") || name.ends_with(".beta") || name.ends_with(".bias") {
            let values: Vec<f32> = (0..var.elem_count()).map(|_| rng.random_range(-0.5..1.5)).collect();
            var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap()).unwrap();
        }
    }
    CpuEngine::new(graph.clone(), params, 1).unwrap()
}

fn noise(n: usize, shape: Shape, seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> =
        (0..n * shape.h * shape.w * shape.c).map(|_| rng.random_range(-2.0..2.0)).collect();
    Tensor::from_vec(values, (n, shape.h, shape.w, shape.c), &Device::Cpu).unwrap()
}

fn rows(batch: &Tensor) -> Vec<Vec<f32>> {
    batch.flatten_from(1).unwrap().to_vec2().unwrap()
}

fn argmax<T: PartialOrd + Copy>(values: &[T]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[test]
fn the_folded_network_gives_the_logits_of_the_engine() -> Outcome {
    for (name, side, c) in [("mobilenet-v1-tiny", 28, 1), ("resnet-8", 32, 3), ("mobilenet-v1", 28, 1)] {
        let graph = graph(name, side, c);
        let mixed = graph.units.iter().enumerate().map(|(i, u)| u.bins[i * 5 % u.bins.len()]).collect();
        for channels in [graph.full(), graph.smallest(), Channels(mixed)] {
            let engine = engine(&graph, 3);
            recalibrate(&engine, &channels, (0..3).map(|seed| Ok(noise(8, graph.input, seed))))?;
            let images = noise(4, graph.input, 9);
            let expected = rows(&engine.logits(&images, &channels, Mode::Evaluate)?);
            let folded = fold(&graph, &channels, engine.params(), &engine.statistics())?;
            for (image, expected) in rows(&images).iter().zip(expected) {
                let largest = expected.iter().fold(1.0f32, |m, x| m.max(x.abs()));
                for (got, wanted) in folded.logits(image)?.iter().zip(expected) {
                    assert!((got - wanted).abs() < 2e-4 * largest, "{name} {channels:?}: {got} {wanted}");
                }
            }
        }
    }
    Ok(())
}

/// A dead input channel: batch norm saw no variance behind it, and its folded weights are huge.
#[test]
fn a_depthwise_channel_that_sees_only_zeros_has_weights_of_zero_and_no_slow_scale() -> Outcome {
    let graph = graph("mobilenet-v1-tiny", 28, 1);
    let engine = engine(&graph, 2);
    recalibrate(&engine, &graph.full(), [Ok(noise(8, graph.input, 1))])?;
    let mut folded = fold(&graph, &graph.full(), engine.params(), &engine.statistics())?;
    let at =
        folded.layers.iter().position(|layer| layer.lowered.spec.op == device_bench::Op::Depthwise).unwrap();
    let dead = 3;
    let channels = folded.layers[at].bias.len();
    // The layer before makes nothing of this channel, the depthwise one much of it.
    let per_channel = folded.layers[at - 1].weights.len() / channels;
    folded.layers[at - 1].weights[dead * per_channel..][..per_channel].fill(0.0);
    folded.layers[at - 1].bias[dead] = -1.0;
    folded.layers[at].weights.iter_mut().skip(dead).step_by(channels).for_each(|w| *w = 300.0);
    let images = rows(&noise(4, graph.input, 9));
    let int8 = quantize(&folded, &folded.calibrate(images.iter().map(Vec::as_slice), 0.0)?)?;
    let layer = &int8.layers[at];
    assert!(layer.weights.iter().skip(dead).step_by(channels).all(|&w| w == 0));
    assert!(layer.requant[dead].shift < 0, "{:?}", layer.requant[dead]);
    let step = f64::from(int8.tensors[layer.lowered.output].scale);
    let requant = layer.requant[dead];
    let scale = f64::from(requant.multiplier) / 2f64.powi(31 - requant.shift) * step;
    let bias = f64::from(layer.bias[dead]) * scale;
    assert!((bias - f64::from(folded.layers[at].bias[dead])).abs() < step / 100.0, "{bias}");
    // One that sees something keeps its weights.
    assert!(layer.weights.iter().skip(dead + 1).step_by(channels).any(|&w| w.abs() == 127));
    Ok(())
}

/// Scales what the layer before the first depthwise layer makes of `channel`, and the depthwise layer's weights back.
fn shrink(network: &FoldedNetwork, channel: usize, factor: f32) -> FoldedNetwork {
    let mut network = network.clone();
    let is_depthwise = |layer: &FoldedLayer| layer.lowered.spec.op == device_bench::Op::Depthwise;
    let at = network.layers.iter().position(is_depthwise).unwrap();
    let channels = network.layers[at].bias.len();
    let writer = &mut network.layers[at - 1];
    let per_channel = writer.weights.len() / channels;
    writer.weights[channel * per_channel..][..per_channel].iter_mut().for_each(|w| *w *= factor);
    writer.bias[channel] *= factor;
    network.layers[at].weights.iter_mut().skip(channel).step_by(channels).for_each(|w| *w /= factor);
    network
}

/// Between two batch norms, how large a channel is means nothing: a network must not lose one that happens to be small.
#[test]
fn a_small_channel_in_front_of_a_depthwise_layer_is_as_good_as_a_large_one() -> Outcome {
    let graph = graph("mobilenet-v1-tiny", 28, 1);
    let engine = engine(&graph, 2);
    recalibrate(&engine, &graph.full(), [Ok(noise(8, graph.input, 1))])?;
    let folded = fold(&graph, &graph.full(), engine.params(), &engine.statistics())?;
    let images = rows(&noise(20, graph.input, 9));
    let layout = plan(&lower(&graph, &graph.full())?).layout;
    let off = |network: &FoldedNetwork| -> Result<f32, Box<dyn std::error::Error>> {
        let int8 = quantize(network, &network.calibrate(images.iter().map(Vec::as_slice), 0.0)?)?;
        let bytes: Vec<Vec<i8>> = images.iter().map(|image| int8.quantize_image(image)).collect();
        let logits8 = run_host(encode(&int8, &layout)?.bytes(), bytes.iter().map(Vec::as_slice))?;
        let quant = int8.tensors[int8.tensors.len() - 1];
        let (mut steps, mut n) = (0.0, 0);
        for (image, logits8) in images.iter().zip(&logits8) {
            for (float, &q) in folded.logits(image)?.iter().zip(logits8) {
                (steps, n) = (steps + (quant.dequantize(q) - float).abs() / quant.scale, n + 1);
            }
        }
        Ok(steps / n as f32)
    };
    let as_it_is = off(&folded)?;
    for channel in 0..4 {
        let shrunk = off(&shrink(&folded, channel, 0.01))?;
        assert!(shrunk < 1.2 * as_it_is + 0.1, "channel {channel}: {shrunk} steps off, {as_it_is} as it is");
    }
    Ok(())
}

/// All operators and activations, in any order: folded they are the engine's, as int8 the same wherever tensors lie.
#[test]
fn any_network_is_folded_quantised_and_run() -> Outcome {
    let mut ops = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let graph = arbitrary::any_graph(&arbitrary::genes(seed, 2 + seed % 8));
        let channels = arbitrary::channels(&graph, seed);
        let params = Params::new(&graph, seed as u64, &Device::Cpu)?;
        let engine = crate::engine::CandleEngine::new(graph.clone(), params, Device::Cpu)?;
        recalibrate(&engine, &channels, [Ok(noise(8, graph.input, 1))])?;
        let images = noise(3, graph.input, 2);
        let expected = rows(&engine.logits(&images, &channels, Mode::Evaluate)?);
        let folded = fold(&graph, &channels, engine.params(), &engine.statistics())?;
        let images = rows(&images);
        for (image, expected) in images.iter().zip(&expected) {
            let largest = expected.iter().fold(1.0f32, |m, x| m.max(x.abs()));
            for (got, wanted) in folded.logits(image)?.iter().zip(expected) {
                assert!((got - wanted).abs() < 1e-3 * largest, "{seed}: {got} {wanted}");
            }
        }
        let int8 = quantize(&folded, &folded.calibrate(images.iter().map(Vec::as_slice), 0.0)?)?;
        ops.extend(int8.layers.iter().map(|layer| layer.lowered.spec.op));
        let images: Vec<Vec<i8>> = images.iter().map(|image| int8.quantize_image(image)).collect();
        let run = |layout| run_host(encode(&int8, &layout)?.bytes(), images.iter().map(Vec::as_slice));
        let lowered = lower(&graph, &channels)?;
        let logits8 = run(plan(&lowered).layout)?;
        assert_eq!(logits8, run(Layout::disjoint(&lowered))?, "{seed}");
        let quant = int8.tensors[int8.tensors.len() - 1];
        let pairs = logits8.into_iter().flatten().zip(expected.into_iter().flatten());
        let off = pairs.map(|(q, x)| (quant.dequantize(q) - x).abs() / quant.scale).fold(0.0, f32::max);
        assert!(off < 64.0, "{seed}: {off} steps of int8 off");
    }
    assert_eq!(ops.len(), device_bench::Op::ALL.len(), "{ops:?}");
    Ok(())
}

#[test]
fn statistics_of_another_subnet_are_refused_by_node() -> Outcome {
    let graph = graph("mobilenet-v1-tiny", 28, 1);
    let engine = engine(&graph, 1);
    recalibrate(&engine, &graph.full(), [Ok(noise(4, graph.input, 1))])?;
    let error = fold(&graph, &graph.smallest(), engine.params(), &engine.statistics()).unwrap_err();
    assert!(error.to_string().contains("recalibrate"), "{error}");
    Ok(())
}

/// Pixels to about -1…1: `(n, h, w, c)`, and labels `(n, classes)`.
fn batch(images: &Images, indices: &[usize]) -> (Tensor, Tensor) {
    let pixels: Vec<f32> = indices.iter().flat_map(|&i| images.pixels(i)).map(|&p| scaled(p)).collect();
    let classes = images.classes();
    let mut labels = vec![0f32; indices.len() * classes];
    indices
        .iter()
        .enumerate()
        .for_each(|(k, &i)| labels[k * classes + usize::from(images.labels()[i])] = 1.0);
    let shape = (indices.len(), images.h(), images.w(), images.c());
    let labels = Tensor::from_vec(labels, (indices.len(), classes), &Device::Cpu).unwrap();
    (Tensor::from_vec(pixels, shape, &Device::Cpu).unwrap(), labels)
}

fn scaled(pixel: u8) -> f32 {
    (f32::from(pixel) - 73.0) / 90.0
}

/// A subnet trained for `epochs` on the embedded images, with its statistics.
fn trained(graph: &Graph, images: &Images, epochs: usize, seed: u64) -> candle_core::Result<CpuEngine> {
    let engine = CpuEngine::new(graph.clone(), Params::new(graph, seed, &Device::Cpu)?, 0)?;
    let params = SgdParams { learning_rate: 0.1, momentum: 0.9, weight_decay: 1e-4 };
    let mut sgd = NesterovSgd::for_network(engine.params(), params);
    let order: Vec<usize> = (0..images.len()).collect();
    for _ in 0..epochs {
        for indices in order.chunks_exact(40) {
            let (xs, labels) = batch(images, indices);
            let logits = engine.logits(&xs, &graph.full(), Mode::Train)?;
            soft_cross_entropy(&logits, &labels)?.backward()?;
            let mut grads = candle_core::backprop::GradStore::default();
            engine.take_grads(&mut grads)?;
            sgd.step(&grads)?;
        }
    }
    let batches = order.chunks(100).take(10).map(|indices| Ok(batch(images, indices).0));
    recalibrate(&engine, &graph.full(), batches)?;
    Ok(engine)
}

/// Of the logits' int8 scale, on average over images and classes; the median of three trainings. How well a network
/// quantises depends on the very rounding of its training.
const MAX_STEPS: f32 = 1.5;

#[test]
fn a_trained_network_answers_in_int8_as_it_does_in_float() -> Outcome {
    let data = dataset::open("embedded")?;
    for name in ["mobilenet-v1-tiny", "resnet-8"] {
        let mut steps = Vec::new();
        for seed in 1..=3 {
            steps.push(steps_off(name, &data, seed)?);
        }
        steps.sort_by(f32::total_cmp);
        assert!(steps[1] < MAX_STEPS, "{name}: logits are {steps:?} steps of int8 off on average");
    }
    Ok(())
}

/// How many steps of int8 the logits of a network trained with `seed` are off.
fn steps_off(name: &str, data: &dataset::Dataset, seed: u64) -> Result<f32, Box<dyn std::error::Error>> {
    let graph = graph(name, 28, 1);
    let engine = trained(&graph, &data.train, 4, seed)?;
    let folded = fold(&graph, &graph.full(), engine.params(), &engine.statistics())?;
    let pixels =
        |images: &Images, i: usize| -> Vec<f32> { images.pixels(i).iter().map(|&p| scaled(p)).collect() };
    let calibration: Vec<Vec<f32>> = (0..100).map(|i| pixels(&data.train, i)).collect();
    let int8 = quantize(&folded, &folded.calibrate(calibration.iter().map(Vec::as_slice), 0.0)?)?;
    let lowered = lower(&graph, &graph.full())?;
    let blob = encode(&int8, &plan(&lowered).layout)?;
    let priced = lowered.flash_bytes();
    assert_eq!(blob.bytes().len() as u64, priced, "{name}: flash deployed and priced");
    let test = data.test.images();
    let n = 300;
    let images: Vec<Vec<i8>> = (0..n).map(|i| int8.quantize_image(&pixels(test, i))).collect();
    let logits8 = run_host(blob.bytes(), images.iter().map(Vec::as_slice))?;
    let (xs, _) = batch(test, &(0..n).collect::<Vec<_>>());
    let logits = rows(&engine.logits(&xs, &graph.full(), Mode::Evaluate)?.to_dtype(DType::F32)?);
    let agreeing = (0..n).filter(|&i| argmax(&logits[i]) == argmax(&logits8[i])).count();
    let right = (0..n).filter(|&i| argmax(&logits[i]) == usize::from(test.labels()[i])).count();
    assert!(right * 10 > n * 6, "{name}: {right} of {n} right, too few to mean anything");
    assert!(agreeing * 100 >= n * 95, "{name}: {agreeing} of {n} agree");
    let quant = int8.tensors[int8.tensors.len() - 1];
    let steps: f32 = logits
        .concat()
        .iter()
        .zip(logits8.concat())
        .map(|(real, q)| (quant.dequantize(q) - real).abs() / quant.scale)
        .sum::<f32>()
        / (n * 10) as f32;
    for layer in int8.layers.iter().filter(|layer| layer.lowered.spec.op == device_bench::Op::AvgPool) {
        assert_eq!(int8.tensors[layer.lowered.inputs[0]], int8.tensors[layer.lowered.output]);
    }
    Ok(steps)
}

#[test]
fn a_planned_arena_gives_the_logits_of_one_where_nothing_is_shared() -> Outcome {
    for name in NAMES {
        let graph = graph(name, 28, 1);
        let engine = engine(&graph, 6);
        for channels in [graph.full(), graph.smallest()] {
            recalibrate(&engine, &channels, [Ok(noise(8, graph.input, 1))])?;
            let folded = fold(&graph, &channels, engine.params(), &engine.statistics())?;
            let images = rows(&noise(5, graph.input, 2));
            let int8 = quantize(&folded, &folded.calibrate(images.iter().map(Vec::as_slice), 0.0)?)?;
            let images: Vec<Vec<i8>> = images.iter().map(|image| int8.quantize_image(image)).collect();
            let run = |layout| run_host(encode(&int8, &layout)?.bytes(), images.iter().map(Vec::as_slice));
            let lowered = lower(&graph, &channels)?;
            let planned = plan(&lowered).layout;
            let disjoint = Layout::disjoint(&lowered);
            assert!(planned.arena_bytes < disjoint.arena_bytes, "{name}: nothing is shared");
            assert_eq!(run(planned)?, run(disjoint)?, "{name} {channels:?}");
        }
    }
    Ok(())
}

#[test]
fn a_blob_is_refused_for_another_image_or_layout() -> Outcome {
    let graph = graph("resnet-8", 28, 1);
    let engine = engine(&graph, 5);
    recalibrate(&engine, &graph.smallest(), [Ok(noise(4, graph.input, 1))])?;
    let folded = fold(&graph, &graph.smallest(), engine.params(), &engine.statistics())?;
    assert!(matches!(folded.calibrate([], 0.0), Err(QuantizeError::NoImages)));
    let image = &rows(&noise(1, graph.input, 2))[0];
    let int8 = quantize(&folded, &folded.calibrate([image.as_slice()], 0.001)?)?;
    let mut layout = plan(&lower(&graph, &graph.smallest())?).layout;
    let blob = encode(&int8, &layout)?;
    assert!(matches!(run_host(blob.bytes(), [&[0i8; 3][..]]), Err(QuantizeError::Image { found: 3, .. })));
    let copy = Blob::copy_of(blob.bytes());
    assert_eq!(copy.bytes(), blob.bytes());
    layout.scratch_offsets.pop();
    assert!(matches!(encode(&int8, &layout), Err(QuantizeError::Layout { what: "layers", .. })));
    Ok(())
}

/// What an int8 kernel exists for, beyond the zoo's: ReLU6, pools, a linear layer, two units of one convolution.
const MORE: &str = r#"name = "more"
unit = [{ name = "a", full = 8, bins = [4, 8] }, { name = "b", full = 6, bins = [3, 6] }]

[[node]]
name = "stem"
op = "conv"
input = "image"
unit = ["a", "b"]
kernel = [5, 3]
padding = [2, 2, 1, 1]
activation = "relu6"

[[node]]
name = "max"
op = "max_pool"
input = "stem"
kernel = 3
stride = 2
padding = 1

[[node]]
name = "depthwise"
op = "depthwise"
input = "max"
kernel = 3
padding = 1
activation = "relu6"

[[node]]
name = "average"
op = "average_pool"
input = "depthwise"
kernel = 2
stride = 2

[[node]]
name = "pooled"
op = "global_average"
input = "average"

[[node]]
name = "hidden"
op = "linear"
input = "pooled"
unit = "b"
activation = "relu6"

[[node]]
name = "head"
op = "head"
input = "hidden"
"#;

#[test]
fn relu6_pools_and_linear_layers_are_deployed() -> Outcome {
    let shape = Shape { h: 12, w: 10, c: 2 };
    let graph = crate::network::file::parse(MORE, shape, 4, ZooOptions::default())?;
    let params = Params::new(&graph, 3, &Device::Cpu)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (name, var) in params.vars().into_iter().filter(|(name, _)| !name.ends_with("weight")) {
        // Some activations reach 6.
        let high: f32 = if name.ends_with("gamma") { 4.0 } else { 1.0 };
        let values: Vec<f32> = (0..var.elem_count()).map(|_| rng.random_range(0.5..high)).collect();
        var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu)?)?;
    }
    let engine = crate::engine::CandleEngine::new(graph.clone(), params, Device::Cpu)?;
    for channels in [graph.full(), graph.smallest(), Channels(vec![4, 6])] {
        recalibrate(&engine, &channels, [Ok(noise(16, shape, 1))])?;
        let images = noise(8, shape, 2);
        let expected = rows(&engine.logits(&images, &channels, Mode::Evaluate)?);
        let folded = fold(&graph, &channels, engine.params(), &engine.statistics())?;
        let images = rows(&images);
        let tensors = folded.tensors(&images[0])?;
        assert!(tensors[1].contains(&6.0), "nothing is clamped");
        let int8 = quantize(&folded, &folded.calibrate(images.iter().map(Vec::as_slice), 0.0)?)?;
        let bytes: Vec<Vec<i8>> = images.iter().map(|image| int8.quantize_image(image)).collect();
        let blob = encode(&int8, &plan(&lower(&graph, &channels)?).layout)?;
        let logits8 = run_host(blob.bytes(), bytes.iter().map(Vec::as_slice))?;
        let quant = int8.tensors[int8.tensors.len() - 1];
        for ((image, expected), logits8) in images.iter().zip(&expected).zip(&logits8) {
            let float = folded.logits(image)?;
            for ((float, wanted), &q) in float.iter().zip(expected).zip(logits8) {
                assert!(
                    (float - wanted).abs() < 1e-3 * (1.0 + wanted.abs()),
                    "{channels:?}: {float} {wanted}"
                );
                let steps = (quant.dequantize(q) - wanted).abs() / quant.scale;
                assert!(steps < 16.0, "{channels:?}: {steps} steps of int8 off");
            }
        }
    }
    Ok(())
}
