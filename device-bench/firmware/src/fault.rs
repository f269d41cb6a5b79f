//! Panics and HardFaults are told to the host, not only to a debugger.

use crate::link;
use core::panic::PanicInfo;
use cortex_m_rt::{ExceptionFrame, exception};
use device_bench::wire::{Fault, FaultKind, Response};
use rtt_target::UpChannel;

const FILE_CHARS: usize = 120;
/// Room for the file's name and ten numbers.
const FAULT_FRAME: usize = 192;

fn report(fault: &Fault<'_>) -> ! {
    // SAFETY: the failed code never runs again, so nobody else holds the channel.
    if let Some(mut up) = unsafe { UpChannel::conjure(0) } {
        link::send(&mut up, &mut [0; FAULT_FRAME], &Response::Fault(*fault));
    }
    loop {
        cortex_m::asm::nop();
    }
}

fn fault(kind: FaultKind) -> Fault<'static> {
    // SAFETY: reads of status registers, which every core but Armv6-M has.
    #[cfg(not(armv6m))]
    let [cfsr, hfsr, mmfar, bfar] = [0xE000_ED28, 0xE000_ED2C, 0xE000_ED34, 0xE000_ED38]
        .map(|a: usize| unsafe { (a as *const u32).read_volatile() });
    #[cfg(armv6m)]
    let [cfsr, hfsr, mmfar, bfar] = [0; 4];
    Fault { kind, pc: 0, lr: 0, sp: 0, psr: 0, cfsr, hfsr, mmfar, bfar, file: "", line: 0 }
}

/// Tells that the stack was used up; what it has overwritten is not known.
pub fn stack_overflow() -> ! {
    cortex_m::interrupt::disable();
    report(&fault(FaultKind::StackOverflow))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    let location = info.location();
    let file = location.map_or("", |l| l.file());
    let file = file.get(file.len().saturating_sub(FILE_CHARS)..).unwrap_or("");
    report(&Fault { file, line: location.map_or(0, |l| l.line()), ..fault(FaultKind::Panic) })
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    let sp = core::ptr::from_ref(frame) as u32;
    let registers =
        Fault { pc: frame.pc(), lr: frame.lr(), psr: frame.xpsr(), sp, ..fault(FaultKind::HardFault) };
    report(&registers)
}
