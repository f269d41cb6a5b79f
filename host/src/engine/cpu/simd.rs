//! Vectors of f32: AVX2 with FMA where the processor has it, else four portable lanes (LLVM makes SSE2 or NEON of
//! them). `kernel!` compiles a generic kernel for both and chooses at run time.

use std::sync::OnceLock;

/// An instruction set that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
    /// Four lanes, multiply and add rounded separately.
    Portable,
    /// Eight lanes, fused multiply-add.
    Avx2,
}

impl Isa {
    /// The best this processor has.
    pub fn detect() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Isa::Avx2;
            }
            Isa::Portable
        })
    }
}

/// Lanes that buffers are padded to, whatever the instruction set.
pub const LANES: usize = 8;

/// Begins to load the cache line of `p`, which need not be valid, where the processor has an instruction for that.
#[inline(always)]
pub fn prefetch(p: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// One vector register.
///
/// # Safety
/// Loads and stores need `N` (or `n`) valid floats at `p`, of any alignment; the processor must have the
/// instruction set of the implementation.
#[allow(clippy::missing_safety_doc)]
pub trait Simd: Copy {
    /// Lanes; divides [`LANES`].
    const N: usize;
    /// All lanes 0.
    unsafe fn zero() -> Self;
    /// All lanes `x`.
    unsafe fn splat(x: f32) -> Self;
    /// `N` floats.
    unsafe fn load(p: *const f32) -> Self;
    /// `N` floats.
    unsafe fn store(self, p: *mut f32);
    /// The first `n` lanes (at most `N`), the others 0.
    unsafe fn load_n(p: *const f32, n: usize) -> Self;
    /// The first `n` lanes (at most `N`).
    unsafe fn store_n(self, p: *mut f32, n: usize);
    /// `self * b + c`.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// `self + b`.
    unsafe fn add(self, b: Self) -> Self;
    /// `self - b`.
    unsafe fn sub(self, b: Self) -> Self;
    /// The larger of each lane.
    unsafe fn max(self, b: Self) -> Self;
    /// `self` where `m > 0`, else 0.
    unsafe fn keep_positive(self, m: Self) -> Self;
}

/// Four lanes without intrinsics.
#[derive(Clone, Copy)]
pub struct Portable([f32; 4]);

macro_rules! lanes {
    ($i:ident, $value:expr) => {{
        let mut lanes = [0.0f32; 4];
        for $i in 0..4 {
            lanes[$i] = $value;
        }
        Portable(lanes)
    }};
}

#[allow(clippy::needless_range_loop)]
impl Simd for Portable {
    const N: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Portable([0.0; 4])
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Portable([x; 4])
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the trait's contract.
        Portable(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn load_n(p: *const f32, n: usize) -> Self {
        // SAFETY: the trait's contract.
        lanes!(i, if i < n { unsafe { *p.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut f32, n: usize) {
        for i in 0..n.min(4) {
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
    unsafe fn max(self, b: Self) -> Self {
        lanes!(i, if self.0[i] > b.0[i] { self.0[i] } else { b.0[i] })
    }
    #[inline(always)]
    unsafe fn keep_positive(self, m: Self) -> Self {
        lanes!(i, if m.0[i] > 0.0 { self.0[i] } else { 0.0 })
    }
}

/// Eight lanes of AVX2 with FMA.
#[cfg(target_arch = "x86_64")]
pub mod avx2 {
    #![allow(unsafe_op_in_unsafe_fn)] // every function is one intrinsic under the trait's contract

    use std::arch::x86_64::*;

    use super::Simd;

    /// One ymm register.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256);

    #[inline(always)]
    unsafe fn mask(n: usize) -> __m256i {
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
    }

    impl Simd for Avx2 {
        const N: usize = 8;
        #[inline(always)]
        unsafe fn zero() -> Self {
            Avx2(_mm256_setzero_ps())
        }
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            Avx2(_mm256_set1_ps(x))
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            Avx2(_mm256_loadu_ps(p))
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            _mm256_storeu_ps(p, self.0)
        }
        #[inline(always)]
        unsafe fn load_n(p: *const f32, n: usize) -> Self {
            Avx2(_mm256_maskload_ps(p, mask(n)))
        }
        #[inline(always)]
        unsafe fn store_n(self, p: *mut f32, n: usize) {
            _mm256_maskstore_ps(p, mask(n), self.0)
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            Avx2(_mm256_fmadd_ps(self.0, b.0, c.0))
        }
        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            Avx2(_mm256_add_ps(self.0, b.0))
        }
        #[inline(always)]
        unsafe fn sub(self, b: Self) -> Self {
            Avx2(_mm256_sub_ps(self.0, b.0))
        }
        #[inline(always)]
        unsafe fn max(self, b: Self) -> Self {
            Avx2(_mm256_max_ps(self.0, b.0))
        }
        #[inline(always)]
        unsafe fn keep_positive(self, m: Self) -> Self {
            Avx2(_mm256_and_ps(self.0, _mm256_cmp_ps::<_CMP_GT_OQ>(m.0, _mm256_setzero_ps())))
        }
    }
}

/// Declares `$vis unsafe fn $name(isa, args)`, which runs the generic kernel `$imp::<S>` compiled for `isa`.
macro_rules! kernel {
    ($vis:vis $name:ident, $imp:ident, ($($a:ident : $t:ty),* $(,)?)) => {
        #[allow(clippy::too_many_arguments)]
        $vis unsafe fn $name(isa: $crate::engine::cpu::simd::Isa, $($a: $t),*) {
            #[cfg(target_arch = "x86_64")]
            if isa == $crate::engine::cpu::simd::Isa::Avx2 {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                unsafe fn avx2($($a: $t),*) {
                    // SAFETY: the caller's contract is the kernel's.
                    unsafe { $imp::<$crate::engine::cpu::simd::avx2::Avx2>($($a),*) }
                }
                // SAFETY: `Isa::Avx2` comes from `Isa::detect` only.
                return unsafe { avx2($($a),*) };
            }
            let _ = isa;
            // SAFETY: the caller's contract is the kernel's.
            unsafe { $imp::<$crate::engine::cpu::simd::Portable>($($a),*) }
        }
    };
}
pub(super) use kernel;
