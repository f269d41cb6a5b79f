//! One layer on a board that may fail meanwhile.

use super::{Profile, ProfileError};
use crate::board::{BoardError, LayerPlan, LayerTiming, Link, Unit};
use cost_tables::table::Entry;
use device_bench::LayerSpec;
use device_bench::wire::Refusal;
use std::time::Duration;

/// Times that a board is opened again for one layer.
pub(super) const MAX_REOPENED: u32 = 3;
/// Before the first time; twice as long before the next: a probe that was plugged in again is there after 1 to 3 s.
const REOPEN_AFTER: Duration = Duration::from_millis(700);

impl Profile<'_> {
    /// One layer; a board that fails in a way that may pass is opened again.
    pub(super) fn measure(
        &mut self,
        link: &mut Option<Link>,
        spec: &LayerSpec,
    ) -> Result<Entry, ProfileError> {
        let plan = LayerPlan { warmups: self.config.warmups, samples: self.config.samples, seed: self.seed };
        let mut n_reopened = 0;
        loop {
            let opened = match link {
                Some(link) => Ok(link),
                None => (self.open)().map(|opened| link.insert(opened)),
            };
            let timed = opened.and_then(|link| time_quietly(link, spec, &plan));
            match timed {
                Ok(timing) => {
                    return Ok(Entry { cold: timing.cold, n_calls: timing.n_calls, samples: timing.samples });
                }
                Err(source) if !may_pass(&source) || n_reopened == MAX_REOPENED => {
                    return Err(ended(*spec, source));
                }
                Err(_) => {
                    *link = None;
                    std::thread::sleep(REOPEN_AFTER * (1 << n_reopened));
                    n_reopened += 1;
                }
            }
        }
    }
}

/// Times a layer, once again if its figures disagree; of two noisy timings the less noisy one is taken.
fn time_quietly(link: &mut Link, spec: &LayerSpec, plan: &LayerPlan) -> Result<LayerTiming, BoardError> {
    let unit = link.unit();
    let first = time_layer(link, spec, plan)?;
    if noise(&first) <= most_noise(&first, unit) {
        return Ok(first);
    }
    let second = time_layer(link, spec, plan)?;
    Ok(if noise(&second) < noise(&first) { second } else { first })
}

/// Ticks between the largest and the smallest sample, or by which the cold call is shorter than a warm one, which it
/// cannot be.
fn noise(timing: &LayerTiming) -> u64 {
    let least = timing.samples.iter().copied().min().unwrap_or(0);
    let most = timing.samples.iter().copied().max().unwrap_or(0);
    let cold = timing.cold.saturating_mul(timing.n_calls.into());
    (most - least).max(least.saturating_sub(cold))
}

/// An emulated timer may round a tick up or down; on a board a hundredth is far more than its oscillator's jitter.
fn most_noise(timing: &LayerTiming, unit: Unit) -> u64 {
    match unit {
        Unit::Instructions | Unit::ModelledCycles => 2,
        Unit::Cycles => timing.samples.iter().copied().min().unwrap_or(0) / 100,
    }
}

/// Times a layer between two checks of the counter.
fn time_layer(link: &mut Link, spec: &LayerSpec, plan: &LayerPlan) -> Result<LayerTiming, BoardError> {
    // That of the layer before stands for it.
    if !link.counter_was_checked() {
        link.check_counter()?;
    }
    let timing = link.time_layer(spec, plan)?;
    link.check_counter()?;
    Ok(timing)
}

/// Whether opening the board again can help: not where the board file, the firmware or the layer is at fault. (A probe
/// that was just plugged in is denied until udev has seen it.)
fn may_pass(error: &BoardError) -> bool {
    match error {
        BoardError::Refused { reason, .. } => {
            matches!(reason, Refusal::Unreadable | Refusal::TooLong | Refusal::NoCounter)
        }
        error => !matches!(
            error,
            BoardError::Unknown { .. }
                | BoardError::File { .. }
                | BoardError::Layout { .. }
                | BoardError::Chip { .. }
                | BoardError::Cache { .. }
                | BoardError::Unit { .. }
                | BoardError::Modelled { .. }
                | BoardError::Protocol { .. }
        ),
    }
}

/// A probe that is gone says nothing of the board; everything else does.
fn ended(layer: LayerSpec, source: BoardError) -> ProfileError {
    match source {
        BoardError::Probe { .. } | BoardError::NoProbe { .. } | BoardError::Silent { .. } => {
            ProfileError::Lost { layer, source }
        }
        source => ProfileError::Board { layer, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_call_that_is_shorter_than_a_warm_one_is_noise() {
        let timing = |cold, n_calls| LayerTiming {
            cold,
            n_calls,
            samples: vec![300, 302, 301],
            instructions: vec![],
            crc: 0,
        };
        assert_eq!(noise(&timing(300, 1)), 2);
        assert_eq!(noise(&timing(150, 2)), 2);
        assert_eq!(noise(&timing(149, 2)), 2);
        assert_eq!(noise(&timing(290, 1)), 10);
        assert_eq!(noise(&timing(9_000, 1)), 2);
        assert!(noise(&timing(290, 1)) > most_noise(&timing(290, 1), Unit::Instructions));
        assert_eq!(most_noise(&timing(290, 1), Unit::Cycles), 3);
    }
}
