//! The Cortex-M7: two instructions a cycle, in order. Arm publishes no table; sources are LLVM's schedule of it
//! (`ARMScheduleM7.td`, by Arm) and measurements on an STM32H7 by others, which agree with it
//! (<https://www.quinapalus.com/cm7cycles.html>, <https://github.com/jnk0le/random>, "pipeline cycle test").
//!
//! Everything is in caches or tightly coupled memory, two loads in a cycle go to different banks, and two bits a branch predict
//! where it goes.

use super::DIVIDE;
use super::decode::{Class, Instruction, Use};
use super::pipeline::{Core, Shape};

/// The multiplier, which a store cannot be issued beside either.
const PRODUCT_OR_STORE: u8 = 1;
/// Shifts an operand before the sum.
const SHIFTER: u8 = 2;
/// Fields, halfwords and bytes.
const MEDIA: u8 = 4;
const BRANCH: u8 = 8;

/// Cycles lost by a branch that goes the other way; 6 where the flags are set three cycles before.
const MISPREDICTED: u64 = 8;

/// See the [module](self).
pub(super) struct CortexM7;

impl Core for CortexM7 {
    const IS_DUAL: bool = true;

    fn shape(this: &Instruction, _: Option<&Instruction>) -> Shape {
        let usual = Shape { cycles: 1, latency: 1, is_alone: false, is_first: false, units: 0 };
        let media = Shape { units: MEDIA, is_first: true, ..usual };
        match this.class {
            Class::Alu | Class::Shift | Class::IfThen | Class::Nothing => usual,
            Class::ShiftedOperand => Shape { units: SHIFTER, ..usual },
            Class::Extend | Class::Parallel => media,
            Class::ExtendAdd | Class::Bits => Shape { units: MEDIA | SHIFTER, ..media },
            Class::Saturate => Shape { units: MEDIA | SHIFTER, latency: 2, ..media },
            Class::Multiply { .. } | Class::MultiplyLong { .. } => {
                Shape { units: PRODUCT_OR_STORE, latency: 2, ..usual }
            }
            Class::Load { is_word: true } => usual,
            Class::Load { is_word: false } => Shape { latency: 2, ..usual },
            Class::Store => Shape { units: PRODUCT_OR_STORE, ..usual },
            Class::Multiple { registers } => {
                Shape { cycles: u64::from(registers.div_ceil(2)).max(1), is_alone: true, ..usual }
            }
            Class::Divide => Shape { cycles: DIVIDE, is_alone: true, ..usual },
            Class::Branch { .. } => Shape { units: BRANCH, ..usual },
            Class::Float => Shape { latency: 3, ..usual },
            Class::System => Shape { latency: 3, is_alone: true, ..usual },
        }
    }

    fn early(by: Use, consumer: Class, producer: Class) -> i64 {
        let multiplies = matches!(consumer, Class::Multiply { .. } | Class::MultiplyLong { .. });
        match by {
            // Both are read a stage earlier.
            Use::Shifted | Use::Address => 1,
            // And a stage later.
            Use::Accumulator | Use::Stored => -1,
            Use::Plain if matches!(consumer, Class::Saturate | Class::Bits) => 1,
            Use::Plain if multiplies && producer == (Class::Load { is_word: true }) => 1,
            Use::Plain => 0,
        }
    }

    fn jumps(this: &Instruction, _: Option<&Instruction>) -> u64 {
        this.n_missed * MISPREDICTED
    }
}
