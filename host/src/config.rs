//! `edgeslim.toml`: everything that a run is asked for.

mod train;

pub use train::{TrainConfig, TrainConfigError, WidthChoice};

use crate::nearest::did_you_mean;
use device_bench::bench::MAX_SAMPLES;
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
    /// What is trained, and how.
    pub train: TrainConfig,
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
    /// Share of a label's probability that goes to all classes alike, 0.1 in the papers.
    #[serde(default)]
    pub label_smoothing: f64,
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
    /// Whether all candidates are trained together, as the switches of one S-Net, and not each by itself.
    #[serde(default)]
    pub jointly: bool,
}

/// What the search looks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchConfig {
    /// Names of [`Strategy`](crate::search::Strategy).
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

/// The most passes over the images: more is a slip of the pen.
const MAX_EPOCHS: usize = 100_000;
/// The most trainings a candidate.
const MAX_SEEDS: usize = 1000;

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
    /// A value that no run can use.
    #[error("{path}: {key} is {value}; it must be {must}")]
    Value {
        /// The file.
        path: PathBuf,
        /// Its key.
        key: &'static str,
        /// What it has.
        value: String,
        /// What it may be.
        must: String,
    },
    /// A list without an entry, or with one twice.
    #[error("{path}: {key}: {problem}")]
    List {
        /// The file.
        path: PathBuf,
        /// Its key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is no valid configuration; the message has line and column.
    #[error("{path}: {}{}", source.to_string().trim_end(), near(source.message()))]
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
        RunConfig::parse(&text, path)
    }

    /// Reads the text of the file `path`, which is only named in errors.
    ///
    /// # Errors
    /// As [`RunConfig::load`], but for [`ConfigError::Read`].
    pub fn parse(text: &str, path: &Path) -> Result<RunConfig, ConfigError> {
        let config: RunConfig = toml::from_str(text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let refuse = |key, value: String, must: &str| {
            Err(ConfigError::Value { path: path.to_owned(), key, value, must: must.to_owned() })
        };
        for (key, count) in self.counts() {
            if count == 0 {
                return refuse(key, "0".into(), "at least 1");
            }
        }
        let samples = usize::from(self.profile.samples);
        if samples > MAX_SAMPLES {
            return refuse("profile.samples", samples.to_string(), &format!("at most {MAX_SAMPLES}"));
        }
        if let Some((key, found, range)) = self.outside() {
            return refuse(key, found.to_string(), range);
        }
        for (key, list) in
            [("search.strategies", &self.search.strategies), ("search.budgets", &self.search.budgets)]
        {
            let refuse = |problem| Err(ConfigError::List { path: path.to_owned(), key, problem });
            if list.is_empty() {
                return refuse("it is empty; name at least one".to_owned());
            }
            if let Some(twice) = (1..list.len()).find(|&i| list[..i].contains(&list[i])) {
                return refuse(format!("`{}` is there twice", list[twice]));
            }
        }
        Ok(())
    }

    /// Counts that are not 0.
    fn counts(&self) -> [(&'static str, usize); 9] {
        [
            ("verify.images", self.verify.images),
            ("profile.samples", usize::from(self.profile.samples)),
            ("data.search_images", self.data.search_images),
            ("train.epochs", self.train.recipe.epochs),
            ("train.batch", self.train.recipe.batch),
            ("retrain.epochs", self.retrain.recipe.epochs),
            ("retrain.batch", self.retrain.recipe.batch),
            ("retrain.seeds", self.retrain.seeds),
            ("search.recalibration_images", self.search.recalibration_images),
        ]
    }

    /// The first number outside its range, with that range.
    fn outside(&self) -> Option<(&'static str, f64, &'static str)> {
        let Recipe { epochs, learning_rate, weight_decay, label_smoothing, .. } = self.train.recipe;
        let again = &self.retrain.recipe;
        let few = |n: usize, most: usize| n <= most;
        let rate = |x: f64| x > 0.0 && x.is_finite();
        let decay = |x: f64| x >= 0.0 && x.is_finite();
        let share = |x: f64| (0.0..1.0).contains(&x);
        let time_s = self.profile.time_s.unwrap_or(0.0);
        let checks = [
            ("profile.time_s", time_s, time_s.is_finite() && time_s >= 0.0, "a number of at least 0"),
            ("train.epochs", epochs as f64, few(epochs, MAX_EPOCHS), "at most 100000"),
            ("retrain.epochs", again.epochs as f64, few(again.epochs, MAX_EPOCHS), "at most 100000"),
            ("retrain.seeds", self.retrain.seeds as f64, few(self.retrain.seeds, MAX_SEEDS), "at most 1000"),
            ("train.learning_rate", learning_rate, rate(learning_rate), "a number above 0"),
            ("retrain.learning_rate", again.learning_rate, rate(again.learning_rate), "a number above 0"),
            ("train.weight_decay", weight_decay, decay(weight_decay), "a number of at least 0"),
            ("retrain.weight_decay", again.weight_decay, decay(again.weight_decay), "a number of at least 0"),
            ("train.label_smoothing", label_smoothing, share(label_smoothing), "from 0 to less than 1"),
            (
                "retrain.label_smoothing",
                again.label_smoothing,
                share(again.label_smoothing),
                "from 0 to less than 1",
            ),
        ];
        checks.into_iter().find(|check| !check.2).map(|(key, found, _, range)| (key, found, range))
    }

    /// The commented file that `edgeslim init` writes.
    pub const TEMPLATE: &str = include_str!("template.toml");
}

/// The option of a training that is nearest to the unknown one that `message` names, where it lists none itself.
fn near(message: &str) -> String {
    let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.strip_suffix('`'));
    unknown.map_or(String::new(), |name| did_you_mean(name, TrainConfig::KEYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_a_valid_configuration() {
        let config: RunConfig = toml::from_str(RunConfig::TEMPLATE).unwrap();
        assert_eq!(config.data.path, "embedded");
    }

    fn refused(text: &str) -> String {
        RunConfig::parse(text, Path::new("edgeslim.toml")).unwrap_err().to_string()
    }

    #[test]
    fn a_count_of_zero_is_refused_by_its_key() {
        let message = refused(&RunConfig::TEMPLATE.replacen("epochs = 30", "epochs = 0", 1));
        assert!(message.contains("train.epochs is 0"), "{message}");
    }

    #[test]
    fn a_value_that_no_run_can_use_is_refused_by_its_key() {
        for (from, to, told) in [
            ("learning_rate = 0.2", "learning_rate = -0.1", "train.learning_rate is -0.1"),
            ("learning_rate = 0.2", "learning_rate = nan", "train.learning_rate is NaN"),
            ("samples = ", "samples = 65 # ", "at most 64"),
            ("[train]", "[train]\nlabel_smoothing = 1.0", "train.label_smoothing is 1; it must be from 0"),
            ("images = 200", "images = 0", "verify.images is 0"),
            ("budgets = [\"latency 50%\", \"latency 30%\"]", "budgets = []", "search.budgets: it is empty"),
            ("budgets = [\"latency 50%\", ", "budgets = [\"latency 30%\", ", "`latency 30%` is there twice"),
        ] {
            assert!(RunConfig::TEMPLATE.contains(from), "{from}");
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("edgeslim.toml");
            std::fs::write(&path, RunConfig::TEMPLATE.replacen(from, to, 1)).unwrap();
            let message = RunConfig::load(&path).unwrap_err().to_string();
            assert!(message.contains(told), "{message}");
        }
    }

    #[test]
    fn numbers_that_no_training_can_use_are_refused_by_their_key() {
        for (key, value) in [
            ("epochs", "9223372036854775807"),
            ("seeds", "9223372036854775807"),
            ("learning_rate", "nan"),
            ("learning_rate", "-0.1"),
            ("weight_decay", "inf"),
        ] {
            let line = |line: &str| match line.split_once(" = ") {
                Some((found, _)) if found.trim() == key => format!("{key} = {value}\n"),
                _ => format!("{line}\n"),
            };
            let message = refused(&RunConfig::TEMPLATE.lines().map(line).collect::<String>());
            assert!(message.contains(&format!("train.{key} is ")), "{message}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_line() {
        let message = refused(&RunConfig::TEMPLATE.replace("epochs", "epoch"));
        assert!(message.contains("line") && message.contains("epoch"), "{message}");
    }
}
