//! How a training step would scale to more cores than this machine has: its tasks, timed on one thread, scheduled as the
//! pool schedules them.

use super::cases::{Case, Net, What};
use super::processes::{LIMIT, Ours};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;

/// Threads that are looked at; 2 beside a measurement.
const THREADS: [usize; 5] = [2, 8, 16, 32, 64];
const REPEATS: usize = 7;

/// A step on one thread.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Recorded {
    /// What is in no parallel section.
    serial_ms: f64,
    /// Every task of each section.
    sections_ms: Vec<Vec<f64>>,
}

impl Recorded {
    /// The step with so many threads: every section ends with its last task.
    fn step_ms(&self, n_threads: usize) -> f64 {
        self.serial_ms + self.sections_ms.iter().map(|tasks| makespan(tasks, n_threads)).sum::<f64>()
    }

    /// The longest task of each section, and what is serial: no number of threads is faster.
    fn least_ms(&self) -> f64 {
        self.step_ms(usize::MAX)
    }
}

/// When the last of `tasks` ends, each taken in order by the first thread that is free.
fn makespan(tasks: &[f64], n_threads: usize) -> f64 {
    let mut ends = vec![0.0f64; n_threads.clamp(1, tasks.len().max(1))];
    for task in tasks {
        if let Some(first) = ends.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *first += task;
        }
    }
    ends.into_iter().fold(0.0, f64::max)
}

/// One step's schedule.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Scaling {
    what: What,
    net: Net,
    batch: usize,
    one_thread_ms: f64,
    serial_percent: f64,
    sections: usize,
    /// Time of one thread over that of so many.
    speed_ups: Vec<(usize, f64)>,
    /// With any number of threads.
    most: f64,
    /// With two threads, measured.
    measured_2: f64,
}

impl Scaling {
    fn new(case: Case, recorded: &Recorded, measured_2: f64) -> Scaling {
        let one = recorded.step_ms(1);
        Scaling {
            what: case.what,
            net: case.net,
            batch: case.batch,
            one_thread_ms: one,
            serial_percent: 100.0 * recorded.serial_ms / one,
            sections: recorded.sections_ms.len(),
            speed_ups: THREADS.map(|n| (n, one / recorded.step_ms(n))).to_vec(),
            most: one / recorded.least_ms(),
            measured_2,
        }
    }

    fn line(&self) -> String {
        let Scaling { what, net, batch, one_thread_ms, serial_percent, sections, most, .. } = self;
        let speed_up =
            |(n, times): &(usize, f64)| format!("{times:>5.1} ({:>3.0}%)", 100.0 * times / *n as f64);
        let speed_ups: Vec<String> = self.speed_ups.iter().map(speed_up).collect();
        format!(
            "{:<8} {:<12} {batch:>5} {one_thread_ms:>8.2} {serial_percent:>6.1}% {sections:>8} {}  {most:>5.1} {:>10.2}",
            what.name(),
            net.name(),
            speed_ups.join("  "),
            self.measured_2
        )
    }
}

/// Records and schedules training steps, prints a table and leaves `scaling.json` in `dir`.
///
/// # Errors
/// The side's, or where the file cannot be written.
pub fn run(mut ours: Ours, nets: &[Net], dir: &Path) -> Result<()> {
    let heads: Vec<String> = THREADS.map(|n| format!("{:>12}", format!("{n} thr"))).to_vec();
    println!("what     net          batch  1 thr ms serial sections{}   most 2 measured", heads.join(" "));
    let mut all = Vec::new();
    for &net in nets {
        for (what, batch) in [(What::Sandwich, 64), (What::Plain, 64), (What::Plain, 128)] {
            let scaling = measure(&mut ours, Case { what, net, batch, threads: 1 })?;
            println!("{}", scaling.line());
            all.push(scaling);
        }
    }
    let path = dir.join("scaling.json");
    std::fs::write(&path, serde_json::to_string_pretty(&all)?).with_context(|| path.display().to_string())
}

fn measure(ours: &mut Ours, case: Case) -> Result<Scaling> {
    let Case { what, net, batch, .. } = case;
    let mut least_of = |threads: usize, seeds: &[u64]| -> Result<f64> {
        ours.open(net, threads, "cpu")?;
        let times = (0..REPEATS).map(|_| ours.run(case, seeds));
        times.skip(1).try_fold(f64::INFINITY, |least, ms| Ok(least.min(ms?)))
    };
    let measured_2 = least_of(1, &[1])? / least_of(2, &[1])?;
    ours.open(net, 1, "cpu")?;
    let request = json!({ "request": "tasks", "what": what, "batch": batch, "repeats": REPEATS });
    let recorded: Recorded = ours.side.ask(&request, LIMIT)?;
    Ok(Scaling::new(case, &recorded, measured_2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_go_in_order_to_the_first_thread_that_is_free() {
        assert_eq!(makespan(&[3.0, 1.0, 1.0, 4.0], 1), 9.0);
        // The second thread takes 1, 1 and then 4.
        assert_eq!(makespan(&[3.0, 1.0, 1.0, 4.0], 2), 6.0);
        assert_eq!(makespan(&[3.0, 1.0, 1.0, 4.0], 4), 4.0);
        assert_eq!(makespan(&[3.0, 1.0, 1.0, 4.0], usize::MAX), 4.0);
        assert_eq!(makespan(&[], 8), 0.0);
    }

    #[test]
    fn a_step_waits_for_every_section_and_its_serial_parts() {
        let recorded = Recorded { serial_ms: 1.0, sections_ms: vec![vec![2.0, 2.0, 2.0], vec![5.0]] };
        assert_eq!(recorded.step_ms(1), 12.0);
        assert_eq!(recorded.step_ms(2), 10.0);
        let case = Case { what: What::Plain, net: Net::Mb28, batch: 64, threads: 1 };
        let scaling = Scaling::new(case, &recorded, 1.1);
        assert_eq!((scaling.most, scaling.speed_ups[0]), (1.5, (2, 1.2)));
        assert!(scaling.line().contains("  1.2 ( 60%)"), "{}", scaling.line());
    }
}
