//! Any function of one value, through a table of all values. Source: TFLite's lookup tables of activation functions.

use super::{KernelError, Layer, cast};

/// Values of an int8.
const VALUES: usize = 256;

pub(super) fn run(layer: &Layer<'_>, input: &[i8], output: &mut [i8]) -> Result<(), KernelError> {
    let table = cast::as_i8(layer.weights).first_chunk::<VALUES>().ok_or(KernelError::Shape)?;
    for (out, &x) in output.iter_mut().zip(input) {
        *out = table[usize::from(x as u8)];
    }
    Ok(())
}
