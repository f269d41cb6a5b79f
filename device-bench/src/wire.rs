//! Every message between host and board: postcard and its CRC, framed by COBS ([`encode`], [`decode`]), over RTT.
//!
//! [`Response::Hello`] is variant 0 and begins with the protocol number, in every version: a host can read that
//! number from firmware of any age (since protocol 3) with [`hello_protocol`] and refuse it by name.

mod frame;
mod receiver;

pub use frame::{FrameError, MAX_FRAME, decode, encode};
pub use receiver::{Receiver, TooLong};

use crate::bench::{LayerError, Plan};
use crate::infer::RunError;
use crate::kernels::KernelError;
use crate::layer::{LayerSpec, ShapeError};
use crate::model::ModelError;
use serde::{Deserialize, Serialize};

/// Version of the messages; raised by every change of a type below.
pub const PROTOCOL: u16 = 4;

/// The most input bytes in one [`Request::Input`].
pub const INPUT_CHUNK: usize = 1024;

/// The most logits or layer times that one answer carries.
pub const PAGE: usize = 64;

/// What the host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Who are you? Always variant 0.
    Hello,
    /// Times one layer on pseudo-random data, with the model region's bytes as its weights. Unloads the model.
    TimeLayer {
        /// The shape.
        spec: LayerSpec,
        /// How often.
        plan: Plan,
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
    /// Times the loaded model as a whole.
    TimeModel,
    /// Times the layers of the loaded model from this one on, at most [`PAGE`] of them.
    LayerTicks {
        /// Index of the first one.
        first: u32,
    },
    /// Times a loop of two instructions, to check the counter.
    Spin {
        /// Rounds of the loop.
        n_loops: u32,
    },
    /// The RAM that was used.
    RamUsed,
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
    /// What a layer takes.
    LayerTiming(LayerTiming<'a>),
    /// Times of layers, each a little-endian `u64` in the board's unit; [`ticks`] reads them.
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
        /// Multiply-accumulates of all layers: how long to wait for a run.
        macs: u64,
    },
    /// A page of logits.
    Logits(&'a [u8]),
    /// Ticks of a whole run or a loop.
    Elapsed {
        /// In the board's unit.
        ticks: u64,
    },
    /// RAM, bytes.
    RamUsed(RamUsed),
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
    /// CPUID register; `misa` of a RISC-V core.
    pub cpuid: u32,
    /// What counts time; none is proven to.
    pub counter: Option<Counter>,
    /// The caches that are on.
    pub caches: Caches,
    /// First address of the model region.
    pub model_address: u32,
    /// Bytes of the model region.
    pub model_bytes: u32,
    /// Bytes of the arena.
    pub arena_bytes: u32,
    /// Bytes of RAM that the firmware's statics take.
    pub static_bytes: u32,
    /// [`KernelSet::name`](crate::kernels::KernelSet::name) of the kernels.
    pub kernels: &'a str,
    /// [`KERNEL_REVISION`](crate::kernels::KERNEL_REVISION) of the kernels.
    pub kernel_revision: u32,
    /// Version of the firmware, with a digest of its sources.
    pub firmware: &'a str,
    /// The compiler that built it.
    pub compiler: &'a str,
}

/// What a layer takes, in the board's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerTiming<'a> {
    /// The first call.
    pub cold: u64,
    /// Calls in each sample.
    pub n_calls: u32,
    /// CRC-32 of the output.
    pub crc: u32,
    /// Samples of `n_calls` calls, each a little-endian `u64`; [`ticks`] reads them.
    pub samples: &'a [u8],
}

/// RAM that was used, and the room there is; bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RamUsed {
    /// Up to the last arena byte written since the model was loaded, or since reset without one. A byte that happens to hold the paint's
    /// value, 0xA5, is taken for unwritten.
    pub arena: u32,
    /// Bytes of the arena.
    pub arena_size: u32,
    /// The deepest stack since reset.
    pub stack: u32,
    /// Bytes of the stack.
    pub stack_size: u32,
}

/// What counts time on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counter {
    /// The 24-bit system timer, its wraps counted.
    SysTick,
    /// The 32-bit cycle counter; used only where it was seen to count what the system timer counts.
    Dwt,
    /// `mcycle` of a RISC-V core, 64 bits.
    Mcycle,
}

/// Caches of the core, of instructions and data; those of a flash controller are not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caches {
    /// Of instructions.
    pub i: bool,
    /// Of data.
    pub d: bool,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The frame is damaged, or no request of this protocol.
    #[error("the board could not read the request")]
    Unreadable,
    /// The frame is longer than [`MAX_FRAME`].
    #[error("the request is longer than a frame")]
    TooLong,
    /// The shape cannot be run.
    #[error("the layer cannot be run: {0}")]
    Shape(ShapeError),
    /// A layer or model needs more RAM, or a model more flash, than the board has for it.
    #[error("{needed} bytes are needed and {available} available on the board")]
    Memory {
        /// Bytes needed.
        needed: u32,
        /// Bytes there.
        available: u32,
    },
    /// The layer has more weights than the model region has bytes.
    #[error("the layer has {needed} bytes of weights and the board has {available} bytes for them")]
    Weights {
        /// Bytes needed.
        needed: u32,
        /// Bytes there.
        available: u32,
    },
    /// A kernel refused its layer: a bug of ours.
    #[error("the layer did not run: {0}")]
    Kernel(KernelError),
    /// No counter counts the core's cycles, so nothing can be timed.
    #[error(
        "the board has no counter of its core's cycles: the system timer, or mcycle of a RISC-V core, stands still, \
         counts another clock or is not there"
    )]
    NoCounter,
    /// The blob in the model region is no model for this firmware.
    #[error("the model cannot be loaded: {0}")]
    Model(ModelError),
    /// There is no model for the request; timing a layer unloads it.
    #[error("no model is loaded")]
    NoModel,
    /// The model did not run: a bug of ours.
    #[error("the model did not run: {0}")]
    Run(RunError),
    /// An index is beyond the end.
    #[error("the index is beyond the end")]
    Range,
}

impl Refusal {
    /// Why a layer was not timed, with the memory that the board has.
    pub fn of_layer(error: LayerError, ram_bytes: u32, weight_bytes: u32) -> Refusal {
        match error {
            LayerError::Shape(error) => Refusal::Shape(error),
            LayerError::Memory { needed } => Refusal::Memory { needed, available: ram_bytes },
            LayerError::Weights { needed } => Refusal::Weights { needed, available: weight_bytes },
            LayerError::Kernel(error) => Refusal::Kernel(error),
        }
    }
}

/// How the board failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// A Rust panic: a bug of ours.
    Panic,
    /// The processor's HardFault; of a RISC-V core, any exception.
    HardFault,
    /// The stack was used up: it has grown into the arena.
    StackOverflow,
}

/// The state of the core at a failure; zero where the core has no such register. Of a RISC-V core, `pc` is `mepc`, `lr`
/// `ra`, `psr` `mstatus`, `cfsr` `mcause` and `mmfar` `mtval`.
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

/// The protocol number of a decoded message if it is a [`Response::Hello`] of any version.
pub fn hello_protocol(message: &[u8]) -> Option<u16> {
    let (&variant, rest) = message.split_first()?;
    let (protocol, _) = postcard::take_from_bytes::<u16>(rest).ok()?;
    (variant == 0).then_some(protocol)
}

/// The figures of [`Response::Ticks`] and [`LayerTiming::samples`].
pub fn ticks(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks().0.iter().map(|&figure| u64::from_le_bytes(figure))
}
