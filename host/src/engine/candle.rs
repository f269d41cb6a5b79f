//! The graph composed of Candle's operators: runs on CUDA, and is the oracle that the CPU engine is tested by.

use std::sync::{Arc, Mutex};

use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, D, DType, Device, Layout, Result, Shape, Tensor, Var, bail,
};

use super::statistics::batch_checked;
use super::{BN_EPSILON, Engine, Mode, NodeStatistics, Params, Statistics};
use crate::network::{Activation, Channels, Conv, ConvKind, Graph, NodeOp};

/// Runs a [`Graph`] with Candle's operators, in the type and on the device of its parameters.
pub struct CandleEngine {
    graph: Graph,
    params: Params,
    device: Device,
    dtype: DType,
    state: Arc<Mutex<State>>,
    /// Makes Candle call [`Collect::bwd`]; has no value of interest.
    anchor: Var,
}

struct State {
    /// One per Var of the parameters, `None` while nothing has been added.
    grads: Vec<Option<Tensor>>,
    statistics: Statistics,
}

impl CandleEngine {
    /// An engine on the device of `params`.
    pub fn new(graph: Graph, params: Params, device: Device) -> Result<CandleEngine> {
        let vars = params.vars();
        let Some((_, first)) = vars.first() else { bail!("{}: a network without parameters", graph.name) };
        let dtype = first.dtype();
        let anchor = Var::zeros((), dtype, &device)?;
        let state = State { grads: vec![None; vars.len()], statistics: Statistics::default() };
        Ok(CandleEngine { graph, params, device, dtype, state: Arc::new(Mutex::new(state)), anchor })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    fn param(&self, node: &str, name: &str, mode: Mode) -> Result<Tensor> {
        let var = self.params.get(&format!("{node}.{name}"))?;
        Ok(if mode == Mode::Train { var.as_tensor().clone() } else { var.as_detached_tensor() })
    }

    /// Convolution and batch norm; adds the batch's statistics to `batch`.
    fn conv(&self, idx: usize, conv: &Conv, xs: &Tensor, c_out: usize, run: &mut Run) -> Result<Tensor> {
        let name = &self.graph.nodes[idx].name;
        let weight = self.param(name, "weight", run.mode)?.narrow(0, 0, c_out)?;
        let pad = conv.padding;
        let xs = xs.pad_with_zeros(2, pad.top.into(), pad.bottom.into())?;
        let xs = xs.pad_with_zeros(3, pad.left.into(), pad.right.into())?;
        let z = match conv.kind {
            ConvKind::Depthwise => depthwise(&xs, &weight, conv.stride)?,
            ConvKind::Dense => {
                let weight = weight.narrow(1, 0, xs.dim(1)?)?.contiguous()?;
                dense(&xs, &weight, conv.stride)?
            }
        }; // (n, c_out, h, w)
        let (mean, variance) = match run.mode {
            Mode::Evaluate => run.running[idx].clone().expect("checked before the first node"),
            Mode::Train | Mode::Calibrate => {
                let mean = z.mean_keepdim((0, 2, 3))?; // (1, c_out, 1, 1)
                let variance = z.broadcast_sub(&mean)?.sqr()?.mean_keepdim((0, 2, 3))?;
                if run.mode == Mode::Calibrate {
                    let m = (z.elem_count() / c_out) as f64;
                    let unbiased = (&variance * (m / (m - 1.0).max(1.0)))?;
                    run.batch[idx] =
                        Some(NodeStatistics { mean: values(&mean)?, variance: values(&unbiased)? });
                }
                (mean, variance)
            }
        };
        let side = (1, c_out, 1, 1);
        let gamma = self.param(name, "gamma", run.mode)?.narrow(0, 0, c_out)?.reshape(side)?;
        let beta = self.param(name, "beta", run.mode)?.narrow(0, 0, c_out)?.reshape(side)?;
        let normal = z.broadcast_sub(&mean)?.broadcast_div(&(variance + BN_EPSILON)?.sqrt()?)?;
        activate(&normal.broadcast_mul(&gamma)?.broadcast_add(&beta)?, conv.activation)
    }

    fn forward(&self, images: &Tensor, channels: &Channels, run: &mut Run) -> Result<Tensor> {
        let counts = self.graph.node_channels(channels);
        let mut ys: Vec<Tensor> = Vec::with_capacity(self.graph.nodes.len());
        for (idx, node) in self.graph.nodes.iter().enumerate() {
            ys.push(match &node.op {
                NodeOp::Input => images.to_dtype(self.dtype)?.permute((0, 3, 1, 2))?.contiguous()?,
                NodeOp::Conv(conv) => self.conv(idx, conv, &ys[conv.input], counts[idx], run)?,
                NodeOp::Add { a, b, activation } => activate(&(&ys[*a] + &ys[*b])?, *activation)?,
                NodeOp::Head { input } => {
                    let pooled = ys[*input].mean((2, 3))?; // (n, c)
                    let weight = self.param(&node.name, "weight", run.mode)?.narrow(1, 0, counts[*input])?;
                    let bias = self.param(&node.name, "bias", run.mode)?;
                    pooled.matmul(&weight.t()?)?.broadcast_add(&bias)? // (n, classes)
                }
            });
        }
        Ok(ys.pop().expect("a graph has an input node"))
    }
}

/// What one forward carries along.
struct Run {
    mode: Mode,
    /// Mean and variance `(1, c, 1, 1)` per conv node, in [`Mode::Evaluate`].
    running: Vec<Option<(Tensor, Tensor)>>,
    batch: Vec<Option<NodeStatistics>>,
}

impl Engine for CandleEngine {
    fn logits(&self, images: &Tensor, channels: &Channels, mode: Mode) -> Result<Tensor> {
        batch_checked(&self.graph, images, channels)?;
        let mut run = Run { mode, running: Vec::new(), batch: vec![None; self.graph.nodes.len()] };
        if mode == Mode::Evaluate {
            let statistics = self.statistics();
            statistics.check(&self.graph, channels)?;
            for node in statistics.nodes {
                run.running.push(node.map(|s| self.columns(s)).transpose()?);
            }
        }
        let logits = self.forward(images, channels, &mut run)?;
        match mode {
            Mode::Evaluate => Ok(logits),
            Mode::Calibrate => {
                self.state().statistics.average(run.batch);
                Ok(logits)
            }
            Mode::Train => {
                let vars = self.params.vars().into_iter().map(|(_, var)| var).collect();
                let collect = Collect { logits: logits.clone(), vars, state: self.state.clone() };
                logits.detach().apply_op2(&self.anchor, collect)
            }
        }
    }

    fn take_grads(&self, store: &mut GradStore) -> Result<()> {
        for (grad, (_, var)) in self.state().grads.iter_mut().zip(self.params.vars()) {
            let grad = grad.take().map_or_else(|| var.zeros_like(), Ok)?;
            store.insert(&var, grad);
        }
        Ok(())
    }

    fn reset_statistics(&self) {
        self.state().statistics = Statistics::default();
    }

    fn statistics(&self) -> Statistics {
        self.state().statistics.clone()
    }

    fn set_statistics(&self, statistics: &Statistics) {
        self.state().statistics = statistics.clone();
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

impl CandleEngine {
    fn columns(&self, s: NodeStatistics) -> Result<(Tensor, Tensor)> {
        let column = |v: Vec<f32>| {
            let c = v.len();
            Tensor::from_vec(v, (1, c, 1, 1), &self.device)?.to_dtype(self.dtype)
        };
        Ok((column(s.mean)?, column(s.variance)?))
    }
}

/// Hands logits through; its backward runs Candle's through the network and keeps the Vars' gradients.
struct Collect {
    logits: Tensor,
    vars: Vec<Var>,
    state: Arc<Mutex<State>>,
}

impl CustomOp2 for Collect {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(&self, s: &CpuStorage, l: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok((s.try_clone(l)?, l.shape().clone()))
    }

    fn cuda_fwd(
        &self,
        s: &CudaStorage,
        l: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Ok((s.try_clone(l)?, l.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut store = (&self.logits * grad.detach())?.sum_all()?.backward()?;
        let mut state = self.state.lock().expect("no thread panics while it holds the state");
        for (sum, var) in state.grads.iter_mut().zip(&self.vars) {
            let Some(grad) = store.remove(var) else { continue };
            *sum = Some(match sum.take() {
                Some(sum) => (sum + grad)?.detach(),
                None => grad.detach(),
            });
        }
        Ok((None, None))
    }
}

/// A sum of matrix products, one per tap: the backward of Candle's conv2d mistakes the shape of an input with
/// columns that a strided kernel never reaches.
///
/// - `xs`: `(n, c_in, h, w)`, padded
/// - `weight`: `(c_out, c_in, k, k)`
/// - result: `(n, c_out, h_out, w_out)`
fn dense(xs: &Tensor, weight: &Tensor, stride: usize) -> Result<Tensor> {
    let (c_out, c_in, k, _) = weight.dims4()?;
    let (n, ..) = xs.dims4()?;
    let out = |n: usize| (n - k) / stride + 1;
    let (h, w) = (out(xs.dim(2)?), out(xs.dim(3)?));
    let mut sum: Option<Tensor> = None;
    for ky in 0..k {
        let rows = shifted(xs, 2, ky, h, stride)?;
        for kx in 0..k {
            let tap = weight.narrow(2, ky, 1)?.narrow(3, kx, 1)?.reshape((1, c_out, c_in))?;
            let columns = shifted(&rows, 3, kx, w, stride)?.reshape((n, c_in, h * w))?;
            let term = tap.broadcast_matmul(&columns)?; // (n, c_out, h · w)
            sum = Some(sum.map_or_else(|| Ok(term.clone()), |sum| sum + &term)?);
        }
    }
    sum.expect("a kernel has at least one tap").reshape((n, c_out, h, w))
}

/// A sum of shifted images, each times one weight per channel: Candle's grouped convolution would launch one
/// convolution per channel.
///
/// - `xs`: `(n, c, h, w)`, padded
/// - `weight`: `(c, 1, k, k)`
fn depthwise(xs: &Tensor, weight: &Tensor, stride: usize) -> Result<Tensor> {
    let (c, _, k, _) = weight.dims4()?;
    let out = |n: usize| (n - k) / stride + 1;
    let (h, w) = (out(xs.dim(2)?), out(xs.dim(3)?));
    let mut sum: Option<Tensor> = None;
    for ky in 0..k {
        let rows = shifted(xs, 2, ky, h, stride)?;
        for kx in 0..k {
            let tap = weight.narrow(2, ky, 1)?.narrow(3, kx, 1)?.reshape((1, c, 1, 1))?;
            let term = shifted(&rows, 3, kx, w, stride)?.broadcast_mul(&tap)?;
            sum = Some(sum.map_or_else(|| Ok(term.clone()), |sum| sum + &term)?);
        }
    }
    Ok(sum.expect("a kernel has at least one tap"))
}

fn shifted(xs: &Tensor, dim: usize, from: usize, n: usize, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return xs.narrow(dim, from, n);
    }
    let idx: Vec<u32> = (0..n).map(|i| (from + i * stride) as u32).collect();
    xs.contiguous()?.index_select(&Tensor::new(idx, xs.device())?, dim)
}

fn activate(xs: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(xs.clone()),
        Activation::Relu => xs * above(xs, 0.0)?,
        Activation::Relu6 => relu6(xs),
        Activation::HardSwish => xs * relu6(&(xs + 3.0)?)?.affine(1.0 / 6.0, 0.0)?,
        Activation::HardSigmoid => relu6(&(xs + 3.0)?)?.affine(1.0 / 6.0, 0.0),
        Activation::Sigmoid => (xs.neg()?.exp()? + 1.0)?.recip(),
    }
}

fn relu6(xs: &Tensor) -> Result<Tensor> {
    let inside = (above(xs, 0.0)? * xs.detach().lt(6.0)?.to_dtype(xs.dtype())?)?;
    (xs * inside)? + xs.detach().ge(6.0)?.to_dtype(xs.dtype())?.affine(6.0, 0.0)?
}

/// 1 where `x > low`, else 0: the derivative of a clamp at its corner is 0, as in PyTorch; Candle's relu has 1.
fn above(xs: &Tensor, low: f64) -> Result<Tensor> {
    xs.detach().gt(low)?.to_dtype(xs.dtype())
}

fn values(xs: &Tensor) -> Result<Vec<f32>> {
    xs.flatten(0, D::Minus1)?.to_dtype(DType::F32)?.to_vec1()
}
