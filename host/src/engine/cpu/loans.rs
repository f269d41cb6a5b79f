//! Gradient sums on loan: an optimiser reads the engine's own buffers as tensors, until the next backward takes them
//! back. Fresh buffers every step would cost their page faults.

use std::cell::RefCell;
use std::mem::swap;

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Result, Tensor, Var, WithDType, bail};
use cpu_kernels::Real;
use cpu_kernels::disjoint::Disjoint;

use super::core::Core;

/// Values that one task zeroes.
const FILL: usize = 1 << 16;

/// One tensor per parameter. It has the values while they are lent, and none while the engine has them.
pub struct Loans {
    tensors: Vec<Tensor>,
    are_lent: bool,
}

impl Loans {
    /// Lent sums of 0.
    pub fn new(vars: &[Var]) -> Result<Loans> {
        let zeros = |var: &Var| Tensor::zeros(var.shape(), Real::DTYPE, &Device::Cpu);
        Ok(Loans { tensors: vars.iter().map(zeros).collect::<Result<_>>()?, are_lent: true })
    }

    /// Parameters.
    pub fn n_tensors(&self) -> usize {
        self.tensors.len()
    }

    /// Values of all sums.
    pub fn n_values(&self) -> usize {
        self.tensors.iter().map(Tensor::elem_count).sum()
    }

    fn swap(&mut self, grads: &mut [Vec<Real>]) -> Result<()> {
        for (tensor, grad) in self.tensors.iter().zip(grads) {
            tensor.inplace_op1(&Swap(RefCell::new(grad)))?;
        }
        self.are_lent = !self.are_lent;
        Ok(())
    }
}

impl Core {
    /// The gradient sums as tensors, which have their values until [`Core::take_back`].
    pub fn lend(&mut self) -> Result<&[Tensor]> {
        self.take_back()?;
        self.loans.swap(&mut self.grads)?;
        Ok(&self.loans.tensors)
    }

    /// Makes the sums the engine's again, as 0, if they are lent.
    pub fn take_back(&mut self) -> Result<()> {
        if !self.loans.are_lent {
            return Ok(());
        }
        self.loans.swap(&mut self.grads)?;
        for grad in &mut self.grads {
            let len = grad.len();
            let all = Disjoint::new(grad);
            self.pool.run(len.div_ceil(FILL), &|idx, _| {
                // SAFETY: every value is in one task.
                unsafe { all.range(idx * FILL, FILL.min(len - idx * FILL)) }.fill(0.0);
            });
        }
        Ok(())
    }
}

/// Exchanges a tensor's values for these.
struct Swap<'a>(RefCell<&'a mut Vec<Real>>);

impl InplaceOp1 for Swap<'_> {
    fn name(&self) -> &'static str {
        "loan"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        match storage {
            #[cfg(not(feature = "engine-f64"))]
            CpuStorage::F32(values) => swap(values, &mut self.0.borrow_mut()),
            #[cfg(feature = "engine-f64")]
            CpuStorage::F64(values) => swap(values, &mut self.0.borrow_mut()),
            _ => bail!("gradients are {:?}", Real::DTYPE),
        }
        Ok(())
    }
}
