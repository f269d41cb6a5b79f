//! A folded network and the ranges of its tensors made int8.

use super::equalise::equalise;
use super::fold::channel_of_weight;
use super::ranges::shared_ranges;
use super::{FoldedLayer, FoldedNetwork, Observed, QuantizeError, TensorQuant, requant};
use crate::network::Activation;
use crate::network::lower::LoweredLayer;
use device_bench::Op;
use device_bench::quant::{Clamp, Requant};

/// Bits that an add's inputs gain before they are scaled, as in its kernel.
const ADD_LEFT_SHIFT: i32 = 20;
/// Biases stay below it, so that the sum of products has room.
const MAX_BIAS: f64 = (1 << 30) as f64;

/// A layer with int8 parameters in TFLite semantics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Int8Layer {
    /// What it is and which tensors it connects.
    pub lowered: LoweredLayer,
    /// The activation function.
    pub clamp: Clamp,
    /// As [`Op`] says, tables too; empty for layers without.
    pub weights: Vec<i8>,
    /// `[c_out]`, at scale `input * weight`, zero point 0; empty for layers without weights.
    pub bias: Vec<i32>,
    /// `[c_out]`; for an add the two inputs' and the output's, for a scaling the output's; empty for layers without.
    pub requant: Vec<Requant>,
}

/// An int8 network, in order of execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Int8Network {
    /// In order of execution.
    pub layers: Vec<Int8Layer>,
    /// Elements of every tensor; tensor 0 is the image, the last the logits.
    pub tensor_lens: Vec<usize>,
    /// What the numbers of every tensor mean.
    pub tensors: Vec<TensorQuant>,
}

impl Int8Network {
    /// An image `[h, w, c]` as the network reads it.
    pub fn quantize_image(&self, image: &[f32]) -> Vec<i8> {
        image.iter().map(|&x| self.tensors[0].quantize(x)).collect()
    }
}

/// Quantises `network`, whose tensors hold what [`FoldedNetwork::calibrate`] observed.
///
/// A pool, a selection and a concatenation keep the scale of their inputs, whatever their range: that of all tensors that
/// they connect, as in TFLite. The output of a sigmoid has TFLite's scale too. Channels in front of a depthwise layer are
/// brought to one range (`equalise.rs`). A depthwise channel whose input is always zero has weights of zero: where batch norm
/// saw no variance, folded weights are so large that a step of the input would be many of the output.
///
/// # Errors
/// [`QuantizeError::Overflow`] if a layer's sums could leave 32 bits.
///
/// # Panics
/// If `observed` are not one per tensor.
pub fn quantize(network: &FoldedNetwork, observed: &[Observed]) -> Result<Int8Network, QuantizeError> {
    assert_eq!(observed.len(), network.tensor_lens.len(), "calibrate observes every tensor");
    let (network, observed) = equalise(network, observed);
    let tensors: Vec<TensorQuant> =
        shared_ranges(&network, &observed).into_iter().map(TensorQuant::for_range).collect();
    let mut layers = Vec::with_capacity(network.layers.len());
    for (layer_idx, layer) in network.layers.iter().enumerate() {
        let LoweredLayer { spec, inputs, output, .. } = &layer.lowered;
        let quantized = match spec.op {
            Op::AvgPool | Op::MaxPool | Op::Concat => parameterless(layer, tensors[*output], vec![]),
            Op::Select => {
                let weights = selection_table(&layer.lowered.selected);
                Int8Layer { weights, ..parameterless(layer, tensors[*output], vec![]) }
            }
            Op::Lookup => Int8Layer {
                weights: lookup_table(layer.activation, tensors[inputs[0]], tensors[*output]),
                ..unclamped(layer, vec![])
            },
            Op::Scale => {
                let [x, gate, product] =
                    [inputs[0], inputs[1], *output].map(|tensor| f64::from(tensors[tensor].scale));
                parameterless(layer, tensors[*output], vec![requant(x * gate / product)])
            }
            Op::Add => {
                let [a, b] = [tensors[inputs[0]], tensors[inputs[1]]];
                parameterless(layer, tensors[*output], add_scales(a, b, tensors[*output]))
            }
            Op::Conv | Op::Depthwise | Op::Linear | Op::GroupedConv => {
                let (input, step) = (&observed[inputs[0]], tensors[inputs[0]].scale);
                let channels = usize::from(spec.c_in);
                let is_unseen = |c| spec.op == Op::Depthwise && input.is_zero(c, channels, step);
                weighted(layer, tensors[inputs[0]], tensors[*output], is_unseen)
                    .map_err(|channel| QuantizeError::Overflow { layer_idx, channel })?
            }
        };
        layers.push(quantized);
    }
    Ok(Int8Network { layers, tensor_lens: network.tensor_lens.clone(), tensors })
}

fn parameterless(layer: &FoldedLayer, output: TensorQuant, requant: Vec<Requant>) -> Int8Layer {
    Int8Layer { clamp: clamp(layer.activation, output), ..unclamped(layer, requant) }
}

fn unclamped(layer: &FoldedLayer, requant: Vec<Requant>) -> Int8Layer {
    Int8Layer { lowered: layer.lowered.clone(), clamp: Clamp::FULL, weights: vec![], bias: vec![], requant }
}

/// A selection's table as a blob has it.
pub(super) fn selection_table(selected: &[u16]) -> Vec<i8> {
    selected.iter().flat_map(|channel| channel.to_le_bytes()).map(u8::cast_signed).collect()
}

/// The outputs of all inputs, in the order of unsigned bytes.
fn lookup_table(activation: Activation, input: TensorQuant, output: TensorQuant) -> Vec<i8> {
    let of = |byte: u8| output.quantize(activation.apply(input.dequantize(byte.cast_signed())));
    (0..=u8::MAX).map(of).collect()
}

/// TFLite's `Add`: both inputs at twice the larger scale, then the sum at the output's.
fn add_scales(a: TensorQuant, b: TensorQuant, output: TensorQuant) -> Vec<Requant> {
    let [a, b, output] = [a, b, output].map(|t| f64::from(t.scale));
    let common = 2.0 * a.max(b);
    vec![requant(a / common), requant(b / common), requant(common / (output * 2f64.powi(ADD_LEFT_SHIFT)))]
}

/// The channel, where one overflows. Channels of which `is_unseen` holds have weights of zero.
fn weighted(
    layer: &FoldedLayer,
    input: TensorQuant,
    output: TensorQuant,
    is_unseen: impl Fn(usize) -> bool,
) -> Result<Int8Layer, usize> {
    let of_weight = channel_of_weight(&layer.lowered.spec);
    let seen = |(i, &w): (usize, &f32)| if is_unseen(of_weight(i)) { 0.0 } else { f64::from(w) };
    let real_weights: Vec<f64> = layer.weights.iter().enumerate().map(seen).collect();
    let mut scales = weight_scales(&real_weights, &layer.bias, f64::from(input.scale), &of_weight);
    for (_, scale) in scales.iter_mut().enumerate().filter(|(c, _)| is_unseen(*c)) {
        // The bias is all there is, in steps of a small part of the output's.
        *scale = scale.max(f64::from(output.scale) / f64::from(input.scale) / 256.0);
    }
    let quantize_weight = |(i, &w): (usize, &f64)| (w / scales[of_weight(i)]).round() as i8;
    let weights: Vec<i8> = real_weights.iter().enumerate().map(quantize_weight).collect();
    let real = |c: usize| f64::from(input.scale) * scales[c];
    let bias = layer.bias.iter().enumerate().map(|(c, &b)| (f64::from(b) / real(c)).round() as i32).collect();
    let requants: Vec<Requant> =
        (0..scales.len()).map(|c| requant(real(c) / f64::from(output.scale))).collect();
    let layer8 = Int8Layer {
        lowered: layer.lowered.clone(),
        clamp: clamp(layer.activation, output),
        weights,
        bias,
        requant: requants,
    };
    check_sums(&layer8, of_weight)?;
    Ok(layer8)
}

/// Per channel: the largest weight becomes ±127, unless the bias would need more than 30 bits.
fn weight_scales(
    weights: &[f64],
    bias: &[f32],
    input_scale: f64,
    of_weight: impl Fn(usize) -> usize,
) -> Vec<f64> {
    let for_bias = |&b: &f32| (f64::from(b.abs()) / (input_scale * MAX_BIAS)).max(f64::MIN_POSITIVE.sqrt());
    let mut scales: Vec<f64> = bias.iter().map(for_bias).collect();
    for (i, &w) in weights.iter().enumerate() {
        let scale = &mut scales[of_weight(i)];
        *scale = scale.max(w.abs() / 127.0);
    }
    scales
}

/// Whether any input keeps every sum, shifted left, within 32 bits; otherwise the channel that does not.
fn check_sums(layer: &Int8Layer, of_weight: impl Fn(usize) -> usize) -> Result<(), usize> {
    let mut largest: Vec<i64> = layer.bias.iter().map(|&b| i64::from(b).abs()).collect();
    for (i, &w) in layer.weights.iter().enumerate() {
        largest[of_weight(i)] += i64::from(w).abs() * 255;
    }
    let overflows = |(sum, q): (&i64, &Requant)| sum << q.shift.max(0) > i64::from(i32::MAX);
    largest.iter().zip(&layer.requant).position(overflows).map_or(Ok(()), Err)
}

fn clamp(activation: Activation, output: TensorQuant) -> Clamp {
    match activation {
        Activation::None => Clamp::FULL,
        Activation::Relu => Clamp { min: output.zero_point, max: i8::MAX },
        Activation::Relu6 => Clamp { min: output.zero_point, max: output.quantize(6.0) },
        Activation::HardSwish | Activation::HardSigmoid | Activation::Sigmoid => {
            unreachable!("an activation that is no clamp is a lookup")
        }
    }
}
