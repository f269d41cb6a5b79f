//! Messages from the bytes that a board sends.

use device_bench::wire::{self, MAX_FRAME};

/// Bytes as they come, and the frames in them.
#[derive(Debug, Default)]
pub struct Frames {
    received: Vec<u8>,
}

/// Bytes that did not come as a board sent them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No zero ends the frame.
    #[error("{MAX_FRAME} bytes came without the end of a frame")]
    Endless,
    /// The frame is broken.
    #[error(transparent)]
    Broken(#[from] wire::FrameError),
}

impl Frames {
    /// Adds bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Takes out the message of the first frame; `None` if it has not come whole.
    ///
    /// # Errors
    /// [`FrameError`]; a broken frame is gone, an endless one with all that came.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some(end) = self.received.iter().take(MAX_FRAME).position(|&byte| byte == 0) else {
            if self.received.len() < MAX_FRAME {
                return Ok(None);
            }
            self.received.clear();
            return Err(FrameError::Endless);
        };
        let mut frame: Vec<u8> = self.received.drain(..=end).collect();
        let len = wire::decode(&mut frame)?.len();
        frame.truncate(len);
        Ok(Some(frame))
    }

    /// Forgets what has not been taken out, as after a reset of the board.
    pub fn clear(&mut self) {
        self.received.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use device_bench::wire::Response;

    fn frame(response: &Response<'_>) -> Vec<u8> {
        wire::encode(response, &mut [0; MAX_FRAME]).unwrap().to_owned()
    }

    #[test]
    fn frames_are_taken_out_one_by_one_however_they_come() {
        let sent = [Response::Done, Response::Elapsed { ticks: 0 }, Response::Logits(&[0; 64])];
        let bytes: Vec<u8> = sent.iter().flat_map(frame).collect();
        for size in 1..bytes.len() {
            let (mut frames, mut got) = (Frames::default(), 0);
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(message) = frames.next_message().unwrap() {
                    assert_eq!(postcard::from_bytes::<Response<'_>>(&message).unwrap(), sent[got]);
                    got += 1;
                }
            }
            assert_eq!(got, sent.len(), "in pieces of {size}");
        }
    }

    #[test]
    fn a_frame_without_an_end_is_refused_before_it_fills_the_memory() {
        let mut frames = Frames::default();
        frames.push(&[1; MAX_FRAME - 1]);
        assert_eq!(frames.next_message(), Ok(None));
        frames.push(&[1]);
        assert_eq!(frames.next_message(), Err(FrameError::Endless));
        assert_eq!(frames.next_message(), Ok(None));
    }

    #[test]
    fn a_broken_frame_is_refused_and_the_next_one_read() {
        let mut frames = Frames::default();
        let whole = frame(&Response::Elapsed { ticks: 700 });
        let mut wrong = whole.clone();
        wrong[3] ^= 0x10;
        frames.push(&[&[9, 1, 0], &wrong[..], &whole].concat());
        assert_eq!(frames.next_message(), Err(wire::FrameError::Coding.into()));
        assert_eq!(frames.next_message(), Err(wire::FrameError::Checksum.into()));
        assert!(frames.next_message().unwrap().is_some());
    }
}
