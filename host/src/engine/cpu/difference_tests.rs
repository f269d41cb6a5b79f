//! Gradients of the CPU engine in f64 against differences of its own losses, on random graphs of all operators.

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::any_tests::{CPU, graph, noise, params};
use crate::engine::{CpuEngine, Dropout, Engine as _, Mode};
use crate::network::{Activation, Channels, Conv, Graph, Linear, NodeOp, arbitrary};

/// A loss is rounded to some 1e-15, so a difference to 1e-10; what the third derivative adds is as small.
const STEP: f64 = 1e-5;

/// Of the largest gradient of a Var, or of a thousandth of the largest of all.
const TOLERANCE: f64 = 1e-6;

/// The graph without corners of activations; those of a maximum are too rare to be met.
fn smooth(mut graph: Graph) -> Graph {
    for node in &mut graph.nodes {
        match &mut node.op {
            NodeOp::Conv(Conv { activation, .. })
            | NodeOp::Linear(Linear { activation, .. })
            | NodeOp::Add { activation, .. }
                if *activation != Activation::None =>
            {
                *activation = Activation::Sigmoid;
            }
            _ => {}
        }
    }
    graph
}

/// An engine, its images and the subnets that are trained together.
struct Case {
    engine: CpuEngine,
    xs: Tensor,
    subnets: [Channels; 2],
    mode: Mode,
}

impl Case {
    fn new(seed: usize) -> Result<Case> {
        let graph = smooth(graph(seed));
        let engine = CpuEngine::new(graph.clone(), params(&graph, DType::F64), 1)?;
        let xs = noise(&[5, graph.input.h, graph.input.w, graph.input.c], seed as u64, DType::F64);
        let subnets = [graph.widest(), arbitrary::channels(&graph, seed)];
        for (switch, channels) in subnets.iter().enumerate() {
            engine.set_switch(switch)?;
            engine.logits(&xs, channels, Mode::Calibrate)?;
        }
        engine.set_dropout(Some(Dropout { rate: 0.3, seed: 9 }))?;
        Ok(Case {
            engine,
            xs,
            subnets,
            mode: if seed.is_multiple_of(3) { Mode::Frozen } else { Mode::Train },
        })
    }

    /// Calls `each` with `Σ logits · direction` of every subnet.
    fn losses(&self, mut each: impl FnMut(Tensor) -> Result<()>) -> Result<()> {
        for (switch, channels) in self.subnets.iter().enumerate() {
            self.engine.set_switch(switch)?;
            let logits = self.engine.logits(&self.xs, channels, self.mode)?;
            let direction = noise(logits.dims(), 77, DType::F64);
            each((logits * direction)?.sum_all()?)?;
        }
        Ok(())
    }

    fn gradients(&self) -> Result<Vec<Vec<f64>>> {
        self.losses(|loss| loss.backward().map(drop))?;
        let mut store = GradStore::default();
        self.engine.take_grads(&mut store)?;
        let flat = |var: &Var| store.get(var).expect("every Var").flatten_all()?.to_vec1();
        self.engine.params().vars().iter().map(|(_, var)| flat(var)).collect()
    }

    /// The central difference for one value of `var`.
    fn difference(&self, var: &Var, idx: usize) -> Result<f64> {
        let values = var.flatten_all()?.to_vec1::<f64>()?;
        let at = |value: f64| -> Result<f64> {
            let (mut values, mut total) = (values.clone(), 0.0);
            values[idx] = value;
            var.set(&Tensor::from_vec(values, var.shape(), &CPU)?)?;
            self.losses(|loss| Ok(total += loss.to_scalar::<f64>()?))?;
            Ok(total)
        };
        let (above, below) = (values[idx] + STEP, values[idx] - STEP);
        let difference = (at(above)? - at(below)?) / (above - below);
        at(values[idx])?;
        Ok(difference)
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, x| x.abs().max(largest))
}

#[test]
fn gradients_of_random_graphs_equal_finite_differences() -> Result<()> {
    for seed in 0..40 {
        let (case, mut rng) = (Case::new(seed)?, ChaCha8Rng::seed_from_u64(seed as u64));
        let grads = case.gradients()?;
        let floor = 1e-3 * grads.iter().map(|grad| largest(grad)).fold(0.0, f64::max);
        for ((name, var), grad) in case.engine.params().vars().iter().zip(&grads) {
            for _ in 0..3 {
                let idx = rng.random_range(0..grad.len());
                let difference = case.difference(var, idx)?;
                let relative = (difference - grad[idx]).abs() / largest(grad).max(floor);
                assert!(relative < TOLERANCE, "seed {seed}, {name} {idx}: {difference}, not {}", grad[idx]);
            }
        }
    }
    Ok(())
}
