//! Float kernels of the training engine on the CPU, over `[h, w, c]` images; no dependencies, no threads of their
//! own beyond [`pool`], no allocation.
//!
//! Every public function is safe: it checks the lengths of its slices once and then runs a kernel that was compiled
//! for several instruction sets ([`Isa`]). With the feature `f64` the same sources compute in f64.
//!
//! # How the kernels are tested
//! Every public function is compared with loops in f64 on random shapes, for every instruction set of the processor
//! that runs the tests, over buffers that end at memory which cannot be read or written; `cargo xtask miri` runs the
//! same tests under Miri, `cargo xtask test-neon` under an emulated aarch64. The tile shapes of AVX-512 (16 lanes, 32
//! registers) are tested everywhere, without intrinsics; its intrinsics only on a processor that has them.

pub mod depthwise;
pub mod disjoint;
pub mod elementwise;
mod end;
pub mod gemm;
pub mod norm;
pub mod pool;
mod simd;
#[cfg(test)]
mod tests;
pub mod winograd;

pub use simd::{Isa, UnknownIsa};

/// What the kernels compute with.
#[cfg(not(feature = "f64"))]
pub type Real = f32;
/// What the kernels compute with.
#[cfg(feature = "f64")]
pub type Real = f64;

/// The product of `factors`. Every length that a safe front checks is computed by this and [`sum`]: one that wrapped
/// around would let its kernel out of bounds.
fn product(factors: &[usize]) -> usize {
    let product = factors.iter().try_fold(1usize, |product, factor| product.checked_mul(*factor));
    product.expect(TOO_LONG)
}

/// The sum of `terms`.
fn sum(terms: &[usize]) -> usize {
    terms.iter().try_fold(0usize, |sum, term| sum.checked_add(*term)).expect(TOO_LONG)
}

const TOO_LONG: &str = "an image fits into the address space";

/// What follows a batch norm or a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(0, x)`.
    Relu,
    /// `min(max(0, x), 6)`.
    Relu6,
    /// `x · min(max(0, x + 3), 6) / 6` (arXiv 1905.02244).
    HardSwish,
    /// `min(max(0, x + 3), 6) / 6`.
    HardSigmoid,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

impl Activation {
    /// The lower and the upper bound, of one that only clamps.
    fn clamps(self) -> Option<(Real, Real)> {
        match self {
            Activation::None => Some((Real::NEG_INFINITY, Real::INFINITY)),
            Activation::Relu => Some((0.0, Real::INFINITY)),
            Activation::Relu6 => Some((0.0, 6.0)),
            Activation::HardSwish | Activation::HardSigmoid | Activation::Sigmoid => None,
        }
    }
}
