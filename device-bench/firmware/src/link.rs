//! Frames over RTT.

use device_bench::wire::{MAX_FRAME, Refusal, Request, Response};
use rtt_target::{ChannelMode::NoBlockTrim, DownChannel, UpChannel, rtt_init};

pub struct Link {
    up: UpChannel,
    down: DownChannel,
    frame: &'static mut [u8; MAX_FRAME],
    len: usize,
    too_long: bool,
}

impl Link {
    /// `frame` holds a request, then its answer.
    pub fn new(frame: &'static mut [u8; MAX_FRAME]) -> Self {
        let channels = rtt_init! {
            up: { 0: { size: 1024, mode: NoBlockTrim, name: "edgeslim" } }
            down: { 0: { size: 1024, mode: NoBlockTrim, name: "edgeslim" } }
        };
        Link { up: channels.up.0, down: channels.down.0, frame, len: 0, too_long: false }
    }

    /// Waits for one request and answers it from the same buffer.
    pub fn serve<'a>(&mut self, answer: impl FnOnce(Request<'_>) -> Response<'a>) {
        self.receive();
        let response = match postcard::from_bytes_cobs(&mut self.frame[..self.len]) {
            _ if self.too_long => Response::Refused(Refusal::TooLong),
            Ok(request) => answer(request),
            Err(_) => Response::Refused(Refusal::Unreadable),
        };
        send(&mut self.up, self.frame, &response);
    }

    /// Collects bytes up to and with the zero that ends a frame.
    fn receive(&mut self) {
        (self.len, self.too_long) = (0, false);
        let mut byte = [0];
        loop {
            if self.down.read(&mut byte) == 0 {
                continue;
            }
            match self.frame.get_mut(self.len) {
                Some(place) => {
                    *place = byte[0];
                    self.len += 1;
                }
                None => self.too_long = true,
            }
            if byte[0] == 0 {
                return;
            }
        }
    }
}

/// Writes a whole frame, waiting for the host to make room.
pub fn send(up: &mut UpChannel, buffer: &mut [u8], response: &Response<'_>) {
    let Ok(frame) = postcard::to_slice_cobs(response, buffer) else { return };
    let mut rest: &[u8] = frame;
    while !rest.is_empty() {
        rest = &rest[up.write(rest)..];
    }
}
