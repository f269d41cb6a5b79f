//! Channels between a convolution and the depthwise one behind it, scaled so that none is lost in int8.
//!
//! A tensor has one int8 scale, but its channels differ by orders of magnitude: batch norm behind a depthwise
//! convolution makes as much of a channel of a few int8 steps as of any other, noise and all. Activations that are
//! clamps at zero let a factor move from a channel's reader to its writer (cross-layer equalisation, arXiv 1906.04721, section
//! 4.1). Both have a scale a channel for their weights, so that nothing is paid for it.

use super::fold::channel_of_weight;
use super::{FoldedLayer, FoldedNetwork, Observed, TensorQuant};
use crate::network::Activation;
use device_bench::Op;

/// A channel is scaled until it reaches this share of its tensor's range: what is left holds values larger than those
/// that calibration has seen.
const SHARE: f32 = 0.5;
/// Kernels are fast for scales from sums to outputs below it.
const FAST_SCALE: f32 = 0.5;

/// `network` and what its tensors hold, with smaller channels between a convolution and a depthwise one scaled up.
///
/// The network computes the same, but for ReLU6: it clamps a scaled channel at 2 times what was `observed` or later.
pub(super) fn equalise(network: &FoldedNetwork, observed: &[Observed]) -> (FoldedNetwork, Vec<Observed>) {
    let (mut network, mut observed) = (network.clone(), observed.to_vec());
    for reader in 0..network.layers.len() {
        let Some(writer) = writer_of(&network, reader) else { continue };
        let layer = &network.layers[writer];
        let tensor = layer.lowered.output;
        let factors = factors(layer, &observed[layer.lowered.inputs[0]], &observed[tensor]);
        observed[tensor].largest.iter_mut().zip(factors.iter().cycle()).for_each(|(x, f)| *x *= f);
        scale(&mut network.layers[writer], |c| factors[c]);
        network.layers[writer].bias.iter_mut().zip(&factors).for_each(|(b, f)| *b *= f);
        scale(&mut network.layers[reader], |c| 1.0 / factors[c]);
    }
    (network, observed)
}

/// The convolution before the depthwise layer `reader`, if that alone reads what it writes.
fn writer_of(network: &FoldedNetwork, reader: usize) -> Option<usize> {
    let layer = &network.layers[reader];
    let tensor = layer.lowered.inputs[0];
    let n_readers = network.layers.iter().flat_map(|l| &l.lowered.inputs).filter(|&&t| t == tensor).count();
    let scales = |l: &FoldedLayer| {
        l.lowered.output == tensor
            && matches!(l.lowered.spec.op, Op::Conv | Op::GroupedConv | Op::Depthwise)
            && matches!(l.activation, Activation::Relu | Activation::Relu6)
    };
    let is_depthwise = layer.lowered.spec.op == Op::Depthwise;
    if is_depthwise && n_readers == 1 { network.layers.iter().position(scales) } else { None }
}

/// What each channel that `layer` writes is multiplied with: 1 or more.
fn factors(layer: &FoldedLayer, input: &Observed, output: &Observed) -> Vec<f32> {
    let channels = layer.bias.len();
    let top = output.range.high;
    let [step_in, step] = [input, output].map(|o| TensorQuant::for_range(o.range).scale);
    let mut weights = vec![0f32; channels];
    let of_weight = channel_of_weight(&layer.lowered.spec);
    layer
        .weights
        .iter()
        .enumerate()
        .for_each(|(i, w)| weights[of_weight(i)] = weights[of_weight(i)].max(w.abs()));
    let factor = |c: usize| {
        let largest = output.largest.iter().skip(c).step_by(channels).copied().fold(0.0, f32::max);
        let sums_to_output = weights[c] / 127.0 * step_in / step;
        if largest > 0.0 { (SHARE * top / largest).min(FAST_SCALE / sums_to_output).max(1.0) } else { 1.0 }
    };
    (0..channels).map(factor).collect()
}

fn scale(layer: &mut FoldedLayer, factor: impl Fn(usize) -> f32) {
    let of_weight = channel_of_weight(&layer.lowered.spec);
    layer.weights.iter_mut().enumerate().for_each(|(i, w)| *w *= factor(of_weight(i)));
}
