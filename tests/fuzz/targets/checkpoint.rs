//! Checkpoints of a training.

use candle_core::Device;
use edgeslim::engine::Params;
use edgeslim::network::zoo::ZooOptions;
use edgeslim::network::{Graph, Shape, file};
use edgeslim::train::checkpoint::{Expected, State, restore, restore_weights, save};
use edgeslim::train::{NesterovSgd, SgdParams};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use reports::record::EpochRecord;

const EXPECTED: Expected<'_> = Expected { identity: "a training", epochs: 4, steps: 10 };

/// Two layers, so that the tensors do not outweigh their names.
const NETWORK: &str = r#"
name = "two layers"
[[unit]]
name = "a"
full = 2
bins = [1, 2]
[[node]]
name = "conv"
op = "conv"
input = "image"
unit = "a"
kernel = 1
[[node]]
name = "head"
op = "head"
input = "conv"
"#;

thread_local! {
    static GRAPH: Graph = file::parse(NETWORK, Shape { h: 2, w: 2, c: 1 }, 2, ZooOptions::default()).expect("two layers");
}

fn network() -> (Params, NesterovSgd) {
    let params = GRAPH.with(|graph| Params::new(graph, 1, &Device::Cpu)).expect("the CPU has memory");
    let sgd = SgdParams { learning_rate: 0.0, momentum: 0.9, weight_decay: 0.0 };
    let sgd = NesterovSgd::for_network(&params, sgd);
    (params, sgd)
}

/// What is refused changes no weight.
pub fn parse(input: &[u8]) -> bool {
    let (params, mut sgd) = network();
    let before = weights(&params);
    let restored = restore(input, &params, &mut sgd, EXPECTED);
    if let Ok(state) = &restored {
        assert!(state.history.len() <= EXPECTED.epochs && state.step < EXPECTED.steps);
    } else {
        assert_eq!(weights(&params), before);
    }
    let (params, _) = network();
    let taken = restore_weights(input, &params).is_ok();
    assert!(taken || restored.is_err() && weights(&params) == before);
    restored.is_ok()
}

fn weights(params: &Params) -> Vec<f32> {
    let values = |var: candle_core::Var| var.flatten_all().and_then(|t| t.to_vec1()).expect("f32 on the CPU");
    params.vars().into_iter().flat_map(|(_, var)| values(var)).collect()
}

/// Writes in most inputs how long their header is.
pub fn repair(input: &mut [u8], rng: &mut ChaCha8Rng) {
    if rng.random_range(0..4) == 0 || input.len() < 8 {
        return;
    }
    // The header ends with two braces and spaces; the tensors behind it hardly have such bytes.
    if let Some(end) = input.windows(2).rposition(|pair| pair == b"}}") {
        let spaces = input[end + 2..].iter().take_while(|&&byte| byte == b' ').count();
        let len = (end + 2 + spaces).saturating_sub(8) as u64;
        input[..8].copy_from_slice(&len.to_le_bytes());
    }
}

/// A checkpoint after so many epochs and steps.
pub fn saved(n_epochs: usize, step: usize) -> Vec<u8> {
    let (params, mut sgd) = network();
    let velocities = params.vars().into_iter().map(|(_, var)| Some(var.as_detached_tensor()));
    sgd.set_velocities(velocities.collect()).expect("they have the weights' shapes");
    let state = State { history: vec![EpochRecord::default(); n_epochs], step, loss_sum: 0.5, n_wrong: 1 };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("checkpoint");
    save(&path, &params, &sgd, &state, EXPECTED.identity).expect("a temporary folder can be written");
    std::fs::read(path).expect("it was just written")
}
