//! Sum of two tensors with their own scales, through a table of each. Source: TFLite `reference_integer_ops::Add`.

use super::micro::{Micro, clamp};
use super::{KernelError, Layer, cast};
use crate::layer::LayerSpec;
use crate::quant::{Channel, Requant, high_mul};

/// Bits that inputs gain before they are scaled, as in TFLite.
const LEFT_SHIFT: u32 = 20;

/// Values of an int8.
const VALUES: usize = 256;

/// Sums that are worth a table of all values.
const MIN_TABLE: usize = VALUES;

/// A table for each input, unless sums are few.
pub(super) const fn scratch_bytes(spec: &LayerSpec) -> usize {
    if spec.output_bytes() < MIN_TABLE { 0 } else { 2 * VALUES * size_of::<i32>() }
}

#[inline(never)]
pub(super) fn run<M: Micro>(
    layer: &Layer<'_>,
    inputs: [&[i8]; 2],
    output: &mut [i8],
    scratch: &mut [u8],
) -> Result<(), KernelError> {
    let &[scale_a, scale_b, scale] = layer.scales else { return Err(KernelError::Shape) };
    let [a, b] = [0, 1].map(|i| Input::new(layer.input_zero[i], [scale_a, scale_b][i]));
    let channel = Channel::new(0, scale);
    let tables = cast::as_words_mut(scratch).ok_or(KernelError::Scratch)?;
    if tables.is_empty() {
        for (out, (&x, &y)) in output.iter_mut().zip(inputs[0].iter().zip(inputs[1])) {
            let twice_sum = a.twice(x).wrapping_add(b.twice(y));
            *out = channel.finish(twice_sum, layer.output_zero, layer.clamp);
        }
        return Ok(());
    }
    let (first, second) = tables.split_at_mut(VALUES);
    let (first, second) = (a.table(first)?, b.table(second)?);
    if layer.scales_fast {
        M::add(inputs, [first, second], channel, layer.output_zero, output);
        clamp::<M>(layer, output);
        return Ok(());
    }
    for (out, (&x, &y)) in output.iter_mut().zip(inputs[0].iter().zip(inputs[1])) {
        let twice_sum = first[usize::from(x as u8)].wrapping_add(second[usize::from(y as u8)]);
        *out = channel.finish(twice_sum as i32, layer.output_zero, layer.clamp);
    }
    Ok(())
}

/// How an input is brought to the common scale.
struct Input {
    zero: i32,
    multiplier: i32,
    left_shift: u32,
    right_shift: u32,
    /// Half of what the shift to the right divides by.
    half: i32,
    /// What negative numbers add to it, so that ties go away from zero: -1, or 0 where nothing is shifted.
    ties: i32,
}

impl Input {
    fn new(zero: i8, scale: Requant) -> Input {
        let right_shift = scale.shift.wrapping_neg().clamp(0, 31) as u32;
        Input {
            zero: zero.into(),
            multiplier: scale.multiplier,
            left_shift: LEFT_SHIFT + scale.shift.clamp(0, 31) as u32,
            right_shift,
            half: (1i32 << right_shift) >> 1,
            ties: -i32::from(right_shift > 0),
        }
    }

    /// Twice an input at the common scale; as [`Requant::apply`], doubled, for scales up to one.
    #[inline(always)]
    fn twice(&self, x: i8) -> i32 {
        let x = (i32::from(x) - self.zero).wrapping_shl(self.left_shift).wrapping_mul(2);
        let high = high_mul(x, self.multiplier);
        let rounded = high.wrapping_add(self.half).wrapping_add((x >> 31) & self.ties);
        (rounded >> self.right_shift).wrapping_mul(2)
    }

    /// The same for all inputs, as unsigned bytes.
    fn table<'a>(&self, table: &'a mut [u32]) -> Result<&'a mut [u32; VALUES], KernelError> {
        let table: &mut [u32; VALUES] = table.try_into().map_err(|_| KernelError::Scratch)?;
        for (value, twice) in table.iter_mut().enumerate() {
            *twice = self.twice(value as u8 as i8) as u32;
        }
        Ok(table)
    }
}
