//! The only code that edgeslim flashes: answers the host's requests over RTT.
#![no_std]
#![no_main]

mod fault;
mod link;
mod memory;

use cortex_m::peripheral::CPUID;
use cortex_m_rt::entry;
use device_bench::wire::{Counter, FaultKind, Hello, PROTOCOL, Refusal, Request, Response};
use link::Link;

#[entry]
fn main() -> ! {
    memory::paint_stack();
    let mut link = Link::new();
    loop {
        link.serve(answer);
    }
}

fn answer(request: Request<'_>) -> Response<'static> {
    match request {
        Request::Hello => Response::Hello(hello()),
        Request::StackUsed => {
            let (used, size) = memory::stack_used();
            Response::StackUsed { used, size }
        }
        Request::Crash { kind: FaultKind::Panic } => panic!("asked for by the host"),
        Request::Crash { kind: FaultKind::HardFault } => cortex_m::asm::udf(),
        _ => Response::Refused(Refusal::Unsupported),
    }
}

fn hello() -> Hello<'static> {
    let (model_address, model_bytes) = memory::model_region();
    Hello {
        protocol: PROTOCOL,
        board: env!("EDGESLIM_BOARD"),
        // SAFETY: CPUID is a read-only register that every Cortex-M has.
        cpuid: unsafe { (*CPUID::PTR).base.read() },
        counter: Counter::SysTick,
        model_address,
        model_bytes,
        arena_bytes: memory::arena_bytes(),
    }
}
