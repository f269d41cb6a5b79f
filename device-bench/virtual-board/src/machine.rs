//! The QEMU machines that serve as boards.

use crate::cycles::Model;
use std::ops::Range;

/// What the debug port must know of a QEMU machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// QEMU's name for it, also the probe's serial number.
    pub name: &'static str,
    /// The program that emulates it.
    pub emulator: Emulator,
    /// The part number in the simulated ROM table; as in `targets.yaml`. Of a Cortex-M.
    pub part: u32,
    /// Where the core fetches its vector table at reset, or its first instruction on RISC-V.
    pub boot_address: u32,
    /// Top of RAM, the stack of an empty board.
    pub stack_top: u32,
    /// QEMU's clock of the core, by which its system timer or `mcycle` counts.
    pub core_hz: u32,
    /// How the core's cycles are modelled; of a Cortex-M.
    pub model: Option<Model>,
    /// Memory that the bus cannot write; written through the gdbstub with the core stopped.
    pub rom: Range<u32>,
}

/// A program of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Emulator {
    /// Cortex-M cores.
    Arm,
    /// 32-bit RISC-V cores.
    RiscV32,
}

impl Emulator {
    /// All of them.
    pub const ALL: [Emulator; 2] = [Emulator::Arm, Emulator::RiscV32];

    /// Its name on the command line.
    pub fn program(self) -> &'static str {
        match self {
            Emulator::Arm => "qemu-system-arm",
            Emulator::RiscV32 => "qemu-system-riscv32",
        }
    }

    /// The package of Debian and Ubuntu that has it.
    pub fn package(self) -> &'static str {
        match self {
            Emulator::Arm => "qemu-system-arm",
            Emulator::RiscV32 => "qemu-system-misc",
        }
    }
}

/// QEMU's `-icount shift`: every instruction takes `2^ICOUNT_SHIFT` ns of the machine's time.
///
/// That is more than two ticks of every machine's system timer. QEMU rounds times to whole ns, by which a timer
/// of 16 MHz runs ahead by 1 ns a wrap; with two ticks an instruction that does not show for 10^8 instructions.
pub(crate) const ICOUNT_SHIFT: u32 = 7;

/// Every virtual board.
pub const MACHINES: [Machine; 6] = [
    mps2("mps2-an385", 0x103, 0, 0x2040_0000, 25_000_000, Model::M3),
    mps2("mps2-an386", 0x100, 0, 0x2040_0000, 25_000_000, Model::M4),
    mps2("mps2-an500", 0x101, 0, 0x2040_0000, 25_000_000, Model::M7),
    mps2("mps2-an505", 0x102, 0x1000_0000, 0x3840_0000, 20_000_000, Model::M33),
    Machine {
        name: "microbit",
        emulator: Emulator::Arm,
        part: 0x104,
        boot_address: 0,
        stack_top: 0x2000_4000,
        core_hz: 16_000_000,
        model: Some(Model::M0),
        rom: 0..0x0004_0000,
    },
    Machine {
        name: "virt",
        emulator: Emulator::RiscV32,
        part: 0,
        boot_address: 0x8000_0000,
        stack_top: 0x80c0_0000,
        // QEMU counts a cycle each ns.
        core_hz: 1_000_000_000,
        model: None,
        rom: 0..0,
    },
];

const fn mps2(
    name: &'static str,
    part: u32,
    boot_address: u32,
    stack_top: u32,
    core_hz: u32,
    model: Model,
) -> Machine {
    let (emulator, model) = (Emulator::Arm, Some(model));
    Machine { name, emulator, part, boot_address, stack_top, core_hz, model, rom: 0..0 }
}

impl Machine {
    /// The machine that QEMU calls by the first word of `serial`; a list of faults may follow.
    pub fn named(serial: &str) -> Option<&'static Machine> {
        let name = serial.split_whitespace().next()?;
        MACHINES.iter().find(|m| m.name == name)
    }

    /// What QEMU is told beside the machine's name: of its generic RISC-V machine, core and memory. Its device tree lies
    /// in the last 2 MiB.
    pub(crate) fn arguments(&self) -> &'static [&'static str] {
        match self.emulator {
            Emulator::Arm => &[],
            Emulator::RiscV32 => &["-cpu", "lowrisc-ibex", "-m", "16M", "-bios", "none"],
        }
    }

    /// What an empty board runs: for ever nothing. A Cortex-M without it would lock up when resumed, and take QEMU along.
    pub(crate) fn factory_image(&self) -> Vec<u8> {
        if self.emulator == Emulator::RiscV32 {
            // c.j .
            return vec![0x01, 0xa0, 0x01, 0xa0];
        }
        // A vector table that leads to `b .`
        let mut image = self.stack_top.to_le_bytes().to_vec();
        (1..16).for_each(|_| image.extend((self.boot_address + 0x40 + 1).to_le_bytes()));
        image.extend([0xfe, 0xe7, 0xfe, 0xe7]);
        image
    }

    /// `(instructions, timer ticks)`, in lowest terms: so many instructions take so many ticks of the system timer.
    ///
    /// An instruction is longer than two ticks, so a timer's whole ticks give the exact instructions.
    pub fn instructions_per_ticks(&self) -> (u32, u32) {
        const NS: u32 = 1_000_000_000;
        let hz_ns = u64::from(self.core_hz) << ICOUNT_SHIFT;
        let divisor = gcd(u64::from(NS), hz_ns);
        ((u64::from(NS) / divisor) as u32, (hz_ns / divisor) as u32)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_of_128_ns_is_three_and_a_fifth_ticks_at_25_mhz() {
        assert_eq!(Machine::named("mps2-an386").unwrap().instructions_per_ticks(), (5, 16));
        assert_eq!(Machine::named("virt").unwrap().instructions_per_ticks(), (1, 128));
        for machine in &MACHINES {
            let (instructions, ticks) = machine.instructions_per_ticks();
            assert!(2 * instructions < ticks, "{}: an instruction is too short", machine.name);
        }
    }
}
