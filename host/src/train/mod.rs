//! Training loops around an engine: the systems and their steps, losses, the optimiser, recalibration.

pub mod checkpoint;
mod error;
pub mod evaluate;
pub mod loss;
pub mod optim;
pub mod plain;
pub mod recalibrate;
pub mod sandwich;
pub mod schedule;
mod step;
pub mod switches;
mod system;
pub mod training;
pub mod widths;

pub use error::{Kept, TrainError};
pub use evaluate::{Evaluation, evaluate, is_right, log_softmax, search_logits, test_logits};
pub use loss::{hard_cross_entropy, smooth_labels, soft_cross_entropy};
pub use optim::{NesterovSgd, SgdParams};
pub use recalibrate::{recalibrate, recalibrate_on};
pub use sandwich::Sandwich;
pub use step::Step;
pub use switches::{BatchNorm, Switches};
pub use system::{System, Width};
pub use training::{Networks, Progress, Training, Validation, train};
pub use widths::{Calibrated, Calibration, calibrate_widths, evaluate_widths};

#[cfg(test)]
mod tests;
