//! Fixed-point requantisation of the TFLite int8 specification: no float on the board.
//!
//! Rounding is double rounding, as in gemmlowp's `SaturatingRoundingDoublingHighMul` and
//! `RoundingDivideByPOT` (TFLite's reference kernels and CMSIS-NN's default).

use serde::{Deserialize, Serialize};

/// A positive real scale, `multiplier / 2^31 * 2^shift`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(C)]
pub struct Requant {
    /// The mantissa: 0, or from 2^30 to 2^31 - 1.
    pub multiplier: i32,
    /// The power of two; positive shifts left before the multiplication. From -31 to 30.
    pub shift: i32,
}

impl Requant {
    /// Whether both fields are in range; any positive multiplier is accepted.
    pub const fn is_valid(self) -> bool {
        self.multiplier >= 0 && self.shift >= -31 && self.shift <= 30
    }

    /// `acc` times the scale, rounded twice (TFLite `MultiplyByQuantizedMultiplier`).
    ///
    /// The left shift wraps, as in CMSIS-NN. Out-of-range fields give a meaningless number, never a panic.
    #[inline(always)]
    pub const fn apply(self, acc: i32) -> i32 {
        if self.shift > 0 {
            doubling_high_mul(acc.wrapping_shl(self.shift as u32), self.multiplier)
        } else {
            divide_by_power_of_two(doubling_high_mul(acc, self.multiplier), self.shift.wrapping_neg() as u32)
        }
    }
}

/// The range of a layer's output: its activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Clamp {
    /// Smallest output.
    pub min: i8,
    /// Largest output.
    pub max: i8,
}

impl Clamp {
    /// The whole int8 range: no activation function.
    pub const FULL: Clamp = Clamp { min: i8::MIN, max: i8::MAX };

    /// Whether every int8 is in the range.
    pub const fn is_full(self) -> bool {
        self.min == i8::MIN && self.max == i8::MAX
    }

    /// `value` moved into the range; `max` where the range is empty.
    #[inline(always)]
    pub const fn apply(self, value: i32) -> i8 {
        let raised = if value < self.min as i32 { self.min as i32 } else { value };
        if raised > self.max as i32 { self.max } else { raised as i8 }
    }
}

/// The high half of `2ab`, rounded to nearest, ties up; saturates where both are `i32::MIN`.
#[inline(always)]
pub const fn doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    ((a as i64 * b as i64 + (1 << 30)) >> 31) as i32
}

/// `value / 2^exponent`, rounded to nearest, ties away from zero; `exponent` modulo 32.
#[inline(always)]
pub const fn divide_by_power_of_two(value: i32, exponent: u32) -> i32 {
    let mask = 1i32.wrapping_shl(exponent).wrapping_sub(1);
    let threshold = (mask >> 1) + (value < 0) as i32;
    value.wrapping_shr(exponent) + ((value & mask) > threshold) as i32
}

/// What an output channel adds and how it is scaled, as the kernels want it: sums are doubled, so that the high half of
/// a product is the doubling high half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(C)]
pub struct Channel {
    /// Twice the bias, the input's zero point folded in.
    pub twice_bias: i32,
    /// As [`Requant::multiplier`].
    pub multiplier: i32,
    /// The shift to the right but one: -1 minus [`Requant::shift`]. From -31 to 30.
    pub shift_but_one: i32,
}

/// Shifts for which a rounding and any zero point, shifted to the left, can be added to a product's high half.
const FAST_SHIFTS: core::ops::RangeInclusive<i32> = 0..=21;

impl Channel {
    /// Of a folded bias and its scale; the bias must be within 30 bits.
    pub const fn new(bias: i32, requant: Requant) -> Channel {
        Channel {
            twice_bias: bias.wrapping_mul(2),
            multiplier: requant.multiplier,
            shift_but_one: (-1i32).wrapping_sub(requant.shift),
        }
    }

    /// Whether the scale is in range, as [`Requant::is_valid`].
    pub const fn is_valid(self) -> bool {
        self.multiplier >= 0 && self.shift_but_one >= -31 && self.shift_but_one <= 30
    }

    /// Whether the shift is one of those that the fastest kernels can do: 1 to 22 to the right.
    pub fn is_fast(self) -> bool {
        FAST_SHIFTS.contains(&self.shift_but_one)
    }

    /// Twice a sum, without the bias, made an output: the same as [`Requant::apply`] for sums within 30 bits.
    ///
    /// Sums wrap; out-of-range fields give a meaningless number, never a panic.
    #[inline(always)]
    pub(crate) const fn finish(self, twice_sum: i32, zero_point: i8, clamp: Clamp) -> i8 {
        let twice_acc = self.twice_bias.wrapping_add(twice_sum);
        let right = self.shift_but_one.wrapping_add(1);
        let scaled = if right < 0 {
            high_mul(twice_acc.wrapping_shl(right.wrapping_neg() as u32), self.multiplier)
        } else {
            divide_by_power_of_two(high_mul(twice_acc, self.multiplier), right as u32)
        };
        clamp.apply(scaled.wrapping_add(zero_point as i32))
    }
}

/// The high half of `ab`, rounded to nearest, ties up: Arm's SMMULR.
#[inline(always)]
pub(crate) const fn high_mul(a: i32, b: i32) -> i32 {
    ((a as i64 * b as i64 + (1 << 31)) >> 32) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An accumulator made an output: scaled, moved to the zero point, clamped.
    fn finish(acc: i32, requant: Requant, zero_point: i8, clamp: Clamp) -> i8 {
        clamp.apply(requant.apply(acc).saturating_add(i32::from(zero_point)))
    }

    #[test]
    fn high_mul_rounds_to_nearest_and_saturates() {
        assert_eq!(doubling_high_mul(i32::MIN, i32::MIN), i32::MAX);
        assert_eq!(doubling_high_mul(i32::MIN, i32::MAX), -i32::MAX);
        assert_eq!(doubling_high_mul(i32::MAX, i32::MAX), i32::MAX - 1);
        assert_eq!(doubling_high_mul(3, 1 << 30), 2);
        assert_eq!(doubling_high_mul(1, 1 << 30), 1);
        assert_eq!(doubling_high_mul(-1, 1 << 30), 0);
        assert_eq!(doubling_high_mul(-3, 1 << 30), -1);
    }

    #[test]
    fn power_of_two_ties_go_away_from_zero() {
        let cases =
            [(5, 1, 3), (-5, 1, -3), (-1, 1, -1), (1, 1, 1), (6, 2, 2), (-6, 2, -2), (5, 2, 1), (7, 0, 7)];
        for (value, exponent, expected) in cases {
            assert_eq!(divide_by_power_of_two(value, exponent), expected, "{value} / 2^{exponent}");
        }
        assert_eq!(divide_by_power_of_two(i32::MIN, 31), -1);
        assert_eq!(divide_by_power_of_two(i32::MAX, 31), 1);
    }

    /// A quarter of 1 rounds to 0 once; twice, it is a half made 1, of which half is made 1 again.
    #[test]
    fn rounding_is_double() {
        let quarter = Requant { multiplier: 1 << 30, shift: -1 };
        assert_eq!(quarter.apply(1), 1);
        assert_eq!(quarter.apply(-1), 0);
        assert_eq!(Requant { multiplier: 3 << 29, shift: -3 }.apply(1000), 94);
        assert_eq!(Requant { multiplier: 3 << 29, shift: 2 }.apply(-100), -300);
    }

    #[test]
    fn a_channel_finishes_as_its_bias_and_requant_do() {
        let mut random = 1u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random as i32
        };
        for _ in 0..100_000 {
            let requant =
                Requant { multiplier: (1 << 30) | (next() >> 2) & 0x3fff_ffff, shift: (next() >> 16) % 32 };
            let requant = Requant { shift: requant.shift.min(2), ..requant };
            let bits = 27 - requant.shift.max(0);
            let (bias, sum) = (next() >> (32 - bits), next() >> (32 - bits) >> (next() & 15));
            let (zero, clamp) =
                (next() as i8, if next() < 0 { Clamp::FULL } else { Clamp { min: -7, max: 99 } });
            let wanted = finish(bias + sum, requant, zero, clamp);
            assert_eq!(
                Channel::new(bias, requant).finish(2 * sum, zero, clamp),
                wanted,
                "{bias} + {sum}, {requant:?}"
            );
        }
    }

    #[test]
    fn any_requant_applies_without_panic() {
        for shift in [i32::MIN, -33, -32, -31, 0, 30, 31, 32, i32::MAX] {
            for multiplier in [i32::MIN, -1, 0, i32::MAX] {
                for acc in [i32::MIN, -1, 0, 1, i32::MAX] {
                    let clamp = Clamp { min: 5, max: -5 };
                    let _ = finish(acc, Requant { multiplier, shift }, 127, clamp);
                    let _ =
                        Channel { twice_bias: acc, multiplier, shift_but_one: shift }.finish(acc, 127, clamp);
                }
            }
        }
    }
}
