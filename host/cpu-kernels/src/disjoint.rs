//! One buffer that several threads write in parts.

use std::marker::PhantomData;

use crate::Real;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn threads_write_ranges_of_one_buffer() {
        for n_threads in 1..4 {
            let mut pool = Pool::new(n_threads);
            let mut buffer = vec![1.0; 7 * 5 + 2];
            for _ in 0..3 {
                let parts = Disjoint::new(&mut buffer);
                pool.run(7, &|i, _| {
                    // SAFETY: every task has a range of its own.
                    let part = unsafe { parts.range(1 + 5 * i, 5) };
                    part.iter_mut().for_each(|x| *x += i as Real);
                });
            }
            let expected = |i: usize| if i == 0 || i == 36 { 1.0 } else { 1.0 + 3.0 * ((i - 1) / 5) as Real };
            assert!(buffer.iter().enumerate().all(|(i, x)| *x == expected(i)), "{buffer:?}");
        }
    }

    #[test]
    fn each_thread_takes_its_own_scratch_for_one_task_after_another() {
        let (n_threads, n_tasks) = (3, 20);
        let mut pool = Pool::new(n_threads);
        let (mut scratch, mut sums) = (vec![0.0; n_threads * 4], vec![0.0; n_tasks]);
        let (all_scratch, all_sums) = (Disjoint::new(&mut scratch), Disjoint::new(&mut sums));
        pool.run(n_tasks, &|task_idx, thread_idx| {
            // SAFETY: no two calls at a time have the same thread, no two calls the same task.
            let (own, sum) = unsafe { (all_scratch.range(thread_idx * 4, 4), all_sums.range(task_idx, 1)) };
            own.fill(task_idx as Real);
            sum[0] = own.iter().sum();
        });
        assert!(sums.iter().enumerate().all(|(i, sum)| *sum == 4.0 * i as Real), "{sums:?}");
    }

    #[test]
    fn a_range_out_of_bounds_is_refused() {
        let mut buffer = [0.0; 4];
        let parts = Disjoint::new(&mut buffer);
        for (start, len) in [(0, 5), (4, 1), (5, 0), (1, usize::MAX)] {
            // SAFETY: no other range is alive.
            let range = AssertUnwindSafe(|| unsafe { parts.range(start, len).len() });
            assert!(catch_unwind(range).is_err(), "{len} from {start}");
        }
    }
}
