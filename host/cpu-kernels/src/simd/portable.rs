//! Lanes without intrinsics; LLVM makes what the target has of them.

use super::{Registers, Simd};
use crate::Real;

/// `N` values, for tiles that fit into `REGISTERS`. The kernels have 8 lanes and few registers; tests have the shapes
/// of the intrinsics too.
#[derive(Clone, Copy)]
pub struct Portable<const N: usize, const REGISTERS: usize>([Real; N]);

macro_rules! lanes {
    ($i:ident, $value:expr) => {{
        let mut lanes = [0.0; N];
        for $i in 0..N {
            lanes[$i] = $value;
        }
        Portable(lanes)
    }};
}

#[allow(clippy::needless_range_loop)]
impl<const N: usize, const REGISTERS: usize> Simd for Portable<N, REGISTERS> {
    const N: usize = N;
    const REGISTERS: Registers = match REGISTERS {
        32 => Registers::ThirtyTwo,
        16 => Registers::Sixteen,
        _ => Registers::Few,
    };
    #[inline(always)]
    unsafe fn splat(x: Real) -> Self {
        Portable([x; N])
    }
    #[inline(always)]
    unsafe fn load(p: *const Real) -> Self {
        // SAFETY: the trait's contract.
        Portable(unsafe { p.cast::<[Real; N]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut Real) {
        // SAFETY: the trait's contract.
        unsafe { p.cast::<[Real; N]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const Real, n: usize) -> Self {
        // SAFETY: the trait's contract.
        lanes!(i, if i < n { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut Real, n: usize) {
        for i in 0..n.min(N) {
            // SAFETY: the trait's contract.
            unsafe { *p.add(i) = self.0[i] }
        }
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        lanes!(i, self.0[i] * b.0[i] + c.0[i])
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        lanes!(i, self.0[i] + b.0[i])
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        lanes!(i, self.0[i] - b.0[i])
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        lanes!(i, self.0[i] * b.0[i])
    }
    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        lanes!(i, if self.0[i] > b.0[i] { self.0[i] } else { b.0[i] })
    }
    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        lanes!(i, if self.0[i] < b.0[i] { self.0[i] } else { b.0[i] })
    }
    #[inline(always)]
    unsafe fn keep_if_less(self, a: Self, b: Self) -> Self {
        lanes!(i, if a.0[i] < b.0[i] { self.0[i] } else { 0.0 })
    }
}
