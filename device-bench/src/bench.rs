//! The timing procedure: cold call, warm-ups, samples of as many calls as make one long enough.
//!
//! Pure: it sees time through [`Clock`] only. On a board, mask interrupts and log nothing around it.

/// An instruction that does nothing and that no compiler writes: an emulator can tell where a window begins and ends.
macro_rules! mark {
    ($instruction:literal) => {
        #[cfg(target_arch = "arm")]
        // SAFETY: a register is set to what it is.
        unsafe {
            core::arch::asm!($instruction, options(nomem, nostack, preserves_flags));
        }
    };
}

pub mod counter;
mod layer;
mod model;

pub use layer::{LayerError, layer_memory_bytes, time_layer};
pub use model::{N_MODEL_RUNS, time_layers_of_model, time_model};

use serde::{Deserialize, Serialize};

/// Most samples of one measurement.
pub const MAX_SAMPLES: usize = 64;

/// A counter of ticks: cycles, or instructions where that is all an emulator has.
pub trait Clock {
    /// Starts a window at zero.
    fn restart(&mut self);

    /// What the counter shows, as cheaply as possible: whatever follows may still lie inside a window.
    fn read(&mut self) -> u64;

    /// The ticks from the restart to a reading.
    fn ticks(&self, reading: u64) -> u64 {
        reading
    }
}

/// Whether the counter moves while `work` runs: on some cores, and most emulators, one or the other stands still.
pub fn moves(clock: &mut impl Clock, mut work: impl FnMut()) -> bool {
    window(clock, 2, &mut work) > window(clock, 0, &mut work)
}

/// How often to call what is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Calls after the cold one that are not sampled; at least one is made.
    pub n_warmups: u16,
    /// Samples; at most [`MAX_SAMPLES`] and the buffer's length are taken.
    pub n_samples: u8,
    /// A sample repeats its call until it lasts this long.
    pub min_sample_ticks: u64,
}

/// What was measured; the samples themselves are in the caller's buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// The first call, the empty call's ticks subtracted.
    pub cold_ticks: u64,
    /// An empty sample; already subtracted from all the others.
    pub empty_ticks: u64,
    /// Calls in each sample.
    pub n_calls: u32,
    /// Samples taken: each the ticks of `n_calls` calls.
    pub n_samples: u8,
}

/// Times `call` by `plan`; writes one figure a sample to the start of `samples`.
pub fn measure(clock: &mut impl Clock, plan: &Plan, samples: &mut [u64], mut call: impl FnMut()) -> Timing {
    let cold = window(clock, 1, &mut call);
    let empty_call = empty(clock, 1);
    let mut warm = 0;
    for _ in 0..plan.n_warmups.max(1) {
        warm = window(clock, 1, &mut call).saturating_sub(empty_call);
    }
    let n_calls = calls_per_sample(plan, warm);
    let empty_ticks = empty(clock, n_calls);

    let n_samples = usize::from(plan.n_samples).min(MAX_SAMPLES).min(samples.len());
    for sample in samples.iter_mut().take(n_samples) {
        *sample = window(clock, n_calls, &mut call).saturating_sub(empty_ticks);
    }
    let cold_ticks = cold.saturating_sub(empty_call);
    Timing { cold_ticks, empty_ticks, n_calls, n_samples: n_samples as u8 }
}

/// Ticks of `n_calls` calls in a row, with what restarting and reading the clock takes.
///
/// The same code for every call, an empty one too, so that the difference of two windows is the calls' alone.
#[inline(never)]
pub fn window(clock: &mut impl Clock, n_calls: u32, call: &mut dyn FnMut()) -> u64 {
    clock.restart();
    mark!("mov r11, r11");
    for _ in 0..n_calls {
        call();
    }
    mark!("mov r10, r10");
    let reading = clock.read();
    clock.ticks(reading)
}

/// The least of three windows around nothing.
fn empty(clock: &mut impl Clock, n_calls: u32) -> u64 {
    (0..3).map(|_| window(clock, n_calls, &mut || ())).min().unwrap_or(0)
}

fn calls_per_sample(plan: &Plan, warm_ticks: u64) -> u32 {
    plan.min_sample_ticks.div_ceil(warm_ticks.max(1)).clamp(1, u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// Every reading costs 2 ticks; calls advance the same counter.
    struct Scripted<'a> {
        ticks: &'a Cell<u64>,
        start: u64,
    }

    impl Clock for Scripted<'_> {
        fn restart(&mut self) {
            self.start = self.ticks.get();
        }

        fn read(&mut self) -> u64 {
            self.ticks.set(self.ticks.get() + 2);
            self.ticks.get() - self.start
        }
    }

    fn timed(plan: &Plan, samples: &mut [u64], cost: impl Fn(u32) -> u64) -> (Timing, u32) {
        let ticks = Cell::new(1_000);
        let mut n_calls = 0;
        let timing = measure(&mut Scripted { ticks: &ticks, start: 0 }, plan, samples, || {
            ticks.set(ticks.get() + cost(n_calls));
            n_calls += 1;
        });
        (timing, n_calls)
    }

    const PLAN: Plan = Plan { n_warmups: 2, n_samples: 11, min_sample_ticks: 1_000 };

    #[test]
    fn short_calls_are_repeated_until_a_sample_is_long_enough() {
        let mut samples = [0; MAX_SAMPLES];
        let (timing, n_calls) = timed(&PLAN, &mut samples, |i| if i == 0 { 900 } else { 30 });
        assert_eq!(timing, Timing { cold_ticks: 900, empty_ticks: 2, n_calls: 34, n_samples: 11 });
        assert!(samples[..11].iter().all(|&sample| sample == 34 * 30));
        assert_eq!(n_calls, 1 + 2 + 11 * 34);
    }

    #[test]
    fn long_calls_are_sampled_one_by_one() {
        let mut samples = [0; 4];
        let (timing, n_calls) = timed(&PLAN, &mut samples, |i| 5_000 + u64::from(i));
        assert_eq!((timing.n_calls, timing.n_samples, n_calls), (1, 4, 7));
        assert_eq!(samples, [5_003, 5_004, 5_005, 5_006]);
    }

    #[test]
    fn a_counter_that_stands_still_is_noticed() {
        let ticks = Cell::new(0);
        let mut clock = Scripted { ticks: &ticks, start: 0 };
        assert!(moves(&mut clock, || ticks.set(ticks.get() + 1)));
        assert!(!moves(&mut clock, || {}));
    }

    #[test]
    fn calls_that_take_no_time_end_too() {
        let (timing, _) = timed(&PLAN, &mut [0; 2], |_| 0);
        assert_eq!((timing.n_calls, timing.cold_ticks), (1_000, 0));
    }
}
