//! A tensor times one pixel, channel by channel. Source: TFLite `reference_integer_ops::Mul`.

use super::{KernelError, Layer};
use crate::quant::Channel;

pub(super) fn run(
    layer: &Layer<'_>,
    [mut input, gate]: [&[i8]; 2],
    output: &mut [i8],
) -> Result<(), KernelError> {
    let &[scale] = layer.scales else { return Err(KernelError::Shape) };
    let channel = Channel::new(0, scale);
    let [zero, gate_zero] = layer.input_zero.map(i32::from);
    for target in output.chunks_exact_mut(gate.len().max(1)) {
        let (source, rest) = input.split_at_checked(gate.len()).ok_or(KernelError::Shape)?;
        for (out, (&x, &factor)) in target.iter_mut().zip(source.iter().zip(gate)) {
            let twice_product = 2 * (i32::from(x) - zero) * (i32::from(factor) - gate_zero);
            *out = channel.finish(twice_product, layer.output_zero, layer.clamp);
        }
        input = rest;
    }
    Ok(())
}
