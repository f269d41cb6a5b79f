//! Eight lanes as two NEON registers.

#![allow(unsafe_op_in_unsafe_fn)] // every function is a pair of intrinsics under the trait's contract

use std::arch::aarch64::*;

use super::{Registers, Simd};

/// Two q registers.
#[derive(Clone, Copy)]
pub struct Neon(float32x4_t, float32x4_t);

impl Simd for Neon {
    const N: usize = 8;
    const REGISTERS: Registers = Registers::Sixteen;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Neon(vdupq_n_f32(x), vdupq_n_f32(x))
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        Neon(vld1q_f32(p), vld1q_f32(p.add(4)))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        vst1q_f32(p, self.0);
        vst1q_f32(p.add(4), self.1);
    }
    #[inline(always)]
    unsafe fn load_n(p: *const f32, n: usize) -> Self {
        let mut lanes = [0.0f32; 8];
        std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n.min(8));
        Self::load(lanes.as_ptr())
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut f32, n: usize) {
        let mut lanes = [0.0f32; 8];
        self.store(lanes.as_mut_ptr());
        std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n.min(8));
    }
    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        Neon(vfmaq_f32(c.0, self.0, b.0), vfmaq_f32(c.1, self.1, b.1))
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Neon(vaddq_f32(self.0, b.0), vaddq_f32(self.1, b.1))
    }
    #[inline(always)]
    unsafe fn sub(self, b: Self) -> Self {
        Neon(vsubq_f32(self.0, b.0), vsubq_f32(self.1, b.1))
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        Neon(vmulq_f32(self.0, b.0), vmulq_f32(self.1, b.1))
    }
    #[inline(always)]
    unsafe fn max(self, b: Self) -> Self {
        Neon(vbslq_f32(vcgtq_f32(self.0, b.0), self.0, b.0), vbslq_f32(vcgtq_f32(self.1, b.1), self.1, b.1))
    }
    #[inline(always)]
    unsafe fn min(self, b: Self) -> Self {
        Neon(vbslq_f32(vcltq_f32(self.0, b.0), self.0, b.0), vbslq_f32(vcltq_f32(self.1, b.1), self.1, b.1))
    }
    #[inline(always)]
    unsafe fn keep_if_less(self, a: Self, b: Self) -> Self {
        let keep = |v, a, b| vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vcltq_f32(a, b)));
        Neon(keep(self.0, a.0, b.0), keep(self.1, a.1, b.1))
    }
}
