//! Why a training does not reach its end.

use std::path::PathBuf;

/// The checkpoint of a training that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The file.
    pub path: PathBuf,
    /// Whole epochs behind it.
    pub epochs: usize,
    /// Steps of the epoch after them.
    pub steps: usize,
}

fn told(kept: &Option<Kept>) -> String {
    match kept {
        Some(Kept { path, epochs, steps }) => format!(
            "{} keeps the weights after {epochs} epochs and {steps} steps, from where this recipe diverges again",
            path.display()
        ),
        None => "no checkpoint was written before".into(),
    }
}

/// What sets the learning rate.
fn setting(section: &str) -> String {
    if section.starts_with("--") {
        section.to_owned()
    } else {
        format!("{section}.learning_rate in edgeslim.toml")
    }
}

/// A training does not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The loss or a weight is no number any more; the last checkpoint before that is kept.
    #[error(
        "epoch {epoch}, step {step}: the loss or a weight is not finite; {}; lower {} ({peak}) and run it \
         again, which starts anew",
        told(kept),
        setting(section)
    )]
    NotFinite {
        /// From 1.
        epoch: usize,
        /// Of the epoch, from 1.
        step: usize,
        /// The recipe's learning rate.
        peak: f64,
        /// Where the recipe is written.
        section: &'static str,
        /// What is left; `None` before the first checkpoint.
        kept: Option<Kept>,
    },
    /// The stop flag was set; the checkpoint is written and a later call goes on with the next step.
    #[error("stopped in epoch {epoch}; run it again to go on from there")]
    Stopped {
        /// From 1.
        epoch: usize,
    },
    /// The system is not one of this network, or the parameters are not its.
    #[error("{system}: {problem}")]
    System {
        /// Its name.
        system: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// There is nothing to learn from.
    #[error("no training image, or a batch of none")]
    Empty,
    /// Images of a class that the network does not tell.
    #[error("images of {found} classes, but {network} tells {classes}; build it for the data's classes")]
    Classes {
        /// The network's name.
        network: String,
        /// Classes of the images.
        found: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// A checkpoint cannot be written.
    #[error("{path}: cannot write the checkpoint: {source}; {next}", path = path.display(), next = cost_tables::file::next_step(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A checkpoint is damaged.
    #[error("{path}: {problem}; delete the file to train from the start")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A checkpoint of another network, recipe or seed.
    #[error("{path}: written by another training; delete the file to train from the start")]
    OtherTraining {
        /// The file.
        path: PathBuf,
    },
    /// The engine or the optimiser failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
