//! Operators that copy, look up or scale values one by one, in plain Rust for all cores.

use super::micro::{Micro, clamp};
use super::{KernelError, Layer, concat, lookup, scale, select};
use crate::layer::Op;

/// Does nothing for other operators.
#[inline(never)]
pub(super) fn run<M: Micro>(
    layer: &Layer<'_>,
    inputs: [&[i8]; 2],
    output: &mut [i8],
) -> Result<(), KernelError> {
    match layer.spec.op {
        Op::Concat => concat::run(layer, inputs, output),
        Op::Select => select::run(layer, inputs[0], output),
        Op::Scale => scale::run(layer, inputs, output)?,
        Op::Lookup => lookup::run(layer, inputs[0], output)?,
        _ => {}
    }
    clamp::<M>(layer, output);
    Ok(())
}
