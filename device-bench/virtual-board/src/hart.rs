//! One hart of a RISC-V machine in and out of debug mode: run control, reset, and the registers that QEMU lacks.

use crate::{Result, qemu::Qemu};

/// Debug control and status, and the program counter on entering debug mode (Debug Specification 0.13, 4.8).
const DCSR: u16 = 0x7b0;
const DPC: u16 = 0x7b1;
const MISA: u32 = 0x301;
/// The registers of triggers, of which there are none.
const TRIGGERS: std::ops::RangeInclusive<u16> = 0x7a0..=0x7af;
const GENERAL: std::ops::RangeInclusive<u16> = 0x1000..=0x101f;

const DCSR_VERSION: u32 = 4 << 28;
const DCSR_MACHINE: u32 = 3;
const DCSR_STEP: u32 = 1 << 2;
/// ebreakm, ebreaks, ebreaku, step: kept as they are written. `ebreak` is an exception all the same.
const DCSR_KEPT: u32 = 1 << 15 | 1 << 13 | 1 << 12 | DCSR_STEP;

/// Why the hart is in debug mode, as `dcsr.cause` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was asked to.
    Request = 3,
    /// It has made one step.
    Step = 4,
}

/// The hart of a machine.
#[derive(Debug)]
pub struct Hart {
    pub qemu: Qemu,
    /// There was a reset that the debugger has not acknowledged.
    pub have_reset: bool,
    cause: Cause,
    dcsr: u32,
    /// gdb's number of the control and status register 0; the others follow it.
    first_csr: Option<u32>,
}

impl Hart {
    /// Powers the board: it runs, as a real one would.
    pub fn new(mut qemu: Qemu) -> Result<Self> {
        let first_csr = qemu.number("misa").and_then(|misa| misa.checked_sub(MISA));
        qemu.resume()?;
        Ok(Hart { qemu, have_reset: true, cause: Cause::Request, dcsr: 0, first_csr })
    }

    /// Whether it is in debug mode.
    pub fn halted(&self) -> bool {
        !self.qemu.running()
    }

    pub fn halt(&mut self) -> Result<()> {
        if !self.halted() {
            self.cause = Cause::Request;
            self.qemu.halt()?;
        }
        Ok(())
    }

    /// Leaves debug mode, for one instruction only if `dcsr.step` is set.
    pub fn resume(&mut self) -> Result<()> {
        if self.dcsr & DCSR_STEP != 0 {
            self.cause = Cause::Step;
            return self.qemu.step();
        }
        self.qemu.resume()
    }

    /// Resets the machine; it stays in debug mode, at its first instruction.
    pub fn reset(&mut self) -> Result<()> {
        self.qemu.halt()?;
        self.qemu.reset()?;
        (self.have_reset, self.dcsr, self.cause) = (true, 0, Cause::Request);
        Ok(())
    }

    /// A reset that no debugger asked for: the board runs on from its start.
    pub fn reset_itself(&mut self) -> Result<()> {
        self.reset()?;
        self.qemu.resume()
    }

    /// Sends the hart to `address`, as a jump would.
    pub fn jump(&mut self, address: u32) -> Result<()> {
        self.while_stopped(|hart| hart.qemu.set_register("pc", address))
    }

    /// Overwrites so many bytes below the stack pointer.
    pub fn overwrite_stack(&mut self, n_bytes: u32) -> Result<()> {
        self.while_stopped(|hart| {
            let (sp, _) = hart.qemu.register("sp")?;
            hart.qemu.write(sp.saturating_sub(n_bytes), &vec![0; n_bytes as usize])
        })
    }

    fn while_stopped(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let was_running = !self.halted();
        self.qemu.halt()?;
        act(self)?;
        if was_running { self.qemu.resume() } else { Ok(()) }
    }

    /// A register by its number in abstract commands; `None` if there is none.
    pub fn register(&mut self, number: u16) -> Result<Option<u32>> {
        Ok(match number {
            DCSR => Some(DCSR_VERSION | self.dcsr | (self.cause as u32) << 6 | DCSR_MACHINE),
            _ => match self.place(number) {
                None => None,
                // The gdbstub refuses registers that the core lacks.
                Some(number) => self.qemu.numbered(number).ok().map(|(low, _)| low),
            },
        })
    }

    /// Writes a register; false if there is none.
    pub fn set_register(&mut self, number: u16, value: u32) -> Result<bool> {
        if number == DCSR {
            self.dcsr = value & DCSR_KEPT;
            return Ok(true);
        }
        Ok(self.place(number).is_some_and(|number| self.qemu.set_numbered(number, value).is_ok()))
    }

    /// gdb's number of a register.
    fn place(&self, number: u16) -> Option<u32> {
        match number {
            DPC => self.qemu.number("pc"),
            number if TRIGGERS.contains(&number) => None,
            number if GENERAL.contains(&number) => Some(u32::from(number - GENERAL.start())),
            0..=0xfff => self.first_csr.map(|first| first + u32::from(number)),
            _ => None,
        }
    }
}
