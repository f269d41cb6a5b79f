//! The range of every tensor: of those that share a scale, of all of them.

use super::{FoldedNetwork, Observed, Range};
use crate::network::Activation;
use crate::network::lower::TensorId;
use device_bench::Op;

/// What TFLite prescribes for the output of a sigmoid: steps of 1 / 256 from 0 on.
const SIGMOID: Range = Range { low: 0.0, high: 255.0 / 256.0 };

/// What every tensor's int8 numbers have to hold.
///
/// Pools, selections and concatenations copy or merge numbers, so all tensors that they connect share the range of those that
/// other layers write.
pub(super) fn shared_ranges(network: &FoldedNetwork, observed: &[Observed]) -> Vec<Range> {
    let mut class: Vec<TensorId> = (0..observed.len()).collect();
    let mut ranges: Vec<Option<Range>> = observed.iter().map(|observed| Some(observed.range)).collect();
    for layer in &network.layers {
        let output = layer.lowered.output;
        if matches!(layer.lowered.spec.op, Op::AvgPool | Op::MaxPool | Op::Select | Op::Concat) {
            ranges[output] = None;
            layer.lowered.inputs.iter().for_each(|&input| join(&mut class, input, output));
        } else if layer.activation == Activation::Sigmoid {
            ranges[output] = Some(SIGMOID);
        }
    }
    let mut of_class: Vec<Option<Range>> = vec![None; observed.len()];
    for (&class, range) in class.iter().zip(ranges) {
        of_class[class] = [of_class[class], range]
            .into_iter()
            .flatten()
            .reduce(|a, b| Range { low: a.low.min(b.low), high: a.high.max(b.high) });
    }
    let range = |&class: &TensorId| of_class[class].expect("what is copied was written by another layer");
    class.iter().map(range).collect()
}

/// Makes the classes of two tensors one.
fn join(class: &mut [TensorId], a: TensorId, b: TensorId) {
    let (kept, gone) = (class[a], class[b]);
    class.iter_mut().filter(|class| **class == gone).for_each(|class| *class = kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::lower::LoweredLayer;
    use crate::quantize::FoldedLayer;
    use device_bench::LayerSpec;

    fn layer(spec: LayerSpec, inputs: &[TensorId], output: TensorId, activation: Activation) -> FoldedLayer {
        let lowered = LoweredLayer { node: 0, spec, selected: vec![], inputs: inputs.to_vec(), output };
        FoldedLayer { lowered, weights: vec![], bias: vec![], activation }
    }

    #[test]
    fn tensors_that_are_concatenated_pooled_or_selected_share_one_range() {
        let none = Activation::None;
        let layers = vec![
            layer(LayerSpec::conv(4, 4, 1, 2, 1, 1, device_bench::Padding::NONE), &[0], 1, none),
            layer(LayerSpec::lookup(4, 4, 2), &[1], 2, Activation::Sigmoid),
            layer(LayerSpec::select(4, 4, 2, 1), &[1], 3, none),
            layer(LayerSpec::concat(4, 4, 2, 3), &[2, 3], 4, none),
            layer(LayerSpec::global_avg_pool(4, 4, 3), &[4], 5, none),
            layer(LayerSpec::linear(3, 2), &[5], 6, none),
        ];
        let network = FoldedNetwork { layers, tensor_lens: vec![16, 32, 32, 16, 48, 3, 2] };
        let ends =
            [(-1.0, 1.0), (-4.0, 2.0), (0.0, 9.0), (-99.0, 99.0), (-99.0, 99.0), (-9.0, 9.0), (0.0, 7.0)];
        let observed: Vec<Observed> =
            ends.map(|(low, high)| Observed { range: Range { low, high }, largest: vec![] }).into();
        let ranges = shared_ranges(&network, &observed);
        assert_eq!(ranges[0], observed[0].range);
        assert_eq!(ranges[6], observed[6].range);
        // The sigmoid's own range is prescribed; what copies a tensor adds nothing to it.
        assert!(ranges[1..6].iter().all(|range| *range == Range { low: -4.0, high: 2.0 }), "{ranges:?}");
    }
}
