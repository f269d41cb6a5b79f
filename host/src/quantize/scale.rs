//! Real scales made integers: zero points, and multipliers with shifts.

use super::Range;
use device_bench::quant::Requant;

/// What the int8 numbers of a tensor mean: `scale * (q - zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorQuant {
    /// The real value of one step, positive.
    pub scale: f32,
    /// The number that stands for zero.
    pub zero_point: i8,
}

impl TensorQuant {
    /// The finest scale whose 256 numbers hold `range`, with zero being one of them.
    pub fn for_range(range: Range) -> TensorQuant {
        let (low, high) = (f64::from(range.low.min(0.0)), f64::from(range.high.max(0.0)));
        let scale = (((high - low) / 255.0) as f32).max(f32::MIN_POSITIVE.sqrt());
        let zero_point = (-128.0 - low / f64::from(scale)).round().clamp(-128.0, 127.0);
        TensorQuant { scale, zero_point: zero_point as i8 }
    }

    /// The nearest number, saturated.
    pub fn quantize(self, real: f32) -> i8 {
        // A float to integer cast saturates, and NaN becomes 0.
        (f64::from(real / self.scale).round() + f64::from(self.zero_point)) as i8
    }

    /// The real value of `q`.
    pub fn dequantize(self, q: i8) -> f32 {
        self.scale * (f32::from(q) - f32::from(self.zero_point))
    }
}

/// The multiplier and shift nearest to a positive real scale (TFLite `QuantizeMultiplier`).
///
/// A scale too small for a shift of 31 becomes zero, one too large the largest there is.
pub fn requant(real: f64) -> Requant {
    if real.is_nan() || real <= 0.0 {
        return Requant { multiplier: 0, shift: 0 };
    }
    let (mut mantissa, mut shift) = (real, 0i32);
    while mantissa >= 1.0 && shift <= 31 {
        (mantissa, shift) = (mantissa * 0.5, shift + 1);
    }
    while mantissa < 0.5 && shift >= -32 {
        (mantissa, shift) = (mantissa * 2.0, shift - 1);
    }
    let mut multiplier = (mantissa * (1u64 << 31) as f64).round() as i64;
    if multiplier == 1 << 31 {
        (multiplier, shift) = (multiplier / 2, shift + 1);
    }
    match shift {
        ..=-32 => Requant { multiplier: 0, shift: 0 },
        31.. => Requant { multiplier: i32::MAX, shift: 30 },
        _ => Requant { multiplier: multiplier as i32, shift },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_powers_of_two_have_the_half_as_mantissa() {
        for exponent in -31..=29 {
            let expected = Requant { multiplier: 1 << 30, shift: exponent + 1 };
            assert_eq!(requant(2f64.powi(exponent)), expected, "2^{exponent}");
        }
        assert_eq!(requant(0.25).apply(1000), 250);
        assert_eq!(requant(4.0).apply(-25), -100);
    }

    #[test]
    fn any_scale_is_met_to_31_bits() {
        for real in [1e-6, 0.000_37, 0.1, 0.333, 0.999_999, 1.7, 123.4] {
            let q = requant(real);
            let met = f64::from(q.multiplier) / 2f64.powi(31) * 2f64.powi(q.shift);
            assert!(q.is_valid() && q.multiplier >= 1 << 30);
            assert!((met / real - 1.0).abs() < 2f64.powi(-30), "{real}: {met}");
        }
    }

    #[test]
    fn a_mantissa_that_rounds_up_to_one_moves_the_shift() {
        assert_eq!(requant(1.0 - 1e-15), Requant { multiplier: 1 << 30, shift: 1 });
    }

    #[test]
    fn scales_out_of_range_stay_valid() {
        for real in [0.0, -1.0, 1e-300, 1e300, f64::NAN, f64::INFINITY] {
            assert!(requant(real).is_valid(), "{real}");
        }
        assert_eq!(requant(1e-12).apply(i32::MAX), 0);
    }

    #[test]
    fn zero_is_a_number_and_the_ends_are_met() {
        for (low, high) in [(0.0, 6.0), (-1.0, 3.0), (-2.0, -1.0), (0.5, 2.0), (0.0, 0.0)] {
            let q = TensorQuant::for_range(Range { low, high });
            assert_eq!(q.dequantize(q.quantize(0.0)), 0.0);
            for end in [low, high] {
                assert!((q.dequantize(q.quantize(end)) - end).abs() <= q.scale, "{low} {high}");
            }
        }
        assert_eq!(TensorQuant { scale: 0.1, zero_point: 3 }.quantize(1e9), 127);
    }
}
