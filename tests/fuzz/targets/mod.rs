//! What is fuzzed: for each parser a way to call it, and everything behind it that its result is handed to.

pub mod checkpoint;
mod data;
mod model;
mod records;
mod text;
pub mod wire;

use crate::mutate::Kind;
use rand_chacha::ChaCha8Rng;

/// A parser.
pub struct Target {
    /// Of its test and of its corpus.
    pub name: &'static str,
    /// Bytes or text.
    pub kind: Kind,
    /// Reads an input; whether it is a valid one.
    pub parse: fn(&[u8]) -> bool,
    /// Puts right, mostly, what would refuse every mutated input, such as a checksum.
    pub repair: fn(&mut Vec<u8>, &mut ChaCha8Rng),
}

const fn bytes(name: &'static str, parse: fn(&[u8]) -> bool) -> Target {
    Target { name, kind: Kind::Bytes, parse, repair: |_, _| () }
}

const fn text(name: &'static str, parse: fn(&[u8]) -> bool) -> Target {
    Target { name, kind: Kind::Text, parse, repair: |_, _| () }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { repair: |input, rng| model::repair(input, rng), ..bytes("blob", model::parse) },
    bytes("request", wire::request),
    bytes("response", wire::response),
    text("cost_table", text::cost_table),
    Target { repair: data::repair, ..bytes("idx", data::idx) },
    bytes("cifar", data::cifar),
    Target { repair: |input, rng| checkpoint::repair(input, rng), ..text("checkpoint", checkpoint::parse) },
    text("board", text::board),
    text("network", text::network),
    text("config", text::config),
    text("layers", text::layers),
    text("budget", text::budget),
    text("records", records::parse),
];
