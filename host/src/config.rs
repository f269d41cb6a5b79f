//! `edgeslim.toml`: everything that a run is asked for.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A run's configuration; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The seed of everything random.
    pub seed: u64,
    /// A board's name (`edgeslim boards`) or a board file.
    pub board: String,
    /// What is slimmed.
    pub network: NetworkConfig,
    /// What it learns from.
    pub data: DataConfig,
    /// How layers are priced.
    #[serde(default)]
    pub profile: ProfileConfig,
    /// How the supernet is trained.
    pub train: Recipe,
    /// How every candidate is trained from scratch.
    pub retrain: Retrain,
    /// What is looked for.
    pub search: SearchConfig,
    /// What is checked on the board.
    pub verify: VerifyConfig,
}

/// The network that is slimmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// A name of the zoo or a TOML file of a graph.
    pub name: String,
    /// The supernet's widest layer, as a multiple of the named network.
    pub max_width: f64,
    /// The supernet's narrowest layer, as a multiple of the named network.
    pub min_width: f64,
    /// Channel counts are multiples of it, 8 where it is left out: fewer choices are profiled and searched faster.
    #[serde(default = "eight")]
    pub bin_multiple: usize,
}

fn eight() -> usize {
    8
}

/// Where the images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `embedded`, or a directory of IDX files, of CIFAR-10's binary files, or of image folders.
    pub path: String,
    /// Training images held out for the search.
    pub search_images: usize,
    /// Whether training images are flipped and shifted.
    pub augment: bool,
}

/// How layers are priced on the board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// Samples a layer, each of as many runs as make one long enough.
    pub samples: u8,
    /// Runs before the first sample.
    pub warmups: u8,
    /// Stops measuring after this long, seconds, once the rest can be interpolated; none measures every layer.
    pub time_s: Option<f64>,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        ProfileConfig { samples: 11, warmups: 1, time_s: None }
    }
}

/// SGD with a cosine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// L2 on dense weights.
    pub weight_decay: f64,
}

/// The recipe of the candidates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrain {
    /// The same for every candidate.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// Trainings a candidate; the first one is deployed.
    pub seeds: usize,
}

/// What the search looks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// `autoslim`, `uniform`, `random`, `flops`.
    pub strategies: Vec<String>,
    /// Each `latency 50%`, `latency 12ms`, `ram 20kB`, `flash 60kB` or `macs 1.5M`.
    pub budgets: Vec<String>,
    /// Images of the recalibration before each estimate.
    pub recalibration_images: usize,
}

/// What is checked on the board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyConfig {
    /// Test images that are sent to the board, for every candidate.
    pub images: usize,
    /// Candidates for which all test images are sent.
    #[serde(default)]
    pub all_images: Vec<String>,
}

/// An `edgeslim.toml` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}; `edgeslim init` writes a first one")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A count that must be at least 1.
    #[error("{path}: {key} is 0; it must be at least 1")]
    None {
        /// The file.
        path: PathBuf,
        /// Its key.
        key: &'static str,
    },
    /// The file is no valid configuration; the message has line and column.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
}

impl RunConfig {
    /// Reads `path`.
    ///
    /// # Errors
    /// [`ConfigError`] with the file, and for a wrong key or value its line.
    pub fn load(path: &Path) -> Result<RunConfig, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config: RunConfig = toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        match config.none() {
            Some(key) => Err(ConfigError::None { path: path.to_owned(), key }),
            None => Ok(config),
        }
    }

    /// The first count that is zero and must not be.
    fn none(&self) -> Option<&'static str> {
        let counts = [
            ("profile.samples", usize::from(self.profile.samples)),
            ("data.search_images", self.data.search_images),
            ("train.epochs", self.train.epochs),
            ("train.batch", self.train.batch),
            ("retrain.epochs", self.retrain.recipe.epochs),
            ("retrain.batch", self.retrain.recipe.batch),
            ("retrain.seeds", self.retrain.seeds),
            ("search.recalibration_images", self.search.recalibration_images),
        ];
        counts.into_iter().find(|(_, count)| *count == 0).map(|(key, _)| key)
    }

    /// The commented file that `edgeslim init` writes.
    pub const TEMPLATE: &str = include_str!("template.toml");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_a_valid_configuration() {
        let config: RunConfig = toml::from_str(RunConfig::TEMPLATE).unwrap();
        assert_eq!(config.data.path, "embedded");
    }

    #[test]
    fn a_count_of_zero_is_refused_by_its_key() {
        let text = RunConfig::TEMPLATE.replacen("epochs = 30", "epochs = 0", 1);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edgeslim.toml");
        std::fs::write(&path, text).unwrap();
        let message = RunConfig::load(&path).unwrap_err().to_string();
        assert!(message.contains("train.epochs is 0"), "{message}");
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_line() {
        let text = RunConfig::TEMPLATE.replace("epochs", "epoch");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("edgeslim.toml");
        std::fs::write(&path, text).unwrap();
        let message = RunConfig::load(&path).unwrap_err().to_string();
        assert!(message.contains("line") && message.contains("epoch"), "{message}");
    }
}
