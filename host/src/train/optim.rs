//! SGD with Nesterov momentum, as the slimmable papers train: weight decay on dense weights only.

use std::cell::RefCell;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, Tensor, Var, WithDType, bail};
use candle_nn::Optimizer;
use cpu_kernels::elementwise::NesterovStep;
use cpu_kernels::{Isa, Real};

use crate::engine::Params;

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

impl Slot {
    /// One pass in place where the kernels know the type, composed of Candle's operators elsewhere.
    fn step(&mut self, grad: &Tensor, params: SgdParams) -> Result<()> {
        let weight_decay = if self.decays { params.weight_decay } else { 0.0 };
        let SgdParams { learning_rate, momentum, .. } = params;
        let weights = self.var.as_tensor();
        let velocity = match self.velocity.take() {
            Some(velocity) => velocity,
            None => weights.zeros_like()?,
        };
        if weights.device().is_cpu() && weights.dtype() == Real::DTYPE {
            let step = NesterovStep {
                learning_rate: learning_rate as Real,
                momentum: momentum as Real,
                weight_decay: weight_decay as Real,
            };
            velocity.inplace_op2(grad, &OnVelocity { step, weights })?;
            self.velocity = Some(velocity);
            return Ok(());
        }
        let weights = weights.detach();
        let grad = (grad + weights.affine(weight_decay, 0.0)?)?;
        let velocity = (velocity.affine(momentum, 0.0)? + &grad)?;
        let step = (grad + velocity.affine(momentum, 0.0)?)?;
        self.var.set(&(weights - step.affine(learning_rate, 0.0)?)?)?;
        self.velocity = Some(velocity.detach());
        Ok(())
    }
}

/// The step of one Var as Candle's operator in place on its velocity.
struct OnVelocity<'a> {
    step: NesterovStep,
    weights: &'a Tensor,
}

/// Within it, the one in place on the weights: Candle's operators write one tensor each.
struct OnWeights<'a> {
    step: NesterovStep,
    /// Velocity and gradient.
    others: RefCell<(&'a mut [Real], &'a [Real])>,
}

impl InplaceOp2 for OnVelocity<'_> {
    fn name(&self) -> &'static str {
        "nesterov"
    }

    fn cpu_fwd(
        &self,
        velocity: &mut CpuStorage,
        layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
    ) -> Result<()> {
        let others = RefCell::new((values_mut(velocity, layout)?, values(grad, grad_layout)?));
        self.weights.inplace_op1(&OnWeights { step: self.step, others })
    }
}

impl InplaceOp1 for OnWeights<'_> {
    fn name(&self) -> &'static str {
        "nesterov"
    }

    fn cpu_fwd(&self, weights: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (velocity, grad) = &mut *self.others.borrow_mut();
        let weights = values_mut(weights, layout)?;
        if grad.len() != weights.len() || velocity.len() != weights.len() {
            bail!("nesterov: {} gradients for {} weights", grad.len(), weights.len());
        }
        self.step.run(Isa::detect(), weights, velocity, grad);
        Ok(())
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [Real]> {
    let values = match storage {
        #[cfg(not(feature = "engine-f64"))]
        CpuStorage::F32(values) => values,
        #[cfg(feature = "engine-f64")]
        CpuStorage::F64(values) => values,
        _ => bail!("nesterov needs {:?}", Real::DTYPE),
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&mut values[start..end]),
        None => bail!("nesterov needs contiguous tensors"),
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [Real]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&Real::cpu_storage_as_slice(storage)?[start..end]),
        None => bail!("nesterov needs contiguous tensors"),
    }
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
        for slot in &mut self.slots {
            if let Some(grad) = grads.get(&slot.var) {
                slot.step(grad, self.params)?;
            }
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
