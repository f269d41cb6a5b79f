//! A network as a TOML file: a [`Graph`](super::Graph) with names in the place of indices.
//!
//! ```toml
//! name = "my-net"
//! # Both come from the data where they are not given.
//! input = [28, 28, 1]      # height, width, channels
//! classes = 10
//!
//! [[unit]]
//! name = "stem"
//! full = 16                # channels at width x1.0
//! bins = [8, 16, 24]       # what can be chosen; the default is the zoo's
//!
//! [[node]]                 # each reads nodes above it; the image is called "image"
//! name = "conv1"
//! op = "conv"              # a batch norm is part of it; with `groups = n` a grouped one
//! input = "image"
//! unit = "stem"            # or ["stem", "other"]: as many channels as both
//! kernel = 3               # or [rows, columns]
//! stride = 2               # default 1
//! padding = 1              # or [top, bottom, left, right]; default 0
//! activation = "relu"      # none (the default), relu, relu6, hard_swish, hard_sigmoid or sigmoid
//!
//! [[node]]
//! name = "conv2"
//! op = "depthwise"         # its unit is its input's
//! input = "conv1"
//! kernel = 3
//! padding = 1
//!
//! [[node]]
//! name = "sum"
//! op = "add"
//! inputs = ["conv1", "conv2"]
//! activation = "relu"
//!
//! [[node]]                 # global average pooling and a linear classifier; the last node
//! name = "head"
//! op = "head"
//! input = "sum"
//! ```
//!
//! The other operators, with the keys that they need:
//!
//! | `op` | keys | |
//! |---|---|---|
//! | `linear` | `input`, `unit`, `activation` | on planes of one pixel, with a bias |
//! | `concat` | `inputs` | the channels of the first, then of the second |
//! | `shuffle` | `input`, `groups` | ShuffleNet's |
//! | `split` | `input`, `part`, `parts` | one of several equal runs of channels, the first is part 0 |
//! | `max_pool`, `average_pool` | `input`, `kernel`, `stride`, `padding` | |
//! | `global_average` | `input` | the mean of the plane |
//! | `scale` | `inputs` | the first, channel by channel times the second, a plane of one pixel |

mod keys;
mod mistake;
mod names;
mod read;
mod write;

pub use mistake::{FileError, Mistake, Mistakes};
pub use read::{parse, stated};
pub use write::to_toml;

use super::Activation;
use serde::{Deserialize, Serialize};
use toml::Spanned;

/// How a file calls node 0.
const IMAGE: &str = "image";

/// A whole file, as it is written; `keys` reads the same piece by piece.
#[derive(Serialize)]
struct File {
    name: String,
    #[serde(rename = "unit")]
    units: Vec<FileUnit>,
    #[serde(rename = "node")]
    nodes: Vec<FileNode>,
}

#[derive(Serialize)]
struct FileUnit {
    name: Spanned<String>,
    full: Spanned<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bins: Option<Spanned<Vec<usize>>>,
}

/// The keys of all operators; [`FileOp::keys`] says which one has which.
#[derive(Serialize)]
struct FileNode {
    name: Spanned<String>,
    op: FileOp,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Spanned<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<[Spanned<String>; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Spanned<FileUnits>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<FileKernel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stride: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    padding: Option<FilePadding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<Activation>,
    /// Keys whose values are wrong, which is told already.
    #[serde(skip)]
    wrong: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum FileOp {
    Conv,
    Depthwise,
    Linear,
    Add,
    Concat,
    Shuffle,
    Split,
    MaxPool,
    AveragePool,
    GlobalAverage,
    Scale,
    Head,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "unit is a name or a list of names")]
enum FileUnits {
    One(String),
    Sum(Vec<String>),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged, expecting = "kernel is a number or two: [rows, columns]")]
enum FileKernel {
    Square(usize),
    Sides([usize; 2]),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged, expecting = "padding is a number up to 254 or four: [top, bottom, left, right]")]
enum FilePadding {
    All(u8),
    Sides([u8; 4]),
}

impl FileOp {
    const ALL: [FileOp; 12] = [
        FileOp::Conv,
        FileOp::Depthwise,
        FileOp::Linear,
        FileOp::Add,
        FileOp::Concat,
        FileOp::Shuffle,
        FileOp::Split,
        FileOp::MaxPool,
        FileOp::AveragePool,
        FileOp::GlobalAverage,
        FileOp::Scale,
        FileOp::Head,
    ];

    const fn name(self) -> &'static str {
        match self {
            FileOp::Conv => "conv",
            FileOp::Depthwise => "depthwise",
            FileOp::Linear => "linear",
            FileOp::Add => "add",
            FileOp::Concat => "concat",
            FileOp::Shuffle => "shuffle",
            FileOp::Split => "split",
            FileOp::MaxPool => "max_pool",
            FileOp::AveragePool => "average_pool",
            FileOp::GlobalAverage => "global_average",
            FileOp::Scale => "scale",
            FileOp::Head => "head",
        }
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            FileOp::Conv => &["input", "unit", "kernel", "stride", "padding", "groups", "activation"],
            FileOp::Depthwise => &["input", "unit", "kernel", "stride", "padding", "activation"],
            FileOp::Linear => &["input", "unit", "activation"],
            FileOp::Add => &["inputs", "activation"],
            FileOp::Concat | FileOp::Scale => &["inputs"],
            FileOp::Shuffle => &["input", "groups"],
            FileOp::Split => &["input", "part", "parts"],
            FileOp::MaxPool | FileOp::AveragePool => &["input", "kernel", "stride", "padding"],
            FileOp::GlobalAverage | FileOp::Head => &["input"],
        }
    }
}

#[cfg(test)]
mod tests;
