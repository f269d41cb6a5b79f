//! The only room that names probe-rs: board files, opening a board, and the link to its firmware.

pub mod clock;
mod counter;
mod counts;
mod cpu;
mod error;
mod file;
mod frames;
mod layout;
mod link;
mod model;
mod new;
mod open;
mod probe;
pub mod setup;
mod timing;
mod watch;

pub use device_bench::wire::RamUsed;
pub use error::BoardError;
pub(crate) use error::UNLOCK;
pub use file::{BoardFile, Cache, ProbeKind, RunFrom, Unit, embedded, load, parse};
pub use frames::{FrameError, Frames};
pub use layout::{LayoutError, MemoryMap};
pub use link::{BoardInfo, Link};
pub use new::{NewBoardError, new_board};
pub use probe::{AttachedProbe, ProbeOptions, attached_probes, probe_of};
pub use probe_rs::probe::{DebugProbeSelector, WireProtocol};
pub use timing::{LayerPlan, LayerTiming, ModelTiming};
pub use watch::Stop;
