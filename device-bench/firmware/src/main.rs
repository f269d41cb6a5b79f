//! The only code that edgeslim flashes: answers the host's requests over RTT.
#![no_std]
#![no_main]

mod cache;
mod clock;
mod fault;
mod link;
mod memory;
mod runner;
mod timing;

use clock::BoardClock;
use cortex_m::peripheral::{CPUID, NVIC, Peripherals};
use cortex_m_rt::entry;
use device_bench::kernels::{KERNEL_REVISION, KernelSet};
use device_bench::wire::{FaultKind, Hello, MAX_FRAME, PAGE, PROTOCOL, Request, Response};
use link::Link;
use runner::Runner;

#[entry]
fn main() -> ! {
    static mut FRAME: [u8; MAX_FRAME] = [0; MAX_FRAME];
    static mut FIGURES: [u64; PAGE] = [0; PAGE];
    memory::paint_stack();
    disable_interrupts();
    let mut link = Link::new(FRAME);
    let clock = Peripherals::take().and_then(|mut core| {
        cache::enable(&mut core.SCB, &mut core.CPUID);
        BoardClock::start(core)
    });
    let mut runner = Runner::new(clock, FIGURES);
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

/// All that a boot loader may have left on; the system timer's exception is none of them.
fn disable_interrupts() {
    // SAFETY: disabling interrupts is sound at any time.
    let registers = unsafe { &(*NVIC::PTR).icer };
    let n_registers = if cfg!(armv6m) { 1 } else { registers.len() };
    for register in registers.iter().take(n_registers) {
        // SAFETY: as above.
        unsafe { register.write(!0) };
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
        Request::Crash { kind: FaultKind::HardFault } => cortex_m::asm::udf(),
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
        // SAFETY: CPUID is a read-only register that every Cortex-M has.
        cpuid: unsafe { (*CPUID::PTR).base.read() },
        counter: runner.clock.as_ref().map(|clock| clock.counter),
        caches: cache::enabled(),
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
