//! Vectors, and the choice of instruction set at run time: `kernel!` compiles a generic kernel for each.

#[cfg(all(target_arch = "x86_64", not(feature = "f64")))]
pub mod avx2;
#[cfg(all(target_arch = "x86_64", not(feature = "f64")))]
pub mod avx512;
#[cfg(all(target_arch = "aarch64", not(feature = "f64")))]
pub mod neon;
pub mod portable;

use std::fmt;
use std::str::FromStr;

use crate::Real;

/// An instruction set that this processor has; kernels are compiled for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(pub(crate) Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code)] // each architecture has its own
pub(crate) enum Kind {
    Portable,
    Avx2,
    Avx512,
    Neon,
    /// The tiles of AVX2 and NEON without intrinsics.
    #[cfg(test)]
    Shape8x16,
    /// The tiles of AVX-512 without intrinsics.
    #[cfg(test)]
    Shape16x32,
}

impl Isa {
    /// No intrinsics; multiply and add are rounded separately.
    pub const PORTABLE: Isa = Isa(Kind::Portable);

    /// All that this processor has, the fastest first.
    pub fn available() -> Vec<Isa> {
        let mut available = Vec::new();
        #[cfg(all(target_arch = "x86_64", not(feature = "f64")))]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if has_avx2 && is_x86_feature_detected!("avx512f") {
                available.push(Isa(Kind::Avx512));
            }
            if has_avx2 {
                available.push(Isa(Kind::Avx2));
            }
        }
        #[cfg(all(target_arch = "aarch64", not(feature = "f64")))]
        available.push(Isa(Kind::Neon));
        available.push(Isa::PORTABLE);
        available
    }

    /// The fastest that this processor has.
    pub fn detect() -> Isa {
        Isa::available()[0]
    }

    /// Lanes of a vector; packed operands and coefficients are padded to it.
    pub fn lanes(self) -> usize {
        match self.0 {
            Kind::Avx512 => 16,
            #[cfg(test)]
            Kind::Shape16x32 => 16,
            _ => 8,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Portable => "portable",
            Kind::Avx2 => "avx2",
            Kind::Avx512 => "avx512",
            Kind::Neon => "neon",
            #[cfg(test)]
            Kind::Shape8x16 => "8 lanes, 16 registers",
            #[cfg(test)]
            Kind::Shape16x32 => "16 lanes, 32 registers",
        })
    }
}

/// A name that is no instruction set of this processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownIsa {
    name: String,
}

impl fmt::Display for UnknownIsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = Isa::available().iter().map(Isa::to_string).collect();
        write!(f, "this processor has no instruction set `{}`; it has {}", self.name, names.join(", "))
    }
}

impl std::error::Error for UnknownIsa {}

impl FromStr for Isa {
    type Err = UnknownIsa;

    /// One of [`Isa::available`] by its name.
    fn from_str(name: &str) -> Result<Isa, UnknownIsa> {
        let found = Isa::available().into_iter().find(|isa| isa.to_string() == name);
        found.ok_or_else(|| UnknownIsa { name: name.into() })
    }
}

/// Begins to load the cache line of `p`, which need not be valid, where the processor has an instruction for that.
#[inline(always)]
pub fn prefetch(p: *const Real) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: SSE is part of x86-64, and a prefetch never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = p;
}

/// The most lanes of any vector.
pub const MAX_LANES: usize = 16;

/// Vector registers that a kernel may count on; decides the shape of its tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registers {
    /// Fewer than 16 whole vectors.
    Few,
    /// 16, or 32 that hold half a vector.
    Sixteen,
    /// 32.
    #[allow(dead_code)] // AVX-512 only
    ThirtyTwo,
}

/// One vector.
///
/// # Safety
/// Loads and stores need `N` (or `n`) valid values at `p`, of any alignment; the processor must have the
/// instruction set of the implementation.
#[allow(clippy::missing_safety_doc)]
pub trait Simd: Copy {
    /// Lanes: [`Isa::lanes`].
    const N: usize;
    /// Registers of the processor.
    const REGISTERS: Registers;
    /// All lanes `x`.
    unsafe fn splat(x: Real) -> Self;
    /// `N` values.
    unsafe fn load(p: *const Real) -> Self;
    /// `N` values.
    unsafe fn store(self, p: *mut Real);
    /// The first `n` lanes (at most `N`), the others 0.
    unsafe fn load_n(p: *const Real, n: usize) -> Self;
    /// The first `n` lanes (at most `N`).
    unsafe fn store_n(self, p: *mut Real, n: usize);
    /// `self * b + c`.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// `self + b`.
    unsafe fn add(self, b: Self) -> Self;
    /// `self - b`.
    unsafe fn sub(self, b: Self) -> Self;
    /// `self * b`.
    unsafe fn mul(self, b: Self) -> Self;
    /// The larger of each lane; `b` where one is no number.
    unsafe fn max(self, b: Self) -> Self;
    /// The smaller of each lane; `b` where one is no number.
    unsafe fn min(self, b: Self) -> Self;
    /// `self` where `a < b`, else 0.
    unsafe fn keep_if_less(self, a: Self, b: Self) -> Self;
    /// `f` of every lane.
    #[inline(always)]
    unsafe fn map(self, f: fn(Real) -> Real) -> Self {
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: the trait's contract; no vector has more lanes.
        unsafe {
            self.store(lanes.as_mut_ptr());
            lanes[..Self::N].iter_mut().for_each(|lane| *lane = f(*lane));
            Self::load(lanes.as_ptr())
        }
    }
    /// All lanes 0.
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract.
        unsafe { Self::splat(0.0) }
    }
}

/// All lanes, or the first `n` of them if there are fewer.
///
/// # Safety
/// As the trait's loads.
#[inline(always)]
pub unsafe fn load_some<S: Simd>(p: *const Real, n: usize) -> S {
    // SAFETY: the trait's contract.
    unsafe { if n >= S::N { S::load(p) } else { S::load_n(p, n) } }
}

/// All lanes, or the first `n` of them if there are fewer.
///
/// # Safety
/// As the trait's stores.
#[inline(always)]
pub unsafe fn store_some<S: Simd>(v: S, p: *mut Real, n: usize) {
    // SAFETY: the trait's contract.
    unsafe { if n >= S::N { v.store(p) } else { v.store_n(p, n) } }
}

/// All lanes, or the first `n` of them where a vector is not `FULL`.
///
/// # Safety
/// As the trait's loads.
#[inline(always)]
pub unsafe fn load<S: Simd, const FULL: bool>(p: *const Real, n: usize) -> S {
    // SAFETY: the trait's contract.
    unsafe { if FULL { S::load(p) } else { S::load_n(p, n) } }
}

/// All lanes, or the first `n` of them where a vector is not `FULL`.
///
/// # Safety
/// As the trait's stores.
#[inline(always)]
pub unsafe fn store<S: Simd, const FULL: bool>(v: S, p: *mut Real, n: usize) {
    // SAFETY: the trait's contract.
    unsafe { if FULL { v.store(p) } else { v.store_n(p, n) } }
}

/// Calls `$row::<S, .., FULL>(args.., n)` for every vector of channels: `$cv` is its first, of which `n` are left.
macro_rules! each_vector {
    ($S:ident, $c:expr, $row:ident, [$($generic:tt),*], |$cv:ident| ($($arg:expr),* $(,)?)) => {{
        let mut $cv = 0;
        while $cv + $S::N <= $c {
            $row::<$S, $($generic,)* true>($($arg,)* $S::N);
            $cv += $S::N;
        }
        if $cv < $c {
            $row::<$S, $($generic,)* false>($($arg,)* $c - $cv);
        }
    }};
}
pub(crate) use each_vector;

/// Declares `$vis unsafe fn $name(isa, args)`, which runs the generic kernel `$imp::<S>` compiled for `isa`.
macro_rules! kernel {
    ($vis:vis $name:ident, $imp:ident, ($($a:ident : $t:ty),* $(,)?)) => {
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name(isa: $crate::Isa, $($a: $t),*) {
            #[cfg(all(target_arch = "x86_64", not(feature = "f64")))]
            {
                use $crate::simd::{Kind, avx2::Avx2, avx512::Avx512};
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                unsafe fn avx2($($a: $t),*) {
                    // SAFETY: the caller's contract is the kernel's.
                    unsafe { $imp::<Avx2>($($a),*) }
                }
                #[target_feature(enable = "avx512f,avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                unsafe fn avx512($($a: $t),*) {
                    // SAFETY: the caller's contract is the kernel's.
                    unsafe { $imp::<Avx512>($($a),*) }
                }
                // SAFETY: an `Isa` is one that this processor has; the contract is the caller's.
                match isa.0 {
                    Kind::Avx2 => return unsafe { avx2($($a),*) },
                    Kind::Avx512 => return unsafe { avx512($($a),*) },
                    _ => {}
                }
            }
            #[cfg(all(target_arch = "aarch64", not(feature = "f64")))]
            if isa.0 == $crate::simd::Kind::Neon {
                // SAFETY: NEON is part of aarch64; the caller's contract is the kernel's.
                return unsafe { $imp::<$crate::simd::neon::Neon>($($a),*) };
            }
            use $crate::simd::portable::Portable;
            #[cfg(test)]
            // SAFETY: the caller's contract is the kernel's.
            match isa.0 {
                $crate::simd::Kind::Shape8x16 => return unsafe { $imp::<Portable<8, 16>>($($a),*) },
                $crate::simd::Kind::Shape16x32 => return unsafe { $imp::<Portable<16, 32>>($($a),*) },
                _ => {}
            }
            let _ = isa;
            // SAFETY: the caller's contract is the kernel's.
            unsafe { $imp::<Portable<8, 0>>($($a),*) }
        }
    };
}
pub(crate) use kernel;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_instruction_set_is_found_by_its_name() {
        for isa in Isa::available() {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
    }

    #[test]
    fn an_instruction_set_that_is_not_here_is_refused_with_those_that_are() {
        let error = "mmx".parse::<Isa>().unwrap_err().to_string();
        assert!(error.contains("`mmx`") && error.contains("portable"), "{error}");
    }
}
