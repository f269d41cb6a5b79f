//! Whether a board's counter of time still counts as it did.

use super::{BoardError, Link, Unit};

/// Rounds of a loop of two instructions: a millisecond on a slow core.
const N_LOOPS: u32 = 5_000;
/// No core takes a round in less than half a cycle.
const LEAST_TICKS: u64 = N_LOOPS as u64 / 2;
/// Of the cycles: the first rounds may wait for flash.
const TOLERANCE: f64 = 0.01;

impl Link {
    /// Fails where a loop of known length takes another time than at the first call, or than its instructions on an
    /// emulated board, whose counter counts those whatever its unit: the counter stands still, or counts another clock.
    ///
    /// # Errors
    /// [`BoardError::Counter`]; as [`Link::request`].
    pub fn check_counter(&mut self) -> Result<(), BoardError> {
        let found = self.spin(N_LOOPS)?;
        let expected = match self.unit {
            Unit::Instructions | Unit::ModelledCycles => 2 * u64::from(N_LOOPS),
            Unit::Cycles => self.spin_ticks.unwrap_or(found.max(LEAST_TICKS)),
        };
        if !agrees(found, expected, self.unit) {
            return Err(BoardError::Counter { board: self.board.clone(), found, expected });
        }
        self.spin_ticks = Some(expected);
        Ok(())
    }

    /// Whether [`Link::check_counter`] has found it right since the board was opened.
    pub fn counter_was_checked(&self) -> bool {
        self.spin_ticks.is_some()
    }
}

fn agrees(found: u64, expected: u64, unit: Unit) -> bool {
    let tolerance = match unit {
        Unit::Instructions | Unit::ModelledCycles => 0.0,
        Unit::Cycles => TOLERANCE,
    };
    found.abs_diff(expected) as f64 <= tolerance * expected as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_may_differ_by_a_hundredth_and_instructions_not_at_all() {
        assert!(agrees(15_150, 15_000, Unit::Cycles) && agrees(14_850, 15_000, Unit::Cycles));
        assert!(!agrees(15_200, 15_000, Unit::Cycles) && !agrees(0, LEAST_TICKS, Unit::Cycles));
        assert!(agrees(10_000, 10_000, Unit::Instructions) && !agrees(9_999, 10_000, Unit::Instructions));
    }
}
