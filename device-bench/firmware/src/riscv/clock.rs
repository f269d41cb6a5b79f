//! The machine's cycle counter, `mcycle`, as a clock. No interrupt is enabled, so a window holds nothing but what is
//! timed.

use super::has;
use crate::unit::in_unit;
use core::arch::asm;
use device_bench::bench::{Clock, counter, moves, window};
use device_bench::wire::Counter;

/// The cycle counter, after it was seen to move.
pub struct BoardClock {
    start: u64,
    /// Which counter is read.
    pub counter: Counter,
}

impl BoardClock {
    /// Lets the counter run; `None` if there is none, or it stands still.
    pub fn start() -> Option<Self> {
        // Counters may be held to save power; a core without the register always counts.
        // SAFETY: clears `mcountinhibit`.
        has(|| unsafe { asm!("csrw 0x320, zero") });
        let halves = [low, high].map(|half| has(|| _ = half()));
        let mut clock = BoardClock { start: 0, counter: Counter::Mcycle };
        (halves == [true; 2] && moves(&mut clock, || spin(100))).then_some(clock)
    }

    /// Ticks of `n_loops` rounds of a loop of two instructions.
    pub fn spin(&mut self, n_loops: u32) -> u64 {
        let mut timed = |n| window(self, 1, &mut || spin(n));
        timed(n_loops.saturating_add(1)).saturating_sub(timed(1))
    }
}

impl Clock for BoardClock {
    #[inline(never)]
    fn restart(&mut self) {
        self.start = now();
    }

    /// Every reading costs the same.
    #[inline(never)]
    fn read(&mut self) -> u64 {
        now()
    }

    fn ticks(&self, reading: u64) -> u64 {
        in_unit(reading.wrapping_sub(self.start))
    }
}

fn now() -> u64 {
    let before = high();
    let low = low();
    counter::two_halves(before, low, high())
}

fn low() -> u32 {
    let cycles: u32;
    // SAFETY: reads `mcycle`; an exception where there is none returns behind the instruction.
    unsafe { asm!("csrr {}, mcycle", out(reg) cycles, options(nostack)) };
    cycles
}

fn high() -> u32 {
    let cycles: u32;
    // SAFETY: as above, of `mcycleh`.
    unsafe { asm!("csrr {}, mcycleh", out(reg) cycles, options(nostack)) };
    cycles
}

/// `2 * n_loops` instructions between entry and return; at least one round.
#[inline(never)]
fn spin(n_loops: u32) {
    // SAFETY: counts a register down.
    unsafe {
        asm!("2:", "addi {n}, {n}, -1", "bnez {n}, 2b", n = inout(reg) n_loops => _, options(nomem, nostack));
    }
}
