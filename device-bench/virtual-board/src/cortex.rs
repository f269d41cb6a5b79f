//! The debug registers of a Cortex-M core, which QEMU does not have: DHCSR and its friends, FPB, ROM table.

use crate::rom_table::{component_id, rom_table};
use crate::{Result, qemu::Qemu};

const ROM_TABLE: u32 = 0xE00F_F000;
const FPB: u32 = 0xE000_2000;
const AIRCR: u32 = 0xE000_ED0C;
const DFSR: u32 = 0xE000_ED30;
const DHCSR: u32 = 0xE000_EDF0;
const DCRSR: u32 = 0xE000_EDF4;
const DCRDR: u32 = 0xE000_EDF8;
const DEMCR: u32 = 0xE000_EDFC;

const C_DEBUGEN: u32 = 1 << 0;
const C_HALT: u32 = 1 << 1;
const C_STEP: u32 = 1 << 2;
const C_BITS: u32 = 0x2f;
const S_REGRDY: u32 = 1 << 16;
const S_HALT: u32 = 1 << 17;
const S_LOCKUP: u32 = 1 << 19;
const S_RETIRE_ST: u32 = 1 << 24;
const S_RESET_ST: u32 = 1 << 25;
const VC_CORERESET: u32 = 1 << 0;
const VC_HARDERR: u32 = 1 << 10;
const DFSR_HALTED: u32 = 1 << 0;
const DFSR_BKPT: u32 = 1 << 1;
const DFSR_VCATCH: u32 = 1 << 3;
const DFSR_EXTERNAL: u32 = 1 << 4;

const N_COMPARATORS: usize = 6;

#[derive(Debug)]
pub struct Cortex {
    pub qemu: Qemu,
    /// An Armv8-M core: another FPB and another access port.
    pub v8m: bool,
    dhcsr: u32,
    dcrdr: u32,
    demcr: u32,
    dfsr: u32,
    reset_seen: bool,
    retired: bool,
    locked_up: bool,
    fpb_on: u32,
    comparators: [u32; N_COMPARATORS],
    planted: Vec<u32>,
    hard_fault_handler: Option<u32>,
}

/// Where the simulated ROM table lies, for the access port's base register.
pub const BASE: u32 = ROM_TABLE | 3;

/// Whether the address belongs to the private peripheral bus.
pub fn is_private(address: u32) -> bool {
    (0xE000_0000..0xE010_0000).contains(&address)
}

impl Cortex {
    /// Powers the board: it runs, as a real one would.
    pub fn new(mut qemu: Qemu) -> Result<Self> {
        let part = (qemu.read_u32(0xE000_ED00)? >> 4) & 0xfff;
        qemu.resume()?;
        Ok(Cortex {
            qemu,
            v8m: matches!(part, 0xd20..=0xd22),
            dhcsr: 0,
            dcrdr: 0,
            demcr: 0,
            dfsr: 0,
            reset_seen: true,
            retired: false,
            locked_up: false,
            fpb_on: 0,
            comparators: [0; N_COMPARATORS],
            planted: Vec::new(),
            hard_fault_handler: None,
        })
    }

    /// A word of the private peripheral bus or of memory.
    pub fn read_u32(&mut self, address: u32) -> Result<u32> {
        Ok(match address {
            DHCSR => self.read_dhcsr()?,
            DCRSR => 0,
            DCRDR => self.dcrdr,
            DEMCR => self.demcr,
            DFSR => {
                self.notice_stop()?;
                self.dfsr
            }
            FPB => self.fpb_on | ((N_COMPARATORS as u32) << 4) | (u32::from(self.v8m) << 28),
            0xE000_2008..=0xE000_201F => self.comparators[((address - 0xE000_2008) / 4) as usize],
            0xE000_1FD0..=0xE000_1FFF => component_id(address & 0xfff, 0x002),
            0xE000_2FD0..=0xE000_2FFF => component_id(address & 0xfff, 0x003),
            0xE000_EFD0..=0xE000_EFFF => component_id(address & 0xfff, 0x00c),
            ROM_TABLE..=0xE00F_FFFF => rom_table(address - ROM_TABLE, self.qemu.machine().part),
            _ => self.qemu.read_u32(address)?,
        })
    }

    pub fn write_u32(&mut self, address: u32, value: u32) -> Result<()> {
        match address {
            DHCSR => self.write_dhcsr(value)?,
            DCRSR => self.transfer_register(value)?,
            DCRDR => self.dcrdr = value,
            DFSR => self.dfsr &= !value,
            AIRCR if value >> 16 == 0x05fa && value & 5 != 0 => self.reset()?,
            DEMCR => {
                self.demcr = value;
                self.replant()?;
            }
            FPB if value & 2 != 0 => {
                self.fpb_on = value & 1;
                self.replant()?;
            }
            0xE000_2008..=0xE000_201F => {
                self.comparators[((address - 0xE000_2008) / 4) as usize] = value;
                self.replant()?;
            }
            _ => self.qemu.write(address, &value.to_le_bytes())?,
        }
        Ok(())
    }

    /// System reset; halts on the first instruction if the reset vector catch is on.
    pub fn reset(&mut self) -> Result<()> {
        self.qemu.halt()?;
        self.qemu.reset()?;
        self.reset_seen = true;
        self.locked_up = false;
        self.fpb_on = 0;
        if self.dhcsr & C_DEBUGEN != 0 && self.demcr & VC_CORERESET != 0 {
            self.dhcsr |= C_HALT;
            self.dfsr |= DFSR_VCATCH;
            return Ok(());
        }
        self.dhcsr &= !C_HALT;
        self.resume()
    }

    /// Sends the core to `address`, as a jump would.
    pub fn jump(&mut self, address: u32) -> Result<()> {
        self.while_stopped(|core| core.qemu.set_register("pc", address))
    }

    /// Overwrites so many bytes below the stack pointer.
    pub fn overwrite_stack(&mut self, n_bytes: u32) -> Result<()> {
        self.while_stopped(|core| {
            let (sp, _) = core.qemu.register("sp")?;
            core.qemu.write(sp.saturating_sub(n_bytes), &vec![0; n_bytes as usize])
        })
    }

    /// The core enters debug state, asked by somebody else.
    pub fn halt_by_another(&mut self) -> Result<()> {
        self.notice_stop()?;
        if self.qemu.running() {
            self.qemu.halt()?;
            self.dhcsr |= C_HALT;
            self.dfsr |= DFSR_EXTERNAL;
        }
        Ok(())
    }

    /// A running core locks up, as by a fault in its fault handler.
    pub fn lock_up(&mut self) -> Result<()> {
        self.notice_stop()?;
        self.locked_up |= self.qemu.running();
        self.qemu.halt()
    }

    fn resume(&mut self) -> Result<()> {
        self.plant_breakpoints()?;
        self.qemu.resume()
    }

    fn notice_stop(&mut self) -> Result<()> {
        self.qemu.poll()?;
        if self.qemu.take_stop() {
            let (pc, _) = self.qemu.register("pc")?;
            self.dfsr |= if Some(pc) == self.hard_fault_handler { DFSR_VCATCH } else { DFSR_BKPT };
            self.dhcsr |= C_HALT;
        }
        Ok(())
    }

    fn read_dhcsr(&mut self) -> Result<u32> {
        self.notice_stop()?;
        let running = self.qemu.running();
        let mut value = self.dhcsr & C_BITS;
        if !running {
            // Registers are transferred in debug state only.
            value |= if self.locked_up { S_LOCKUP } else { S_HALT | S_REGRDY };
        }
        if std::mem::take(&mut self.retired) || running {
            value |= S_RETIRE_ST;
        }
        if std::mem::take(&mut self.reset_seen) {
            value |= S_RESET_ST;
        }
        Ok(value)
    }

    fn write_dhcsr(&mut self, value: u32) -> Result<()> {
        if value >> 16 != 0xa05f {
            return Ok(());
        }
        self.notice_stop()?;
        let debug = value & C_DEBUGEN != 0;
        self.dhcsr = value & if debug { C_BITS } else { C_BITS & !C_HALT };
        let halt = debug && value & C_HALT != 0;
        if self.locked_up {
            // Only a reset ends it, or debug state.
            self.locked_up = !halt;
            return Ok(());
        }
        match (self.qemu.running(), halt) {
            (true, true) => {
                self.qemu.halt()?;
                self.notice_stop()?;
                self.dfsr |= DFSR_HALTED;
            }
            (false, false) if debug && value & C_STEP != 0 => {
                self.qemu.step()?;
                self.retired = true;
                self.dfsr |= DFSR_HALTED;
                self.dhcsr |= C_HALT;
            }
            (false, false) => {
                self.resume()?;
                self.retired = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// DCRSR: moves one core register to or from DCRDR.
    fn transfer_register(&mut self, request: u32) -> Result<()> {
        self.notice_stop()?;
        if self.qemu.running() || self.locked_up {
            return Ok(());
        }
        const NAMES: [&str; 19] = [
            "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr",
            "pc", "xpsr", "msp", "psp",
        ];
        let selector = request & 0x7f;
        let name = match selector {
            33 => "fpscr",
            n => NAMES.get(n as usize).copied().unwrap_or_default(),
        };
        if request & (1 << 16) != 0 {
            let value = if name == "pc" { self.dcrdr & !1 } else { self.dcrdr };
            return self.qemu.set_register(name, value);
        }
        self.dcrdr = match selector {
            20 => self.special_registers()?,
            64..=95 => {
                let (low, high) = self.qemu.register(&format!("d{}", (selector - 64) / 2))?;
                if selector & 1 == 0 { low } else { high }
            }
            _ => self.qemu.register(name)?.0,
        };
        Ok(())
    }

    /// CONTROL, FAULTMASK, BASEPRI and PRIMASK in one word.
    fn special_registers(&mut self) -> Result<u32> {
        let mut word = 0;
        for name in ["control", "faultmask", "basepri", "primask"] {
            word = (word << 8) | (self.qemu.register(name)?.0 & 0xff);
        }
        Ok(word)
    }

    /// Moves the breakpoints, stopping a running core for as long as that takes.
    fn replant(&mut self) -> Result<()> {
        self.while_stopped(Self::plant_breakpoints)
    }

    fn while_stopped(&mut self, act: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.notice_stop()?;
        let was_running = self.qemu.running();
        self.qemu.halt()?;
        act(self)?;
        self.notice_stop()?;
        if was_running && self.dhcsr & C_HALT == 0 { self.qemu.resume() } else { Ok(()) }
    }

    fn plant_breakpoints(&mut self) -> Result<()> {
        let mut wanted = self.comparator_addresses();
        wanted.extend(self.return_breakpoint()?);
        self.hard_fault_handler = self.caught_handler()?;
        wanted.extend(self.hard_fault_handler);
        wanted.sort_unstable();
        wanted.dedup();
        for address in std::mem::take(&mut self.planted) {
            self.qemu.remove_breakpoint(address)?;
        }
        for &address in &wanted {
            self.qemu.insert_breakpoint(address)?;
        }
        self.planted = wanted;
        Ok(())
    }

    fn comparator_addresses(&self) -> Vec<u32> {
        let mut addresses = Vec::new();
        for &c in self.comparators.iter().filter(|&c| self.fpb_on == 1 && c & 1 == 1) {
            let base = c & 0x1fff_fffc;
            match c >> 30 {
                _ if self.v8m => addresses.push(c & !1),
                1 => addresses.push(base),
                2 => addresses.push(base + 2),
                3 => addresses.extend([base, base + 2]),
                _ => {}
            }
        }
        addresses
    }

    /// QEMU raises an exception for BKPT instead of halting; a flash algorithm returns to one.
    fn return_breakpoint(&mut self) -> Result<Option<u32>> {
        let (lr, _) = self.qemu.register("lr")?;
        if lr >= 0xe000_0000 || lr & 1 == 0 {
            return Ok(None);
        }
        let mut code = [0; 2];
        self.qemu.read(lr & !1, &mut code)?;
        Ok((code[1] == 0xbe).then_some(lr & !1))
    }

    fn caught_handler(&mut self) -> Result<Option<u32>> {
        if self.demcr & VC_HARDERR == 0 {
            return Ok(None);
        }
        let vectors = self.qemu.read_u32(0xE000_ED08)?;
        let handler = self.qemu.read_u32(vectors + 12)? & !1;
        Ok((handler != 0).then_some(handler))
    }
}
