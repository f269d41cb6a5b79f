//! A probe-rs debug probe whose board is QEMU.
//!
//! [`register`] makes the virtual boards appear in probe-rs's own [`Lister`](probe_rs::probe::list::Lister);
//! everything above the debug port is then probe-rs's code, the same as for a real board. Layers, from the
//! outside in: `probe` (what probe-rs sees), `dap` (debug port and memory access port), `cortex` (the debug
//! registers of a Cortex-M, which QEMU lacks), `qemu` (process, bus, run control). Of a RISC-V board: `jtag` (probe and
//! debug transport module), `debug_module`, `hart` (debug state and registers), `qemu`. Boards that fail on purpose are asked
//! for by serial numbers such as `mps2-an386 drop@1200` ([`Fault`]).

mod cortex;
pub mod cycles;
mod dap;
mod debug_module;
mod faults;
mod gdb;
mod hart;
mod hex;
mod jtag;
mod machine;
mod probe;
mod qemu;
mod qmp;
mod qtest;
mod rom_table;

pub use faults::{Fault, accesses, inject};
pub use machine::{Emulator, MACHINES, Machine};
pub use qemu::{Qemu, version};

use probe_rs::{
    config::Registry,
    plugin::{Plugin, register_plugin},
    probe::DebugProbeSelector,
};
use std::sync::Once;

/// The USB vendor id under which the virtual boards are listed.
pub const VENDOR_ID: u16 = 0xF055;

/// The oldest QEMU that passes this crate's tests.
pub const MIN_QEMU: (u32, u32) = (7, 2);

/// A variable of the environment that holds a QEMU plugin with its arguments, for every board that is started:
/// `libwindow_counts.so,out=FILE` counts what [`cycles`] prices.
pub const PLUGIN: &str = "EDGESLIM_QEMU_PLUGIN";

/// Why a virtual board does not start or answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no QEMU on this machine.
    #[error("{} is not installed; on Debian and Ubuntu: apt install {}", emulator.program(), emulator.package())]
    NotInstalled {
        /// The program that is missing.
        emulator: Emulator,
    },
    /// QEMU is older than [`MIN_QEMU`].
    #[error(
        "{} is version {}.{}, virtual boards need {}.{} or newer; install a newer {}",
        emulator.program(), found.0, found.1, MIN_QEMU.0, MIN_QEMU.1, emulator.package()
    )]
    TooOld {
        /// The program.
        emulator: Emulator,
        /// Major and minor version found.
        found: (u32, u32),
    },
    /// QEMU's version text has no number.
    #[error("cannot read a version from `{} --version`: {text:?}", emulator.program())]
    Version {
        /// The program.
        emulator: Emulator,
        /// What it printed.
        text: String,
    },
    /// No virtual board has this name.
    #[error("no virtual board `{0}`; the machines are in virtual_board::MACHINES")]
    UnknownMachine(String),
    /// QEMU ended by itself; the text is what it wrote to standard error.
    #[error("QEMU ended ({status}){}{stderr}", if stderr.is_empty() { "" } else { ": " })]
    Ended {
        /// Exit status.
        status: String,
        /// Its standard error.
        stderr: String,
    },
    /// One of QEMU's sockets gave an answer that does not follow its protocol.
    #[error("QEMU's {socket} socket: `{request}` was answered `{answer}`")]
    Answer {
        /// `gdb`, `qtest` or `qmp`.
        socket: &'static str,
        /// What was asked, shortened.
        request: String,
        /// What came back.
        answer: String,
    },
    /// A list of faults cannot be read.
    #[error(
        "`{0}`: behind the machine's name comes a list of KIND@ACCESS, such as drop@1200; kinds are {known}",
        known = Fault::ALL.map(|(name, _)| name).join(", ")
    )]
    Script(String),
    /// A fault that the board cannot have.
    #[error("`{0}`: a RISC-V board has these faults only: {known}", known = faults::names(faults::RISC_V))]
    NoSuchFault(String),
    /// The probe was pulled off, on purpose.
    #[error("the probe is gone, as if its cable had been pulled")]
    Unplugged,
    /// An access took too long, on purpose.
    #[error("the probe did not answer in time")]
    TimedOut,
    /// A socket or process operation failed.
    #[error("QEMU: {0}")]
    Io(#[from] std::io::Error),
}

impl probe_rs::probe::ProbeError for Error {}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Makes the virtual boards and their chips known to probe-rs; later calls do nothing.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut registry = Registry::new();
        registry
            .add_target_family_from_yaml(include_str!("../targets.yaml"))
            .expect("targets.yaml is checked by this crate's tests");
        register_plugin(Plugin {
            probe_drivers: &[&probe::Factory],
            targets: registry.families(),
            ..Default::default()
        });
    });
}

/// What to hand to [`Lister::open`](probe_rs::probe::list::Lister::open) for a QEMU machine, behind whose name a list
/// of [`Fault`]s may stand.
pub fn selector(machine: &str) -> DebugProbeSelector {
    DebugProbeSelector {
        vendor_id: VENDOR_ID,
        product_id: 0,
        interface: None,
        serial_number: Some(machine.to_owned()),
    }
}
