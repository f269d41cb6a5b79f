//! A 32-bit RISC-V core in machine mode: start-up, interrupts, exceptions.

mod clock;

pub use clock::BoardClock;

use crate::fault::report;
use core::arch::asm;
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use device_bench::wire::{Caches, Fault, FaultKind, MAX_FRAME, PAGE};
use riscv::register::{mcause, mepc, mstatus, mtval};
use riscv_rt::{TrapFrame, entry};

/// The cause of an instruction, or a register, that the core does not have.
const ILLEGAL_INSTRUCTION: usize = 2;
/// Every access of a control and status register is one instruction of so many bytes.
const CSR_INSTRUCTION_BYTES: usize = 4;

/// An illegal instruction is a question, not a failure.
static ASKING: AtomicBool = AtomicBool::new(false);

#[entry]
fn main() -> ! {
    static mut FRAME: [u8; MAX_FRAME] = [0; MAX_FRAME];
    static mut FIGURES: [u64; PAGE] = [0; PAGE];
    // SAFETY: the start-up code calls this function once, on one hart, and nothing else can name these statics.
    let (frame, figures) = unsafe { (&mut *addr_of_mut!(FRAME), &mut *addr_of_mut!(FIGURES)) };
    crate::run(frame, figures)
}

/// All that a boot loader may have left on.
pub fn disable_interrupts() {
    riscv::interrupt::disable();
    // SAFETY: disabling interrupts is sound at any time.
    unsafe { asm!("csrw mie, zero") };
}

pub fn start_clock() -> Option<BoardClock> {
    BoardClock::start()
}

/// The architecture defines no way to ask for caches: those of a board are its set-up's.
pub fn caches() -> Caches {
    Caches::default()
}

/// `misa`: width and extensions; 0 where the core does not tell.
pub fn core_id() -> u32 {
    let misa: u32;
    // SAFETY: reads a register that every core has in machine mode.
    unsafe { asm!("csrr {}, misa", out(reg) misa, options(nomem, nostack)) };
    misa
}

/// An instruction that no core has.
pub fn undefined() -> ! {
    // SAFETY: ends in the exception handler, which does not return.
    unsafe { asm!("unimp", options(noreturn)) }
}

/// A failure with the status registers as they are: `psr` is `mstatus`, `cfsr` `mcause`, `mmfar` `mtval`.
pub fn fault(kind: FaultKind) -> Fault<'static> {
    let (psr, cfsr) = (mstatus::read().bits() as u32, mcause::read().bits() as u32);
    let mmfar = mtval::read() as u32;
    Fault { kind, pc: 0, lr: 0, sp: 0, psr, cfsr, hfsr: 0, mmfar, bfar: 0, file: "", line: 0 }
}

/// Whether the core has the register that `access` reads or writes, by one instruction; nothing happens if not.
fn has(access: impl FnOnce()) -> bool {
    ASKING.store(true, Relaxed);
    access();
    let is_there = ASKING.load(Relaxed);
    ASKING.store(false, Relaxed);
    is_there
}

/// Every exception: those of [`has`] are answered, any other is a failure.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception(frame: &TrapFrame) {
    let pc = mepc::read();
    if ASKING.load(Relaxed) && mcause::read().bits() == ILLEGAL_INSTRUCTION {
        ASKING.store(false, Relaxed);
        // SAFETY: goes on behind the instruction that was tried.
        unsafe { asm!("csrw mepc, {}", in(reg) pc + CSR_INSTRUCTION_BYTES) };
        return;
    }
    // The start-up code has pushed the frame.
    let sp = core::ptr::from_ref(frame) as usize + size_of::<TrapFrame>();
    report(&Fault { pc: pc as u32, lr: frame.ra as u32, sp: sp as u32, ..fault(FaultKind::HardFault) })
}
