//! Why a board cannot be used.

use super::{AttachedProbe, Cache, FrameError, LayoutError, Stop, clock, probe, setup};
use crate::ui::message;
use device_bench::wire::{FaultKind, Refusal};
use std::path::PathBuf;

/// Why a board cannot be used. Messages name the board, the fact and the next step.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// No board file has this name.
    #[error("no board `{name}`{}; `edgeslim boards` lists them", suggestion.as_ref().map(|s| format!(" (did you mean `{s}`?)")).unwrap_or_default())]
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
    #[error("{board}: {chip}: {source}{}", layout_advice(source))]
    Layout {
        /// The board.
        board: String,
        /// Its chip.
        chip: String,
        /// Why.
        source: LayoutError,
    },
    /// probe-rs does not know the chip.
    #[error("{board}: {reason}; write another `chip` in the board file")]
    Chip {
        /// The board.
        board: String,
        /// Its chip.
        chip: String,
        /// Why, with the chip.
        reason: String,
    },
    /// A cache of the board file is not on.
    #[error(
        "{board}: the {core} has no {cache} cache that could be switched on; take it out of `caches` in the board file"
    )]
    Cache {
        /// The board.
        board: String,
        /// Its core.
        core: String,
        /// The cache.
        cache: Cache,
    },
    /// The unit cannot be counted.
    #[error(
        "{board}: only virtual boards count instructions and model cycles; `unit` in the board file must be \"cycles\""
    )]
    Unit {
        /// The board.
        board: String,
    },
    /// Cycles cannot be modelled.
    #[error("{board}: modelling cycles: {reason}")]
    Modelled {
        /// The board.
        board: String,
        /// Why, and what to do.
        reason: String,
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
    /// No probe is connected, or not the one that was named.
    #[error("{board}: {}", no_probe(wanted.as_deref(), attached))]
    NoProbe {
        /// The board.
        board: String,
        /// What `--probe` names.
        wanted: Option<String>,
        /// Those that are attached.
        attached: Vec<AttachedProbe>,
    },
    /// The probe or the debug port failed.
    #[error("{board}: {step}: {}{}", message(&**source).trim_end_matches('.'), probe::advice(step, &**source))]
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
        "{board}: the firmware speaks protocol {found}, this edgeslim {expected}; \
         build edgeslim again, as the firmware is made of the sources beside it"
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
    #[error("{board}: the firmware stopped with {kind:?} at {location}{}; run it again", told(registers))]
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
        "{board}: no answer after {timeout_ms} ms, the core is {status}; reset the board and run it again"
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
    /// An answer did not come as it was sent.
    #[error("{board}: an answer came garbled: {source}; check the cable, or lower the probe's speed")]
    Garbled {
        /// The board.
        board: String,
        /// How.
        source: FrameError,
    },
    /// The answer is of another kind than the request.
    #[error(
        "{board}: the firmware sent an answer that does not fit the request; \
         build edgeslim again, as the firmware is made of the sources beside it"
    )]
    Unexpected {
        /// The board.
        board: String,
    },
    /// Several probes are connected.
    #[error("{board}: {} debug probes fit; {}:{}", probes.len(), how_to_choose(probes), lines(probes))]
    SeveralProbes {
        /// The board.
        board: String,
        /// All that fit what was named, if anything.
        probes: Vec<AttachedProbe>,
    },
    /// The system does not let this user open the probe.
    #[error("{board}: no permission to open the debug probe {probe}; {UNLOCK}")]
    Denied {
        /// The board.
        board: String,
        /// The probe.
        probe: String,
    },
    /// An emulated probe is named for a board file of a real board.
    #[error(
        "{board}: --probe {named} is an emulator, whose figures must not pass for a real board's cycles; to try it, \
         write in the board file: probe = \"virtual\", machine = \"{machine}\", unit = \"instructions\""
    )]
    VirtualProbe {
        /// The board.
        board: String,
        /// What `--probe` names.
        named: String,
        /// QEMU's machine behind it.
        machine: String,
    },
    /// Another probe than the emulator is named for a virtual board.
    #[error(
        "{board}: this virtual board is --probe {own}, not {named}; leave --probe and PROBE_RS_PROBE out"
    )]
    OtherProbe {
        /// The board.
        board: String,
        /// Its probe.
        own: String,
        /// What `--probe` names.
        named: String,
    },
    /// The core runs at another clock than the board file says.
    #[error(
        "{board}: its core runs at {found} by the host's time, but `core_hz` in the board file is {core_hz}, and \
         {:.2} % is allowed; check the `setup` steps and the crystal that they count on, correct `core_hz`, or leave it \
         out to go by the measured clock",
        100.0 * tolerance
    )]
    ClockDiffers {
        /// The board.
        board: String,
        /// As measured.
        found: clock::ClockEstimate,
        /// As the board file says, in MHz.
        core_hz: String,
        /// Allowed difference, as a share of it.
        tolerance: f64,
    },
    /// The core clock could not be measured well enough to be checked.
    #[error(
        "{board}: its core clock was measured as {found}, too unsure to check `core_hz` within {:.2} %; end what keeps \
         host and probe busy and try again, or set a wider `core_hz_tolerance` in the board file if the clock is an RC \
         oscillator's",
        100.0 * tolerance
    )]
    ClockUnsteady {
        /// The board.
        board: String,
        /// As measured.
        found: clock::ClockEstimate,
        /// Allowed difference, as a share of it.
        tolerance: f64,
    },
    /// The board's counter is no clock by the host's time.
    #[error(
        "{board}: longer loops do not take longer, so its clock cannot be measured; end what keeps host and probe busy, \
         reset the board and try again"
    )]
    ClockUnknown {
        /// The board.
        board: String,
    },
    /// The firmware no longer runs.
    #[error("{board}: {stop}")]
    Stopped {
        /// The board.
        board: String,
        /// Why.
        stop: Stop,
    },
    /// The counter of time is no longer right.
    #[error(
        "{board}: a loop took {found} ticks by its counter after {expected}; keep clock and supply steady, and let \
         nothing else use the counter, then run it again"
    )]
    Counter {
        /// The board.
        board: String,
        /// Ticks now.
        found: u64,
        /// Ticks as they should be.
        expected: u64,
    },
}

/// What gives a user access to probes; probe-rs's own words are at <https://probe.rs/docs/getting-started/probe-setup/>.
pub(crate) const UNLOCK: &str = if cfg!(target_os = "linux") {
    "install probe-rs's udev rules:\n  \
     sudo curl -fsSL https://probe.rs/files/69-probe-rs.rules -o /etc/udev/rules.d/69-probe-rs.rules\n  \
     sudo udevadm control --reload\n  \
     sudo udevadm trigger\n\
     then plug the probe in again; if that is not enough, add yourself to the group plugdev and log in again"
} else {
    "see https://probe.rs/docs/getting-started/probe-setup/ for the driver that it needs"
};

/// A reason that says what to do, or that nothing can be done, stands alone.
fn layout_advice(source: &LayoutError) -> &'static str {
    match source {
        LayoutError::TooSmall { .. } | LayoutError::Missing { .. } => {
            "; try the other `run_from`, or a smaller `model_bytes`, in the board file"
        }
        LayoutError::RiscV { .. } | LayoutError::Core { .. } | LayoutError::Reserved { .. } => "",
    }
}

fn no_probe(wanted: Option<&str>, attached: &[AttachedProbe]) -> String {
    match wanted {
        None => "no debug probe found; connect one and check its cable, or take a virtual board (`edgeslim boards`)".into(),
        Some(wanted) if attached.is_empty() => {
            format!("no debug probe {wanted} found, nor any other; connect it and check its cable")
        }
        Some(wanted) => format!(
            "no debug probe {wanted} found; connect it and check its cable, or take one that is attached:{}",
            lines(attached)
        ),
    }
}

/// Probes of one model without serial numbers have one argument.
fn how_to_choose(probes: &[AttachedProbe]) -> &'static str {
    let twins = |probe: &AttachedProbe| probes.iter().filter(|p| p.argument == probe.argument).count() > 1;
    if probes.iter().any(twins) { "some cannot be told apart, unplug all but one" } else { "choose one" }
}

fn lines(probes: &[AttachedProbe]) -> String {
    probes.iter().map(|probe| format!("\n  {probe}")).collect()
}

/// The registers that are not 0, in brackets.
fn told(registers: &[(&'static str, u32)]) -> String {
    let told = registers.iter().filter(|(_, value)| *value != 0);
    let told: Vec<String> = told.map(|(name, value)| format!("{name} {value:#010x}")).collect();
    if told.is_empty() { String::new() } else { format!(" ({})", told.join(", ")) }
}
