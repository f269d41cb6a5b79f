//! What loading and augmenting batches takes of a training.

use super::processes::LIMIT;
use super::rounds::median;
use super::side::Side;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The demo's network, and the benchmark's smallest.
const NETS: [&str; 2] = ["demo", "mb28"];
const BATCHES: [usize; 2] = [32, 64];
const STEPS: usize = 40;
/// Percent of the time that is aimed at.
const GOAL: f64 = 3.0;

/// Medians of one case, milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loading {
    net: String,
    batch: usize,
    threads: usize,
    loading_ms: f64,
    sandwich_ms: f64,
    plain_ms: f64,
    sandwich_percent: f64,
    plain_percent: f64,
}

#[derive(Deserialize)]
struct Times {
    loading_ms: Vec<f64>,
    sandwich_ms: Vec<f64>,
    plain_ms: Vec<f64>,
}

/// Every network, batch and number of threads.
///
/// # Errors
/// The side's.
pub fn measure(ours: &mut Side, threads: &[usize]) -> Result<Vec<Loading>> {
    let mut measured = Vec::new();
    for &threads in threads {
        for net in NETS {
            let request = json!({ "request": "open", "net": net, "threads": threads, "engine": "cpu" });
            ours.ask::<Value>(&request, LIMIT)?;
            for batch in BATCHES {
                let request = json!({ "request": "loading", "batch": batch, "steps": STEPS });
                let times: Times = ours.ask(&request, LIMIT)?;
                measured.push(Loading::new(net, batch, threads, times));
            }
        }
    }
    Ok(measured)
}

impl Loading {
    fn new(net: &str, batch: usize, threads: usize, times: Times) -> Loading {
        let [loading_ms, sandwich_ms, plain_ms] =
            [times.loading_ms, times.sandwich_ms, times.plain_ms].map(median);
        let percent = |step_ms: f64| 100.0 * loading_ms / (loading_ms + step_ms);
        Loading {
            net: net.into(),
            batch,
            threads,
            loading_ms,
            sandwich_ms,
            plain_ms,
            sandwich_percent: percent(sandwich_ms),
            plain_percent: percent(plain_ms),
        }
    }

    /// As printed.
    pub fn line(&self) -> String {
        let Loading { net, batch, threads, loading_ms, sandwich_percent, plain_percent, .. } = self;
        let met = if plain_percent.max(*sandwich_percent) < GOAL { "met" } else { "no" };
        format!(
            "loading with augmentation, {net}, batch {batch}, {threads} threads: {:.0} us, {sandwich_percent:.2} % of a \
             supernet's training, {plain_percent:.2} % of a subnet's; below {GOAL} % {met}",
            1e3 * loading_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_loading_and_step_together() {
        let times = |plain| Times {
            loading_ms: vec![1.0, 90.0, 1.0],
            sandwich_ms: vec![99.0; 3],
            plain_ms: vec![plain; 3],
        };
        let loading = Loading::new("demo", 32, 1, times(49.0));
        assert_eq!((loading.sandwich_percent, loading.plain_percent), (1.0, 2.0));
        assert!(loading.line().ends_with("met") && loading.line().contains(" 1000 us"), "{}", loading.line());
        assert!(Loading::new("demo", 32, 1, times(9.0)).line().ends_with("no"));
    }
}
