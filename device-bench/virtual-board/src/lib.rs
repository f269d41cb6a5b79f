//! A probe-rs debug probe whose board is QEMU.
//!
//! [`register`] makes the virtual boards appear in probe-rs's own [`Lister`](probe_rs::probe::list::Lister);
//! everything above the debug port is then probe-rs's code, the same as for a real board. Layers, from the
//! outside in: `probe` (what probe-rs sees), `dap` (debug port and memory access port), `cortex` (the debug
//! registers of a Cortex-M, which QEMU lacks), `qemu` (process, bus, run control). Boards that fail on purpose are asked
//! for by serial numbers such as `mps2-an386 drop@1200` ([`Fault`]).

mod cortex;
mod dap;
mod faults;
mod gdb;
mod hex;
mod machine;
mod probe;
mod qemu;
mod qmp;
mod qtest;
mod rom_table;

pub use faults::{Fault, accesses, inject};
pub use machine::{MACHINES, Machine};
pub use qemu::{QEMU, Qemu, version};

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

/// Why a virtual board does not start or answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no QEMU on this machine.
    #[error("{QEMU} is not installed; on Debian and Ubuntu: apt install qemu-system-arm")]
    NotInstalled,
    /// QEMU is older than [`MIN_QEMU`].
    #[error("{QEMU} is version {}.{}, virtual boards need {}.{} or newer; install a newer qemu-system-arm", .found.0, .found.1, MIN_QEMU.0, MIN_QEMU.1)]
    TooOld {
        /// Major and minor version found.
        found: (u32, u32),
    },
    /// QEMU's version text has no number.
    #[error("cannot read a version from `{QEMU} --version`: {0:?}")]
    Version(String),
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
