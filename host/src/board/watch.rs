//! What a core says of itself while its firmware is to run: DHCSR, which a debugger reads without disturbing it.

use super::BoardError;
use super::link::failed;
use probe_rs::{Core, MemoryInterface, RegisterValue};

/// Debug halting control and status register (Armv7-M, C1.6.2; the bits below are the same in v6-M and v8-M).
const DHCSR: u64 = 0xE000_EDF0;
const S_HALT: u32 = 1 << 17;
const S_LOCKUP: u32 = 1 << 19;
/// Sticky: there was a reset since the last read.
const S_RESET_ST: u32 = 1 << 25;

/// Why the firmware no longer runs as it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// A reset that nobody asked for.
    #[error(
        "it has reset itself; see that no watchdog is on and that its supply does not break in, then run it again"
    )]
    Reset,
    /// The core is in debug state.
    #[error(
        "its core was halted{}, and not by edgeslim; close other debuggers, then run it again",
        at.map(|pc| format!(" at {pc:#010x}")).unwrap_or_default()
    )]
    Halted {
        /// The program counter, if it can be read.
        at: Option<u32>,
    },
    /// A fault in the fault handler.
    #[error(
        "its core is locked up, which a fault in its fault handler does; see that its supply and its memory's wait states \
         are right, then run it again"
    )]
    LockedUp,
}

impl Stop {
    /// What DHCSR tells, the gravest first: a reset explains what comes after it.
    fn from_dhcsr(dhcsr: u32) -> Option<Stop> {
        [(S_RESET_ST, Stop::Reset), (S_LOCKUP, Stop::LockedUp), (S_HALT, Stop::Halted { at: None })]
            .into_iter()
            .find_map(|(bit, stop)| (dhcsr & bit != 0).then_some(stop))
    }
}

/// Fails unless the core has been running since it was last asked.
///
/// # Errors
/// [`BoardError::Stopped`], or [`BoardError::Probe`] if the core cannot be asked.
pub(super) fn check(core: &mut Core<'_>, board: &str) -> Result<(), BoardError> {
    let stop = Stop::from_dhcsr(read(core, board)?);
    let stop = match stop {
        None => return Ok(()),
        Some(Stop::Halted { .. }) => Stop::Halted { at: program_counter(core) },
        Some(stop) => stop,
    };
    Err(BoardError::Stopped { board: board.to_owned(), stop })
}

/// What explains an access that failed, if the core tells: it may have been reset meanwhile.
pub(super) fn explain(core: &mut Core<'_>, board: &str, error: BoardError) -> BoardError {
    match check(core, board) {
        Err(stopped @ BoardError::Stopped { .. }) => stopped,
        _ => error,
    }
}

/// Forgets the reset that started the firmware.
///
/// # Errors
/// [`BoardError::Probe`].
pub(super) fn begin(core: &mut Core<'_>, board: &str) -> Result<(), BoardError> {
    read(core, board).map(drop)
}

fn read(core: &mut Core<'_>, board: &str) -> Result<u32, BoardError> {
    core.read_word_32(DHCSR).map_err(|e| failed(board, "asking the core for its state")(e.into()))
}

fn program_counter(core: &mut Core<'_>) -> Option<u32> {
    // Registers are read of a core that is known to be halted.
    core.status().ok()?;
    let register = core.program_counter();
    let value: RegisterValue = core.read_core_reg(register).ok()?;
    value.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_explains_what_comes_after_it() {
        let running = 0x0101_0001;
        assert_eq!(Stop::from_dhcsr(running), None);
        assert_eq!(Stop::from_dhcsr(running | S_HALT), Some(Stop::Halted { at: None }));
        assert_eq!(Stop::from_dhcsr(running | S_LOCKUP), Some(Stop::LockedUp));
        assert_eq!(Stop::from_dhcsr(running | S_LOCKUP | S_RESET_ST), Some(Stop::Reset));
    }
}
