//! Times one shape on parameters made up from a seed.
//!
//! A layer's speed hardly depends on its numbers: no kernel skips zeros, but a maximum and a clamp are branches on
//! Armv6-M, which has no conditional instructions, and a Cortex-M3 multiplies small numbers to 64 bits faster.

use super::{Clock, Plan, Timing, measure};
use crate::crc::crc32;
use crate::kernels::{
    KernelError, KernelSet, Layer, cast, n_channels, n_scales, packed_bytes, run, scratch_bytes,
};
use crate::layer::{LayerSpec, Op, ShapeError};
use crate::model::{self, Record, TensorRef};
use crate::quant::{Channel, Clamp, Requant};
use core::hint::black_box;
use serde::{Deserialize, Serialize};

/// Why a shape was not timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum LayerError {
    /// No kernel can run it.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Less memory was given than [`layer_memory_bytes`], or it is not 4-aligned.
    #[error("the layer needs {needed} bytes of memory aligned to 4 bytes")]
    Memory {
        /// [`layer_memory_bytes`] of the shape.
        needed: u32,
    },
    /// Fewer weights were given than the shape has.
    #[error("the layer needs {needed} bytes of weights")]
    Weights {
        /// [`packed_bytes`] of the shape.
        needed: u32,
    },
    /// The kernel refused it.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// RAM that [`time_layer`] needs: tensors, scratch, bias and requantisation; weights not counted.
pub const fn layer_memory_bytes(spec: &LayerSpec) -> usize {
    let tensors = aligned(spec.input_bytes()).saturating_add(aligned(spec.second_input_bytes()));
    let words = n_channels(spec) * size_of::<Channel>() + n_scales(spec) * size_of::<Requant>();
    tensors
        .saturating_add(aligned(spec.output_bytes()))
        .saturating_add(aligned(scratch_bytes(spec)))
        .saturating_add(words)
}

const fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// Runs and times `spec`, with what a network spends to read its record, on inputs, biases and scales made from `seed`.
///
/// - `memory`: at least [`layer_memory_bytes`], 4-aligned; overwritten
/// - `weights`: at least [`packed_bytes`], any bytes, 4-aligned; lie where the weights of a deployed model will
/// - `samples`: filled as [`measure`] does
///
/// Returns the timing and the CRC-32 of the output, the same for every kernel set and machine.
///
/// # Errors
/// [`LayerError`] before anything is timed.
#[expect(clippy::too_many_arguments, reason = "each is the firmware's to choose")]
pub fn time_layer(
    spec: &LayerSpec,
    set: KernelSet,
    memory: &mut [u8],
    weights: &[u8],
    seed: u32,
    clock: &mut impl Clock,
    plan: &Plan,
    samples: &mut [u64],
) -> Result<(Timing, u32), LayerError> {
    spec.check()?;
    let needed = u32::try_from(packed_bytes(spec)).unwrap_or(u32::MAX);
    let weights = weights.get(..packed_bytes(spec)).ok_or(LayerError::Weights { needed })?;
    let needed = u32::try_from(layer_memory_bytes(spec)).unwrap_or(u32::MAX);
    let bench = Workbench::new(spec, memory, seed).ok_or(LayerError::Memory { needed })?;
    let layer = Layer {
        spec: *spec,
        input_zero: [-3, 5],
        output_zero: 4,
        clamp: Clamp::FULL,
        weights,
        channels: bench.channels,
        scales: bench.scales,
        sums_fit: true,
        scales_fast: true,
    };
    let (inputs, output, scratch) = (bench.inputs, bench.output, bench.scratch);
    let record = made_up_record(spec).encode();
    let mut result = Ok(());
    let timing = measure(clock, plan, samples, || {
        // A network reads each layer's record before it runs it.
        black_box(model::read(black_box(&record), weights));
        result = result.and(run(set, &layer, inputs, output, scratch));
        black_box(&output);
    });
    result?;
    let crc = crc32(cast::as_u8(output));
    Ok((timing, crc))
}

/// A record of the shape whose parameters are where the weights are: it is read only.
fn made_up_record(spec: &LayerSpec) -> Record {
    Record {
        spec: *spec,
        inputs: [TensorRef::default(); 2],
        output: TensorRef::default(),
        scratch: 0,
        clamp: Clamp::FULL,
        scales_at: 0,
        weights_at: 0,
        sums_fit: true,
        scales_fast: true,
        output_len: spec.output_bytes() as u32,
        scratch_len: scratch_bytes(spec) as u32,
        weights_len: packed_bytes(spec) as u32,
    }
}

/// `memory`, divided and filled.
struct Workbench<'a> {
    inputs: [&'a [i8]; 2],
    output: &'a mut [i8],
    scratch: &'a mut [u8],
    channels: &'a [Channel],
    scales: &'a [Requant],
}

impl<'a> Workbench<'a> {
    fn new(spec: &LayerSpec, memory: &'a mut [u8], seed: u32) -> Option<Workbench<'a>> {
        let mut random = Random(seed);
        let mut rest = memory;
        let mut take = |len: usize| {
            let (taken, left) = core::mem::take(&mut rest).split_at_mut_checked(aligned(len))?;
            rest = left;
            taken.get_mut(..len)
        };
        let channels = cast::as_channels_mut(take(n_channels(spec) * size_of::<Channel>())?)?;
        let scales = cast::as_requant_mut(take(n_scales(spec) * size_of::<Requant>())?)?;
        let scratch = take(scratch_bytes(spec))?;
        let first = take(spec.input_bytes())?;
        let second = take(spec.second_input_bytes())?;
        let output = cast::as_i8_mut(take(spec.output_bytes())?);

        channels.fill_with(|| Channel::new(random.next() as i32 >> 16, made_up_requant(spec, random.next())));
        scales.fill_with(|| made_up_requant(spec, random.next()));
        first.fill_with(|| (random.next() >> 24) as u8);
        second.fill_with(|| (random.next() >> 24) as u8);
        Some(Workbench {
            inputs: [cast::as_i8(first), cast::as_i8(second)],
            output,
            scratch,
            channels,
            scales,
        })
    }
}

/// A scale that neither saturates every output nor makes all of them zero.
fn made_up_requant(spec: &LayerSpec, random: u32) -> Requant {
    let multiplier = (1 << 30) | (random >> 2) as i32;
    let shift = match spec.op {
        Op::Add => -10,
        _ => -8 - (spec.macs() / spec.output_bytes().max(1) as u64).max(1).ilog2() as i32 / 2,
    };
    Requant { multiplier, shift }
}

/// The linear congruential generator of Numerical Recipes; its high bits serve.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Padding;

    struct Still;

    impl Clock for Still {
        fn restart(&mut self) {}

        fn read(&mut self) -> u64 {
            0
        }
    }

    const PLAN: Plan = Plan { n_warmups: 0, n_samples: 1, min_sample_ticks: 0 };

    fn time(spec: &LayerSpec, set: KernelSet, memory: &mut [u8]) -> Result<(Timing, u32), LayerError> {
        let weights = Memory([0x93; 8192]);
        time_layer(spec, set, memory, &weights.0[..4096], 7, &mut Still, &PLAN, &mut [0; 1])
    }

    #[repr(align(4))]
    struct Memory([u8; 8192]);

    #[test]
    fn every_operator_is_timed_and_gives_the_same_output_in_both_sets() {
        let max_pool = LayerSpec { op: Op::MaxPool, ..LayerSpec::depthwise(9, 9, 7, 2, 2, Padding::NONE) };
        let specs = [
            LayerSpec::conv(8, 8, 5, 9, 3, 1, Padding::all(1)),
            LayerSpec::depthwise(9, 9, 7, 3, 2, Padding::all(1)),
            LayerSpec::linear(64, 10),
            LayerSpec::global_avg_pool(8, 8, 6),
            max_pool,
            LayerSpec::add(8, 8, 6),
            LayerSpec::conv(8, 8, 6, 9, 3, 1, Padding::all(1)).grouped(3),
            LayerSpec::concat(8, 8, 5, 9),
            LayerSpec::select(8, 8, 9, 4),
            LayerSpec::scale(8, 8, 6),
            LayerSpec::lookup(8, 8, 6),
        ];
        assert!(Op::ALL.iter().all(|op| specs.iter().any(|spec| spec.op == *op)));
        let mut memory = Memory([0; 8192]);
        for spec in &specs {
            let memory = &mut memory.0[..layer_memory_bytes(spec)];
            let (_, portable) =
                time(spec, KernelSet::Portable, memory).expect("memory has the size asked for");
            let (_, dsp) = time(spec, KernelSet::Dsp, memory).expect("as before");
            assert_eq!(portable, dsp, "{spec}");
        }
    }

    #[test]
    fn too_little_memory_or_weights_is_refused_with_the_need() {
        let spec = LayerSpec::linear(64, 10);
        let mut memory = Memory([0; 8192]);
        let needed = layer_memory_bytes(&spec);
        let error = time(&spec, KernelSet::Portable, &mut memory.0[..needed - 1]);
        assert_eq!(error, Err(LayerError::Memory { needed: needed as u32 }));
        let error = time(&LayerSpec::linear(2049, 1), KernelSet::Portable, &mut memory.0);
        assert_eq!(error, Err(LayerError::Weights { needed: 4100 }));
    }
}
