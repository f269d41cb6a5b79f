//! Every operator, mode and option against the Candle engine in f64, on random graphs.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, WithDType as _};
use cpu_kernels::Real;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::unsupported::unsupported;
use crate::engine::{CandleEngine, CpuEngine, Dropout, Engine, Mode, Params};
use crate::network::arbitrary;
use crate::network::{Activation, Channels, Conv, Graph, Linear, NodeOp};

pub(super) const CPU: Device = Device::Cpu;

/// In f32 an input that lies at a corner of an activation may fall on its other side; then only smooth ones are
/// compared. The feature `engine-f64` compares all.
const EXACT: bool = size_of::<Real>() == 8;

pub(super) fn noise(shape: &[usize], seed: u64, dtype: DType) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &CPU).unwrap().to_dtype(dtype).unwrap()
}

/// A random graph that the engine can run.
pub(super) fn graph(seed: usize) -> Graph {
    let mut graph = arbitrary::any_graph(&arbitrary::genes(seed, 1 + seed % 8));
    for node in &mut graph.nodes {
        match &mut node.op {
            NodeOp::Conv(Conv { activation, kind, kernel, .. }) => {
                if !EXACT && *activation != Activation::Sigmoid {
                    *activation = Activation::None;
                }
                if *kind == crate::network::ConvKind::Depthwise {
                    kernel.h = kernel.h.min(kernel.w);
                    kernel.w = kernel.h;
                }
            }
            NodeOp::Linear(Linear { activation, .. }) | NodeOp::Add { activation, .. } if !EXACT => {
                *activation = Activation::None;
            }
            _ => {}
        }
    }
    assert_eq!(unsupported(&graph), None);
    graph
}

pub(super) fn params(graph: &Graph, dtype: DType) -> Params {
    let params = Params::switchable(graph, 2, 5, &CPU, DType::F64).unwrap();
    let wanted = Params::switchable(graph, 2, 5, &CPU, dtype).unwrap();
    for (idx, ((name, var), (_, to))) in params.vars().into_iter().zip(wanted.vars()).enumerate() {
        let mut value = var.as_detached_tensor();
        if !name.ends_with("weight") {
            value = (value + (noise(var.dims(), 100 + idx as u64, DType::F64) * 0.3).unwrap()).unwrap();
        }
        to.set(&value.to_dtype(dtype).unwrap()).unwrap();
    }
    wanted
}

/// Gradients of `Σ logits · direction` after calibrating every switch, flattened, then the logits in `Evaluate`.
fn run(engine: &dyn Engine, xs: &Tensor, subnets: &[Channels], mode: Mode) -> Result<Vec<Vec<f64>>> {
    let flat = |xs: &Tensor| xs.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>();
    let mut evaluated = Vec::new();
    for (switch, channels) in subnets.iter().enumerate() {
        engine.set_switch(switch)?;
        engine.set_dropout(None)?;
        engine.logits(xs, channels, Mode::Calibrate)?;
        engine.set_dropout(Some(Dropout { rate: 0.3, seed: 9 }))?;
        let logits = engine.logits(xs, channels, mode)?;
        let direction = noise(logits.dims(), 77, logits.dtype());
        (logits * direction)?.sum_all()?.backward()?;
        evaluated.push(flat(&engine.logits(xs, channels, Mode::Evaluate)?)?);
    }
    let mut store = GradStore::default();
    engine.take_grads(&mut store)?;
    let vars = engine.params().vars();
    let mut results =
        vars.iter().map(|(_, var)| flat(store.get(var).unwrap())).collect::<Result<Vec<_>>>()?;
    results.extend(evaluated);
    Ok(results)
}

#[test]
fn every_operator_mode_and_option_equals_candles_in_f64() -> Result<()> {
    let tolerance = if EXACT { 1e-5 } else { 5e-3 };
    for seed in 0..60 {
        let graph = graph(seed);
        let shape = graph.input;
        let subnets = [graph.widest(), arbitrary::channels(&graph, seed)];
        let mode = if seed % 3 == 0 { Mode::Frozen } else { Mode::Train };
        let xs = noise(&[5, shape.h, shape.w, shape.c], seed as u64, DType::F32);
        let candle = CandleEngine::new(graph.clone(), params(&graph, DType::F64), CPU)?;
        let cpu = CpuEngine::new(graph.clone(), params(&graph, Real::DTYPE), 2)?;
        let b = run(&candle, &xs, &subnets, mode)?;
        let a = run(&cpu, &xs.to_dtype(Real::DTYPE)?, &subnets, mode)?;
        let largest = |v: &[f64]| v.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        let floor = b.iter().map(|v| largest(v)).fold(0.0, f64::max) * 1e-3;
        let names: Vec<String> = cpu.params().vars().into_iter().map(|(name, _)| name).collect();
        for (idx, (a, b)) in a.iter().zip(&b).enumerate() {
            let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest(b).max(floor);
            let name = names.get(idx).map_or("logits", String::as_str);
            assert!(off < tolerance, "seed {seed}, {mode:?}, {name}: {off:e}\n{:?}", graph.nodes);
        }
    }
    Ok(())
}
