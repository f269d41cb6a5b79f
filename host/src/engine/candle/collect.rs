//! Where gradients go.

use std::sync::{Arc, Mutex};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, Device, Layout, Result, Shape, Tensor, Var};

use crate::engine::device::explain;

/// Gradient sums, one per Var of the parameters, `None` while nothing has been added.
pub type Grads = Arc<Mutex<Vec<Option<Tensor>>>>;

/// Hands logits through; its backward runs Candle's through the network and keeps the Vars' gradients.
pub struct Collect {
    pub logits: Tensor,
    pub vars: Vec<Var>,
    pub grads: Grads,
    pub device: Device,
}

impl Collect {
    fn add_up(&self, grad: &Tensor) -> Result<()> {
        let mut store = (&self.logits * grad.detach())?.sum_all()?.backward()?;
        let mut grads = self.grads.lock().expect("no thread panics while it holds the gradients");
        for (sum, var) in grads.iter_mut().zip(&self.vars) {
            let Some(grad) = store.remove(var) else { continue };
            *sum = Some(match sum.take() {
                Some(sum) => (sum + grad)?.detach(),
                None => grad.detach(),
            });
        }
        Ok(())
    }
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
        self.add_up(grad).map_err(|error| explain(error, &self.device))?;
        Ok((None, None))
    }
}
