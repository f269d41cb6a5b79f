//! Training loops around an engine: losses, the sandwich rule, the optimiser, recalibration.

pub mod checkpoint;
mod error;
pub mod evaluate;
pub mod optim;
pub mod plain;
pub mod recalibrate;
pub mod schedule;
pub mod supernet;
pub mod training;

pub use error::TrainError;
pub use evaluate::{Evaluation, evaluate, test_logits};
pub use optim::{NesterovSgd, SgdParams};
pub use recalibrate::{recalibrate, recalibrate_on};
pub use training::{Goal, Progress, Training, Validation, train};

use candle_core::{Result, Tensor};

/// Mean cross-entropy between logits `(n, classes)` and target probabilities `(n, classes)`.
///
/// # Errors
/// If the shapes differ.
pub fn soft_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let log_probabilities = candle_nn::ops::log_softmax(logits, 1)?;
    (log_probabilities * targets)?.sum_all()?.affine(-1.0 / logits.dim(0)? as f64, 0.0)
}
