//! One step of a slimmable network (S-Net, arXiv 1812.08928): every switch learns from the labels of the same batch,
//! their gradients are added up, and the optimiser moves once.

use super::step::Step;
use super::{Width, soft_cross_entropy};
use crate::engine::{Engine, Mode};
use crate::network::Graph;
use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor};
use candle_nn::Optimizer;
use serde::Serialize;

/// The networks of an S-Net and what they share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Switches {
    /// Each a network, none twice.
    pub widths: Vec<Width>,
    /// Whether they share batch norm.
    pub batch_norm: BatchNorm,
    /// The sum of the switches' gradients is scaled by this, 1 in the paper.
    pub gradient_scale: f64,
}

/// Whose γ, β and running statistics a switch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchNorm {
    /// Its own.
    Switchable,
    /// Those of all switches, as without the paper's contribution.
    Naive,
}

impl BatchNorm {
    /// The batch norm of the switch that is listed at `place`.
    pub const fn switch(self, place: usize) -> usize {
        match self {
            BatchNorm::Switchable => place,
            BatchNorm::Naive => 0,
        }
    }
}

impl Switches {
    /// The papers' ratios, the least first.
    pub const RATIOS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];

    /// The paper's: switchable batch norm and the plain sum of gradients.
    pub fn of(widths: Vec<Width>) -> Switches {
        Switches { widths, batch_norm: BatchNorm::Switchable, gradient_scale: 1.0 }
    }

    /// The place of the switch with most multiply-accumulates.
    pub(super) fn largest(&self, graph: &Graph) -> usize {
        let macs = |&place: &usize| graph.counts(&self.widths[place].channels).macs;
        (0..self.widths.len()).max_by_key(macs).expect("System::check refuses a system without switches")
    }

    pub(super) fn check(&self, graph: &Graph) -> std::result::Result<(), String> {
        if self.widths.is_empty() {
            return Err("no switch; name at least one".into());
        }
        for (i, width) in self.widths.iter().enumerate() {
            width.check(graph)?;
            if let Some(twin) = self.widths[..i].iter().find(|other| other.channels == width.channels) {
                return Err(format!("the switches {twin} and {width} are the same network"));
            }
        }
        check_scale(self.gradient_scale)
    }
}

pub(super) fn check_scale(gradient_scale: f64) -> std::result::Result<(), String> {
    let fits = gradient_scale > 0.0 && gradient_scale.is_finite();
    if fits {
        Ok(())
    } else {
        Err(format!("a gradient scale of {gradient_scale}; it must be a number above 0"))
    }
}

/// Trains every switch on one batch; the engine is left at switch 0. Tells of the largest.
///
/// - `images`: `(n, h, w, c)`
/// - `labels`: `(n, classes)`, probabilities
///
/// # Errors
/// What the engine or the optimiser returns; a batch norm that the parameters do not have.
pub fn switches_step(
    engine: &dyn Engine,
    switches: &Switches,
    images: &Tensor,
    labels: &Tensor,
    optimizer: &mut impl Optimizer,
) -> Result<Step> {
    let largest = switches.largest(engine.graph());
    let mut told = None;
    for (place, width) in switches.widths.iter().enumerate() {
        engine.set_switch(switches.batch_norm.switch(place))?;
        let logits = engine.logits(images, &width.channels, Mode::Train)?; // (n, classes)
        let loss = soft_cross_entropy(&logits, labels)?;
        loss.affine(switches.gradient_scale, 0.0)?.backward()?;
        if place == largest {
            told = Some(Step::new(&loss, &logits, labels)?);
        }
    }
    engine.set_switch(0)?;
    let mut grads = GradStore::default();
    engine.take_grads(&mut grads)?;
    optimizer.step(&grads)?;
    Ok(told.expect("the largest is one of them"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::CandleEngine;
    use crate::network::Channels;
    use crate::train::tests::{Recorder, batch, tiny_engine};
    use candle_core::Var;

    const COUNTS: [usize; 3] = [4, 2, 6];

    fn switches(batch_norm: BatchNorm, gradient_scale: f64) -> Switches {
        let widths = COUNTS.map(|count| Channels(vec![count]).into()).to_vec();
        Switches { widths, batch_norm, gradient_scale }
    }

    /// γ and β that tell switches apart.
    fn perturb(engine: &CandleEngine) {
        for (i, (name, var)) in engine.params().vars().into_iter().enumerate() {
            if name.contains("gamma") || name.contains("beta") {
                var.set(&var.affine(1.0, 0.1 * i as f64).unwrap()).unwrap();
            }
        }
    }

    fn step(engine: &CandleEngine, switches: &Switches) -> (Recorder, Step) {
        let ((images, labels), mut recorder) = (batch(), Recorder::of(engine));
        let step = switches_step(engine, switches, &images, &labels, &mut recorder).unwrap();
        (recorder, step)
    }

    /// The gradients of one switch by itself.
    fn alone(engine: &CandleEngine, channels: usize, switch: usize) -> (GradStore, f32) {
        let (images, labels) = batch();
        engine.set_switch(switch).unwrap();
        let logits = engine.logits(&images, &Channels(vec![channels]), Mode::Train).unwrap();
        let loss = soft_cross_entropy(&logits, &labels).unwrap();
        loss.backward().unwrap();
        let mut grads = GradStore::default();
        engine.take_grads(&mut grads).unwrap();
        (grads, loss.to_scalar().unwrap())
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn same(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn shared_weights_get_the_sum_of_all_switches_gradients() {
        for (batch_norm, n) in [(BatchNorm::Switchable, 3), (BatchNorm::Naive, 1)] {
            let engine = tiny_engine(n);
            perturb(&engine);
            let (recorder, _) = step(&engine, &switches(batch_norm, 0.5));
            let alone: Vec<GradStore> = COUNTS
                .iter()
                .enumerate()
                .map(|(place, &count)| alone(&engine, count, batch_norm.switch(place)).0)
                .collect();
            for (name, var) in engine.params().vars() {
                let mut sum = vec![0.0; var.elem_count()];
                for grads in &alone {
                    let grad = values(grads.get(&var).unwrap());
                    sum.iter_mut().zip(grad).for_each(|(sum, grad)| *sum += 0.5 * grad);
                }
                assert!(sum.iter().any(|x| x.abs() > 1e-4) || name.contains("beta"), "{name}: {sum:?}");
                assert!(same(&values(recorder.grad(&var)), &sum), "{name} with {batch_norm:?}");
            }
        }
    }

    #[test]
    fn a_switch_alone_moves_its_own_batch_norm() {
        let engine = tiny_engine(3);
        perturb(&engine);
        let (recorder, _) = step(&engine, &switches(BatchNorm::Switchable, 1.0));
        for (switch, &count) in COUNTS.iter().enumerate() {
            let (grads, _) = alone(&engine, count, switch);
            for what in ["gamma", "beta"] {
                let var: &Var = engine.params().get(&format!("stem.{what}.{switch}")).unwrap();
                let seen = values(recorder.grad(var));
                assert!(same(&seen, &values(grads.get(var).unwrap())), "{what} of switch {switch}");
                assert!(seen[..count].iter().all(|&x| x != 0.0) || what == "beta", "{seen:?}");
                assert!(seen[count..].iter().all(|&x| x == 0.0), "{what} beyond {count} channels: {seen:?}");
            }
        }
    }

    #[test]
    fn the_step_tells_of_the_largest_switch_wherever_it_is_listed() {
        let engine = tiny_engine(3);
        perturb(&engine);
        let (_, told) = step(&engine, &switches(BatchNorm::Switchable, 0.5));
        let losses: Vec<f32> = (0..3).map(|switch| alone(&engine, COUNTS[switch], switch).1).collect();
        assert!((told.loss - losses[2]).abs() < 1e-6, "{told:?} {losses:?}");
        assert!((losses[2] - losses[0]).abs() > 1e-4, "{losses:?}");
    }
}
