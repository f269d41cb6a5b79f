//! Runs a network forward and backward: one graph, two engines behind one trait.
//!
//! `CpuEngine` has an explicit forward and backward for the whole network; `CandleEngine` composes Candle's
//! operators, for CUDA and as the oracle of the tests. Losses, distillation and the optimiser around them are
//! Candle's.

pub mod candle;
pub mod cpu;
mod device;
mod dropout;
mod params;
mod statistics;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::network::{Channels, Graph};

pub use candle::CandleEngine;
pub use cpu::CpuEngine;
pub use device::{Chosen, DeviceChoice};
pub use dropout::Dropout;
pub use params::{NodeParams, NormParams, Params};

/// Added to a variance before its square root, in every batch norm.
pub const BN_EPSILON: f64 = 1e-5;

/// What batch norm uses and whether a backward pass may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Statistics of the batch; differentiable.
    Train,
    /// Statistics of the batch, also averaged into the running statistics (every batch counts equally); no
    /// backward.
    Calibrate,
    /// Running statistics; no backward.
    Evaluate,
    /// Running statistics as constants; differentiable: gradients reach weights, γ and β (`∂z = γ / σ · ∂y`, without
    /// the two terms that come from the statistics of the batch).
    Frozen,
}

impl Mode {
    /// Whether batch norm uses the running statistics, which must be there.
    pub const fn uses_running(self) -> bool {
        matches!(self, Mode::Evaluate | Mode::Frozen)
    }

    /// Whether a backward pass may follow; dropout works in these modes only.
    pub const fn is_differentiable(self) -> bool {
        matches!(self, Mode::Train | Mode::Frozen)
    }
}

/// Running statistics of one conv node's batch norm, one entry per active channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatistics {
    /// Mean over images and pixels.
    pub mean: Vec<f32>,
    /// Unbiased variance over images and pixels.
    pub variance: Vec<f32>,
}

/// Running batch-norm statistics of a subnet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Batches averaged so far.
    pub n_batches: u32,
    /// One per node of the graph, `None` where the node is no convolution; empty before the first calibration.
    pub nodes: Vec<Option<NodeStatistics>>,
}

/// Executes one graph with one set of parameters.
pub trait Engine: Send {
    /// Runs the subnet `channels` on a batch.
    ///
    /// - `images`: `(n, h, w, c)`, f32
    /// - result: `(n, classes)`; in [`Mode::Train`] and [`Mode::Frozen`] a `backward()` through it adds to
    ///   the gradients that [`take_grads`](Engine::take_grads) hands out. Run that backward before the next forward.
    ///
    /// # Errors
    /// If a shape disagrees with the graph, `channels` exceeds a unit, or a mode that uses running statistics has
    /// none for these channels.
    fn logits(&self, images: &Tensor, channels: &Channels, mode: Mode) -> Result<Tensor>;

    /// Moves the gradients summed over all backward passes since the last call into `store`, one per Var, full
    /// size, zero outside the active channels.
    ///
    /// The engine takes the values back with its next backward pass; `copy` what is to be kept longer.
    fn take_grads(&self, store: &mut GradStore) -> Result<()>;

    /// From now on batch norm has the γ, β and running statistics of this switch; 0 at the start.
    ///
    /// # Errors
    /// If the parameters have no such switch, or the engine no switches.
    fn set_switch(&self, switch: usize) -> Result<()>;

    /// From now on differentiable modes drop features before the head; `None` at the start.
    ///
    /// # Errors
    /// If the rate is no share, or the engine has no dropout.
    fn set_dropout(&self, dropout: Option<Dropout>) -> Result<()>;

    /// Forgets the running statistics of the current switch, for a new calibration.
    fn reset_statistics(&self);

    /// The running statistics of the subnet calibrated last in the current switch.
    fn statistics(&self) -> Statistics;

    /// Replaces the running statistics of the current switch.
    fn set_statistics(&self, statistics: &Statistics);

    /// Bytes that training steps of `n` images of the widest subnet take, where the engine knows them before.
    fn training_memory(&self, n: usize) -> Option<usize> {
        let _ = n;
        None
    }

    /// The parameters it reads.
    fn params(&self) -> &Params;

    /// The graph it runs.
    fn graph(&self) -> &Graph;

    /// Where images must be and logits will be.
    fn device(&self) -> &Device;
}

/// Opens the engine for the device that `params` live on, see [`DeviceChoice::choose`].
///
/// - `threads`: of the CPU engine's pool, 0 for all cores; results do not depend on it
/// - `compute`: what a GPU computes activations and products in; the CPU engine has the type of its parameters
///
/// # Errors
/// If the engine of that device cannot run the graph.
pub fn open(graph: Graph, params: Params, threads: usize, compute: DType) -> Result<Box<dyn Engine>> {
    match params.vars().first().map(|(_, var)| var.device().clone()) {
        Some(device) if !device.is_cpu() => {
            Ok(Box::new(CandleEngine::new(graph, params, device)?.computing_in(compute)))
        }
        _ => Ok(Box::new(CpuEngine::new(graph, params, threads)?)),
    }
}
