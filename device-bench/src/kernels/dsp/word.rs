//! Words out of byte slices without a bounds check each.

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

/// Writes four bytes from `at` on.
///
/// # Safety
/// `at + 4 <= bytes.len()`.
#[inline(always)]
pub(super) unsafe fn store_bytes(bytes: &mut [i8], at: usize, word: i32) {
    debug_assert!(at + 4 <= bytes.len());
    // SAFETY: the caller's promise; unaligned writes are plain STR on every core with DSP.
    unsafe { bytes.as_mut_ptr().add(at).cast::<i32>().write_unaligned(word.to_le()) }
}
