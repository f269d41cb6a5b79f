//! Timing on the board. Figures are in the unit of the board file.

use super::counts::Counts;
use super::link::Wait;
use super::{BoardError, Link, Unit};
use device_bench::LayerSpec;
use device_bench::bench::{N_MODEL_RUNS, Plan};
use device_bench::wire::{self, Request, Response};
use std::time::Duration;

/// A sample of cycles repeats its layer until it is at least one such part of a second long: 10 ms.
const SAMPLES_PER_SECOND: u32 = 100;
/// Taken for a board file without a clock: not so slow that samples get too short.
const TYPICAL_HZ: u32 = 64_000_000;
/// An emulator or a reset clock is faster than this.
const SLOWEST_HZ: u32 = 4_000_000;
/// More than any kernel takes for a multiply-accumulate, its share of requantisation included.
const MOST_TICKS_PER_MAC: u64 = 128;

/// No board is waited for longer than a day, whatever it says of its model.
const LONGEST_S: f64 = 86_400.0;

/// How a layer is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerPlan {
    /// Calls after the cold one that are not sampled; at least one is made.
    pub warmups: u8,
    /// Samples; at most [`MAX_SAMPLES`](device_bench::bench::MAX_SAMPLES) are taken.
    pub samples: u8,
    /// Seed of the layer's inputs, biases and scales.
    pub seed: u32,
}

/// What a layer takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerTiming {
    /// The first call.
    pub cold: u64,
    /// Calls in each sample.
    pub n_calls: u32,
    /// Ticks of `n_calls` calls each, in the order in which they were taken.
    pub samples: Vec<u64>,
    /// Instructions of the same calls; empty for a real board.
    pub instructions: Vec<u64>,
    /// CRC-32 of the layer's output: the same on every board with the same weights.
    pub crc: u32,
}

/// What the loaded model takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelTiming {
    /// A whole warm run.
    pub whole: u64,
    /// Each layer in a warm run.
    pub layers: Vec<u64>,
}

impl Link {
    /// Times one layer; its weights are what lies in the model region. Unloads the model.
    ///
    /// Where the unit is cycles, a sample repeats the layer for at least 10 ms; instructions are exact and need
    /// one call a sample.
    ///
    /// # Errors
    /// As [`Link::request`]; [`BoardError::Refused`] with the bytes needed and available for a layer too large.
    pub fn time_layer(&mut self, spec: &LayerSpec, plan: &LayerPlan) -> Result<LayerTiming, BoardError> {
        let min_sample_ticks = match self.unit {
            Unit::Instructions | Unit::ModelledCycles => 0,
            Unit::Cycles => u64::from(self.core_hz.unwrap_or(TYPICAL_HZ) / SAMPLES_PER_SECOND),
        };
        let LayerPlan { warmups, samples, seed } = *plan;
        self.time_layer_by(
            spec,
            Plan { n_warmups: warmups.into(), n_samples: samples, min_sample_ticks },
            seed,
        )
    }

    /// As [`Link::time_layer`], with a plan in the board's unit.
    ///
    /// # Errors
    /// As [`Link::time_layer`].
    pub fn time_layer_by(
        &mut self,
        spec: &LayerSpec,
        plan: Plan,
        seed: u32,
    ) -> Result<LayerTiming, BoardError> {
        let n_runs = 1 + u64::from(plan.n_warmups.max(1)) + u64::from(plan.n_samples);
        let batched = self.seconds(u64::from(plan.n_samples).saturating_mul(plan.min_sample_ticks));
        let mut wait = self.wait_for_runs(n_runs, spec.macs());
        wait.timeout += 2 * batched;
        if self.core_hz.is_some() {
            wait.quiet = batched;
        }
        let request = Request::TimeLayer { spec: *spec, plan, seed };
        self.skip_counts();
        let mut timing = self.request_within(wait, &request, |response| match response {
            Response::LayerTiming(timing) => Some(LayerTiming {
                cold: timing.cold,
                n_calls: timing.n_calls,
                samples: wire::ticks(timing.samples).collect(),
                instructions: Vec::new(),
                crc: timing.crc,
            }),
            _ => None,
        })?;
        if self.unit != Unit::Cycles {
            timing.instructions.clone_from(&timing.samples);
        }
        match &mut self.counts {
            Some(counts) => counts.layer(plan.n_warmups, timing),
            None => Ok(timing),
        }
    }

    fn skip_counts(&mut self) {
        self.counts.iter_mut().for_each(Counts::skip);
    }

    /// Times the loaded model as a whole and layer by layer: the least of three warm runs each.
    ///
    /// What lies between the kernels counts for the whole only.
    ///
    /// # Errors
    /// As [`Link::request`]; [`BoardError::Refused`] if no model is loaded.
    pub fn time_model(&mut self) -> Result<ModelTiming, BoardError> {
        let wait = self.wait_for_runs(u64::from(N_MODEL_RUNS) + 2, self.macs);
        self.skip_counts();
        let mut whole = self.request_within(wait, &Request::TimeModel, elapsed)?;
        if let Some(counts) = &mut self.counts {
            whole = counts.whole(whole)?;
        }
        let mut layers: Vec<u64> = Vec::new();
        if self.counts.is_some() {
            layers = self.modelled_layers(wait)?;
        }
        while layers.len() < self.n_layers {
            let request = Request::LayerTicks { first: layers.len() as u32 };
            let page = self.request_within(wait, &request, |response| match response {
                // Fewer bytes than one figure would never end.
                Response::Ticks(bytes) if bytes.len() >= 8 => Some(wire::ticks(bytes).collect::<Vec<_>>()),
                _ => None,
            })?;
            layers.extend(page);
        }
        Ok(ModelTiming { whole, layers })
    }

    /// The modelled cycles of every layer: any page of them runs all.
    fn modelled_layers(&mut self, wait: Wait) -> Result<Vec<u64>, BoardError> {
        self.skip_counts();
        self.request_within(wait, &Request::LayerTicks { first: 0 }, |response| match response {
            Response::Ticks(_) => Some(()),
            _ => None,
        })?;
        let n_layers = self.n_layers;
        self.counts.as_mut().map_or(Ok(Vec::new()), |counts| counts.layers(n_layers))
    }

    /// Times `n_loops` rounds of a loop of two instructions: known work, by which the counter can be checked.
    ///
    /// # Errors
    /// As [`Link::request`].
    pub fn spin(&mut self, n_loops: u32) -> Result<u64, BoardError> {
        let wait = self.wait_for_runs(1, u64::from(n_loops));
        self.request_within(wait, &Request::Spin { n_loops }, elapsed)
    }

    /// For `n_runs` runs of `macs` multiply-accumulates each.
    pub(super) fn wait_for_runs(&self, n_runs: u64, macs: u64) -> Wait {
        let most = n_runs.saturating_mul(macs).saturating_mul(MOST_TICKS_PER_MAC);
        Wait { timeout: Wait::SHORT.timeout + self.seconds(most), ..Wait::SHORT }
    }

    fn seconds(&self, ticks: u64) -> Duration {
        let seconds = ticks as f64 / f64::from(self.core_hz.unwrap_or(SLOWEST_HZ).max(1));
        Duration::from_secs_f64(seconds.min(LONGEST_S))
    }
}

fn elapsed(response: Response<'_>) -> Option<u64> {
    match response {
        Response::Elapsed { ticks } => Some(ticks),
        _ => None,
    }
}
