//! Times a loaded model as a whole and layer by layer.

use super::{Clock, Plan, measure};
use crate::infer::{self, Phase, RunError};
use crate::kernels::KernelSet;
use crate::model::Model;

/// Warm runs of which the least counts: whatever disturbs a run makes it longer.
pub const N_MODEL_RUNS: u8 = 3;

/// Ticks of a whole run: the least of [`N_MODEL_RUNS`] after a cold run and a warm-up.
///
/// What the arena holds is the input; it matters by a few ticks at the most, on cores that clamp by branches.
///
/// # Errors
/// As [`infer::run`].
pub fn time_model(
    model: &Model<'_>,
    set: KernelSet,
    arena: &mut [u8],
    clock: &mut impl Clock,
) -> Result<u64, RunError> {
    let plan = Plan { n_warmups: 1, n_samples: N_MODEL_RUNS, min_sample_ticks: 0 };
    let mut samples = [0; N_MODEL_RUNS as usize];
    let mut result = Ok(());
    measure(clock, &plan, &mut samples, || {
        result = result.and(infer::run(model, set, arena, &mut |_, _| {}));
    });
    result?;
    Ok(samples.into_iter().min().unwrap_or(0))
}

/// Writes the ticks of the layers from `first` on to `ticks`; returns how many there are.
///
/// Each is the least of [`N_MODEL_RUNS`] runs after a warm-up, what reading the clock takes subtracted. What
/// lies between the kernels, such as finding a layer's tensors, counts for none of them.
///
/// # Errors
/// As [`infer::run`].
pub fn time_layers_of_model(
    model: &Model<'_>,
    set: KernelSet,
    arena: &mut [u8],
    clock: &mut impl Clock,
    first: usize,
    ticks: &mut [u64],
) -> Result<usize, RunError> {
    let n_layers = model.n_layers().saturating_sub(first).min(ticks.len());
    let mut empty = [u64::MAX];
    let mut stopwatch = Stopwatch { clock, first: 0, started: 0, least: &mut empty };
    stopwatch.clock.restart();
    stopwatch.mark(0, Phase::Before);
    stopwatch.mark(0, Phase::After);

    let mut stopwatch = Stopwatch { clock, first, started: 0, least: ticks };
    for run_idx in 0..=N_MODEL_RUNS {
        if run_idx <= 1 {
            stopwatch.least.fill(u64::MAX);
        }
        stopwatch.clock.restart();
        infer::run(model, set, arena, &mut |layer_idx, phase| stopwatch.mark(layer_idx, phase))?;
    }
    ticks.iter_mut().for_each(|layer| *layer = layer.saturating_sub(empty[0]));
    Ok(n_layers)
}

/// Keeps the least time of every layer in a window of layers.
struct Stopwatch<'a, C> {
    clock: &'a mut C,
    first: usize,
    started: u64,
    least: &'a mut [u64],
}

impl<C: Clock> Stopwatch<'_, C> {
    /// Never inlined, so that it costs the same around an empty layer as around a real one.
    #[inline(never)]
    fn mark(&mut self, layer_idx: usize, phase: Phase) {
        if phase == Phase::Before {
            self.started = self.clock.read();
            mark!("mov r11, r11");
            return;
        }
        mark!("mov r10, r10");
        let reading = self.clock.read();
        let ticks = self.clock.ticks(reading).saturating_sub(self.clock.ticks(self.started));
        let place = layer_idx.checked_sub(self.first).and_then(|i| self.least.get_mut(i));
        if let Some(least) = place {
            *least = ticks.min(*least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{LayerSpec, Op, Padding};
    use crate::model::{LayerDesc, ModelDesc, Tensor, TensorRef, encode};
    use crate::quant::Clamp;

    /// Every reading is ten ticks after the one before.
    struct Steps(u64);

    impl Clock for Steps {
        fn restart(&mut self) {
            self.0 = 0;
        }

        fn read(&mut self) -> u64 {
            self.0 += 10;
            self.0
        }
    }

    #[repr(align(4))]
    struct Aligned<const N: usize>([u8; N]);

    #[test]
    fn a_page_holds_the_layers_from_the_first_one_asked_for() {
        let spec = LayerSpec { op: Op::MaxPool, ..LayerSpec::depthwise(4, 4, 1, 1, 1, Padding::NONE) };
        let [one, two] = [0, 16].map(|offset| TensorRef { offset, zero_point: 0 });
        let layer = |input, output| LayerDesc {
            spec,
            inputs: [input, input],
            output,
            scratch: 0,
            clamp: Clamp::FULL,
            weights: &[],
            bias: &[],
            requant: &[],
        };
        let layers = [layer(one, two), layer(two, one), layer(one, two)];
        let tensor = |offset| Tensor { offset, len: 16, zero_point: 0, scale_bits: 0 };
        let desc = ModelDesc { arena_bytes: 32, input: tensor(0), output: tensor(16), layers: &layers };
        let (mut blob, mut arena) = (Aligned([0; 512]), Aligned([0; 32]));
        let len = encode(&desc, &mut blob.0).expect("the model is valid");
        let model = Model::parse(&blob.0[..len]).expect("encode checked it");

        for (first, wanted) in [(0, 2), (2, 1), (3, 0), (usize::MAX, 0)] {
            let mut ticks = [7; 2];
            let set = KernelSet::Portable;
            let n = time_layers_of_model(&model, set, &mut arena.0, &mut Steps(0), first, &mut ticks);
            assert_eq!(n, Ok(wanted), "from {first}");
            assert!(ticks[..wanted].iter().all(|&t| t == 0), "an empty layer's ticks are subtracted");
        }
        assert_eq!(time_model(&model, KernelSet::Portable, &mut arena.0, &mut Steps(0)), Ok(0));
        let short = time_model(&model, KernelSet::Portable, &mut arena.0[..28], &mut Steps(0));
        assert_eq!(short, Err(RunError::Arena));
    }
}
