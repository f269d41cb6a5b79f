//! Frames, both ways.

use device_bench::bench::{Clock, Plan, time_layer};
use device_bench::kernels::{KernelError, KernelSet};
use device_bench::layer::ShapeError;
use device_bench::model::ModelError;
use device_bench::wire::{
    Caches, Counter, Fault, FaultKind, Hello, LayerTiming, MAX_FRAME, PROTOCOL, RamUsed, Receiver, Refusal,
    Request, Response, TooLong, decode, encode, hello_protocol, ticks,
};
use edgeslim::board::Frames;
use serde::Serialize;

/// Memory of the board that times layers.
const MEMORY: usize = 1 << 13;
const MOST_MACS: u64 = 1 << 16;

/// As the firmware does: byte by byte, and the answer into the frame's own buffer.
pub fn request(input: &[u8]) -> bool {
    let mut buffer = [0; MAX_FRAME];
    let mut receiver = Receiver::new(&mut buffer);
    let mut accepted = false;
    receiver.begin();
    for &byte in input {
        if !receiver.push(byte) {
            continue;
        }
        let response = match receiver.frame().map(decode) {
            Err(TooLong) => Response::Refused(Refusal::TooLong),
            Ok(message) => match message.ok().and_then(|bytes| postcard::from_bytes(bytes).ok()) {
                None => Response::Refused(Refusal::Unreadable),
                Some(request) => {
                    accepted = true;
                    serve(&request)
                }
            },
        };
        encode(&response, receiver.buffer()).expect("an answer fits a frame");
        receiver.begin();
    }
    // Behind the checksum, which hardly any mutation passes.
    if let Ok(request) = postcard::from_bytes::<Request<'_>>(input) {
        accepted = true;
        encode(&serve(&request), &mut buffer).expect("an answer fits a frame");
        let bytes = postcard::to_stdvec(&request).expect("requests have a wire form");
        assert_eq!(postcard::from_bytes::<Request<'_>>(&bytes).as_ref(), Ok(&request));
    }
    accepted
}

fn serve(request: &Request<'_>) -> Response<'static> {
    let Request::TimeLayer { spec, plan, seed } = request else { return Response::Done };
    let runs = u64::from(plan.n_warmups.max(1)) + 10 * u64::from(plan.n_samples);
    if spec.check().is_ok() && spec.macs().saturating_mul(runs) > MOST_MACS {
        return Response::Done;
    }
    let plan = Plan { min_sample_ticks: plan.min_sample_ticks.min(100), ..*plan };
    let mut words = vec![0u32; MEMORY / 4];
    let memory = edgeslim_tests::case::bytes_mut(&mut words);
    let timed =
        time_layer(spec, KernelSet::Dsp, memory, &[1; 512], *seed, &mut Steps(0), &plan, &mut [0; 64]);
    match timed {
        Err(error) => Response::Refused(Refusal::of_layer(error, MEMORY as u32, 512)),
        Ok((timing, crc)) => Response::LayerTiming(LayerTiming {
            cold: timing.cold_ticks,
            n_calls: timing.n_calls,
            crc,
            samples: &[],
        }),
    }
}

/// A clock of which each reading is ten ticks after the one before.
struct Steps(u64);

impl Clock for Steps {
    fn restart(&mut self) {
        self.0 = 0;
    }

    fn read(&mut self) -> u64 {
        self.0 += 10;
        self.0
    }
}

/// As the host does: in pieces, as they come.
pub fn response(input: &[u8]) -> bool {
    let mut accepted = look(input);
    let mut frames = Frames::default();
    let size = 1 + input.len() % 97;
    for piece in input.chunks(size) {
        frames.push(piece);
        loop {
            match frames.next_message() {
                Ok(Some(message)) => accepted |= look(&message),
                Ok(None) => break,
                Err(_) => {}
            }
        }
    }
    accepted
}

fn look(message: &[u8]) -> bool {
    let _ = hello_protocol(message);
    let Ok(response) = postcard::from_bytes::<Response<'_>>(message) else { return false };
    match &response {
        Response::Ticks(bytes) => assert_eq!(ticks(bytes).count(), bytes.len() / 8),
        Response::Refused(refusal) => drop(refusal.to_string()),
        Response::Hello(hello) => drop(edgeslim::board::BoardInfo::from(hello)),
        _ => {}
    }
    let bytes = postcard::to_stdvec(&response).expect("answers have a wire form");
    assert_eq!(postcard::from_bytes::<Response<'_>>(&bytes).as_ref(), Ok(&response));
    true
}

/// Every kind of answer.
pub fn responses() -> Vec<Message> {
    let figures: Vec<u8> = [7u64, 1 << 40].iter().flat_map(|x| x.to_le_bytes()).collect();
    let all = [
        Response::Hello(hello()),
        Response::LayerTiming(LayerTiming { cold: 9, n_calls: 3, crc: 0xdead_beef, samples: &figures }),
        Response::Ticks(&figures),
        Response::Done,
        Response::Model { n_layers: 4, input_bytes: 784, output_bytes: 10, arena_bytes: 4096, macs: 1 << 33 },
        Response::Logits(&[1, 0, 255]),
        Response::Elapsed { ticks: 1000 },
        Response::RamUsed(RamUsed { arena: 100, arena_size: 4096, stack: 300, stack_size: 1024 }),
        Response::Refused(Refusal::Shape(ShapeError::Kernel)),
        Response::Refused(Refusal::Kernel(KernelError::Scratch)),
        Response::Refused(Refusal::Model(ModelError::Format { found: 9 })),
        Response::Refused(Refusal::Memory { needed: 9, available: 8 }),
        Response::Fault(fault()),
    ];
    all.iter().map(Message::of).collect()
}

/// A message, alone and as it is sent.
pub struct Message {
    pub bytes: Vec<u8>,
    pub frame: Vec<u8>,
}

impl Message {
    /// The two forms of a request or an answer.
    pub fn of(message: &impl Serialize) -> Message {
        let bytes = postcard::to_stdvec(message).expect("messages have a wire form");
        let frame = encode(message, &mut [0; MAX_FRAME]).expect("every message fits a frame").to_owned();
        Message { bytes, frame }
    }
}

fn hello() -> Hello<'static> {
    Hello {
        protocol: PROTOCOL,
        board: "virtual-m4",
        cpuid: 0x410f_c241,
        counter: Some(Counter::SysTick),
        caches: Caches { i: true, d: false },
        model_address: 0x2000_0000,
        model_bytes: 1 << 16,
        arena_bytes: 1 << 15,
        static_bytes: 2048,
        kernels: "dsp",
        kernel_revision: 1,
        firmware: "0.1.0-01234567",
        compiler: "rustc 1.90.0",
    }
}

fn fault() -> Fault<'static> {
    let kind = FaultKind::Panic;
    Fault {
        kind,
        pc: 0,
        lr: 1,
        sp: 2,
        psr: 3,
        cfsr: 4,
        hfsr: 5,
        mmfar: 6,
        bfar: 7,
        file: "src/main.rs",
        line: 12,
    }
}
