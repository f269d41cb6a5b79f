//! Writes random quantised layers and networks with what the kernels make of them, as JSON, for
//! `device-bench/baselines/runtimes/compare.py`: `cargo xtask compare-runtimes`.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};
use device_bench::kernels::KernelSet;
use device_bench::quant::Clamp;
use device_bench::{LayerSpec, Op, Padding};
use edgeslim::engine::{CpuEngine, Engine as _, Params};
use edgeslim::memory::plan;
use edgeslim::network::lower::lower;
use edgeslim::network::zoo::{ZooOptions, network};
use edgeslim::network::{Graph, Shape};
use edgeslim::quantize::{Int8Network, TensorQuant, encode, fold, quantize, requant, run_host};
use edgeslim::train::recalibrate;
use edgeslim_tests::case::{Case, Random};
use serde_json::{Value, json};

/// Layers of every kind.
const N_LAYERS: usize = 30;
/// Images of every network.
const N_IMAGES: usize = 20;

fn main() -> Result<()> {
    let mut random = Random(2026);
    let mut models = Vec::new();
    for kind in 0..KINDS {
        for _ in 0..N_LAYERS {
            models.push(layer_model(&mut random, kind));
        }
    }
    for (name, shape) in
        [("mobilenet-v1-tiny", Shape { h: 28, w: 28, c: 1 }), ("resnet-8", Shape { h: 32, w: 32, c: 3 })]
    {
        models.push(network_model(name, shape).with_context(|| name.to_owned())?);
    }
    println!("{}", serde_json::to_string(&models)?);
    Ok(())
}

const KINDS: usize = 9;

/// A random layer of one kind, with TensorFlow's padding or none.
fn layer_spec(random: &mut Random, kind: usize) -> LayerSpec {
    let mut within = |low, high| random.within(low, high) as u16;
    let (side, c_in, c_out) = (within(4, 14), within(1, 48), within(1, 48));
    let same = Padding::all(1);
    match kind {
        0 => LayerSpec::conv(side, side, c_in, c_out, 3, 1, same),
        1 => LayerSpec::conv(2 * side, 2 * side, c_in, c_out, 3, 2, same),
        2 => LayerSpec::conv(side, side, c_in, c_out, 1, 1, Padding::NONE),
        3 => LayerSpec::depthwise(side, side, c_in, 3, 1, same),
        4 => LayerSpec::depthwise(side, side, c_in, 5, 1, Padding::all(2)),
        5 => LayerSpec::linear(4 * c_in, 20 * c_out),
        6 => LayerSpec::global_avg_pool(side, side, 20 * c_in),
        7 => LayerSpec {
            op: Op::MaxPool,
            ..LayerSpec::depthwise(2 * side, 2 * side, c_in, 2, 2, Padding::NONE)
        },
        _ => LayerSpec::add(side, side, c_in),
    }
}

/// A layer whose outputs fill their range, with every scale a 32-bit float, as TFLite's files have them.
fn layer_model(random: &mut Random, kind: usize) -> Value {
    let spec = layer_spec(random, kind);
    let mut scale = || 0.002 + 0.05 * (random.bits() % 1000) as f32 / 1000.0;
    let (inputs, output) = ([scale(), scale()], scale());
    let keeps_scale = matches!(spec.op, Op::AvgPool | Op::MaxPool);
    let zeros = [random.int8(), random.int8(), random.int8()];
    let quant = |scale, zero_point| TensorQuant { scale, zero_point };
    let tensors = match keeps_scale {
        true => [quant(inputs[0], zeros[0]); 3],
        false => [quant(inputs[0], zeros[0]), quant(inputs[1], zeros[1]), quant(output, zeros[2])],
    };
    let n = (spec.weight_bytes() / usize::from(spec.c_out).max(1)).max(1) as f64;
    let n_scales = if spec.weight_bytes() > 0 { usize::from(spec.c_out) } else { 0 };
    let weight_scales: Vec<f32> = (0..n_scales)
        .map(|_| {
            // Sums of n products of two uniform numbers, made outputs that reach about 60.
            let wanted = 60.0 / (n.sqrt() * 5400.0) * (0.5 + (random.bits() % 1000) as f64 / 666.0);
            (wanted * f64::from(output) / f64::from(inputs[0])) as f32
        })
        .collect();
    let real = |&weight: &f32| f64::from(inputs[0]) * f64::from(weight) / f64::from(output);
    let requants = match spec.op {
        Op::Add => add_scales(inputs, output).to_vec(),
        _ => weight_scales.iter().map(|w| requant(real(w))).collect(),
    };
    let spread = (n.sqrt() * 5400.0) as i64;
    let case = Case {
        spec,
        zeros: tensors.map(|tensor| tensor.zero_point),
        clamp: Clamp::FULL,
        weights: (0..spec.weight_bytes()).map(|_| random.within(-127, 127) as i8).collect(),
        bias: weight_scales.iter().map(|_| random.within(-spread / 4, spread / 4) as i32).collect(),
        requant: requants,
        inputs: [(); 2].map(|()| (0..spec.input_bytes()).map(|_| random.bits() as i8).collect()),
    };
    let clamp = if random.bits() & 1 == 1 && !keeps_scale {
        Clamp { min: tensors[2].zero_point, max: i8::MAX }
    } else {
        Clamp::FULL
    };
    let mut case = Case { clamp, ..case };
    case.inputs[1].truncate(spec.second_input_bytes());
    let made = case.run(&case.blob(), KernelSet::Portable);
    let is_add = spec.op == Op::Add;
    let layer = layer_json(
        &spec,
        clamp,
        &weight_scales,
        (&case.weights, &case.bias),
        &[0, 1][..1 + usize::from(is_add)],
        2,
    );
    let shape = |h: u16, w: u16, c: u16, q: TensorQuant| tensor_json([h, w, c], q);
    json!({
        "name": spec.op.name(), "kind": kind_name(&spec),
        "tensors": [
            shape(spec.in_h, spec.in_w, spec.c_in, tensors[0]),
            shape(spec.in_h, spec.in_w, spec.c_in, tensors[1]),
            shape(spec.out_h(), spec.out_w(), spec.c_out, tensors[2]),
        ],
        "layers": [layer],
        "runs": [{ "inputs": &case.inputs[..1 + usize::from(is_add)], "output": made }],
    })
}

/// What is compared together.
fn kind_name(spec: &LayerSpec) -> String {
    let (op, kernel, stride) = (spec.op.name().replace('_', " "), spec.kernel_h, spec.stride);
    match spec.op {
        Op::Linear | Op::Add => op,
        Op::AvgPool => format!("global {op}"),
        _ => format!("{op} {kernel} x {kernel}, stride {stride}"),
    }
}

/// As the quantiser's.
fn add_scales([a, b]: [f32; 2], output: f32) -> [device_bench::quant::Requant; 3] {
    let [a, b, output] = [a, b, output].map(f64::from);
    let common = 2.0 * a.max(b);
    [requant(a / common), requant(b / common), requant(common / (output * f64::from(1 << 20)))]
}

fn tensor_json([h, w, c]: [u16; 3], quant: TensorQuant) -> Value {
    json!({ "shape": [1, h, w, c], "scale": quant.scale, "zero": quant.zero_point })
}

fn layer_json(
    spec: &LayerSpec,
    clamp: Clamp,
    weight_scales: &[f32],
    (weights, bias): (&[i8], &[i32]),
    inputs: &[usize],
    output: usize,
) -> Value {
    let Padding { top, bottom, left, right } = spec.padding;
    json!({
        "op": spec.op.name(), "kernel": [spec.kernel_h, spec.kernel_w], "stride": spec.stride,
        "padding": [top, bottom, left, right], "clamp": [clamp.min, clamp.max], "weight_scales": weight_scales,
        "weights": weights, "bias": bias, "inputs": inputs, "output": output,
    })
}

/// A network with random weights and batch norms that are not the identity, on random images.
fn network_model(name: &str, shape: Shape) -> Result<Value> {
    let graph = network(name, shape, 10, ZooOptions::default())?;
    let params = Params::new(&graph, 3, &Device::Cpu)?;
    let mut random = Random(7);
    let mut uniform =
        |low: f64, high: f64| low + (high - low) * (random.bits() >> 11) as f64 / (1u64 << 53) as f64;
    for (name, var) in params.vars() {
        if [".gamma", ".beta", ".bias"].iter().any(|end| name.ends_with(end)) {
            let values: Vec<f32> = (0..var.elem_count()).map(|_| uniform(-0.5, 1.5) as f32).collect();
            var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu)?)?;
        }
    }
    let pixels = shape.h * shape.w * shape.c;
    let images: Vec<Vec<f32>> =
        (0..N_IMAGES).map(|_| (0..pixels).map(|_| uniform(-2.0, 2.0) as f32).collect()).collect();
    let engine = CpuEngine::new(graph.clone(), params, 0)?;
    let batch = Tensor::from_vec(images.concat(), (N_IMAGES, shape.h, shape.w, shape.c), &Device::Cpu)?;
    recalibrate(&engine, &graph.full(), [Ok(batch)])?;
    let folded = fold(&graph, &graph.full(), engine.params(), &engine.statistics())?;
    let mut int8 = quantize(&folded, &folded.calibrate(images.iter().map(Vec::as_slice), 0.0)?)?;
    let weight_scales = round_scales(&mut int8);
    let inputs: Vec<Vec<i8>> = images.iter().map(|image| int8.quantize_image(image)).collect();
    let blob = encode(&int8, &plan(&lower(&graph, &graph.full())?).layout)?;
    let outputs = run_host(blob.bytes(), inputs.iter().map(Vec::as_slice))?;
    let runs =
        inputs.iter().zip(&outputs).map(|(input, output)| json!({ "inputs": [input], "output": output }));
    Ok(json!({
        "name": name, "kind": name, "tensors": tensors_json(&graph, &int8), "runs": runs.collect::<Vec<_>>(),
        "layers": int8.layers.iter().zip(&weight_scales).map(|(layer, scales)| {
            let lowered = &layer.lowered;
            layer_json(&lowered.spec, layer.clamp, scales, (&layer.weights, &layer.bias), &lowered.inputs, lowered.output)
        }).collect::<Vec<_>>(),
    }))
}

/// Rounds every scale of weights to a 32-bit float, and makes multipliers of those; returns them.
fn round_scales(network: &mut Int8Network) -> Vec<Vec<f32>> {
    let tensors = network.tensors.clone();
    let round = |layer: &mut edgeslim::quantize::Int8Layer| {
        if layer.weights.is_empty() {
            return Vec::new();
        }
        let [input, output] =
            [layer.lowered.inputs[0], layer.lowered.output].map(|t| f64::from(tensors[t].scale));
        let scales = layer.requant.iter_mut().map(|q| {
            let real = f64::from(q.multiplier) * 2f64.powi(q.shift - 31);
            let scale = (real * output / input) as f32;
            *q = requant(input * f64::from(scale) / output);
            scale
        });
        scales.collect()
    };
    network.layers.iter_mut().map(round).collect()
}

/// Shapes come from the layers that read or write them.
fn tensors_json(graph: &Graph, network: &Int8Network) -> Vec<Value> {
    let Shape { h, w, c } = graph.input;
    let mut shapes = vec![[h as u16, w as u16, c as u16]; network.tensors.len()];
    for layer in &network.layers {
        let spec = &layer.lowered.spec;
        shapes[layer.lowered.output] = [spec.out_h(), spec.out_w(), spec.c_out];
    }
    shapes.into_iter().zip(&network.tensors).map(|(shape, &quant)| tensor_json(shape, quant)).collect()
}
