//! Small valid files that mutations start from, in `tests/corpus/TARGET`; those that are called `refused-…` broke a
//! parser once.

use crate::targets::wire::{Message, responses};
use device_bench::wire::{FaultKind, Request};
use device_bench::{LayerSpec, Op, Padding};
use edgeslim::config::RunConfig;
use edgeslim::network::{Shape, to_toml, zoo};
use edgeslim_tests::case::{Random, random_case, random_case_of};
use edgeslim_tests::chain;
use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;
use std::path::PathBuf;

fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Name and bytes of every file of a target, by name. Blobs are made anew: one is read by the kernels only that it is for.
pub fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    if target == "blob" {
        return blobs();
    }
    let Ok(entries) = std::fs::read_dir(folder(target)) else { return Vec::new() };
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.expect("the folder can be listed"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).expect("the file can be read"))
        })
        .collect();
    files.sort();
    files
}

/// Writes what the product's own writers make; records and the table are of a small run and are copied by hand.
pub fn write() {
    let write = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(folder(target)).expect("the folder can be made");
        std::fs::write(folder(target).join(name), bytes).expect("the file can be written");
    };
    // Whole frames, and each message as it is behind the checksum.
    for (target, messages) in [("request", requests()), ("response", responses())] {
        let frames: Vec<u8> = messages.iter().flat_map(|message| message.frame.clone()).collect();
        write(target, "all.bin", &frames);
        for (i, message) in messages.iter().enumerate() {
            write(target, &format!("{i:02}.message"), &message.bytes);
        }
    }
    let images = idx(&[3, 2, 4], &(0..24).collect::<Vec<u8>>());
    write("idx", "images.idx3", &images);
    write("idx", "labels.idx1", &idx(&[3], &[0, 1, 2]));
    write("idx", "images.idx3.gz", &gz(&images));
    write("idx", "refused-bomb.gz", &gz(&idx(&[3, 2, 4], &[0; 1 << 20])));
    write("idx", "refused-overflow.idx3", &idx(&[0, u32::MAX, u32::MAX], &[]));
    let record: Vec<u8> = (0..3073u32).map(|i| (i % 251) as u8 % 10).collect();
    write("cifar", "one.bin", &record);
    write("cifar", "two.bin", &[&record[..], &record].concat());
    write("checkpoint", "fresh.safetensors", &crate::targets::checkpoint::saved(0, 0));
    write("checkpoint", "under-way.safetensors", &crate::targets::checkpoint::saved(2, 3));
    write("checkpoint", "refused-step.safetensors", &crate::targets::checkpoint::saved(2, usize::MAX));
    write("config", "template.toml", RunConfig::TEMPLATE.as_bytes());
    for board in edgeslim::board::embedded() {
        write("board", &format!("{}.toml", board.name), toml::to_string(&board).expect("TOML").as_bytes());
    }
    let (shape, options) = (Shape { h: 28, w: 28, c: 1 }, zoo::ZooOptions::default());
    for name in zoo::NAMES {
        let graph = zoo::network(name, shape, 10, options).expect("the zoo is valid");
        write("network", &format!("{name}.toml"), to_toml(&graph).as_bytes());
    }
}

fn blobs() -> Vec<(String, Vec<u8>)> {
    let mut random = Random(7);
    let mut all = Vec::new();
    for op in Op::ALL {
        all.push((format!("{}.model", op.name()), bytes_of(&random_case(&mut random, op).blob())));
    }
    let network = [
        LayerSpec::conv(9, 9, 1, 6, 3, 2, Padding::all(1)),
        LayerSpec::depthwise(5, 5, 6, 3, 1, Padding::all(1)),
        LayerSpec::conv(5, 5, 6, 9, 1, 1, Padding::NONE),
        LayerSpec::global_avg_pool(5, 5, 9),
        LayerSpec::linear(9, 10),
    ];
    let network = network.map(|spec| random_case_of(&mut random, spec));
    all.push(("network.model".to_owned(), bytes_of(&chain(&network))));
    all
}

fn bytes_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Every request.
fn requests() -> Vec<Message> {
    let plan = device_bench::bench::Plan { n_warmups: 1, n_samples: 3, min_sample_ticks: 0 };
    let spec = LayerSpec::conv(4, 4, 2, 3, 3, 1, Padding::all(1));
    let all = [
        Request::Hello,
        Request::TimeLayer { spec, plan, seed: 7 },
        Request::TimeLayer { spec: LayerSpec::add(4, 4, 2), plan, seed: 8 },
        Request::TimeLayer { spec: LayerSpec { c_out: 4, ..spec }.grouped(2), plan, seed: 9 },
        Request::LoadModel { len: 880 },
        Request::Input { offset: 3, bytes: &[1, 0, 255, 0, 7] },
        Request::RunModel,
        Request::Logits { offset: 64 },
        Request::TimeModel,
        Request::LayerTicks { first: 2 },
        Request::Spin { n_loops: 1000 },
        Request::RamUsed,
        Request::Crash { kind: FaultKind::StackOverflow },
    ];
    all.iter().map(Message::of).collect()
}

fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend(data);
    bytes
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written to");
    encoder.finish().expect("memory can be written to")
}
