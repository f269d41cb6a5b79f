//! Training loops around an engine: losses, the sandwich rule, the optimiser, recalibration.

pub mod checkpoint;
mod error;
pub mod evaluate;
pub mod loss;
pub mod optim;
pub mod plain;
pub mod recalibrate;
pub mod schedule;
pub mod supernet;
pub mod training;

pub use error::{Kept, TrainError};
pub use evaluate::{Evaluation, evaluate, test_logits};
pub use loss::{hard_cross_entropy, smooth_labels, soft_cross_entropy};
pub use optim::{NesterovSgd, SgdParams};
pub use recalibrate::{recalibrate, recalibrate_on};
pub use training::{Goal, Progress, Training, Validation, train};
