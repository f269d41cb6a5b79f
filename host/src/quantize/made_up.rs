//! A network of made-up numbers: what it costs does not depend on them.

use super::int8::selection_table;
use super::{Int8Layer, Int8Network, TensorQuant};
use crate::network::lower::Lowered;
use device_bench::Op;
use device_bench::kernels::{n_bias, n_requant};
use device_bench::quant::{Clamp, Requant};

/// `lowered` with weights that nobody trained, to be timed before anything is.
pub fn made_up(lowered: &Lowered) -> Int8Network {
    let layers = lowered.layers.iter().map(|layer| Int8Layer {
        lowered: layer.clone(),
        clamp: Clamp::FULL,
        weights: match layer.spec.op {
            Op::Select => selection_table(&layer.selected),
            _ => (0..layer.spec.weight_bytes()).map(|i| ((i * 37 % 255) as i32 - 127) as i8).collect(),
        },
        bias: vec![0; n_bias(&layer.spec)],
        requant: vec![Requant { multiplier: 1 << 30, shift: -8 }; n_requant(&layer.spec)],
    });
    let quant = TensorQuant { scale: 1.0, zero_point: 0 };
    Int8Network {
        layers: layers.collect(),
        tensor_lens: lowered.tensor_bytes.clone(),
        tensors: vec![quant; lowered.tensor_bytes.len()],
    }
}
