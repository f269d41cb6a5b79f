//! Ticks of the core's counter in the board's unit.

/// So many ticks of the board's unit are so many ticks of the counter: the same, or more than twice as many.
const TICKS: u64 = ratio(env!("EDGESLIM_TICKS"));
const COUNTER_TICKS: u64 = ratio(env!("EDGESLIM_TIMER_TICKS"));
const _: () = assert!(0 < TICKS && (TICKS == COUNTER_TICKS || 2 * TICKS < COUNTER_TICKS));

const fn ratio(text: &str) -> u64 {
    match u64::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("EDGESLIM_TICKS and EDGESLIM_TIMER_TICKS are whole numbers"),
    }
}

/// The counter shows whole ticks, so it lies up to half a tick of the unit below the truth: rounded at a quarter,
/// which leaves as much to errors of an emulated timer.
pub fn in_unit(ticks: u64) -> u64 {
    (4 * ticks * TICKS + 3 * COUNTER_TICKS) / (4 * COUNTER_TICKS)
}
