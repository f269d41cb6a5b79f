//! Shared helpers of the whole-system tests.

#[path = "../device-bench/tests/case/mod.rs"]
pub mod case;

use case::{Case, bytes_mut};
use device_bench::kernels::scratch_bytes;
use device_bench::model::{LayerDesc, ModelDesc, Tensor, TensorRef, encode, encoded_len};
use edgeslim::board::{Link, ProbeOptions, load};
use edgeslim::firmware;

/// Opens an embedded board with firmware that is built if need be.
pub fn open(name: &str) -> Link {
    let board = load(name).unwrap();
    let elf = firmware::build(&board, &board.memory().unwrap()).unwrap();
    Link::open(&board, &elf, &ProbeOptions::default()).unwrap()
}

/// A model of layers in a row, each of which has one input; words, so that it is aligned.
pub fn chain(cases: &[Case]) -> Vec<u32> {
    let up = |n: usize| n.next_multiple_of(4) as u32;
    let largest = |bytes: fn(&Case) -> usize| cases.iter().map(bytes).max().unwrap_or(0);
    let tensor_bytes = up(largest(|case| case.spec.input_bytes().max(case.spec.output_bytes())));
    let scratch = 2 * tensor_bytes;
    let place = |tensor_idx: usize| tensor_bytes * (tensor_idx % 2) as u32;
    let layers: Vec<LayerDesc> = cases
        .iter()
        .enumerate()
        .map(|(i, case)| LayerDesc {
            spec: case.spec,
            inputs: [TensorRef { offset: place(i), zero_point: case.zeros[0] }; 2],
            output: TensorRef { offset: place(i + 1), zero_point: case.zeros[2] },
            scratch,
            clamp: case.clamp,
            weights: &case.weights,
            bias: &case.bias,
            requant: &case.requant,
        })
        .collect();
    let tensor = |offset, len: usize| Tensor { offset, len: len as u32, zero_point: 0, scale_bits: 0 };
    let model = ModelDesc {
        arena_bytes: scratch + up(largest(|case| scratch_bytes(&case.spec))),
        input: tensor(0, cases[0].spec.input_bytes()),
        output: tensor(place(cases.len()), cases[cases.len() - 1].spec.output_bytes()),
        layers: &layers,
    };
    let mut blob = vec![0; encoded_len(&model).div_ceil(4)];
    encode(&model, bytes_mut(&mut blob)).expect("the layers fit each other");
    blob
}
