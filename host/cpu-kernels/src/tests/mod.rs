//! The kernels against loops in f64, on random shapes and for every instruction set.

mod depthwise;
mod elementwise;
mod front;
mod gemm;
mod guarded;
mod norm;
mod winograd;

pub use self::guarded::{Guarded, guarded};

use crate::end::End;
use crate::simd::Kind;
use crate::{Activation, Isa, Real};

pub const ACTIVATIONS: [Activation; 6] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::HardSwish,
    Activation::HardSigmoid,
    Activation::Sigmoid,
];

/// All of this processor, and the tiles of the others without their intrinsics.
pub fn isas() -> Vec<Isa> {
    let mut isas = Isa::available();
    isas.extend([Isa(Kind::Shape8x16), Isa(Kind::Shape16x32)]);
    isas
}

/// `n`, or what is enough `under_miri`, which is some thousand times slower.
pub fn most(n: usize, under_miri: usize) -> usize {
    if cfg!(miri) { under_miri } else { n }
}

/// Runs `check(isa, rng)` for `n` random cases (under Miri a hundredth of them) of each instruction set.
pub fn for_cases(n: u64, check: impl Fn(Isa, &mut Rng)) {
    let n = if cfg!(miri) { n.div_ceil(100) } else { n };
    for isa in isas() {
        for seed in 0..n {
            println!("{isa}, seed {seed}"); // shown where the test fails
            check(isa, &mut Rng(seed));
        }
    }
}

/// SplitMix64 (doi 10.1145/2660193.2660195).
pub struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `range`.
    pub fn size(&mut self, range: std::ops::RangeInclusive<usize>) -> usize {
        let n = (range.end() - range.start() + 1) as u64;
        range.start() + (self.next() % n) as usize
    }

    /// Channels: often few, or around a multiple of a vector.
    pub fn channels(&mut self) -> usize {
        match self.size(0..=3) {
            0 => self.size(1..=4),
            1 => *self.pick(&[7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49]),
            _ => self.size(1..=most(70, 20)),
        }
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.size(0..=items.len() - 1)]
    }

    /// Between -1 and 1.
    pub fn value(&mut self) -> Real {
        (self.next() >> 40) as Real / (1u64 << 23) as Real - 1.0
    }

    /// `n` values between `-scale` and `scale`.
    pub fn values(&mut self, n: usize, scale: Real) -> Vec<Real> {
        (0..n).map(|_| self.value() * scale).collect()
    }

    /// The same at the end of an allocation, now and then with a value that is no number.
    pub fn buffer(&mut self, n: usize, scale: Real) -> Guarded {
        let mut values = self.values(n, scale);
        if n > 0 && self.size(0..=7) == 0 {
            values[self.size(0..=n - 1)] = Real::NAN;
        }
        guarded(&values)
    }
}

/// One of the ends, with these coefficients.
pub fn any_end<'a>(rng: &mut Rng, scale: &'a [Real], shift: &'a [Real]) -> End<'a> {
    let activation = *rng.pick(&ACTIVATIONS);
    let affine = End::Affine { scale, shift, activation };
    *rng.pick(&[End::Replace, End::Add, affine, affine, End::Residual { scale, shift, activation }])
}

/// The value in f64.
#[allow(clippy::unnecessary_cast)] // not one in f32
pub fn exact(x: Real) -> f64 {
    x as f64
}

/// A sum in f64 with what bounds its rounding in any order (Higham, Accuracy and Stability, section 3.1).
#[derive(Debug, Clone, Copy)]
pub struct Sum {
    pub value: f64,
    tolerance: f64,
    magnitude: f64,
    n_terms: usize,
}

impl Sum {
    pub fn new(start: Real) -> Sum {
        let value = exact(start);
        Sum { value, tolerance: 0.0, magnitude: value.abs(), n_terms: 1 }
    }

    /// `start + Σ a · b`.
    pub fn of_products(start: Real, products: impl IntoIterator<Item = (Real, Real)>) -> Sum {
        products.into_iter().fold(Sum::new(start), |sum, (a, b)| sum.plus(exact(a) * exact(b)))
    }

    pub fn plus(self, term: f64) -> Sum {
        let (value, magnitude) = (self.value + term, self.magnitude + term.abs());
        Sum { value, magnitude, n_terms: self.n_terms + 1, ..self }
    }

    /// The sum of two rounded sums.
    pub fn and(self, other: Sum) -> Sum {
        let tolerance = self.tolerance() + other.tolerance();
        Sum { tolerance, ..Sum::new(0.0).plus(self.value).plus(other.value) }
    }

    /// The sum with the tolerance of so many more roundings of its magnitude.
    pub fn rounded(self, times: f64) -> Sum {
        Sum { tolerance: self.tolerance + times * exact(Real::EPSILON) * self.magnitude, ..self }
    }

    /// `self · scale + shift`.
    pub fn affine(self, scale: Real, shift: Real) -> Sum {
        let tolerance = self.tolerance() * exact(scale).abs();
        Sum { tolerance, ..Sum::new(shift).plus(self.value * exact(scale)) }
    }

    /// Its activation.
    pub fn activated(self, activation: Activation) -> Sum {
        if activation == Activation::None {
            return self;
        }
        // No activation is steeper than 1.5, and none takes more than some roundings of at most v².
        let rounding = 16.0 * exact(Real::EPSILON) * (1.0 + self.value * self.value);
        let value = activate(self.value, activation);
        Sum { value, tolerance: 2.0 * self.tolerance() + rounding, magnitude: 0.0, n_terms: 0 }
    }

    /// What column `k` of a result becomes that was `before`.
    pub fn ended(self, end: End, k: usize, before: Real) -> Sum {
        match end {
            End::Replace => self,
            End::Add => self.and(Sum::new(before)),
            End::Affine { scale, shift, activation } => self.affine(scale[k], shift[k]).activated(activation),
            End::Residual { scale, shift, activation } => {
                self.affine(scale[k], shift[k]).and(Sum::new(before)).activated(activation)
            }
        }
    }

    fn tolerance(&self) -> f64 {
        self.tolerance + (self.n_terms + 4) as f64 * exact(Real::EPSILON) * self.magnitude
    }

    #[track_caller]
    pub fn check(&self, actual: Real, what: impl FnOnce() -> String) {
        let (actual, tolerance) = (exact(actual), self.tolerance());
        let same = (actual - self.value).abs() <= tolerance || (actual.is_nan() && self.value.is_nan());
        assert!(same, "{}: {actual} is not {} ± {tolerance:e}", what(), self.value);
    }
}

/// `activation(v)`; f64's `max` and `min` would drop what is no number.
pub fn activate(v: f64, activation: Activation) -> f64 {
    match activation {
        Activation::None => v,
        Activation::Relu => v.clamp(0.0, f64::INFINITY),
        Activation::Relu6 => v.clamp(0.0, 6.0),
        Activation::HardSwish => v * (v + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::HardSigmoid => (v + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Sigmoid => 1.0 / (1.0 + (-v).exp()),
    }
}

/// `activation'(v)`, where the derivative of a clamp is 0 at its ends.
pub fn derivative(v: f64, activation: Activation) -> f64 {
    let inside = |low: f64, high: f64| if low < v && v < high { 1.0 } else { 0.0 };
    match activation {
        Activation::None => 1.0,
        Activation::Relu => inside(0.0, f64::INFINITY),
        Activation::Relu6 => inside(0.0, 6.0),
        Activation::HardSwish => ((v + 3.0).clamp(0.0, 6.0) + v * inside(-3.0, 3.0)) / 6.0,
        Activation::HardSigmoid => inside(-3.0, 3.0) / 6.0,
        Activation::Sigmoid => activate(v, activation) * (1.0 - activate(v, activation)),
    }
}

/// Every value of `actual` that `is_outside` is as it was `before`.
#[track_caller]
pub fn assert_untouched(before: &[Real], actual: &[Real], is_outside: impl Fn(usize) -> bool) {
    for (i, (before, actual)) in before.iter().zip(actual).enumerate() {
        assert!(!is_outside(i) || before.to_bits() == actual.to_bits(), "value {i} was written");
    }
}
