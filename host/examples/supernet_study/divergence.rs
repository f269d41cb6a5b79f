//! AlphaNet's adaptive clipped α-divergence (arXiv 2102.07954, section 3): for every image the larger of α = −1, which
//! punishes a student that is less sure than its teacher, and α = 1, the divergence of plain distillation.

use candle_core::{DType, Result, Tensor};
use candle_nn::ops::{log_softmax, softmax};

/// Largest importance weight (p / q)^α.
const CLIP: f64 = 5.0;
/// Below it a probability counts as this.
const TINY: f64 = 1e-8;

/// A tensor whose gradient is that of the divergence, a mean over the batch; its value is of no use.
///
/// - `logits`: `(n, classes)`, the student's
/// - `teacher`: `(n, classes)`, probabilities
///
/// The gradient of D_α is `−1/α · E_q[(p / q)^α · ∇ log q]`.
///
/// # Errors
/// If the shapes differ.
pub fn alpha_divergence(logits: &Tensor, teacher: &Tensor) -> Result<Tensor> {
    let q = softmax(&logits.detach(), 1)?.clamp(TINY, 1.0)?;
    let p = teacher.clamp(TINY, 1.0)?;
    let (up, down) = ((&p / &q)?.clamp(0.0, CLIP)?, (&q / &p)?.clamp(0.0, CLIP)?);
    // Of D_1 and D_−1, in `(n, 1)`.
    let right = (&p * (&p / &q)?.log()?)?.sum_keepdim(1)?;
    let left = ((&q * &down)?.sum_keepdim(1)? - 1.0)?.affine(0.5, 0.0)?;
    let is_left = left.gt(&right)?.to_dtype(DType::F32)?;
    let is_right = is_left.affine(-1.0, 1.0)?;
    let weights = (up.broadcast_mul(&is_right)? - down.broadcast_mul(&is_left)?)?;
    let n = logits.dim(0)? as f64;
    ((q * weights)? * log_softmax(logits, 1)?)?.sum_all()?.affine(-1.0 / n, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn gradient(logits: [f32; 3], teacher: [f32; 3]) -> Vec<f32> {
        let logits = Var::new(&[logits], &Device::Cpu).unwrap();
        let teacher = Tensor::new(&[teacher], &Device::Cpu).unwrap();
        let grads = alpha_divergence(&logits, &teacher).unwrap().backward().unwrap();
        grads.get(&logits).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_student_that_agrees_is_left_alone() {
        let third = 1.0 / 3.0;
        assert!(gradient([1.0; 3], [third; 3]).iter().all(|g| g.abs() < 1e-6));
    }

    #[test]
    fn a_student_that_is_too_sure_learns_as_by_plain_distillation() {
        let (seen, teacher) = (gradient([2.0, 0.0, 0.0], [0.4, 0.3, 0.3]), [0.4, 0.3, 0.3]);
        let sum = 2f32.exp() + 2.0;
        let plain = [2f32.exp() / sum - teacher[0], 1.0 / sum - teacher[1], 1.0 / sum - teacher[2]];
        assert!(seen.iter().zip(plain).all(|(a, b)| (a - b).abs() < 1e-5), "{seen:?} {plain:?}");
    }

    #[test]
    fn a_student_that_is_unsure_is_pushed_harder() {
        let seen = gradient([0.0; 3], [0.8, 0.15, 0.05]);
        assert!(seen[0] < 1.5 * (1.0 / 3.0 - 0.8), "{seen:?}");
    }
}
