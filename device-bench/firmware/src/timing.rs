//! Times layers and the loaded model.

use crate::memory;
use crate::runner::Runner;
use device_bench::LayerSpec;
use device_bench::bench::{self, Plan};
use device_bench::kernels::KernelSet;
use device_bench::wire::{LayerTiming, Refusal, Response};

impl Runner {
    /// Times one layer in the arena, on the model region's bytes as weights.
    pub fn time_layer(&mut self, spec: &LayerSpec, plan: &Plan, seed: u32) -> Result<Response<'_>, Refusal> {
        self.model = None;
        let clock = self.clock.as_mut().ok_or(Refusal::NoCounter)?;
        let (_, weight_bytes) = memory::model_region();
        let weights = memory::model_bytes(weight_bytes).unwrap_or(&[]);
        let (set, samples) = (KernelSet::NATIVE, &mut self.figures[..]);
        let (timing, crc) = bench::time_layer(spec, set, self.arena, weights, seed, clock, plan, samples)
            .map_err(|error| Refusal::of_layer(error, memory::arena_bytes(), weight_bytes))?;
        let samples = self.figures.get(..usize::from(timing.n_samples)).unwrap_or(&[]);
        Ok(Response::LayerTiming(LayerTiming {
            cold: timing.cold_ticks,
            n_calls: timing.n_calls,
            crc,
            samples: memory::as_bytes(samples),
        }))
    }

    /// Times whole runs of the model, from the same bytes each time: on cores that clamp by branches, a few
    /// instructions depend on them.
    pub fn time_model(&mut self) -> Result<Response<'_>, Refusal> {
        let model = self.model.ok_or(Refusal::NoModel)?;
        let clock = self.clock.as_mut().ok_or(Refusal::NoCounter)?;
        memory::paint(self.arena);
        let ticks = bench::time_model(&model, KernelSet::NATIVE, self.arena, clock).map_err(Refusal::Run)?;
        Ok(Response::Elapsed { ticks })
    }

    /// Times the model's layers from `first` on.
    pub fn layer_ticks(&mut self, first: u32) -> Result<Response<'_>, Refusal> {
        let model = self.model.ok_or(Refusal::NoModel)?;
        let clock = self.clock.as_mut().ok_or(Refusal::NoCounter)?;
        memory::paint(self.arena);
        let (set, first) = (KernelSet::NATIVE, first as usize);
        let n_layers = bench::time_layers_of_model(&model, set, self.arena, clock, first, self.figures)
            .map_err(Refusal::Run)?;
        Ok(Response::Ticks(memory::as_bytes(self.figures.get(..n_layers).unwrap_or(&[]))))
    }

    /// Times a loop of known length.
    pub fn spin(&mut self, n_loops: u32) -> Result<Response<'_>, Refusal> {
        let clock = self.clock.as_mut().ok_or(Refusal::NoCounter)?;
        Ok(Response::Elapsed { ticks: clock.spin(n_loops) })
    }
}
