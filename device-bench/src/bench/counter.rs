//! Ticks from what a core's counters show. A reading is one word, so that taking it needs no branch; what it means
//! is worked out after the window.

/// What the system timer has; the bits above follow from its wraps.
const SYSTEM_TIMER_BITS: u32 = 24;
const SYSTEM_TIMER_MASK: u64 = (1 << SYSTEM_TIMER_BITS) - 1;
const CYCLE_COUNTER_SPAN: u64 = 1 << 32;

/// What a counter has counted since its restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Ticks of the counter.
    pub ticks: u64,
    /// Wraps of the system timer, each of which ran its exception.
    pub wraps: u64,
}

/// A reading of the 24-bit system timer, which counts down from zero, with the wraps that its exception has counted
/// before and after the timer was read.
pub fn system_timer_reading(wraps_before: u32, timer: u32, wraps_after: u32) -> u64 {
    let new_wraps = wraps_after.wrapping_sub(wraps_before) & 1;
    u64::from(wraps_before) << 32 | u64::from(new_wraps << SYSTEM_TIMER_BITS | timer)
}

/// The ticks of a [`system_timer_reading`].
pub fn system_timer(reading: u64) -> Counted {
    let mut wraps = reading >> 32;
    let timer = reading & SYSTEM_TIMER_MASK;
    // A wrap that came while the timer was read has happened before it if the timer has just begun anew.
    let is_about_to_wrap = (1..=SYSTEM_TIMER_MASK / 2).contains(&timer);
    if !is_about_to_wrap {
        wraps += reading >> SYSTEM_TIMER_BITS & 1;
    }
    Counted { ticks: (wraps << SYSTEM_TIMER_BITS) + (timer.wrapping_neg() & SYSTEM_TIMER_MASK), wraps }
}

/// A reading of the 32-bit cycle counter, with the wraps of the system timer before it.
pub fn cycle_counter_reading(wraps: u32, cycles: u32) -> u64 {
    u64::from(wraps) << 32 | u64::from(cycles)
}

/// The ticks of a [`cycle_counter_reading`]: the cycle counter is exact and wraps after 2^32, the system timer's wraps
/// tell how often it did.
pub fn cycle_counter(reading: u64) -> Counted {
    let (wraps, cycles) = (reading >> 32, reading & (CYCLE_COUNTER_SPAN - 1));
    // The middle of what the wraps allow, less half a span: the count lies within one span above it.
    let least = ((wraps << SYSTEM_TIMER_BITS) + (1 << (SYSTEM_TIMER_BITS - 1)))
        .saturating_sub(CYCLE_COUNTER_SPAN / 2);
    let above = cycles.wrapping_sub(least) & (CYCLE_COUNTER_SPAN - 1);
    Counted { ticks: least + above, wraps }
}

/// A counter of 64 bits that is read in halves: the high one before and after the low one, which may carry in between.
///
/// Without a branch, so that every reading costs the same; exact if less than 2^31 ticks pass during it.
pub fn two_halves(high_before: u32, low: u32, high_after: u32) -> u64 {
    // A low half that has just begun anew was read after the carry.
    let carry = high_after.wrapping_sub(high_before) & (!low >> 31);
    u64::from(high_before.wrapping_add(carry)) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the three reads of [`two_halves`] give of a counter that shows `ticks` at the middle one.
    fn read_in_halves(ticks: u64, before: u64, after: u64) -> u64 {
        let high = |ticks: u64| (ticks >> 32) as u32;
        two_halves(high(ticks.wrapping_sub(before)), ticks as u32, high(ticks.wrapping_add(after)))
    }

    #[test]
    fn a_carry_between_the_halves_is_told_wherever_it_falls() {
        for high in [0u64, 1, 6, u64::from(u32::MAX)] {
            let carry = high << 32;
            for offset in -3i64..=3 {
                let ticks = carry.wrapping_add_signed(offset);
                for (before, after) in [(0, 0), (1, 1), (2, 0), (0, 2), (4, 4), (1 << 20, 1 << 20)] {
                    assert_eq!(read_in_halves(ticks, before, after), ticks, "{ticks:#x} -{before} +{after}");
                }
            }
        }
    }

    /// What a timer shows `ticks` after its restart.
    fn timer_at(ticks: u64) -> u32 {
        (ticks.wrapping_neg() & SYSTEM_TIMER_MASK) as u32
    }

    proptest! {
        #[test]
        fn the_system_timer_is_exact_however_a_wrap_falls_into_its_reading(
            wraps in 0u64..1 << 20,
            into in 0..=SYSTEM_TIMER_MASK,
            delay in 0u64..2,
        ) {
            // The timer is read at `ticks`, the wraps at most a few ticks before and after it.
            let ticks = (wraps << SYSTEM_TIMER_BITS) + into;
            let before = ticks.saturating_sub(4 * delay) >> SYSTEM_TIMER_BITS;
            let after = (ticks + 4 * delay) >> SYSTEM_TIMER_BITS;
            let reading = system_timer_reading(before as u32, timer_at(ticks), after as u32);
            prop_assert_eq!(system_timer(reading).ticks, ticks);
        }

        #[test]
        fn two_halves_are_exact_however_long_the_reads_take(
            ticks: u64, before in 0u64..1 << 30, after in 0u64..1 << 30,
        ) {
            prop_assert_eq!(read_in_halves(ticks, before, after), ticks);
        }

        #[test]
        fn the_cycle_counter_is_exact_beyond_its_32_bits(ticks in 0u64..1 << 55, late in 0u64..2) {
            // The exception of the last wrap may not have run yet.
            let wraps = (ticks >> SYSTEM_TIMER_BITS).saturating_sub(late);
            let reading = cycle_counter_reading(wraps as u32, ticks as u32);
            prop_assert_eq!(cycle_counter(reading), Counted { ticks, wraps });
        }
    }

    #[test]
    fn readings_around_a_wrap_are_exact() {
        let wrap = 1u64 << SYSTEM_TIMER_BITS;
        for ticks in [0, 1, 2, wrap - 2, wrap - 1, wrap, wrap + 1, 5 * wrap - 1, 5 * wrap, 5 * wrap + 1] {
            for (early, late) in [(0, 0), (3, 0), (0, 3), (3, 3)] {
                let wraps =
                    [ticks.saturating_sub(early), ticks + late].map(|t| (t >> SYSTEM_TIMER_BITS) as u32);
                let reading = system_timer_reading(wraps[0], timer_at(ticks), wraps[1]);
                assert_eq!(system_timer(reading).ticks, ticks, "{early} before, {late} after");
            }
        }
    }
}
