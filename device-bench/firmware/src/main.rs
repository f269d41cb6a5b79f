//! The only code that edgeslim flashes: answers the host's requests over RTT.
#![no_std]
#![no_main]

mod fault;
mod link;
mod memory;
mod runner;

use cortex_m::peripheral::CPUID;
use cortex_m_rt::entry;
use device_bench::wire::{Counter, FaultKind, Hello, PROTOCOL, Refusal, Request, Response};
use link::Link;
use runner::Runner;

#[entry]
fn main() -> ! {
    memory::paint_stack();
    let mut link = Link::new();
    let mut runner = Runner::new();
    loop {
        let runner = &mut runner;
        link.serve(move |request| answer(request, runner));
    }
}

fn answer<'a>(request: Request<'_>, runner: &'a mut Runner) -> Response<'a> {
    let served = match request {
        Request::LoadModel { len } => runner.load(len),
        Request::Input { offset, bytes } => runner.input(offset, bytes),
        Request::RunModel => runner.run(),
        Request::Logits { offset } => runner.logits(offset),
        Request::Hello => Ok(Response::Hello(hello())),
        Request::StackUsed => {
            let (used, size) = memory::stack_used();
            Ok(Response::StackUsed { used, size })
        }
        Request::Crash { kind: FaultKind::Panic } => panic!("asked for by the host"),
        Request::Crash { kind: FaultKind::HardFault } => cortex_m::asm::udf(),
        _ => Err(Refusal::Unsupported),
    };
    served.unwrap_or_else(Response::Refused)
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
