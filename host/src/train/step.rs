//! What a training step tells.

use candle_core::{DType, Result, Tensor};

/// One step, as its largest network did on the batch before the weights moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Mean cross-entropy with the labels, nats.
    pub loss: f32,
    /// Images whose largest logit was not the label's.
    pub n_wrong: usize,
}

impl Step {
    /// - `loss`: a scalar
    /// - `logits`, `labels`: `(n, classes)`
    pub(super) fn new(loss: &Tensor, logits: &Tensor, labels: &Tensor) -> Result<Step> {
        let wrong = logits.detach().argmax(1)?.ne(&labels.argmax(1)?)?; // (n)
        let n_wrong = wrong.to_dtype(DType::U32)?.sum_all()?.to_scalar::<u32>()? as usize;
        Ok(Step { loss: loss.to_scalar()?, n_wrong })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn images_whose_largest_logit_is_not_the_labels_are_counted() -> Result<()> {
        let logits = Tensor::new(&[[3.0f32, 1.0, 2.0], [0.0, 0.1, 0.2], [-1.0, -3.0, -2.0]], &Device::Cpu)?;
        let labels =
            Tensor::new(&[[0.9f32, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]], &Device::Cpu)?;
        let step = Step::new(&Tensor::new(0.5f32, &Device::Cpu)?, &logits, &labels)?;
        assert_eq!(step, Step { loss: 0.5, n_wrong: 2 });
        Ok(())
    }
}
