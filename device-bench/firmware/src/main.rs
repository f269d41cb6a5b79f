//! The only code that edgeslim flashes: answers the host's requests over RTT.
#![no_std]
#![no_main]

#[cfg(target_arch = "arm")]
#[path = "cortex_m/mod.rs"]
mod arch;
#[cfg(target_arch = "riscv32")]
#[path = "riscv/mod.rs"]
mod arch;
mod fault;
mod link;
mod memory;
mod runner;
mod timing;
mod unit;

use device_bench::kernels::{KERNEL_REVISION, KernelSet};
use device_bench::wire::{FaultKind, Hello, MAX_FRAME, PAGE, PROTOCOL, Request, Response};
use link::Link;
use runner::Runner;

/// Serves the host for ever. The start-up code of the core calls it once.
fn run(frame: &'static mut [u8; MAX_FRAME], figures: &'static mut [u64; PAGE]) -> ! {
    memory::paint_stack();
    arch::disable_interrupts();
    let mut link = Link::new(frame);
    let mut runner = Runner::new(arch::start_clock(), figures);
    loop {
        let runner = &mut runner;
        link.serve(move |request| {
            let response = answer(request, runner);
            if memory::stack_overflowed() {
                fault::stack_overflow();
            }
            response
        });
    }
}

fn answer<'a>(request: Request<'_>, runner: &'a mut Runner) -> Response<'a> {
    let served = match request {
        Request::LoadModel { len } => runner.load(len),
        Request::Input { offset, bytes } => runner.input(offset, bytes),
        Request::RunModel => runner.run(),
        Request::Logits { offset } => runner.logits(offset),
        Request::Hello => Ok(Response::Hello(hello(runner))),
        Request::TimeLayer { spec, plan, seed } => runner.time_layer(&spec, &plan, seed),
        Request::TimeModel => runner.time_model(),
        Request::LayerTicks { first } => runner.layer_ticks(first),
        Request::Spin { n_loops } => runner.spin(n_loops),
        Request::RamUsed => Ok(runner.ram_used()),
        Request::Crash { kind: FaultKind::Panic } => panic!("asked for by the host"),
        Request::Crash { kind: FaultKind::HardFault } => arch::undefined(),
        Request::Crash { kind: FaultKind::StackOverflow } => {
            memory::overflow_stack();
            Ok(Response::Done)
        }
    };
    served.unwrap_or_else(Response::Refused)
}

fn hello(runner: &Runner) -> Hello<'static> {
    let (model_address, model_bytes) = memory::model_region();
    Hello {
        protocol: PROTOCOL,
        board: env!("EDGESLIM_BOARD"),
        cpuid: arch::core_id(),
        counter: runner.clock.as_ref().map(|clock| clock.counter),
        caches: arch::caches(),
        model_address,
        model_bytes,
        arena_bytes: memory::arena_bytes(),
        static_bytes: memory::static_bytes(),
        kernels: KernelSet::NATIVE.name(),
        kernel_revision: KERNEL_REVISION,
        firmware: env!("EDGESLIM_FIRMWARE"),
        compiler: env!("EDGESLIM_COMPILER"),
    }
}
