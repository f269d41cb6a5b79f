//! A Cortex-M: start-up, interrupts, exceptions.

mod cache;
mod clock;

pub use cache::enabled as caches;
pub use clock::BoardClock;
pub use cortex_m::asm::udf as undefined;

use crate::fault::report;
use cortex_m::peripheral::{CPUID, NVIC, Peripherals};
use cortex_m_rt::{ExceptionFrame, entry, exception};
use device_bench::wire::{Fault, FaultKind, MAX_FRAME, PAGE};

#[entry]
fn main() -> ! {
    static mut FRAME: [u8; MAX_FRAME] = [0; MAX_FRAME];
    static mut FIGURES: [u64; PAGE] = [0; PAGE];
    crate::run(FRAME, FIGURES)
}

/// All that a boot loader may have left on; the system timer's exception is none of them.
pub fn disable_interrupts() {
    // SAFETY: disabling interrupts is sound at any time.
    let registers = unsafe { &(*NVIC::PTR).icer };
    let n_registers = if cfg!(armv6m) { 1 } else { registers.len() };
    for register in registers.iter().take(n_registers) {
        // SAFETY: as above.
        unsafe { register.write(!0) };
    }
}

/// Switches on the caches of the board file, then the counters.
pub fn start_clock() -> Option<BoardClock> {
    let mut core = Peripherals::take()?;
    cache::enable(&mut core.SCB, &mut core.CPUID);
    BoardClock::start(core)
}

/// CPUID.
pub fn core_id() -> u32 {
    // SAFETY: a read-only register that every Cortex-M has.
    unsafe { (*CPUID::PTR).base.read() }
}

/// A failure with the status registers as they are.
pub fn fault(kind: FaultKind) -> Fault<'static> {
    // SAFETY: reads of status registers, which every core but Armv6-M has.
    #[cfg(not(armv6m))]
    let [cfsr, hfsr, mmfar, bfar] = [0xE000_ED28, 0xE000_ED2C, 0xE000_ED34, 0xE000_ED38]
        .map(|a: usize| unsafe { (a as *const u32).read_volatile() });
    #[cfg(armv6m)]
    let [cfsr, hfsr, mmfar, bfar] = [0; 4];
    Fault { kind, pc: 0, lr: 0, sp: 0, psr: 0, cfsr, hfsr, mmfar, bfar, file: "", line: 0 }
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    let sp = core::ptr::from_ref(frame) as u32;
    let registers =
        Fault { pc: frame.pc(), lr: frame.lr(), psr: frame.xpsr(), sp, ..fault(FaultKind::HardFault) };
    report(&registers)
}
