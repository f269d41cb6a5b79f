//! Collects the bytes of one frame at a time.

/// A frame in the making, in a caller's buffer.
///
/// Between two frames the buffer is the caller's to use, so that a request and its answer can share one.
#[derive(Debug)]
pub struct Receiver<'a> {
    buffer: &'a mut [u8],
    len: usize,
    too_long: bool,
}

/// A frame that is longer than the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl<'a> Receiver<'a> {
    /// For frames of at most `buffer.len()` bytes, the zero at the end included.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Receiver { buffer, len: 0, too_long: false }
    }

    /// Forgets what was received and begins a frame.
    pub fn begin(&mut self) {
        (self.len, self.too_long) = (0, false);
    }

    /// Adds a byte; whether it ends the frame. What does not fit is dropped up to the zero that ends it.
    pub fn push(&mut self, byte: u8) -> bool {
        match self.buffer.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.too_long = true,
        }
        byte == 0
    }

    /// The bytes since [`Receiver::begin`], still coded.
    ///
    /// # Errors
    /// [`TooLong`] if not all of them fit.
    pub fn frame(&mut self) -> Result<&mut [u8], TooLong> {
        let frame = self.buffer.get_mut(..self.len).filter(|_| !self.too_long);
        frame.ok_or(TooLong)
    }

    /// The whole buffer, to write an answer into.
    pub fn buffer(&mut self) -> &mut [u8] {
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(receiver: &mut Receiver<'_>, bytes: &[u8]) -> Option<usize> {
        receiver.begin();
        bytes.iter().position(|&byte| receiver.push(byte))
    }

    #[test]
    fn a_frame_ends_with_its_zero_and_may_fill_the_buffer() {
        let mut buffer = [0xff; 4];
        let mut receiver = Receiver::new(&mut buffer);
        assert_eq!(receive(&mut receiver, &[1, 2, 0, 9]), Some(2));
        assert_eq!(receiver.frame(), Ok(&mut [1, 2, 0][..]));
        assert_eq!(receive(&mut receiver, &[1, 2, 3, 0]), Some(3));
        assert_eq!(receiver.frame(), Ok(&mut [1, 2, 3, 0][..]));
        assert_eq!(receive(&mut receiver, &[0]), Some(0));
        assert_eq!(receiver.frame(), Ok(&mut [0][..]));
    }

    #[test]
    fn a_frame_that_is_too_long_is_refused_and_the_next_one_read() {
        let mut buffer = [0; 4];
        let mut receiver = Receiver::new(&mut buffer);
        assert_eq!(receive(&mut receiver, &[1, 2, 3, 4, 5, 6, 0]), Some(6));
        assert_eq!(receiver.frame(), Err(TooLong));
        assert_eq!(receive(&mut receiver, &[1, 2, 3, 4, 0]), Some(4), "only the zero does not fit");
        assert_eq!(receiver.frame(), Err(TooLong));
        assert_eq!(receive(&mut receiver, &[7, 0]), Some(1));
        assert_eq!(receiver.frame(), Ok(&mut [7, 0][..]));
    }
}
