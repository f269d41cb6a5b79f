//! Every message between host and board: postcard, framed by COBS, over RTT.
//!
//! [`Response::Hello`] is variant 0 and begins with the protocol number, in every version: a host can read that
//! number from firmware of any age with [`hello_protocol`] and refuse it by name.

use crate::layer::{LayerSpec, ShapeError};
use crate::model::ModelError;
use serde::{Deserialize, Serialize};

/// Version of the messages; raised by every change of a type below.
pub const PROTOCOL: u16 = 1;

/// The most input bytes in one [`Request::Input`].
pub const INPUT_CHUNK: usize = 1024;

/// The longest encoded message, with its COBS overhead and final zero.
pub const MAX_FRAME: usize = 1200;

/// The most samples that one answer carries.
pub const MAX_SAMPLES: usize = 32;

/// The most logits or layer times that one answer carries.
pub const PAGE: usize = 64;

/// What the host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Who are you? Always variant 0.
    Hello,
    /// Times one layer on pseudo-random data.
    TimeLayer {
        /// The shape.
        spec: LayerSpec,
        /// Runs before the first sample.
        warmup: u8,
        /// Samples, at most [`MAX_SAMPLES`].
        samples: u8,
        /// Seed of the data.
        seed: u32,
    },
    /// Reads the blob that the host has written into the model region.
    LoadModel {
        /// Its bytes.
        len: u32,
    },
    /// Part of the input image of the loaded model.
    Input {
        /// Index of the first byte.
        offset: u32,
        /// At most [`INPUT_CHUNK`] bytes.
        bytes: &'a [u8],
    },
    /// Runs the loaded model on its input.
    RunModel,
    /// Logits of the last run from this index on, at most [`PAGE`] of them.
    Logits {
        /// Index of the first one.
        offset: u32,
    },
    /// Times the loaded model as a whole and layer by layer.
    TimeModel,
    /// Layer times of the last [`Request::TimeModel`] from this index on, at most [`PAGE`] of them.
    LayerTicks {
        /// Index of the first one.
        offset: u32,
    },
    /// The deepest stack since reset.
    StackUsed,
    /// Fails on purpose, so that the report of a failure can be tested.
    Crash {
        /// How.
        kind: FaultKind,
    },
}

/// What the board answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response<'a> {
    /// Who the board is. Always variant 0.
    Hello(Hello<'a>),
    /// Samples of a layer, each a little-endian `u64` in the board's unit.
    Ticks(&'a [u8]),
    /// The request is done.
    Done,
    /// A model is ready.
    Model {
        /// Layers.
        n_layers: u16,
        /// Bytes of its input.
        input_bytes: u32,
        /// Bytes of its output.
        output_bytes: u32,
        /// Bytes of arena that it needs.
        arena_bytes: u32,
    },
    /// A page of logits.
    Logits(&'a [u8]),
    /// Ticks of a whole run.
    Whole {
        /// In the board's unit.
        ticks: u64,
    },
    /// Bytes.
    StackUsed {
        /// The deepest use since reset.
        used: u32,
        /// The room there is.
        size: u32,
    },
    /// The request cannot be served; the board goes on.
    Refused(Refusal),
    /// The board has failed and needs a reset.
    Fault(Fault<'a>),
}

/// Who the board is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// [`PROTOCOL`] of the firmware; first in every version.
    pub protocol: u16,
    /// Name of the board file that the firmware was built for.
    pub board: &'a str,
    /// CPUID register.
    pub cpuid: u32,
    /// What counts time.
    pub counter: Counter,
    /// First address of the model region.
    pub model_address: u32,
    /// Bytes of the model region.
    pub model_bytes: u32,
    /// Bytes of the arena.
    pub arena_bytes: u32,
}

/// What counts time on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counter {
    /// The 24-bit system timer, its wraps counted.
    SysTick,
    /// The 32-bit cycle counter; used only where it was seen to move.
    Dwt,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The frame is no request of this protocol.
    #[error("the board could not read the request")]
    Unreadable,
    /// The frame is longer than [`MAX_FRAME`].
    #[error("the request is longer than a frame")]
    TooLong,
    /// This firmware was built without the code for the request.
    #[error("this firmware has no code for the request")]
    Unsupported,
    /// The shape cannot be run.
    #[error("the layer cannot be run: {0}")]
    Shape(ShapeError),
    /// Input, output and weights need more memory than the board has for them.
    #[error("{needed} bytes are needed and {available} available on the board")]
    Memory {
        /// Bytes needed.
        needed: u32,
        /// Bytes there.
        available: u32,
    },
    /// The blob in the model region is no model for this firmware.
    #[error("the model cannot be loaded: {0}")]
    Model(ModelError),
    /// There is no model, or no run of it, for the request.
    #[error("no model is loaded")]
    NoModel,
    /// An index is beyond the end.
    #[error("the index is beyond the end")]
    Range,
}

/// How the board failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// A Rust panic: a bug of ours.
    Panic,
    /// The processor's HardFault.
    HardFault,
}

/// The state of the core at a failure; zero where the core has no such register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault<'a> {
    /// How.
    pub kind: FaultKind,
    /// Program counter; zero for a panic, which has a location.
    pub pc: u32,
    /// Link register.
    pub lr: u32,
    /// Stack pointer.
    pub sp: u32,
    /// Program status.
    pub psr: u32,
    /// Configurable fault status.
    pub cfsr: u32,
    /// HardFault status.
    pub hfsr: u32,
    /// Address of a memory-management fault.
    pub mmfar: u32,
    /// Address of a bus fault.
    pub bfar: u32,
    /// Source file of a panic, empty otherwise.
    pub file: &'a str,
    /// Its line.
    pub line: u32,
}

/// The protocol number of a decoded (COBS-free) frame if it is a [`Response::Hello`] of any version.
pub fn hello_protocol(frame: &[u8]) -> Option<u16> {
    let (&variant, rest) = frame.split_first()?;
    let (protocol, _) = postcard::take_from_bytes::<u16>(rest).ok()?;
    (variant == 0).then_some(protocol)
}
