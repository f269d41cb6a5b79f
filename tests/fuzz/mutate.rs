//! Mutations that parsers are known to stumble over.

use rand::{RngExt as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

/// Longer inputs are cut: what goes wrong does so in short ones.
const MOST_BYTES: usize = 1 << 14;

/// Ends of the ranges of 8, 16, 32 and 64 bits; as many of their low bytes are written as the width has.
const INTEGERS: [u64; 18] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Numbers as texts have them.
const DECIMALS: [&str; 20] = [
    "0",
    "1",
    "-1",
    "127",
    "128",
    "255",
    "256",
    "32768",
    "65535",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "1e308",
    "1e999",
    "nan",
    "-inf",
];

/// Words of the formats, put between or over others in texts.
const TOKENS: [&str; 34] = [
    "\n",
    "\r\n",
    "\"",
    "\"\"\"",
    "'",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    "#",
    "\\",
    "\\u0000",
    "\\ud800",
    "../",
    "/",
    "..",
    "null",
    "true",
    "[]",
    "{}",
    "\u{feff}",
    "é",
    "[[unit]]\n",
    "[[node]]\n",
    "[[layer]]\n",
    "[[setup]]\n",
    "image",
    "conv",
    "add",
    "head",
];

/// Whether a target's inputs are bytes or texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Bytes,
    Text,
}

/// One of `corpus`, changed in one or several ways.
pub fn mutated(rng: &mut ChaCha8Rng, corpus: &[Vec<u8>], kind: Kind) -> Vec<u8> {
    let mut input = pick(rng, corpus);
    loop {
        mutate(rng, &mut input, corpus, kind);
        input.truncate(MOST_BYTES);
        if rng.random_range(0..3) == 0 {
            return input;
        }
    }
}

fn pick(rng: &mut ChaCha8Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    corpus.choose(rng).cloned().unwrap_or_default()
}

fn mutate(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, corpus: &[Vec<u8>], kind: Kind) {
    let at = rng.random_range(0..=input.len());
    let n = short(rng).min(input.len() - at);
    match rng.random_range(0..if kind == Kind::Text { 14 } else { 10 }) {
        0 | 1 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.random_range(0..8)),
        2 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.random()),
        3 | 4 => {
            let (bytes, width) = integer(rng);
            input.iter_mut().skip(at).zip(&bytes[..width]).for_each(|(byte, &new)| *byte = new);
        }
        5 => {
            let (bytes, width) = integer(rng);
            drop(input.splice(at..at, bytes[..width].iter().copied()));
        }
        6 => drop(input.drain(at..at + n)),
        7 => {
            let piece = input[at..at + n].to_vec();
            let times = rng.random_range(1..=8);
            drop(input.splice(at..at, std::iter::repeat_n(piece, times).flatten()));
        }
        8 => input.truncate(at),
        9 => {
            let other = pick(rng, corpus);
            let from = rng.random_range(0..=other.len());
            let to = rng.random_range(from..=other.len());
            let end = if rng.random() { at + n } else { input.len() };
            drop(input.splice(at..end, other[from..to].iter().copied()));
        }
        10 | 11 => number(rng, input, at),
        _ => {
            let token = TOKENS.choose(rng).unwrap_or(&"").bytes();
            let end = if rng.random() { at } else { at + n };
            drop(input.splice(at..end, token));
        }
    }
}

/// Replaces the next number of a text.
fn number(rng: &mut ChaCha8Rng, input: &mut Vec<u8>, at: usize) {
    let Some(start) = (at..input.len()).find(|&i| input[i].is_ascii_digit()) else { return };
    let len = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let decimal = DECIMALS.choose(rng).unwrap_or(&"0");
    drop(input.splice(start..start + len, decimal.bytes()));
}

/// An integer's bytes, and how many of them are used.
fn integer(rng: &mut ChaCha8Rng) -> ([u8; 8], usize) {
    let width = 1 << rng.random_range(0..4);
    let value = INTEGERS.choose(rng).copied().unwrap_or(0);
    let mut bytes = value.to_le_bytes();
    if rng.random() {
        bytes[..width].reverse();
    }
    (bytes, width)
}

/// Mostly a few, sometimes many.
fn short(rng: &mut ChaCha8Rng) -> usize {
    1 << rng.random_range(0..10) >> rng.random_range(0..10)
}
