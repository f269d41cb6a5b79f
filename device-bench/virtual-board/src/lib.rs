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
use std::path::Path;
use std::sync::Once;

/// The USB vendor id under which the virtual boards are listed.
pub const VENDOR_ID: u16 = 0xF055;

/// The oldest QEMU that passes this crate's tests.
pub const MIN_QEMU: (u32, u32) = (7, 2);

/// The oldest QEMU that loads the plugin `window-counts`, which needs version 4 of the plugin API.
pub const MIN_QEMU_COUNTING: (u32, u32) = (9, 2);

/// Why a virtual board does not start or answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no QEMU on this machine.
    #[error("{} is not installed; on Debian and Ubuntu: apt install {}", emulator.program(), emulator.package())]
    NotInstalled {
        /// The program that is missing.
        emulator: Emulator,
    },
    /// QEMU is older than [`MIN_QEMU`], or [`MIN_QEMU_COUNTING`].
    #[error(
        "{} is version {}.{}, {what} need {}.{} or newer; install a newer {}",
        emulator.program(), found.0, found.1, needed.0, needed.1, emulator.package()
    )]
    TooOld {
        /// The program.
        emulator: Emulator,
        /// Major and minor version found.
        found: (u32, u32),
        /// What it is too old for.
        what: &'static str,
        /// Major and minor version needed.
        needed: (u32, u32),
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

/// As [`selector`], for a board on which the plugin `window-counts`, this file, adds what it counts to the file `counts`:
/// what [`cycles`] prices.
pub fn counting_selector(machine: &str, plugin: &Path, counts: &Path) -> DebugProbeSelector {
    // A comma within an option of QEMU is written twice.
    let [plugin, counts] = [plugin, counts].map(|path| path.display().to_string().replace(',', ",,"));
    selector(&format!("{machine}{COUNTING}{plugin},out={counts}"))
}

/// What separates a machine's name and faults from QEMU's plugin in a serial number.
const COUNTING: &str = " plugin=";

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
