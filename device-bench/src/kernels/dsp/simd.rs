//! The DSP instructions that the inner loops use; plain Rust twins on any other machine, so that the same
//! loops run under the same tests everywhere.

#[cfg(dsp)]
use core::arch::asm;

/// Whether the instructions are real here.
pub(in crate::kernels) const NATIVE: bool = cfg!(dsp);

/// One instruction: outputs nothing but its register, reads no memory, sets no flag but Q.
#[cfg(dsp)]
macro_rules! instruction {
    ($text:literal, $($operand:ident = $value:expr),+) => {{
        let out: i32;
        // SAFETY: one arithmetic instruction on registers; `build.rs` sets `dsp` only where it exists.
        unsafe {
            asm!(
                $text,
                out = lateout(reg) out, $($operand = in(reg) $value),+,
                options(pure, nomem, nostack, preserves_flags)
            )
        };
        out
    }};
}

#[cfg(not(dsp))]
const fn low(word: i32) -> i32 {
    word as i16 as i32
}

#[cfg(not(dsp))]
const fn high(word: i32) -> i32 {
    word >> 16
}

#[cfg(not(dsp))]
const fn pair(low: i32, high: i32) -> i32 {
    (low & 0xffff) | (high << 16)
}

/// Bytes 0 and 2, each widened to a halfword.
#[inline(always)]
pub(super) fn sxtb16(word: i32) -> i32 {
    #[cfg(dsp)]
    return instruction!("sxtb16 {out}, {word}", word = word);
    #[cfg(not(dsp))]
    pair(word as i8 as i32, (word >> 16) as i8 as i32)
}

/// Bytes 1 and 3, each widened to a halfword.
#[inline(always)]
pub(super) fn sxtb16_ror8(word: i32) -> i32 {
    #[cfg(dsp)]
    return instruction!("sxtb16 {out}, {word}, ror #8", word = word);
    #[cfg(not(dsp))]
    pair((word >> 8) as i8 as i32, word >> 24)
}

/// `acc` plus the products of both halves.
#[inline(always)]
pub(super) fn smlad(a: i32, b: i32, acc: i32) -> i32 {
    #[cfg(dsp)]
    return instruction!("smlad {out}, {a}, {b}, {acc}", a = a, b = b, acc = acc);
    #[cfg(not(dsp))]
    acc.wrapping_add(low(a) * low(b)).wrapping_add(high(a) * high(b))
}

/// `acc` plus the product of the low halves.
#[inline(always)]
pub(super) fn smlabb(a: i32, b: i32, acc: i32) -> i32 {
    #[cfg(dsp)]
    return instruction!("smlabb {out}, {a}, {b}, {acc}", a = a, b = b, acc = acc);
    #[cfg(not(dsp))]
    acc.wrapping_add(low(a) * low(b))
}

/// `acc` plus the product of the high halves.
#[inline(always)]
pub(super) fn smlatt(a: i32, b: i32, acc: i32) -> i32 {
    #[cfg(dsp)]
    return instruction!("smlatt {out}, {a}, {b}, {acc}", a = a, b = b, acc = acc);
    #[cfg(not(dsp))]
    acc.wrapping_add(high(a) * high(b))
}
