//! The system timer as a clock: 24 bits in hardware, its wraps counted by its exception.
//!
//! No other interrupt is ever enabled, so a window holds nothing but what is timed and one exception every 2^24
//! timer ticks; what that exception takes is measured at the start and subtracted.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use cortex_m::{
    asm::isb,
    peripheral::{SCB, SYST, syst::SystClkSource},
};
use cortex_m_rt::exception;
use device_bench::bench::{Clock, moves, window};

const BITS: u32 = 24;
const RELOAD: u32 = (1 << BITS) - 1;
const PENDSTSET: u32 = 1 << 26;

/// So many ticks of the board's unit are so many ticks of the timer: the same, or more than twice as many.
const TICKS: u64 = ratio(env!("EDGESLIM_TICKS"));
const TIMER_TICKS: u64 = ratio(env!("EDGESLIM_TIMER_TICKS"));
const _: () = assert!(0 < TICKS && (TICKS == TIMER_TICKS || 2 * TICKS < TIMER_TICKS));

const fn ratio(text: &str) -> u64 {
    match u64::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("EDGESLIM_TICKS and EDGESLIM_TIMER_TICKS are whole numbers"),
    }
}

static WRAPS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    WRAPS.store(WRAPS.load(Relaxed).wrapping_add(1), Relaxed);
}

/// The running timer.
pub struct SystemTimer {
    syst: SYST,
    /// What one wrap's exception takes, in the board's unit.
    wrap_ticks: u64,
}

impl SystemTimer {
    /// Starts the timer on the core's clock; `None` if it stands still.
    pub fn start(mut syst: SYST) -> Option<Self> {
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(RELOAD);
        syst.clear_current();
        syst.enable_interrupt();
        syst.enable_counter();
        let mut timer = SystemTimer { syst, wrap_ticks: 0 };
        if !moves(&mut timer, || spin(100)) {
            return None;
        }
        timer.wrap_ticks = timer.pended(PENDSTSET).saturating_sub(timer.pended(0));
        Some(timer)
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
        let timer = self.read() & u64::from(RELOAD);
        self.ticks(timer)
    }
}

impl Clock for SystemTimer {
    #[inline(never)]
    fn restart(&mut self) {
        self.syst.clear_current();
        isb();
        WRAPS.store(0, Relaxed);
    }

    /// Free of branches, so that every reading costs the same: the wraps before it in the upper word, those that
    /// came with it (0 or 1) above the timer in the lower one.
    #[inline(never)]
    fn read(&mut self) -> u64 {
        let wraps_before = WRAPS.load(Relaxed);
        let timer = SYST::get_current();
        isb();
        let new_wraps = WRAPS.load(Relaxed).wrapping_sub(wraps_before);
        u64::from(wraps_before) << 32 | u64::from(new_wraps << BITS | timer)
    }

    /// The timer shows whole ticks, so it lies up to half a tick of the unit below the truth: rounded at a
    /// quarter, which leaves as much to errors of an emulated timer.
    fn ticks(&self, reading: u64) -> u64 {
        let (mut wraps, low) = (reading >> 32, reading as u32);
        let timer = low & RELOAD;
        let about_to_wrap = (1..=RELOAD / 2).contains(&timer);
        if !about_to_wrap {
            wraps += u64::from(low >> BITS);
        }
        let timer_ticks = (wraps << BITS) + u64::from(timer.wrapping_neg() & RELOAD);
        let ticks = (4 * timer_ticks * TICKS + 3 * TIMER_TICKS) / (4 * TIMER_TICKS);
        ticks.saturating_sub(wraps * self.wrap_ticks)
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
