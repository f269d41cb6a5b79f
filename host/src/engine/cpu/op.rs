//! The whole network as one Candle operator.

use std::sync::{Arc, Mutex};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Storage, Tensor, Var, WithDType, bail};
use cpu_kernels::Real;

use super::core::Core;
use crate::engine::Mode;
use crate::network::Channels;

/// One forward pass, and the backward pass that belongs to it.
pub struct NetOp {
    pub core: Arc<Mutex<Core>>,
    pub vars: Arc<Vec<Var>>,
    pub channels: Channels,
    pub mode: Mode,
    /// Of the forward pass, once it has run.
    pub generation: Mutex<u64>,
}

impl CustomOp2 for NetOp {
    fn name(&self) -> &'static str {
        "network"
    }

    /// Logits of the images; the second argument only makes Candle call `bwd`.
    fn cpu_fwd(
        &self,
        images: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let images = floats(images, layout)?;
        let n = layout.dims()[0];
        let mut core = self.core.lock().expect("a panic ends the engine");
        let mut logits = Vec::new();
        with_values(&self.vars, |params| {
            core.forward(images, n, &self.channels, params, self.mode, &mut logits);
        })?;
        *self.generation.lock().expect("a panic ends the engine") = core.generation;
        Ok((Real::to_cpu_storage_owned(logits), (n, core.graph.classes).into()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        d_logits: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut core = self.core.lock().expect("a panic ends the engine");
        if !self.mode.is_differentiable() {
            bail!(
                "{}: {:?} logits have no backward; run the forward in Train or Frozen",
                core.graph.name,
                self.mode
            );
        }
        if *self.generation.lock().expect("a panic ends the engine") != core.generation {
            bail!(
                "{}: another forward has replaced the activations; run backward before it",
                core.graph.name
            );
        }
        core.take_back()?;
        let d_logits = d_logits.contiguous()?;
        let (d_logits, layout) = d_logits.storage_and_layout();
        let d_logits = floats(cpu(&d_logits)?, layout)?;
        with_values(&self.vars, |params| core.backward(d_logits, params))?;
        // Its gradient buffers are used up.
        core.generation += 1;
        Ok((None, None))
    }
}

/// Calls `run` with the values of every Var.
fn with_values<R>(vars: &[Var], run: impl FnOnce(&[&[Real]]) -> R) -> Result<R> {
    let guards: Vec<_> = vars.iter().map(|var| var.storage_and_layout()).collect();
    let mut values = Vec::with_capacity(guards.len());
    for (storage, layout) in &guards {
        values.push(floats(cpu(storage)?, layout)?);
    }
    Ok(run(&values))
}

fn cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => bail!("the CPU engine needs its tensors on the CPU"),
    }
}

fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [Real]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<Real>()?[start..end]),
        None => bail!("the CPU engine needs contiguous tensors"),
    }
}
