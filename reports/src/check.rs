//! Refuses figures that no run has: no axis could show them.

use crate::record::{CandidateRecord, RecordError, RunRecord, TrainingRecord};

/// Latencies, budgets and losses beyond it are no measurement: in cycles, decades.
const MOST: f64 = 1e18;
/// Those above zero but below it are none either.
const LEAST: f64 = 1e-18;

impl RunRecord {
    /// Checks every figure that is drawn.
    ///
    /// # Errors
    /// [`RecordError::Figure`] with the first one out of its range.
    pub fn check(&self) -> Result<(), RecordError> {
        self.candidates.iter().try_for_each(candidate)?;
        self.trainings.iter().try_for_each(training)
    }
}

fn candidate(c: &CandidateRecord) -> Result<(), RecordError> {
    let latencies = [c.latency_predicted, c.latency_measured, c.whole_measured, c.budget.map(|b| b.limit)];
    latencies.into_iter().flatten().try_for_each(|x| amount(&c.name, "a latency or budget", x))?;
    for l in &c.layers {
        let latencies = [Some(l.predicted), Some(l.low), Some(l.high), l.measured];
        latencies.into_iter().flatten().try_for_each(|x| amount(&l.name, "a latency", x))?;
    }
    let accuracies = [
        c.accuracy_float,
        c.accuracy_int8_host,
        c.accuracy_int8_board,
        c.accuracy_float_all,
        c.accuracy_int8_all,
    ];
    let seeds = c.seeds.iter().map(|seed| seed.accuracy_float);
    accuracies.into_iter().flatten().chain(seeds).try_for_each(|x| accuracy(&c.name, x))
}

fn training(t: &TrainingRecord) -> Result<(), RecordError> {
    for epoch in &t.epochs {
        amount(&t.name, "a loss", epoch.loss)?;
        epoch.accuracy.map_or(Ok(()), |x| accuracy(&t.name, x))?;
    }
    Ok(())
}

fn amount(of: &str, what: &'static str, found: f64) -> Result<(), RecordError> {
    let fits = found == 0.0 || (LEAST..=MOST).contains(&found);
    within(fits, of, what, found, "from 1e-18 to 1e18, or 0")
}

fn accuracy(of: &str, found: f64) -> Result<(), RecordError> {
    within((0.0..=1.0).contains(&found), of, "an accuracy", found, "from 0 to 1")
}

fn within(
    fits: bool,
    of: &str,
    what: &'static str,
    found: f64,
    range: &'static str,
) -> Result<(), RecordError> {
    let refused = || RecordError::Figure { of: of.to_owned(), what, found, range };
    fits.then_some(()).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn figures_that_no_run_has_are_refused_by_name() {
        example::run().check().unwrap();
        let refused = |change: fn(&mut RunRecord)| {
            let mut run = example::run();
            change(&mut run);
            let dir = tempfile::tempdir().unwrap();
            crate::draw_all(&run, dir.path()).unwrap_err().to_string()
        };
        for (message, part) in [
            (refused(|run| run.candidates[0].whole_measured = Some(1e308)), "a latency or budget of 1e308"),
            (refused(|run| run.candidates[0].layers[0].predicted = 1e-300), "a latency of 1e-300"),
            (refused(|run| run.candidates[0].layers[0].measured = Some(-1.0)), "a latency of -1"),
            (refused(|run| run.candidates[0].accuracy_float_all = Some(1e18)), "an accuracy of 1e18"),
            (refused(|run| run.trainings[0].epochs[0].loss = f64::INFINITY), "a loss of inf"),
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
}
