//! Cores whose manual has a table of cycles: what an instruction takes depends on it and the one before it only.

use super::DIVIDE;
use super::decode::{Class, Instruction};

/// Cycles of the Cortex-M4 and, where `is_m3`, the Cortex-M3: table 3-1 of their manuals (100166, 100165), at zero wait
/// states, with three cycles for a branch that is taken.
///
/// A single load takes two cycles, or one where another one lies right before it: their phases overlap. Stores are taken by
/// the store buffer. Priced so, CMSIS-NN takes what was counted by others for `device-bench/baselines`, within 0.5 %.
pub(super) fn cortex_m3_m4(instructions: &[Instruction], is_m3: bool) -> u64 {
    /// Cycles of a branch that is taken, beyond its own: the pipeline is filled again; 1 to 3 in the manual.
    const REFILL: u64 = 2;
    let mut total = 0;
    for (i, instruction) in instructions.iter().enumerate() {
        let before =
            i.checked_sub(1).map(|i| &instructions[i]).filter(|before| before.end() == instruction.address);
        let follows_load = before.is_some_and(|before| matches!(before.class, Class::Load { .. }));
        let each = match instruction.class {
            Class::Load { .. } if !follows_load => 2,
            Class::Multiple { registers } => 1 + u64::from(registers),
            Class::Divide => DIVIDE,
            Class::Multiply { accumulates: true } if is_m3 => 2,
            // 3 to 5, and 4 to 7.
            Class::MultiplyLong { accumulates: false } if is_m3 => 4,
            Class::MultiplyLong { accumulates: true } if is_m3 => 6,
            _ => 1,
        };
        total += instruction.n * each + instruction.n_jumps * REFILL;
    }
    total
}

/// Cycles of the Cortex-M0 with its fast multiplier: table 3-1 of its manual (DDI 0432), at zero wait states.
pub(super) fn cortex_m0(instructions: &[Instruction]) -> u64 {
    let cycles = |instruction: &Instruction| {
        let (each, jump) = match instruction.class {
            Class::Load { .. } | Class::Store => (2, 2),
            // Back to the caller by POP: 4 more than the registers.
            Class::Multiple { registers } => (1 + u64::from(registers), 3),
            Class::Branch { links: true } => (1, 3),
            Class::System => (4, 2),
            _ => (1, 2),
        };
        instruction.n * each + instruction.n_jumps * jump
    };
    instructions.iter().map(cycles).sum()
}
