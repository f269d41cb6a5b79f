//! Frames: a message, the CRC-32 of its bytes (little-endian), all in COBS, and a zero.

use crate::crc::crc32;
use cobs::{EncoderState, PushResult};
use serde::{Deserialize, Serialize};

/// The longest frame, its coding and final zero included.
pub const MAX_FRAME: usize = 1200;

const CRC_BYTES: usize = 4;
/// The first code, one more for every 254 bytes, and one to spare.
const GAP: usize = 2 + MAX_FRAME / 254;

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FrameError {
    /// The coding is broken.
    #[error("a frame is not coded in COBS")]
    Coding,
    /// Some bits are not what was sent.
    #[error("the checksum of a frame is wrong")]
    Checksum,
}

/// Writes `message` as a frame to the start of `buffer`, of which [`MAX_FRAME`] bytes are enough for any.
///
/// # Errors
/// If the buffer is too small.
pub fn encode<'a>(message: &impl Serialize, buffer: &'a mut [u8]) -> postcard::Result<&'a mut [u8]> {
    let room = buffer.get_mut(GAP..).ok_or(postcard::Error::SerializeBufferFull)?;
    let message_len = postcard::to_slice(message, room)?.len();
    frame(buffer, message_len).ok_or(postcard::Error::SerializeBufferFull)
}

/// Makes a frame of the message that lies behind the [`GAP`]: coding only ever writes behind what it has read.
fn frame(buffer: &mut [u8], message_len: usize) -> Option<&mut [u8]> {
    let crc = crc32(buffer.get(GAP..GAP + message_len)?);
    buffer.get_mut(GAP + message_len..)?.first_chunk_mut().map(|place| *place = crc.to_le_bytes())?;
    let (mut coder, mut len) = (EncoderState::default(), 1);
    for read in GAP..GAP + message_len + CRC_BYTES {
        match coder.push(*buffer.get(read)?) {
            PushResult::AddSingle(byte) => *buffer.get_mut(len)? = byte,
            PushResult::ModifyFromStartAndSkip((code_idx, code)) => *buffer.get_mut(code_idx)? = code,
            PushResult::ModifyFromStartAndPushAndSkip((code_idx, code, byte)) => {
                *buffer.get_mut(code_idx)? = code;
                *buffer.get_mut(len)? = byte;
                // The next code's place.
                len += 1;
            }
        }
        len += 1;
    }
    let (code_idx, code) = coder.finalize();
    *buffer.get_mut(code_idx)? = code;
    *buffer.get_mut(len)? = 0;
    buffer.get_mut(..=len)
}

/// Decodes a frame in place, with or without its final zero, and returns the message's bytes.
///
/// # Errors
/// [`FrameError`]; the bytes of `frame` are anything then.
pub fn decode(frame: &mut [u8]) -> Result<&[u8], FrameError> {
    let len = cobs::decode_in_place(frame).map_err(|_| FrameError::Coding)?;
    let checked = frame.get(..len).and_then(|bytes| bytes.split_last_chunk::<CRC_BYTES>());
    let (message, crc) = checked.ok_or(FrameError::Coding)?;
    if crc32(message) == u32::from_le_bytes(*crc) { Ok(message) } else { Err(FrameError::Checksum) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{INPUT_CHUNK, Request};
    use proptest::prelude::*;

    #[test]
    fn the_largest_request_fits_a_frame_and_reads_as_it_was_written() {
        let request = Request::Input { offset: u32::MAX, bytes: &[1; INPUT_CHUNK] };
        let mut buffer = [0; MAX_FRAME];
        let frame = encode(&request, &mut buffer).expect("it fits");
        assert_eq!(frame.iter().position(|&byte| byte == 0), Some(frame.len() - 1));
        assert_eq!(postcard::from_bytes(decode(frame).expect("it is whole")), Ok(request));
        assert!(encode(&Request::Hello, &mut [0; 6]).is_err());
    }

    #[test]
    fn frames_around_the_longest_run_of_the_coding_read_as_they_were_written() {
        for len in (240..270).chain(500..520) {
            for byte in [0, 1, 255] {
                let sent = [byte; 520];
                let request = Request::Input { offset: 1, bytes: &sent[..len] };
                let mut buffer = [0; MAX_FRAME];
                let frame = encode(&request, &mut buffer).expect("it fits");
                assert_eq!(
                    frame.iter().position(|&byte| byte == 0),
                    Some(frame.len() - 1),
                    "{len} times {byte}"
                );
                assert_eq!(postcard::from_bytes(decode(frame).expect("it is whole")), Ok(request));
            }
        }
    }

    proptest! {
        #[test]
        fn a_frame_with_up_to_three_wrong_bits_is_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0u32..8), 1..4),
        ) {
            let mut buffer = [0; MAX_FRAME];
            let frame = encode(&Request::Input { offset: 7, bytes: &bytes }, &mut buffer).expect("it fits");
            let crc = crc32(frame);
            for (at, bit) in flips {
                let len = frame.len();
                frame[at.index(len)] ^= 1 << bit;
            }
            prop_assume!(crc32(frame) != crc);
            prop_assert!(decode(frame).is_err());
        }
    }
}
