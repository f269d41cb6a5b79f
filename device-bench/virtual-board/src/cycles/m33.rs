//! The Cortex-M33: an instruction a cycle, in order, with branches that can be folded into a short one before them. Arm
//! publishes no table; the source is measurements on an RP2350 by others
//! (<https://github.com/jnk0le/random>, "pipeline cycle test"), at zero wait states.

use super::DIVIDE;
use super::decode::{Class, Instruction, Use};
use super::pipeline::{Core, Shape};

/// See the [module](self).
pub(super) struct CortexM33;

/// Whether a branch is issued beside the short instruction before it.
fn is_folded(this: &Instruction, before: Option<&Instruction>) -> bool {
    matches!(this.class, Class::Branch { .. })
        && this.is_short
        && before.is_some_and(|before| before.is_short)
}

impl Core for CortexM33 {
    const IS_DUAL: bool = false;

    fn shape(this: &Instruction, before: Option<&Instruction>) -> Shape {
        let of = |cycles, latency| Shape { cycles, latency, is_alone: true, is_first: false, units: 0 };
        match this.class {
            Class::Branch { .. } if is_folded(this, before) => of(0, 1),
            // Beside what is before them.
            Class::IfThen | Class::Nothing if before.is_some() => of(0, 1),
            // MULS takes two cycles.
            Class::Multiply { .. } if this.sets_flags => of(2, 2),
            Class::ShiftedOperand | Class::ExtendAdd | Class::Saturate => of(1, 2),
            Class::Multiply { .. } | Class::MultiplyLong { .. } | Class::Load { .. } => of(1, 2),
            Class::Multiple { registers } => of(u64::from(registers).max(1), 2),
            Class::Divide => of(DIVIDE, 1),
            Class::Float => of(1, 3),
            _ => of(1, 1),
        }
    }

    fn early(by: Use, _: Class, producer: Class) -> i64 {
        let ends_late = matches!(
            producer,
            Class::ShiftedOperand | Class::ExtendAdd | Class::Multiply { .. } | Class::MultiplyLong { .. }
        );
        let is_load = matches!(producer, Class::Load { .. });
        match by {
            Use::Accumulator | Use::Stored if ends_late || is_load => -1,
            _ => 0,
        }
    }

    /// Two cycles for a branch that is taken, one where it is folded into an instruction that sets no flags.
    fn jumps(this: &Instruction, before: Option<&Instruction>) -> u64 {
        let each = match is_folded(this, before) {
            true if before.is_some_and(|before| before.sets_flags) => 2,
            _ => 1,
        };
        this.n_jumps * each
    }
}
