//! What trainings record.

use serde::{Deserialize, Serialize};

/// A trained system of the slimmable family: `train.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainRecord {
    /// Its name: `i-net`, `s-net`, `us-net` or `nonuniform`.
    pub system: String,
    /// The system with its options, as they were resolved for the network.
    pub options: serde_json::Value,
    /// Network, as in the run's configuration.
    pub network: String,
    /// Data set, as in the run's configuration.
    pub dataset: String,
    /// The seed that everything random of the training came from.
    pub seed: u64,
    /// Version of edgeslim that ran.
    pub edgeslim: String,
    /// Its epochs.
    pub training: TrainingRecord,
    /// Training images behind the batch-norm statistics of each of the widths.
    pub calibration_images: usize,
    /// Images, held out of the training set, that the widths were evaluated on.
    pub search_images: usize,
    /// Networks of the system; empty where the search evaluates them.
    pub widths: Vec<WidthRecord>,
}

/// One network of a trained system, with the system's weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WidthRecord {
    /// Its ratio, as `x0.5`, or its channels, as `8-16-24`.
    pub name: String,
    /// The ratio that it was asked for by, if one for all units.
    pub ratio: Option<f64>,
    /// Channels of each unit: `[units]`.
    pub channels: Vec<usize>,
    /// Multiply-accumulates of an image.
    pub macs: u64,
    /// Share of the search images that it answers right.
    pub accuracy: f64,
    /// Mean cross-entropy on the search images, nats.
    pub loss: f64,
}

/// One training: the supernet, a retraining or a reference.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// What was trained, such as `supernet`; unique within a run.
    pub name: String,
    /// Epochs in order.
    pub epochs: Vec<EpochRecord>,
}

/// One epoch of a training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch, nats.
    pub loss: f64,
    /// Accuracy on the search split after the epoch, if it was evaluated.
    pub accuracy: Option<f64>,
    /// Learning rate at the end of the epoch.
    pub lr: f64,
    /// Share of the epoch's training images, as they were augmented, that the largest network got wrong in its step.
    #[serde(default)]
    pub train_error: Option<f64>,
    /// Accuracies on the search split of all networks of the system, in its order, if they were evaluated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accuracies: Vec<f64>,
}
