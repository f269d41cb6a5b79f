//! What a core says of itself while its firmware is to run: DHCSR, or `dmstatus` of a RISC-V core, which a debugger
//! reads without disturbing it.

use super::BoardError;
use super::link::failed;
use probe_rs::architecture::riscv::Dmstatus;
use probe_rs::{Architecture, Core, MemoryInterface, RegisterValue, Session};

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

impl Stop {
    /// What `dmstatus` tells. A reset is acknowledged by whoever asked for it.
    fn from_dmstatus(status: &Dmstatus) -> Option<Stop> {
        match (status.allhavereset(), status.allhalted()) {
            (true, _) => Some(Stop::Reset),
            (false, true) => Some(Stop::Halted { at: None }),
            (false, false) => None,
        }
    }
}

/// Fails unless the core has been running since it was last asked.
///
/// # Errors
/// [`BoardError::Stopped`], or [`BoardError::Probe`] if the core cannot be asked.
pub(super) fn check(session: &mut Session, board: &str) -> Result<(), BoardError> {
    let stop = match read(session, board)? {
        None => return Ok(()),
        Some(Stop::Halted { .. }) => {
            Stop::Halted { at: session.core(0).ok().and_then(|mut core| program_counter(&mut core)) }
        }
        Some(stop) => stop,
    };
    Err(BoardError::Stopped { board: board.to_owned(), stop })
}

/// What explains an access that failed, if the core tells: it may have been reset meanwhile.
pub(super) fn explain(session: &mut Session, board: &str, error: BoardError) -> BoardError {
    match check(session, board) {
        Err(stopped @ BoardError::Stopped { .. }) => stopped,
        _ => error,
    }
}

/// Forgets the reset that started the firmware.
///
/// # Errors
/// [`BoardError::Probe`].
pub(super) fn begin(session: &mut Session, board: &str) -> Result<(), BoardError> {
    read(session, board).map(drop)
}

fn read(session: &mut Session, board: &str) -> Result<Option<Stop>, BoardError> {
    let error = failed(board, "asking the core for its state");
    if session.architecture() == Architecture::Riscv {
        let mut module = session.get_riscv_interface(0).map_err(|e| error(e.into()))?;
        let status = module.read_dm_register().map_err(|e| error(e.into()))?;
        return Ok(Stop::from_dmstatus(&status));
    }
    let mut core = session.core(0).map_err(|e| error(e.into()))?;
    Ok(Stop::from_dhcsr(core.read_word_32(DHCSR).map_err(|e| error(e.into()))?))
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
    fn a_risc_v_core_tells_the_same() {
        let (havereset, running, halted) = (3 << 18, 3 << 10, 3 << 8);
        for (dmstatus, stop) in [
            (running, None),
            (halted, Some(Stop::Halted { at: None })),
            (running | havereset, Some(Stop::Reset)),
            (halted | havereset, Some(Stop::Reset)),
        ] {
            assert_eq!(Stop::from_dmstatus(&Dmstatus(dmstatus)), stop, "{dmstatus:#x}");
        }
    }

    #[test]
    fn a_reset_explains_what_comes_after_it() {
        let running = 0x0101_0001;
        assert_eq!(Stop::from_dhcsr(running), None);
        assert_eq!(Stop::from_dhcsr(running | S_HALT), Some(Stop::Halted { at: None }));
        assert_eq!(Stop::from_dhcsr(running | S_LOCKUP), Some(Stop::LockedUp));
        assert_eq!(Stop::from_dhcsr(running | S_LOCKUP | S_RESET_ST), Some(Stop::Reset));
    }
}
