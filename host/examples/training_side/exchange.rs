//! One step as data, for another program to repeat in float64.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use candle_nn::Optimizer;
use edgeslim::engine::{Mode, Params};
use edgeslim::train::plain::plain_step;
use edgeslim::train::sandwich::{Sandwich, random_subnet, sandwich_step};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::session::Session;

/// Writes a safetensors file of
/// - `images` `(n, h, w, c)`, `labels` `(n, classes)` and `param/NAME`,
/// - `plain/NAME` and `plain_loss`: gradients and loss of the widest subnet,
/// - `sandwich/NAME` and `sandwich_loss`: gradients of a sandwich step and the widest's loss,
/// - `statistics/NODE/mean`, `…/variance` and `logits` of the evaluated subnet.
///
/// `seed` draws images, parameters and the sandwich's subnets.
pub fn export(session: &mut Session, path: &Path, batch: usize, seed: u64) -> Result<Value> {
    let (images, labels) = session.noise(batch, seed)?;
    perturb(session.engine().params(), seed)?;
    session.calibrate(&images, &session.evaluated())?;
    let engine = session.engine();
    let vars = engine.params().vars();
    let mut tensors = HashMap::from([("images".into(), images.clone()), ("labels".into(), labels.clone())]);
    for (name, var) in &vars {
        tensors.insert(format!("param/{name}"), var.copy()?);
    }
    let mut keep = |what: &str, loss: f32, recorder: &Recorder| -> Result<()> {
        tensors.insert(format!("{what}_loss"), Tensor::new(&[loss], &Device::Cpu)?);
        for ((name, _), grad) in vars.iter().zip(&recorder.grads) {
            tensors.insert(format!("{what}/{name}"), grad.clone());
        }
        Ok(())
    };
    let mut recorder = Recorder::new(vars.iter().map(|(_, var)| var.clone()).collect(), ())?;
    let step = plain_step(engine, &engine.graph().widest(), &images, &labels, &mut recorder)?;
    keep("plain", step.loss, &recorder)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sandwich = Sandwich::default();
    let step = sandwich_step(engine, &sandwich, random_subnet, &images, &labels, &mut recorder, &mut rng)?;
    keep("sandwich", step.loss, &recorder)?;
    tensors.insert("logits".into(), engine.logits(&images, &session.evaluated(), Mode::Evaluate)?);
    for (node, statistics) in engine.graph().nodes.iter().zip(engine.statistics().nodes) {
        let Some(statistics) = statistics else { continue };
        let tensor = |values: Vec<f32>| Tensor::new(values, &Device::Cpu);
        tensors.insert(format!("statistics/{}/mean", node.name), tensor(statistics.mean)?);
        tensors.insert(format!("statistics/{}/variance", node.name), tensor(statistics.variance)?);
    }
    candle_core::safetensors::save(&tensors, path).with_context(|| path.display().to_string())?;
    Ok(json!({}))
}

/// Moves every parameter that starts at 0 or 1 away from there, where mistakes would not show.
fn perturb(params: &Params, seed: u64) -> candle_core::Result<()> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (name, var) in params.vars() {
        if name.ends_with(".weight") {
            continue;
        }
        let noise: Vec<f32> = (0..var.elem_count()).map(|_| rng.random_range(-0.2..0.2)).collect();
        var.set(&(var.as_tensor() + Tensor::from_vec(noise, var.shape(), &Device::Cpu)?)?)?;
    }
    Ok(())
}

/// An optimiser that keeps the gradients and leaves the parameters.
struct Recorder {
    vars: Vec<Var>,
    grads: Vec<Tensor>,
}

impl Optimizer for Recorder {
    type Config = ();

    fn new(vars: Vec<Var>, (): ()) -> candle_core::Result<Recorder> {
        Ok(Recorder { vars, grads: Vec::new() })
    }

    fn step(&mut self, grads: &GradStore) -> candle_core::Result<()> {
        let grad = |var: &Var| match grads.get(var) {
            Some(grad) => grad.copy(),
            None => var.zeros_like(),
        };
        self.grads = self.vars.iter().map(grad).collect::<candle_core::Result<_>>()?;
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        0.0
    }

    fn set_learning_rate(&mut self, _: f64) {}
}
