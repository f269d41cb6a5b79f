//! Buffers that end at memory which cannot be touched.

use std::ops::{Deref, DerefMut};

use crate::Real;

/// A copy of `values`: the byte behind the last one cannot be read or written, and those before the first one are
/// found changed when it is dropped. Under Miri, which sees every access, it is a plain allocation.
pub fn guarded(values: &[Real]) -> Guarded {
    let mut guarded = Guarded(imp::Memory::new(values.len()));
    guarded.copy_from_slice(values);
    guarded
}

pub struct Guarded(imp::Memory);

impl Deref for Guarded {
    type Target = [Real];
    fn deref(&self) -> &[Real] {
        self.0.values()
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut [Real] {
        self.0.values_mut()
    }
}

#[cfg(any(miri, not(unix)))]
mod imp {
    use crate::Real;

    pub struct Memory(Box<[Real]>);

    impl Memory {
        pub fn new(len: usize) -> Memory {
            Memory(vec![0.0; len].into_boxed_slice())
        }

        pub fn values(&self) -> &[Real] {
            &self.0
        }

        pub fn values_mut(&mut self) -> &mut [Real] {
            &mut self.0
        }
    }
}

#[cfg(all(unix, not(miri)))]
mod imp {
    use crate::Real;
    use std::ptr::null_mut;
    use std::slice::{from_raw_parts, from_raw_parts_mut};

    const UNTOUCHED: u8 = 0xA5;

    /// Whole pages, the last of which has no access; the values end where it begins.
    pub struct Memory {
        pages: *mut u8,
        /// Bytes with access, and one page.
        len_and_page: (usize, usize),
        n_values: usize,
    }

    impl Memory {
        pub fn new(n_values: usize) -> Memory {
            // SAFETY: a query; an anonymous mapping at no given address; a protection of its own last page; bytes
            // of that mapping.
            unsafe {
                let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
                let len = (n_values * size_of::<Real>()).max(1).next_multiple_of(page);
                let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
                let pages = libc::mmap(null_mut(), len + page, access, kind, -1, 0);
                assert!(pages != libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
                let pages = pages.cast::<u8>();
                assert_eq!(libc::mprotect(pages.add(len).cast(), page, libc::PROT_NONE), 0);
                pages.write_bytes(UNTOUCHED, len);
                Memory { pages, len_and_page: (len, page), n_values }
            }
        }

        fn n_bytes_before(&self) -> usize {
            self.len_and_page.0 - self.n_values * size_of::<Real>()
        }

        pub fn values(&self) -> &[Real] {
            // SAFETY: the last values of the mapping's accessible bytes, which are aligned with the page behind.
            unsafe { from_raw_parts(self.pages.add(self.n_bytes_before()).cast(), self.n_values) }
        }

        pub fn values_mut(&mut self) -> &mut [Real] {
            // SAFETY: as `values`; the mapping is this value's alone.
            unsafe { from_raw_parts_mut(self.pages.add(self.n_bytes_before()).cast(), self.n_values) }
        }
    }

    impl Drop for Memory {
        fn drop(&mut self) {
            let (len, page) = self.len_and_page;
            // SAFETY: bytes of the mapping; nothing refers to them after this.
            let untouched = unsafe {
                let before = from_raw_parts(self.pages, self.n_bytes_before());
                let untouched = before.iter().all(|byte| *byte == UNTOUCHED);
                libc::munmap(self.pages.cast(), len + page);
                untouched
            };
            assert!(untouched || std::thread::panicking(), "a kernel wrote before its slice");
        }
    }
}

/// Asks the system, which tells instead of faulting; so does QEMU where it emulates one.
#[cfg(all(unix, not(miri)))]
#[test]
fn the_byte_behind_a_buffer_cannot_be_read() {
    for n in [0, 1, 5, 4096] {
        let (values, mut pipe) = (guarded(&vec![1.0; n]), [0; 2]);
        let end = values.as_ptr_range().end.cast::<u8>();
        // SAFETY: `write` checks what it reads; the pipe's ends are this test's own.
        unsafe {
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            assert_eq!(libc::write(pipe[1], end.wrapping_sub(1).cast(), 1), 1);
            assert_eq!(libc::write(pipe[1], end.cast(), 1), -1);
            assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EFAULT));
            pipe.iter().for_each(|end| assert_eq!(libc::close(*end), 0));
        }
    }
}
