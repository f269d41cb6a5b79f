//! The only room that names probe-rs: board files, opening a board, and the link to its firmware.

mod cpu;
mod file;
mod frames;
mod layout;
mod link;
mod model;
mod new;
mod open;
pub mod setup;
mod timing;

pub use device_bench::wire::RamUsed;
pub use file::{BoardFile, ProbeKind, RunFrom, Unit, embedded, load, parse};
pub use frames::{FrameError, Frames};
pub use layout::{LayoutError, MemoryMap};
pub use link::{BoardInfo, Link};
pub use new::{NewBoardError, new_board};
pub use timing::{LayerPlan, LayerTiming, ModelTiming};

use device_bench::wire::{FaultKind, Refusal};
use std::path::PathBuf;

/// Why a board cannot be used. Messages name the board, the fact and the next step.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// No board file has this name.
    #[error("no board `{name}`{}; `edgeslim boards` lists them", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest known name, if one is near.
        suggestion: Option<String>,
    },
    /// A board file cannot be read.
    #[error("board file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The core cannot run the firmware.
    #[error("{board}: its core is a {core}, which does not run {target}; {advice}")]
    Core {
        /// The board.
        board: String,
        /// What its core is.
        core: String,
        /// The target of the board file.
        target: String,
        /// What to write instead.
        advice: String,
    },
    /// Firmware in RAM needs exceptions there.
    #[error(
        "{board}: its vector table cannot be moved to {address:#010x} (it stays at {found:#010x}), as on a Cortex-M0; \
         write run_from = \"flash\" in the board file"
    )]
    Vectors {
        /// The board.
        board: String,
        /// Where the firmware's table is.
        address: u32,
        /// Where the core's stays.
        found: u32,
    },
    /// The set-up script failed.
    #[error("{board}: {source}")]
    Setup {
        /// The board.
        board: String,
        /// The step and why.
        source: setup::SetupError,
    },
    /// No firmware can be linked for the chip.
    #[error("{board}: {chip}: {source}")]
    Layout {
        /// The board.
        board: String,
        /// Its chip.
        chip: String,
        /// Why.
        source: LayoutError,
    },
    /// probe-rs does not know the chip.
    #[error("{board}: chip `{chip}`: {reason}; `chip` in the board file must be a probe-rs target")]
    Chip {
        /// The board.
        board: String,
        /// Its chip.
        chip: String,
        /// Why.
        reason: String,
    },
    /// A board file asks for caches.
    #[error(
        "{board}: `caches` is {caches:?}, but edgeslim does not switch caches on yet; write `caches = []` to measure \
         with the caches as they are after reset"
    )]
    Caches {
        /// The board.
        board: String,
        /// Those it asks for.
        caches: Vec<String>,
    },
    /// The unit cannot be counted.
    #[error("{board}: only virtual boards count instructions; `unit` in the board file must be \"cycles\"")]
    Unit {
        /// The board.
        board: String,
    },
    /// The model region does not hold what was written there.
    #[error(
        "{board}: the model was written, but address {address:#010x} reads {found:#04x} instead of {expected:#04x}; \
         the model region must be memory that the debugger can write"
    )]
    NotWritten {
        /// The board.
        board: String,
        /// The first address that differs.
        address: u32,
        /// What was written.
        expected: u8,
        /// What is there.
        found: u8,
    },
    /// No probe is connected.
    #[error("{board}: no debug probe found; connect one and check its cable")]
    NoProbe {
        /// The board.
        board: String,
    },
    /// The probe or the debug port failed.
    #[error("{board}: {step}: {source}")]
    Probe {
        /// The board.
        board: String,
        /// What was being done.
        step: &'static str,
        /// probe-rs's reason; for a virtual board it says what to install.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The firmware speaks another protocol.
    #[error(
        "{board}: the firmware speaks protocol {found}, this edgeslim {expected}; build the firmware again"
    )]
    Protocol {
        /// The board.
        board: String,
        /// The firmware's number.
        found: u16,
        /// [`device_bench::wire::PROTOCOL`].
        expected: u16,
    },
    /// The firmware failed; it needs a reset.
    #[error(
        "{board}: the firmware stopped with {kind:?} at {location}{}; open the board again",
        told(registers)
    )]
    Fault {
        /// The board.
        board: String,
        /// How.
        kind: FaultKind,
        /// Source line of a panic, else the program counter.
        location: String,
        /// Registers by name as the fault left them; of a panic they are 0.
        registers: Vec<(&'static str, u32)>,
    },
    /// No answer, and the core has not failed in a way it can tell.
    #[error(
        "{board}: no answer after {timeout_ms} ms, the core is {status}; reset the board and open it again"
    )]
    Silent {
        /// The board.
        board: String,
        /// How long was waited.
        timeout_ms: u64,
        /// The core's state.
        status: String,
    },
    /// The firmware does not serve the request.
    #[error("{board}: {reason}")]
    Refused {
        /// The board.
        board: String,
        /// Why.
        reason: Refusal,
    },
    /// The answer is of another kind than the request.
    #[error("{board}: the firmware sent an answer that does not fit the request; build the firmware again")]
    Unexpected {
        /// The board.
        board: String,
    },
}

/// The registers that are not 0, in brackets.
fn told(registers: &[(&'static str, u32)]) -> String {
    let told = registers.iter().filter(|(_, value)| *value != 0);
    let told: Vec<String> = told.map(|(name, value)| format!("{name} {value:#010x}")).collect();
    if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) }
}
