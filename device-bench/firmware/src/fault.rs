//! Panics and exceptions are told to the host, not only to a debugger.

use crate::arch::{disable_interrupts, fault};
use crate::link;
use core::panic::PanicInfo;
use device_bench::wire::{Fault, FaultKind, Response};
use rtt_target::UpChannel;

const FILE_CHARS: usize = 120;
/// Room for the file's name and ten numbers.
const FAULT_FRAME: usize = 192;

/// Tells the host, and does no more.
pub fn report(fault: &Fault<'_>) -> ! {
    // SAFETY: the failed code never runs again, so nobody else holds the channel.
    if let Some(mut up) = unsafe { UpChannel::conjure(0) } {
        link::send(&mut up, &mut [0; FAULT_FRAME], &Response::Fault(*fault));
    }
    loop {
        core::hint::spin_loop();
    }
}

/// Tells that the stack was used up; what it has overwritten is not known.
pub fn stack_overflow() -> ! {
    disable_interrupts();
    report(&fault(FaultKind::StackOverflow))
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    disable_interrupts();
    let location = info.location();
    let file = location.map_or("", |l| l.file());
    let file = file.get(file.len().saturating_sub(FILE_CHARS)..).unwrap_or("");
    report(&Fault { file, line: location.map_or(0, |l| l.line()), ..fault(FaultKind::Panic) })
}
