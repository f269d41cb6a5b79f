//! The DSP instructions that the inner loops use; plain Rust twins on any other machine, so that the same
//! loops run under the same tests everywhere.

use crate::quant::Channel;
#[cfg(not(dsp))]
use crate::quant::Clamp;
#[cfg(dsp)]
use core::arch::asm;

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

/// Halves less the halves of `b`.
#[inline(always)]
pub(super) fn ssub16(a: i32, b: i32) -> i32 {
    #[cfg(dsp)]
    return instruction!("ssub16 {out}, {a}, {b}", a = a, b = b);
    #[cfg(not(dsp))]
    pair(low(a) - low(b), high(a) - high(b))
}

/// Halves plus bytes 0 and 2.
#[inline(always)]
pub(super) fn sxtab16(acc: i32, word: i32) -> i32 {
    #[cfg(dsp)]
    return instruction!("sxtab16 {out}, {acc}, {word}", acc = acc, word = word);
    #[cfg(not(dsp))]
    pair(low(acc) + low(sxtb16(word)), high(acc) + high(sxtb16(word)))
}

/// Halves plus bytes 1 and 3.
#[inline(always)]
pub(super) fn sxtab16_ror8(acc: i32, word: i32) -> i32 {
    #[cfg(dsp)]
    return instruction!("sxtab16 {out}, {acc}, {word}, ror #8", acc = acc, word = word);
    #[cfg(not(dsp))]
    pair(low(acc) + low(sxtb16_ror8(word)), high(acc) + high(sxtb16_ror8(word)))
}

/// [`Channel::finish`] for a fast scale: half a step and the zero point are shifted to where the high half of the product
/// has them, so that one instruction multiplies, rounds and adds. Negative sums are one less: ties go away from zero.
#[inline(always)]
pub(super) fn finish(channel: &Channel, twice_sum: i32, zero: i8) -> i8 {
    #[cfg(dsp)]
    {
        let twice_acc = channel.twice_bias.wrapping_add(twice_sum);
        let rounding = (2 * i32::from(zero) + 1) << (channel.shift_but_one & 31);
        let out: i32;
        // SAFETY: as in `instruction`; SSAT may set Q.
        unsafe {
            asm!(
                "smmlar {out}, {acc}, {multiplier}, {rounding}",
                "add {out}, {out}, {acc}, asr #31",
                "asr {out}, {out}, {shift}",
                "ssat {out}, #8, {out}, asr #1",
                out = out(reg) out, acc = in(reg) twice_acc, multiplier = in(reg) channel.multiplier,
                rounding = in(reg) rounding, shift = in(reg) channel.shift_but_one,
                options(pure, nomem, nostack, preserves_flags)
            )
        };
        out as i8
    }
    #[cfg(not(dsp))]
    channel.finish(twice_sum, zero, Clamp::FULL)
}

/// The larger of each of four bytes.
#[inline(always)]
pub(super) fn max4(a: i32, b: i32) -> i32 {
    #[cfg(dsp)]
    {
        let out: i32;
        // SAFETY: as in `instruction`; SSUB8 sets the flags that SEL reads.
        unsafe {
            asm!(
                "ssub8 {out}, {a}, {b}",
                "sel {out}, {a}, {b}",
                out = out(reg) out, a = in(reg) a, b = in(reg) b,
                options(pure, nomem, nostack)
            )
        };
        out
    }
    #[cfg(not(dsp))]
    {
        let [a, b] = [a, b].map(i32::to_le_bytes);
        i32::from_le_bytes(core::array::from_fn(|i| (a[i] as i8).max(b[i] as i8) as u8))
    }
}

/// Each of four bytes moved between the bytes of the bounds, lower and upper.
#[inline(always)]
pub(super) fn clamp4(bytes: i32, [min, max]: [i32; 2]) -> i32 {
    #[cfg(dsp)]
    {
        let out: i32;
        // SAFETY: as in `instruction`; SSUB8 sets the flags that SEL reads.
        unsafe {
            asm!(
                "ssub8 {out}, {x}, {min}",
                "sel {x}, {x}, {min}",
                "ssub8 {out}, {max}, {x}",
                "sel {out}, {x}, {max}",
                x = inout(reg) bytes => _, min = in(reg) min, max = in(reg) max, out = out(reg) out,
                options(pure, nomem, nostack)
            )
        };
        out
    }
    #[cfg(not(dsp))]
    {
        let [x, min, max] = [bytes, min, max].map(i32::to_le_bytes);
        i32::from_le_bytes(core::array::from_fn(|i| (x[i] as i8).max(min[i] as i8).min(max[i] as i8) as u8))
    }
}
