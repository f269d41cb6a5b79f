//! Losses of logits `(n, classes)`: means over the batch, nats. No logit is too large: the largest of each row is
//! subtracted first.

use candle_core::{Result, Tensor, bail};

/// Mean cross-entropy between logits `(n, classes)` and target probabilities `(n, classes)`.
///
/// # Errors
/// If the shapes differ.
pub fn soft_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let log_probabilities = candle_nn::ops::log_softmax(logits, 1)?;
    (log_probabilities * targets)?.sum_all()?.affine(-1.0 / logits.dim(0)? as f64, 0.0)
}

/// Mean cross-entropy between logits `(n, classes)` and one class per image.
///
/// # Errors
/// If there is not one label per image, or one is no class.
pub fn hard_cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let (n, classes) = logits.dims2()?;
    if labels.len() != n {
        bail!("{} labels for {n} images", labels.len());
    }
    if let Some(label) = labels.iter().find(|&&label| label as usize >= classes) {
        bail!("label {label}, but the network tells {classes} classes");
    }
    let labels = Tensor::from_slice(labels, (n, 1), logits.device())?;
    candle_nn::ops::log_softmax(logits, 1)?.gather(&labels, 1)?.sum_all()?.affine(-1.0 / n as f64, 0.0)
}

/// Label smoothing (arXiv 1512.00567, section 7): `smoothing` of each target's probability goes to all classes alike,
/// 0.1 in the slimmable papers.
///
/// - `targets`: `(n, classes)`, probabilities
///
/// # Errors
/// If `smoothing` is not from 0 to 1.
pub fn smooth_labels(targets: &Tensor, smoothing: f64) -> Result<Tensor> {
    if !(0.0..=1.0).contains(&smoothing) {
        bail!("a label smoothing of {smoothing}: it has to be from 0 to 1");
    }
    targets.affine(1.0 - smoothing, smoothing / targets.dim(1)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    const LOGITS: [[f64; 3]; 2] = [[0.3, -1.2, 2.0], [1.5, 0.1, -0.4]];
    const TARGETS: [[f64; 3]; 2] = [[0.2, 0.5, 0.3], [0.0, 0.9, 0.1]];

    /// Row by row, in the definition's words.
    fn by_definition(logits: &[[f64; 3]; 2], targets: &[[f64; 3]; 2]) -> f64 {
        let row = |(logits, targets): (&[f64; 3], &[f64; 3])| {
            let sum: f64 = logits.iter().map(|l| l.exp()).sum();
            -logits.iter().zip(targets).map(|(l, t)| t * (l.exp() / sum).ln()).sum::<f64>()
        };
        logits.iter().zip(targets).map(row).sum::<f64>() / 2.0
    }

    fn tensor(rows: &[[f64; 3]; 2]) -> Tensor {
        Tensor::new(rows, &Device::Cpu).unwrap()
    }

    #[test]
    fn losses_equal_their_definition() -> Result<()> {
        let soft = soft_cross_entropy(&tensor(&LOGITS), &tensor(&TARGETS))?.to_scalar::<f64>()?;
        assert!((soft - by_definition(&LOGITS, &TARGETS)).abs() < 1e-14);
        let one_hot = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
        let hard = hard_cross_entropy(&tensor(&LOGITS), &[1, 0])?.to_scalar::<f64>()?;
        assert!((hard - by_definition(&LOGITS, &one_hot)).abs() < 1e-14);
        let smoothed = smooth_labels(&tensor(&one_hot), 0.1)?.to_vec2::<f64>()?;
        for (row, hot) in smoothed.iter().zip([1, 0]) {
            let expected = |class| 0.1 / 3.0 + if class == hot { 0.9 } else { 0.0 };
            assert!(row.iter().enumerate().all(|(class, p)| (p - expected(class)).abs() < 1e-15), "{row:?}");
        }
        Ok(())
    }

    #[test]
    fn gradients_equal_finite_differences() -> Result<()> {
        type Loss = fn(&Tensor) -> Result<Tensor>;
        let losses: [Loss; 3] = [
            |logits| soft_cross_entropy(logits, &tensor(&TARGETS)),
            |logits| hard_cross_entropy(logits, &[2, 0]),
            |logits| soft_cross_entropy(logits, &smooth_labels(&tensor(&TARGETS), 0.3)?),
        ];
        for loss in losses {
            let var = Var::from_tensor(&tensor(&LOGITS))?;
            let grads = loss(&var)?.backward()?;
            let grad = grads.get(&var).expect("the loss reads the logits").to_vec2::<f64>()?;
            for (i, j) in (0..2).flat_map(|i| (0..3).map(move |j| (i, j))) {
                let at = |delta: f64| -> Result<f64> {
                    let mut moved = LOGITS;
                    moved[i][j] += delta;
                    loss(&tensor(&moved))?.to_scalar()
                };
                let difference = (at(1e-5)? - at(-1e-5)?) / 2e-5;
                assert!((difference - grad[i][j]).abs() < 1e-9, "{difference} {}", grad[i][j]);
            }
        }
        Ok(())
    }

    #[test]
    fn logits_that_overflow_an_exponential_have_a_finite_loss_and_gradient() -> Result<()> {
        let logits = Var::new(&[[3e4f32, -3e4, 0.0]], &Device::Cpu)?;
        let targets = Tensor::new(&[[0.0f32, 1.0, 0.0]], &Device::Cpu)?;
        for loss in [soft_cross_entropy(&logits, &targets)?, hard_cross_entropy(&logits, &[1])?] {
            assert_eq!(loss.to_scalar::<f32>()?, 6e4);
            let grads = loss.backward()?;
            assert_eq!(grads.get(&logits).expect("a gradient").to_vec2::<f32>()?, [[1.0, -1.0, 0.0]]);
        }
        Ok(())
    }

    #[test]
    fn labels_that_are_no_classes_are_refused() {
        let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(hard_cross_entropy(&logits, &[0, 3]).unwrap_err().to_string().contains("label 3"));
        assert!(hard_cross_entropy(&logits, &[0]).unwrap_err().to_string().contains("1 labels for 2 images"));
        assert!(smooth_labels(&logits, 1.5).is_err());
    }
}
