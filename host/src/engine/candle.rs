//! The graph composed of Candle's operators: runs on CUDA, and is the oracle that the CPU engine is tested by.

mod collect;
mod forward;
pub(super) mod ops;

use std::sync::{Arc, Mutex, MutexGuard};

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};

use self::collect::{Collect, Grads};
use self::forward::Forward;
use super::device::explain;
use super::statistics::batch_checked;
use super::{Dropout, Engine, Mode, NodeStatistics, Params, Statistics};
use crate::network::{Channels, Graph};

/// Runs a [`Graph`] with Candle's operators on the device of its parameters.
///
/// Weights are kept and gradients summed in the type of the parameters. The same code runs on CPU and GPU.
pub struct CandleEngine {
    graph: Graph,
    params: Params,
    device: Device,
    /// The type of the parameters, of batch norm, sums and logits.
    exact: DType,
    /// The type of activations and products.
    compute: DType,
    grads: Grads,
    state: Mutex<State>,
    /// Makes Candle call [`Collect::bwd`]; has no value of interest.
    anchor: Var,
}

struct State {
    switch: usize,
    dropout: Option<Dropout>,
    /// One per switch.
    statistics: Vec<Statistics>,
}

impl CandleEngine {
    /// An engine on the device of `params`, which computes in their type.
    ///
    /// # Errors
    /// If there are no parameters.
    pub fn new(graph: Graph, params: Params, device: Device) -> Result<CandleEngine> {
        let vars = params.vars();
        let Some((_, first)) = vars.first() else { bail!("{}: a network without parameters", graph.name) };
        let exact = first.dtype();
        let anchor = Var::zeros((), exact, &device)?;
        let grads = Arc::new(Mutex::new(vec![None; vars.len()]));
        let statistics = vec![Statistics::default(); params.n_switches()];
        let state = Mutex::new(State { switch: 0, dropout: None, statistics });
        Ok(CandleEngine { graph, params, device, exact, compute: exact, grads, state, anchor })
    }

    /// The same with activations and products in `compute`, such as bf16 where the device is faster with it; weights,
    /// batch norm, gradient sums and logits stay in the type of the parameters.
    pub fn computing_in(self, compute: DType) -> CandleEngine {
        CandleEngine { compute, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    fn forward(&self, images: &Tensor, channels: &Channels, mode: Mode) -> Result<Tensor> {
        let State { switch, dropout, .. } = *self.state();
        let mut forward = Forward {
            graph: &self.graph,
            params: &self.params,
            compute: self.compute,
            exact: self.exact,
            mode,
            switch,
            dropout,
            maps: self.graph.channel_maps(channels),
            running: self.running(channels, mode)?,
            batch: vec![None; self.graph.nodes.len()],
        };
        let logits = forward.run(images)?;
        if mode == Mode::Calibrate {
            self.state().statistics[switch].average(forward.batch);
        }
        Ok(logits)
    }

    /// Mean and variance `(1, c)` of every convolution, in modes that use them.
    fn running(&self, channels: &Channels, mode: Mode) -> Result<Vec<Option<(Tensor, Tensor)>>> {
        if !mode.uses_running() {
            return Ok(Vec::new());
        }
        let statistics = self.statistics();
        statistics.check(&self.graph, &self.graph.node_channels(channels))?;
        let row = |v: Vec<f32>| {
            let c = v.len();
            Tensor::from_vec(v, (1, c), &self.device)?.to_dtype(self.exact)
        };
        let rows = |NodeStatistics { mean, variance }| Ok((row(mean)?, row(variance)?));
        statistics.nodes.into_iter().map(|node| node.map(rows).transpose()).collect()
    }
}

impl Engine for CandleEngine {
    fn logits(&self, images: &Tensor, channels: &Channels, mode: Mode) -> Result<Tensor> {
        batch_checked(&self.graph, images, channels)?;
        let logits = self.forward(images, channels, mode).map_err(|error| explain(error, &self.device))?;
        if !mode.is_differentiable() {
            return Ok(logits);
        }
        let vars = self.params.vars().into_iter().map(|(_, var)| var).collect();
        let device = self.device.clone();
        let collect = Collect { logits: logits.clone(), vars, grads: self.grads.clone(), device };
        logits.detach().apply_op2(&self.anchor, collect)
    }

    fn take_grads(&self, store: &mut GradStore) -> Result<()> {
        let mut grads = self.grads.lock().expect("no thread panics while it holds the gradients");
        for (grad, (_, var)) in grads.iter_mut().zip(self.params.vars()) {
            let grad = grad.take().map_or_else(|| var.zeros_like(), Ok)?;
            store.insert(&var, grad);
        }
        Ok(())
    }

    fn set_switch(&self, switch: usize) -> Result<()> {
        let n = self.params.n_switches();
        if switch >= n {
            bail!("{}: switch {switch}, but its batch norms have {n}", self.graph.name);
        }
        self.state().switch = switch;
        Ok(())
    }

    fn set_dropout(&self, dropout: Option<Dropout>) -> Result<()> {
        dropout.map_or(Ok(()), |dropout| dropout.check())?;
        self.state().dropout = dropout;
        Ok(())
    }

    fn reset_statistics(&self) {
        self.set_statistics(&Statistics::default());
    }

    fn statistics(&self) -> Statistics {
        let state = self.state();
        state.statistics[state.switch].clone()
    }

    fn set_statistics(&self, statistics: &Statistics) {
        let mut state = self.state();
        let switch = state.switch;
        state.statistics[switch] = statistics.clone();
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

#[cfg(test)]
mod tests;
