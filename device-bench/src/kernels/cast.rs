//! Views of bytes as other plain integers, in place.

use crate::quant::{Channel, Requant};
use core::mem::{align_of, size_of};
use core::slice;

/// A type of which every bit pattern is a value, without padding bytes.
///
/// # Safety
/// Only for such types.
unsafe trait Plain: Copy {}
// SAFETY: integers have neither padding nor invalid values.
unsafe impl Plain for i8 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: two `i32` in C order, without padding.
unsafe impl Plain for Requant {}
// SAFETY: three of them.
unsafe impl Plain for Channel {}

fn view<T: Plain>(bytes: &[u8]) -> Option<&[T]> {
    let fits =
        bytes.as_ptr().align_offset(align_of::<T>()) == 0 && bytes.len().is_multiple_of(size_of::<T>());
    // SAFETY: aligned, the same memory, a whole number of `T`, and every bit pattern is a `T`.
    fits.then(|| unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / size_of::<T>()) })
}

fn view_mut<T: Plain>(bytes: &mut [u8]) -> Option<&mut [T]> {
    let fits =
        bytes.as_ptr().align_offset(align_of::<T>()) == 0 && bytes.len().is_multiple_of(size_of::<T>());
    let len = bytes.len() / size_of::<T>();
    // SAFETY: as in `view`, the borrow is unique, and `T` has no padding that could leave bytes unset.
    fits.then(|| unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) })
}

/// Bytes as `i8`.
pub(crate) fn as_i8(bytes: &[u8]) -> &[i8] {
    view(bytes).unwrap_or(&[])
}

/// `i8` as bytes.
pub(crate) fn as_u8(values: &[i8]) -> &[u8] {
    // SAFETY: both are one byte without invalid values.
    unsafe { slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// Bytes as `i8`, mutable.
pub(crate) fn as_i8_mut(bytes: &mut [u8]) -> &mut [i8] {
    view_mut(bytes).unwrap_or(&mut [])
}

/// Bytes as native-endian words; `None` where misaligned or not whole words.
pub(crate) fn as_words(bytes: &[u8]) -> Option<&[u32]> {
    view(bytes)
}

/// Bytes as native-endian words, mutable; `None` where misaligned or not whole words.
pub(crate) fn as_words_mut(bytes: &mut [u8]) -> Option<&mut [u32]> {
    view_mut(bytes)
}

/// Words as native-endian halfwords, mutable.
#[cfg(dsp)]
pub(crate) fn as_halfwords_mut(words: &mut [u32]) -> &mut [i16] {
    // SAFETY: a word is two halfwords, aligned more strictly, and neither has invalid values.
    unsafe { slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 2 * words.len()) }
}

/// Bytes as the parameters of channels; `None` where misaligned or not whole ones.
pub(crate) fn as_channels(bytes: &[u8]) -> Option<&[Channel]> {
    view(bytes)
}

/// Bytes as the parameters of channels, mutable; `None` where misaligned or not whole ones.
pub(crate) fn as_channels_mut(bytes: &mut [u8]) -> Option<&mut [Channel]> {
    view_mut(bytes)
}

/// Bytes as multipliers and shifts; `None` where misaligned or not whole pairs.
pub(crate) fn as_requant(bytes: &[u8]) -> Option<&[Requant]> {
    view(bytes)
}

/// Bytes as multipliers and shifts, mutable; `None` where misaligned or not whole pairs.
pub(crate) fn as_requant_mut(bytes: &mut [u8]) -> Option<&mut [Requant]> {
    view_mut(bytes)
}
