//! Words out of byte and halfword slices without a bounds check each.

/// Four bytes from `at` on, little-endian.
///
/// # Safety
/// `at + 4 <= bytes.len()`.
#[inline(always)]
pub(super) unsafe fn load_bytes(bytes: &[i8], at: usize) -> i32 {
    debug_assert!(at + 4 <= bytes.len());
    // SAFETY: the caller's promise; unaligned reads are plain LDR on every core with DSP.
    i32::from_le(unsafe { bytes.as_ptr().add(at).cast::<i32>().read_unaligned() })
}

/// Two halfwords from `at` on, the first one low.
///
/// # Safety
/// `at + 2 <= halfwords.len()`.
#[inline(always)]
pub(super) unsafe fn load_halfwords(halfwords: &[i16], at: usize) -> i32 {
    debug_assert!(at + 2 <= halfwords.len());
    // SAFETY: as above.
    i32::from_le(unsafe { halfwords.as_ptr().add(at).cast::<i32>().read_unaligned() })
}

/// Writes two words as four halfwords from `at` on.
///
/// # Safety
/// `at + 4 <= halfwords.len()`.
#[inline(always)]
pub(super) unsafe fn store_halfwords(halfwords: &mut [i16], at: usize, words: [i32; 2]) {
    debug_assert!(at + 4 <= halfwords.len());
    // SAFETY: the caller's promise covers both words.
    unsafe {
        let target = halfwords.as_mut_ptr().add(at).cast::<i32>();
        target.write_unaligned(words[0].to_le());
        target.add(1).write_unaligned(words[1].to_le());
    }
}
