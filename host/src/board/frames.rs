//! Frames from the bytes that a board sends.

use device_bench::wire::MAX_FRAME;

/// Bytes as they come, and the frames in them.
#[derive(Debug, Default)]
pub struct Frames {
    received: Vec<u8>,
}

/// Bytes that are no frame of any firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// No zero ends the frame.
    #[error("{MAX_FRAME} bytes without the end of a frame")]
    Endless,
    /// The coding is broken.
    #[error("a frame is not coded in COBS")]
    Coding,
}

impl Frames {
    /// Adds bytes that came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Takes out the first frame, without its coding; `None` if it has not come whole.
    ///
    /// # Errors
    /// [`FrameError`]; a broken frame is gone, an endless one with all that came.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let Some(end) = self.received.iter().take(MAX_FRAME).position(|&byte| byte == 0) else {
            if self.received.len() < MAX_FRAME {
                return Ok(None);
            }
            self.received.clear();
            return Err(FrameError::Endless);
        };
        let mut frame: Vec<u8> = self.received.drain(..=end).collect();
        let len = cobs_decode(&mut frame[..end]).ok_or(FrameError::Coding)?;
        frame.truncate(len);
        Ok(Some(frame))
    }

    /// Forgets what has not been taken out, as after a reset of the board.
    pub fn clear(&mut self) {
        self.received.clear();
    }
}

/// Decodes COBS in place; `None` for a broken frame.
fn cobs_decode(frame: &mut [u8]) -> Option<usize> {
    let (mut read, mut write) = (0, 0);
    while read < frame.len() {
        let code = frame[read] as usize;
        let end = read + code;
        if code == 0 || end > frame.len() {
            return None;
        }
        frame.copy_within(read + 1..end, write);
        write += code - 1;
        if code < 0xff && end < frame.len() {
            frame[write] = 0;
            write += 1;
        }
        read = end;
    }
    Some(write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use device_bench::wire::Response;

    #[test]
    fn frames_are_taken_out_one_by_one_however_they_come() {
        let sent = [Response::Done, Response::Elapsed { ticks: 0 }, Response::Logits(&[0; 64])];
        let bytes: Vec<u8> = sent.iter().flat_map(|r| postcard::to_stdvec_cobs(r).unwrap()).collect();
        for size in 1..bytes.len() {
            let (mut frames, mut got) = (Frames::default(), 0);
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(frame) = frames.next_frame().unwrap() {
                    assert_eq!(postcard::from_bytes::<Response<'_>>(&frame).unwrap(), sent[got]);
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
        assert_eq!(frames.next_frame(), Ok(None));
        frames.push(&[1]);
        assert_eq!(frames.next_frame(), Err(FrameError::Endless));
        assert_eq!(frames.next_frame(), Ok(None));
    }

    #[test]
    fn a_broken_frame_is_refused_and_the_next_one_read() {
        let mut frames = Frames::default();
        frames.push(&[9, 1, 0, 2, 7, 0]);
        assert_eq!(frames.next_frame(), Err(FrameError::Coding));
        assert_eq!(frames.next_frame(), Ok(Some(vec![7])));
    }
}
