//! SGD with Nesterov momentum, as the slimmable papers train: weight decay on dense weights only.

use crate::engine::Params;
use candle_core::{Result, Tensor, Var, backprop::GradStore};
use candle_nn::Optimizer;

/// Hyper-parameters of [`NesterovSgd`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdParams {
    /// Step size.
    pub learning_rate: f64,
    /// Share of the last step's velocity that stays, 0.9 in the papers.
    pub momentum: f64,
    /// L2 on the Vars that decay.
    pub weight_decay: f64,
}

struct Slot {
    var: Var,
    decays: bool,
    velocity: Option<Tensor>,
}

/// `v ← µ·v + g;  w ← w − lr·(g + µ·v)` with `g` including weight decay (PyTorch's `SGD(nesterov=True)`).
pub struct NesterovSgd {
    slots: Vec<Slot>,
    params: SgdParams,
}

impl NesterovSgd {
    /// Over a network's parameters, decaying only those that [`Params::decays`] names.
    pub fn for_network(network: &Params, params: SgdParams) -> NesterovSgd {
        let slot = |(name, var): (String, Var)| Slot { decays: network.decays(&name), var, velocity: None };
        NesterovSgd { slots: network.vars().into_iter().map(slot).collect(), params }
    }

    /// The velocity of every Var, in their order; `None` before its first step.
    pub fn velocities(&self) -> Vec<Option<Tensor>> {
        self.slots.iter().map(|slot| slot.velocity.clone()).collect()
    }

    /// Goes on from the [`velocities`](NesterovSgd::velocities) of another training.
    ///
    /// # Errors
    /// If they are not one per Var, or one has another shape.
    pub fn set_velocities(&mut self, velocities: Vec<Option<Tensor>>) -> Result<()> {
        let fits =
            |(slot, v): (&Slot, &Option<Tensor>)| v.as_ref().is_none_or(|v| v.dims() == slot.var.dims());
        if velocities.len() != self.slots.len() || !self.slots.iter().zip(&velocities).all(fits) {
            candle_core::bail!("{} velocities are none of these {} Vars", velocities.len(), self.slots.len());
        }
        self.slots.iter_mut().zip(velocities).for_each(|(slot, velocity)| slot.velocity = velocity);
        Ok(())
    }
}

impl Optimizer for NesterovSgd {
    type Config = SgdParams;

    /// Over bare Vars, all of which decay.
    fn new(vars: Vec<Var>, params: SgdParams) -> Result<NesterovSgd> {
        let slot = |var| Slot { var, decays: true, velocity: None };
        Ok(NesterovSgd { slots: vars.into_iter().map(slot).collect(), params })
    }

    fn step(&mut self, grads: &GradStore) -> Result<()> {
        let SgdParams { learning_rate, momentum, weight_decay } = self.params;
        for slot in &mut self.slots {
            let Some(grad) = grads.get(&slot.var) else { continue };
            let weights = slot.var.as_detached_tensor();
            let grad = if slot.decays && weight_decay != 0.0 {
                (grad + weights.affine(weight_decay, 0.0)?)?
            } else {
                grad.clone()
            };
            let velocity = match slot.velocity.take() {
                Some(velocity) => (velocity.affine(momentum, 0.0)? + &grad)?,
                None => grad.clone(),
            };
            let step = (grad + velocity.affine(momentum, 0.0)?)?;
            slot.var.set(&(weights - step.affine(learning_rate, 0.0)?)?)?;
            slot.velocity = Some(velocity.detach());
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.params.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.params.learning_rate = learning_rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn two_steps_equal_the_formula_worked_by_hand() -> Result<()> {
        let var = Var::new(&[1.0f32], &Device::Cpu)?;
        let params = SgdParams { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.5 };
        let mut sgd = NesterovSgd::new(vec![var.clone()], params)?;
        let (mut w, mut v) = (1.0f64, 0.0f64);
        for _ in 0..2 {
            let grads = (var.as_tensor() * 2.0)?.sum_all()?.backward()?;
            sgd.step(&grads)?;
            let g = 2.0 + 0.5 * w;
            v = 0.9 * v + g;
            w -= 0.1 * (g + 0.9 * v);
        }
        let got = f64::from(var.to_vec1::<f32>()?[0]);
        assert!((got - w).abs() < 1e-6, "{got} {w}");
        Ok(())
    }
}
