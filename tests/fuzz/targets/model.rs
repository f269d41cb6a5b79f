//! The model blob, and running what is accepted.

use device_bench::crc::crc32;
use device_bench::infer;
use device_bench::kernels::KernelSet;
use device_bench::model::Model;
use edgeslim::quantize::Blob;
use edgeslim_tests::case::bytes_mut;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

/// Larger models are parsed but not run.
const MOST_ARENA: usize = 1 << 20;
const MOST_MACS: u64 = 1 << 20;
/// Bytes before those that the checksum covers.
const BEFORE_CHECKED: usize = 16;

/// A model that is accepted runs; one layer gives the same bytes with both sets of kernels.
pub fn parse(input: &[u8]) -> bool {
    let blob = Blob::copy_of(input);
    let Ok(model) = Model::parse(blob.bytes()) else { return false };
    let mut macs: u64 = 0;
    for layer_idx in 0..model.n_layers() {
        let (layer, _) = model.layer(layer_idx).expect("a parsed model's layers can be read");
        macs += layer.spec().macs();
    }
    assert!(model.layer(model.n_layers()).is_none());
    if model.arena_bytes() > MOST_ARENA || macs > MOST_MACS {
        return true;
    }
    let [portable, dsp] = [KernelSet::Portable, KernelSet::Dsp].map(|set| run(&model, set));
    // What is left in a scratch depends on the set, and a hostile model may read it as another layer's input.
    if let (1, Some((_, place))) = (model.n_layers(), model.layer(0)) {
        assert!(portable[place.output.clone()] == dsp[place.output], "the sets of kernels differ");
    }
    true
}

fn run(model: &Model<'_>, set: KernelSet) -> Vec<u8> {
    let mut words = vec![0x0102_0304u32; model.arena_bytes().div_ceil(4)];
    let arena = bytes_mut(&mut words);
    infer::run(model, set, arena, &mut |_, _| ()).expect("a parsed model runs in its arena");
    assert!(infer::input_mut(model, arena).is_some() && infer::output(model, arena).is_some());
    arena.to_vec()
}

/// Gives most inputs the length and the checksum that they should have.
pub fn repair(input: &mut [u8], rng: &mut ChaCha8Rng) {
    if rng.random_range(0..16) == 0 || input.len() < BEFORE_CHECKED + 4 {
        return;
    }
    if rng.random_range(0..4) != 0 {
        let len = input.len() as u32;
        input[16..20].copy_from_slice(&len.to_le_bytes());
    }
    input[..4].copy_from_slice(b"ESLM");
    let checksum = crc32(&input[BEFORE_CHECKED..]);
    input[12..16].copy_from_slice(&checksum.to_le_bytes());
}
