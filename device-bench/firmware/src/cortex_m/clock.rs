//! The core's counters as a clock.
//!
//! The system timer has 24 bits, its wraps are counted by its exception; where the 32-bit cycle counter is seen to
//! count the same, that one is read and the wraps only tell how often it wrapped. No other interrupt is enabled, so
//! a window holds nothing but what is timed and one exception every 2^24 timer ticks; what that exception takes is
//! measured at the start and subtracted.

use crate::unit::in_unit;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use cortex_m::asm::isb;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{Peripherals, SCB, SYST};
use cortex_m_rt::exception;
use device_bench::bench::counter::{self, Counted};
use device_bench::bench::{Clock, moves, window};
use device_bench::wire::Counter;

const RELOAD: u32 = (1 << 24) - 1;
const PENDSTSET: u32 = 1 << 26;
/// Rounds of the loop by which the counters are compared, and how far they may differ: restarting and reading them
/// takes some cycles.
const COMPARED_LOOPS: u32 = 2_000;
const MOST_APART: u64 = 64;

static WRAPS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    WRAPS.store(WRAPS.load(Relaxed).wrapping_add(1), Relaxed);
}

/// A counter of the core's cycles that was seen to move.
pub struct BoardClock {
    syst: SYST,
    /// Which counter is read.
    pub counter: Counter,
    /// What one wrap's exception takes, in the board's unit.
    wrap_ticks: u64,
}

impl BoardClock {
    /// Starts the counters and takes the best; `None` if none counts the core's cycles.
    pub fn start(core: Peripherals) -> Option<Self> {
        let Peripherals { SYST: mut syst, DCB: dcb, DWT: dwt, .. } = core;
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(RELOAD);
        syst.clear_current();
        syst.enable_interrupt();
        syst.enable_counter();
        // Some cores leave the timer on an external clock, whatever is asked for.
        if syst.get_clock_source() != SystClkSource::Core {
            return None;
        }
        let mut clock = BoardClock { syst, counter: Counter::SysTick, wrap_ticks: 0 };
        if !moves(&mut clock, || spin(100)) {
            return None;
        }
        cycles::start(dcb, dwt);
        let timer = clock.spin(COMPARED_LOOPS);
        clock.counter = Counter::Dwt;
        if clock.spin(COMPARED_LOOPS).abs_diff(timer) > MOST_APART {
            clock.counter = Counter::SysTick;
        }
        // The middle of three: one may be disturbed, and every figure of a long window would be wrong by it.
        let mut wraps = [0; 3].map(|_| clock.pended(PENDSTSET).saturating_sub(clock.pended(0)));
        wraps.sort_unstable();
        clock.wrap_ticks = wraps[1];
        Some(clock)
    }

    /// Ticks of `n_loops` rounds of a loop of two instructions.
    pub fn spin(&mut self, n_loops: u32) -> u64 {
        let mut timed = |n| window(self, 1, &mut || spin(n));
        timed(n_loops.saturating_add(1)).saturating_sub(timed(1))
    }

    /// A window around a write to the interrupt control register: with and without a pended timer exception,
    /// the same instructions.
    #[inline(never)]
    fn pended(&mut self, icsr: u32) -> u64 {
        self.restart();
        // SAFETY: the value pends the timer's exception or nothing.
        unsafe { (*SCB::PTR).icsr.write(icsr) };
        isb();
        let reading = self.read();
        in_unit(match self.counter {
            // The exception counts as a wrap, which it was not.
            Counter::SysTick => counter::system_timer(reading & u64::from(RELOAD)).ticks,
            _ => counter::cycle_counter(reading & u64::from(u32::MAX)).ticks,
        })
    }
}

impl Clock for BoardClock {
    #[inline(never)]
    fn restart(&mut self) {
        self.syst.clear_current();
        cycles::restart();
        isb();
        WRAPS.store(0, Relaxed);
    }

    /// Every reading of a counter costs the same.
    #[inline(never)]
    fn read(&mut self) -> u64 {
        let wraps_before = WRAPS.load(Relaxed);
        if self.counter == Counter::Dwt {
            return counter::cycle_counter_reading(wraps_before, cycles::count());
        }
        let timer = SYST::get_current();
        isb();
        counter::system_timer_reading(wraps_before, timer, WRAPS.load(Relaxed))
    }

    fn ticks(&self, reading: u64) -> u64 {
        let Counted { ticks, wraps } = match self.counter {
            Counter::SysTick => counter::system_timer(reading),
            _ => counter::cycle_counter(reading),
        };
        in_unit(ticks).saturating_sub(wraps * self.wrap_ticks)
    }
}

/// `2 * n_loops` instructions between entry and return; at least one round.
#[inline(never)]
fn spin(n_loops: u32) {
    // SAFETY: counts a register down.
    unsafe {
        asm!("2:", "subs {n}, {n}, #1", "bne 2b", n = inout(reg) n_loops => _, options(nomem, nostack));
    }
}

/// The cycle counter of the debug unit.
#[cfg(not(armv6m))]
mod cycles {
    use cortex_m::peripheral::{DCB, DWT};

    /// Starts it where there is one.
    pub fn start(mut dcb: DCB, mut dwt: DWT) {
        dcb.enable_trace();
        // A Cortex-M7 locks it; elsewhere the write does nothing.
        DWT::unlock();
        dwt.enable_cycle_counter();
    }

    /// Sets it to zero.
    pub fn restart() {
        // SAFETY: only this module uses the counter, on one core and in no exception.
        unsafe { (*DWT::PTR).cyccnt.write(0) };
    }

    pub fn count() -> u32 {
        DWT::cycle_count()
    }
}

/// A Cortex-M0 has none.
#[cfg(armv6m)]
mod cycles {
    use cortex_m::peripheral::{DCB, DWT};

    pub fn start(_: DCB, _: DWT) {}

    pub fn restart() {}

    pub fn count() -> u32 {
        0
    }
}
