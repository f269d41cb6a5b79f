//! Float kernels of the training engine on the CPU, over `[h, w, c]` images; no dependencies, no threads of their
//! own beyond [`pool`], no allocation.
//!
//! Every public function is safe: it checks the lengths of its slices once and then runs a kernel that was compiled
//! for several instruction sets ([`Isa`]). With the feature `f64` the same sources compute in f64.

pub mod depthwise;
pub mod elementwise;
pub mod gemm;
pub mod norm;
pub mod pool;
mod simd;

pub use simd::{Isa, UnknownIsa};

/// What the kernels compute with.
#[cfg(not(feature = "f64"))]
pub type Real = f32;
/// What the kernels compute with.
#[cfg(feature = "f64")]
pub type Real = f64;

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
