//! One buffer that several threads write in parts.

use std::marker::PhantomData;

use cpu_kernels::Real;

/// A buffer whose disjoint ranges are written by several threads.
pub struct Disjoint<'a> {
    start: *mut Real,
    len: usize,
    _buffer: PhantomData<&'a mut [Real]>,
}

// SAFETY: `range` keeps ranges of different threads apart by its contract, and who writes through `shared` by its own.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    /// Borrows `buffer`.
    pub fn new(buffer: &'a mut [Real]) -> Disjoint<'a> {
        Disjoint { start: buffer.as_mut_ptr(), len: buffer.len(), _buffer: PhantomData }
    }

    /// A range of the buffer.
    ///
    /// # Safety
    /// No two ranges that overlap may be alive at one time.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn range(&self, start: usize, len: usize) -> &mut [Real] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: in bounds, and exclusive by the contract above.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// Where a range begins in which several threads write, each other values.
    pub fn shared(&self, start: usize, len: usize) -> *mut Real {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: in bounds.
        unsafe { self.start.add(start) }
    }
}
