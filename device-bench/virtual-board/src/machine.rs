//! The QEMU machines that serve as boards.

use std::ops::Range;

/// What the debug port must know of a QEMU machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// QEMU's name for it, also the probe's serial number.
    pub name: &'static str,
    /// The part number in the simulated ROM table; as in `targets.yaml`.
    pub part: u32,
    /// Where the core fetches its vector table at reset.
    pub boot_address: u32,
    /// Top of RAM, the stack of an empty board.
    pub stack_top: u32,
    /// QEMU's clock of the core, by which its system timer counts.
    pub core_hz: u32,
    /// Memory that the bus cannot write; written through the gdbstub with the core stopped.
    pub rom: Range<u32>,
}

/// QEMU's `-icount shift`: every instruction takes `2^ICOUNT_SHIFT` ns of the machine's time.
///
/// That is more than two ticks of every machine's system timer. QEMU rounds times to whole ns, by which a timer
/// of 16 MHz runs ahead by 1 ns a wrap; with two ticks an instruction that does not show for 10^8 instructions.
pub(crate) const ICOUNT_SHIFT: u32 = 7;

/// Every virtual board.
pub const MACHINES: [Machine; 5] = [
    mps2("mps2-an385", 0x103, 0, 0x2040_0000, 25_000_000),
    mps2("mps2-an386", 0x100, 0, 0x2040_0000, 25_000_000),
    mps2("mps2-an500", 0x101, 0, 0x2040_0000, 25_000_000),
    mps2("mps2-an505", 0x102, 0x1000_0000, 0x3840_0000, 20_000_000),
    Machine {
        name: "microbit",
        part: 0x104,
        boot_address: 0,
        stack_top: 0x2000_4000,
        core_hz: 16_000_000,
        rom: 0..0x0004_0000,
    },
];

const fn mps2(name: &'static str, part: u32, boot_address: u32, stack_top: u32, core_hz: u32) -> Machine {
    Machine { name, part, boot_address, stack_top, core_hz, rom: 0..0 }
}

impl Machine {
    /// The machine that QEMU calls by the first word of `serial`; a list of faults may follow.
    pub fn named(serial: &str) -> Option<&'static Machine> {
        let name = serial.split_whitespace().next()?;
        MACHINES.iter().find(|m| m.name == name)
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
        for machine in &MACHINES {
            let (instructions, ticks) = machine.instructions_per_ticks();
            assert!(2 * instructions < ticks, "{}: an instruction is too short", machine.name);
        }
    }
}
