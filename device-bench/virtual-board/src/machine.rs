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
    /// Memory that the bus cannot write; written through the gdbstub with the core stopped.
    pub rom: Range<u32>,
}

/// Every virtual board.
pub const MACHINES: [Machine; 5] = [
    mps2("mps2-an385", 0x103, 0, 0x2040_0000),
    mps2("mps2-an386", 0x100, 0, 0x2040_0000),
    mps2("mps2-an500", 0x101, 0, 0x2040_0000),
    mps2("mps2-an505", 0x102, 0x1000_0000, 0x3840_0000),
    Machine { name: "microbit", part: 0x104, boot_address: 0, stack_top: 0x2000_4000, rom: 0..0x0004_0000 },
];

const fn mps2(name: &'static str, part: u32, boot_address: u32, stack_top: u32) -> Machine {
    Machine { name, part, boot_address, stack_top, rom: 0..0 }
}

impl Machine {
    /// The machine that QEMU calls `name`.
    pub fn named(name: &str) -> Option<&'static Machine> {
        MACHINES.iter().find(|m| m.name == name)
    }
}
