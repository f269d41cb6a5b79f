//! Frames over RTT.

use device_bench::wire::{MAX_FRAME, Receiver, Refusal, Request, Response, TooLong, decode, encode};
use rtt_target::{ChannelMode::NoBlockTrim, DownChannel, UpChannel, rtt_init};

pub struct Link {
    up: UpChannel,
    down: DownChannel,
    receiver: Receiver<'static>,
}

impl Link {
    /// `frame` holds a request, then its answer.
    pub fn new(frame: &'static mut [u8; MAX_FRAME]) -> Self {
        let channels = rtt_init! {
            up: { 0: { size: 1024, mode: NoBlockTrim, name: "edgeslim" } }
            down: { 0: { size: 1024, mode: NoBlockTrim, name: "edgeslim" } }
        };
        Link { up: channels.up.0, down: channels.down.0, receiver: Receiver::new(frame) }
    }

    /// Waits for one request and answers it from the same buffer.
    pub fn serve<'a>(&mut self, answer: impl FnOnce(Request<'_>) -> Response<'a>) {
        self.receive();
        let response = match self.receiver.frame().map(decode) {
            Err(TooLong) => Response::Refused(Refusal::TooLong),
            Ok(message) => match message.ok().and_then(|bytes| postcard::from_bytes(bytes).ok()) {
                Some(request) => answer(request),
                None => Response::Refused(Refusal::Unreadable),
            },
        };
        send(&mut self.up, self.receiver.buffer(), &response);
    }

    /// Collects bytes up to and with the zero that ends a frame.
    fn receive(&mut self) {
        self.receiver.begin();
        let mut byte = [0];
        while self.down.read(&mut byte) == 0 || !self.receiver.push(byte[0]) {}
    }
}

/// Writes a whole frame, waiting for the host to make room.
pub fn send(up: &mut UpChannel, buffer: &mut [u8], response: &Response<'_>) {
    let Ok(frame) = encode(response, buffer) else { return };
    let mut rest: &[u8] = frame;
    while !rest.is_empty() {
        rest = &rest[up.write(rest)..];
    }
}
