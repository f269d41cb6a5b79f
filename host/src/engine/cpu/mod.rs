//! Forward and backward of the whole network on the CPU, without autograd inside: images are `[n, h, w, c]`, batch
//! norm and ReLU are fused into the convolutions, results are the same for any number of threads.

mod backward;
mod conv_backward;
mod conv_forward;
mod conv_wide;
mod core;
mod evaluate;
mod evaluate_layout;
mod evaluate_parts;
mod forward;
mod geometry;
mod head;
mod image_ops;
mod loans;
mod memory;
mod norm;
mod op;
mod plan;
mod unsupported;

use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::backprop::GradStore;
use candle_core::{Device, Error, Result, Tensor, Var, WithDType, bail};
use cpu_kernels::{Isa, Real};

use self::core::Core;
use self::loans::Loans;
pub use self::memory::Memory;
use self::op::NetOp;
use super::statistics::batch_checked;
use super::{Dropout, Engine, Mode, Params, Statistics};
use crate::network::{Channels, Graph};

/// Environment variable that names the instruction set to use instead of the fastest: `avx512`, `avx2`, `neon` or
/// `portable`.
pub const SIMD_VARIABLE: &str = "EDGESLIM_SIMD";

/// Runs a [`Graph`] with this crate's own kernels.
pub struct CpuEngine {
    core: Arc<Mutex<Core>>,
    graph: Graph,
    params: Params,
    vars: Arc<Vec<Var>>,
    /// Makes Candle call the backward; has no value of interest.
    anchor: Var,
}

impl CpuEngine {
    /// An engine with a pool of `threads`, 0 for all cores.
    ///
    /// # Errors
    /// If `params` are not f32 on the CPU, the graph has an operator that this engine does not do, or
    /// [`SIMD_VARIABLE`] names an instruction set that this processor does not have.
    pub fn new(graph: Graph, params: Params, threads: usize) -> Result<CpuEngine> {
        let isa = match std::env::var(SIMD_VARIABLE) {
            Ok(name) => name.parse().map_err(|e| Error::msg(format!("{SIMD_VARIABLE}: {e}")))?,
            Err(_) => Isa::detect(),
        };
        CpuEngine::with_isa(graph, params, threads, isa)
    }

    /// What training steps of `n` images need.
    pub fn memory(&self, n: usize) -> Memory {
        self.core().memory(n)
    }

    /// Runs `step` on one thread; returns its result and the seconds of every task of each of its parallel sections,
    /// for the schedule of any number of threads.
    pub fn recorded<R>(&self, step: impl FnOnce() -> R) -> (R, Vec<Vec<f64>>) {
        self.core().pool.record();
        let result = step();
        (result, self.core().pool.recorded())
    }

    /// The instruction set that its kernels use.
    pub fn isa(&self) -> Isa {
        self.core().isa
    }

    fn with_isa(graph: Graph, params: Params, threads: usize, isa: Isa) -> Result<CpuEngine> {
        if let Some(what) = unsupported::unsupported(&graph) {
            bail!("{}: the CPU engine cannot train {what} yet; use the Candle engine", graph.name);
        }
        let vars: Vec<Var> = params.vars().into_iter().map(|(_, var)| var).collect();
        if !vars.iter().all(|var| var.device().is_cpu() && var.dtype() == Real::DTYPE) {
            bail!("{}: the CPU engine needs {:?} parameters on the CPU", graph.name, Real::DTYPE);
        }
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let core = Arc::new(Mutex::new(Core::new(
            graph.clone(),
            params.nodes().to_vec(),
            Loans::new(&vars)?,
            params.n_switches(),
            threads,
            isa,
        )));
        let anchor = Var::zeros((), Real::DTYPE, &Device::Cpu)?;
        Ok(CpuEngine { core, graph, params, vars: Arc::new(vars), anchor })
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("a panic ends the engine")
    }
}

impl Engine for CpuEngine {
    fn logits(&self, images: &Tensor, channels: &Channels, mode: Mode) -> Result<Tensor> {
        batch_checked(&self.graph, images, channels)?;
        if mode.uses_running() {
            let mut core = self.core();
            let Core { statistics, switch, counts, .. } = &mut *core;
            self.graph.node_channels_into(channels, counts);
            statistics[*switch].check(&self.graph, counts)?;
        }
        let op = NetOp {
            core: self.core.clone(),
            vars: self.vars.clone(),
            channels: channels.clone(),
            mode,
            generation: Mutex::new(0),
        };
        let logits = images.detach().contiguous()?.apply_op2(&self.anchor, op)?;
        Ok(if mode.is_differentiable() { logits } else { logits.detach() })
    }

    fn take_grads(&self, store: &mut GradStore) -> Result<()> {
        for (grad, var) in self.core().lend()?.iter().zip(&*self.vars) {
            store.insert(var, grad.clone());
        }
        Ok(())
    }

    fn set_switch(&self, switch: usize) -> Result<()> {
        let n = self.params.n_switches();
        if switch >= n {
            bail!("{}: switch {switch}, but its batch norms have {n}", self.graph.name);
        }
        self.core().switch = switch;
        Ok(())
    }

    fn set_dropout(&self, dropout: Option<Dropout>) -> Result<()> {
        dropout.map_or(Ok(()), |dropout| dropout.check())?;
        self.core().dropout = dropout;
        Ok(())
    }

    fn reset_statistics(&self) {
        self.set_statistics(&Statistics::default());
    }

    fn statistics(&self) -> Statistics {
        let core = self.core();
        core.statistics[core.switch].clone()
    }

    fn set_statistics(&self, statistics: &Statistics) {
        let mut core = self.core();
        let switch = core.switch;
        core.statistics[switch] = statistics.clone();
    }

    fn training_memory(&self, n: usize) -> Option<usize> {
        Some(self.memory(n).total())
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

#[cfg(test)]
mod any_tests;
#[cfg(all(test, feature = "engine-f64"))]
mod difference_tests;
#[cfg(test)]
mod tests;
