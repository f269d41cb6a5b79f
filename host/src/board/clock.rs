//! The core clock, measured against the host's time.
//!
//! The board spins for a counted number of cycles, and the host takes the time from the request to the answer. The answer
//! is seen late, by polling and USB, and never early: what long and short spins have in common of that goes out with
//! their difference, what varies is left to the median of several rounds.

use super::{BoardError, BoardFile, Link, ProbeKind};
use std::time::Instant;

/// Rounds of a short and a long spin each.
const N_ROUNDS: u32 = 9;
const SHORT_S: f64 = 0.01;
const LONG_S: f64 = 0.15;
/// Lengths vary by up to so much between rounds, so that answers meet every moment between two looks for them,
const VARIED_S: f64 = 0.01;
/// by multiples of shares that have no common beat with anything: of the golden ratio and of the square root of 2.
const LONG_STEP: f64 = 0.618_034;
const SHORT_STEP: f64 = 0.414_214;
/// A spin of so much tells how fast the board is, well enough to choose the lengths.
const FIRST_S: f64 = 0.02;
const FIRST_LOOPS: u32 = 10_000;
/// Half-width of the spread in median absolute deviations of the rounds: of a hundred clocks 99 are within it.
const DEVIATIONS: f64 = 4.0;
/// A wider spread, as a share of the clock, is measured again,
const WIDE: f64 = 0.003;
/// with spins so many times as long.
const STRETCHED: [f64; 3] = [1.0, 2.0, 4.0];
/// How far a measured clock may be from `core_hz` where the board file does not say.
pub(super) const DEFAULT_TOLERANCE: f64 = 0.005;

/// A core clock as measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockEstimate {
    /// Hz.
    pub core_hz: u32,
    /// The true clock is within so many Hz of it, 99 times of a hundred.
    pub spread_hz: u32,
}

impl ClockEstimate {
    /// The spread as a share of the clock.
    pub fn spread(&self) -> f64 {
        f64::from(self.spread_hz) / f64::from(self.core_hz)
    }
}

impl std::fmt::Display for ClockEstimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (± {:.2} %)", mhz(self.core_hz), 100.0 * self.spread())
    }
}

fn mhz(hz: u32) -> String {
    format!("{:.3} MHz", f64::from(hz) / 1e6)
}

/// Measures the core clock of an open board, in 2 s; in 12 s where host or probe are busy.
///
/// Of an emulated board it is the emulator's speed, which is nobody's clock.
///
/// # Errors
/// As [`Link::spin`]; [`BoardError::ClockUnknown`] where the answers make no clock.
pub fn measure(link: &mut Link) -> Result<ClockEstimate, BoardError> {
    let board = link.board.clone();
    let found = estimate(|n_loops| {
        let asked = Instant::now();
        let ticks = link.spin(n_loops)?;
        Ok(Spin { ticks, wall_s: asked.elapsed().as_secs_f64() })
    })?;
    found.ok_or(BoardError::ClockUnknown { board })
}

/// Measures the clock of a board that has one, and refuses it where the board file says another; `None` if the board is
/// emulated.
///
/// The link takes a clock that its board file does not name from here.
///
/// # Errors
/// As [`measure`]; [`BoardError::ClockDiffers`] beyond [`BoardFile::core_hz_tolerance`], [`BoardError::ClockUnsteady`] where
/// the spread is too wide to tell.
pub fn check(link: &mut Link) -> Result<Option<ClockEstimate>, BoardError> {
    if link.file.probe == ProbeKind::Virtual {
        return Ok(None);
    }
    let found = measure(link)?;
    judge(&link.file, found)?;
    link.know_clock(found);
    Ok(Some(found))
}

fn judge(board: &BoardFile, found: ClockEstimate) -> Result<(), BoardError> {
    let Some(core_hz) = board.core_hz else { return Ok(()) };
    let tolerance = board.core_hz_tolerance.unwrap_or(DEFAULT_TOLERANCE);
    let name = board.name.clone();
    if found.spread() > tolerance {
        return Err(BoardError::ClockUnsteady { board: name, found, tolerance });
    }
    if (f64::from(found.core_hz) - f64::from(core_hz)).abs() > tolerance * f64::from(core_hz) {
        return Err(BoardError::ClockDiffers { board: name, found, core_hz: mhz(core_hz), tolerance });
    }
    Ok(())
}

/// What one spin took.
struct Spin {
    /// On the board.
    ticks: u64,
    /// For the host, from the request to the answer.
    wall_s: f64,
}

/// The clock from spins of so many loops each; `None` where time or ticks do not grow with them.
fn estimate<E>(mut spin: impl FnMut(u32) -> Result<Spin, E>) -> Result<Option<ClockEstimate>, E> {
    let mut best: Option<ClockEstimate> = None;
    for stretched in STRETCHED {
        let loops_per_s = roughly(&mut spin)?;
        // A float that no number of loops is becomes the nearest one.
        let found = in_rounds(|seconds| spin((stretched * seconds * loops_per_s) as u32))?;
        best = best.into_iter().chain(found).min_by(|a, b| a.spread().total_cmp(&b.spread()));
        if best.is_some_and(|best| best.spread() <= WIDE) {
            break;
        }
    }
    Ok(best)
}

/// The clock from spins that last about so many seconds each.
fn in_rounds<E>(mut lasting: impl FnMut(f64) -> Result<Spin, E>) -> Result<Option<ClockEstimate>, E> {
    let mut periods = Vec::new();
    for round in 0..N_ROUNDS {
        let varied = |step: f64| VARIED_S * (f64::from(round) * step).fract();
        let (short, long) = (lasting(SHORT_S + varied(SHORT_STEP))?, lasting(LONG_S + varied(LONG_STEP))?);
        let Some(ticks) = long.ticks.checked_sub(short.ticks).filter(|&ticks| ticks > 0) else {
            return Ok(None);
        };
        periods.push((long.wall_s - short.wall_s) / ticks as f64);
    }
    let period = median(&mut periods);
    let mut deviations: Vec<f64> = periods.iter().map(|p| (p - period).abs()).collect();
    let spread = DEVIATIONS * median(&mut deviations) / period;
    let core_hz = 1.0 / period;
    if !(1.0..=f64::from(u32::MAX)).contains(&core_hz) {
        return Ok(None);
    }
    Ok(Some(ClockEstimate { core_hz: core_hz.round() as u32, spread_hz: (spread * core_hz).ceil() as u32 }))
}

/// Loops a second; the lesser of two times, as one may be late.
fn roughly<E>(mut spin: impl FnMut(u32) -> Result<Spin, E>) -> Result<f64, E> {
    let mut least_s = |n_loops| Ok(spin(n_loops)?.wall_s.min(spin(n_loops)?.wall_s));
    let (mut n_loops, none_s) = (FIRST_LOOPS, least_s(1)?);
    loop {
        let spun_s = least_s(n_loops)? - none_s;
        if spun_s >= FIRST_S || n_loops == u32::MAX {
            return Ok(f64::from(n_loops) / spun_s.max(f64::MIN_POSITIVE));
        }
        n_loops = n_loops.saturating_mul(8);
    }
}

/// Of at least one number; sorts them.
fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[cfg(test)]
mod tests;
