//! Batch norm folded into the convolution before it, for one subnet.

use super::QuantizeError;
use crate::engine::{BN_EPSILON, NodeStatistics, Params, Statistics};
use crate::network::lower::{Lowered, LoweredLayer, lower};
use crate::network::{Activation, ChannelMap, Channels, Graph, NodeOp, WeightMap};
use candle_core::DType;
use device_bench::{LayerSpec, Op};

/// A layer with float parameters in the layout of the int8 kernels.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldedLayer {
    /// What it is and which tensors it connects.
    pub lowered: LoweredLayer,
    /// As [`Op`] says; empty for layers without.
    pub weights: Vec<f32>,
    /// `[c_out]`; empty for layers without weights.
    pub bias: Vec<f32>,
    /// What follows; of a lookup, what is looked up.
    pub activation: Activation,
}

/// A subnet without batch norm, in order of execution.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldedNetwork {
    /// In order of execution.
    pub layers: Vec<FoldedLayer>,
    /// Elements of every tensor; tensor 0 is the image, the last the logits.
    pub tensor_lens: Vec<usize>,
}

/// Folds the running `statistics` of the subnet `channels` into its convolutions.
///
/// # Errors
/// [`QuantizeError`] if the channels are none of the graph's or the statistics belong to another subnet.
pub fn fold(
    graph: &Graph,
    channels: &Channels,
    params: &Params,
    statistics: &Statistics,
) -> Result<FoldedNetwork, QuantizeError> {
    let Lowered { layers, tensor_bytes } = lower(graph, channels)?;
    let maps = graph.channel_maps(channels);
    let layers = layers.into_iter().enumerate().map(|(layer_idx, lowered)| {
        let layer = fold_layer(graph, &maps, lowered, params, statistics)?;
        if layer.weights.iter().chain(&layer.bias).any(|x| !x.is_finite()) {
            return Err(QuantizeError::NotFinite { what: "a weight or bias", layer_idx });
        }
        Ok(layer)
    });
    Ok(FoldedNetwork { layers: layers.collect::<Result<_, _>>()?, tensor_lens: tensor_bytes })
}

fn fold_layer(
    graph: &Graph,
    maps: &[ChannelMap],
    lowered: LoweredLayer,
    params: &Params,
    statistics: &Statistics,
) -> Result<FoldedLayer, QuantizeError> {
    let node = &graph.nodes[lowered.node];
    let (spec, node_idx) = (lowered.spec, lowered.node);
    let values = |name: &str| values(params, &format!("{}.{name}", node.name));
    // What is no clamp is a layer of its own behind the node's.
    let activation = match node.op.activation() {
        activation if activation.is_clamp() == (spec.op != Op::Lookup) => activation,
        _ => Activation::None,
    };
    let plain = FoldedLayer { lowered, weights: vec![], bias: vec![], activation };
    let weights = || -> Result<Vec<f32>, QuantizeError> {
        let map = graph.weight_map(node_idx, maps).expect("a layer with weights comes from such a node");
        Ok(kernel_layout(&spec, &map, &values("weight")?))
    };
    // The active part of a value per output channel.
    let vector = |name: &str| -> Result<Vec<f32>, QuantizeError> {
        let full = values(name)?.0;
        Ok(maps[node_idx].indices().map(|i| full[i]).collect())
    };
    match &node.op {
        NodeOp::Conv(_) if spec.op != Op::Lookup => {
            let c_out = usize::from(spec.c_out);
            let norm = statistics.nodes.get(node_idx).and_then(Option::as_ref);
            let found = norm.map_or(0, |s| s.mean.len());
            let norm = norm.filter(|_| found == c_out).ok_or_else(|| QuantizeError::Statistics {
                node: node.name.clone(),
                found,
                wanted: c_out,
            })?;
            let (scale, bias) = affine(norm, &vector("gamma")?, &vector("beta")?);
            let mut weights = weights()?;
            let of_weight = channel_of_weight(&spec);
            weights.iter_mut().enumerate().for_each(|(i, w)| *w *= scale[of_weight(i)]);
            Ok(FoldedLayer { weights, bias, ..plain })
        }
        NodeOp::Linear(_) | NodeOp::Head { .. } if spec.op == Op::Linear => {
            Ok(FoldedLayer { weights: weights()?, bias: vector("bias")?, ..plain })
        }
        _ => Ok(plain),
    }
}

/// Batch norm as `scale * z + bias`, per channel.
fn affine(norm: &NodeStatistics, gamma: &[f32], beta: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let channels = norm.mean.iter().zip(&norm.variance).zip(gamma.iter().zip(beta));
    channels
        .map(|((&mean, &variance), (&gamma, &beta))| {
            let scale = f64::from(gamma) / (f64::from(variance) + BN_EPSILON).sqrt();
            (scale as f32, (f64::from(beta) - f64::from(mean) * scale) as f32)
        })
        .unzip()
}

/// The output channel that weight `i` of the kernel's layout belongs to.
pub(super) fn channel_of_weight(spec: &LayerSpec) -> impl Fn(usize) -> usize + use<> {
    let (depthwise, c_out) = (spec.op == Op::Depthwise, usize::from(spec.c_out).max(1));
    let per_channel = (spec.weight_bytes() / c_out).max(1);
    move |i| if depthwise { i % c_out } else { i / per_channel }
}

/// The active part of full-size weights (OIHW or `(c_out, c_in)`), as the int8 kernels lay them out.
fn kernel_layout(spec: &LayerSpec, map: &WeightMap, (full, dims): &(Vec<f32>, Vec<usize>)) -> Vec<f32> {
    let taps = usize::from(spec.kernel_h) * usize::from(spec.kernel_w);
    let at = |o: usize, i: usize, tap: usize| full[(o * dims[1] + i) * taps + tap];
    match spec.op {
        Op::Depthwise => (0..taps).flat_map(|tap| map.rows.indices().map(move |c| at(c, 0, tap))).collect(),
        _ => {
            let row = |o| (0..taps).flat_map(move |tap| map.columns.indices().map(move |i| at(o, i, tap)));
            map.rows.indices().flat_map(row).collect()
        }
    }
}

fn values(params: &Params, name: &str) -> Result<(Vec<f32>, Vec<usize>), QuantizeError> {
    let var = params.get(name)?.as_tensor();
    Ok((var.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?, var.dims().to_vec()))
}
