//! `[train]`: a training system, its options and its recipe.

use super::{NetworkConfig, Recipe};
use crate::nearest::did_you_mean;
use crate::network::{Channels, Graph};
use crate::train::sandwich::{Sandwich, Target};
use crate::train::{BatchNorm, Switches, System, Width};
use serde::{Deserialize, Serialize};

/// What is trained, and how. An option that is none of the system's is refused, see [`TrainConfig::system`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the images, batch, rate, decay and smoothing.
    #[serde(flatten)]
    pub recipe: Recipe,
    /// `i-net`, `s-net`, `us-net` or `nonuniform`.
    #[serde(default = "nonuniform")]
    pub system: String,
    /// I-Net: the network; ×1.0 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<WidthChoice>,
    /// S-Net: the networks; ×0.25, ×0.5, ×0.75 and ×1.0 where they are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switches: Option<Vec<WidthChoice>>,
    /// S-Net: `switchable` where it is left out, or `naive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<String>,
    /// US-Net and nonuniform: subnets a step; 4 where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandwich: Option<usize>,
    /// US-Net and nonuniform: whether the smaller subnets learn from the largest, not from the labels; they do where it
    /// is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distil: Option<bool>,
    /// All but I-Net: factor on the sum of the gradients; 1 for S-Net, 0.5 for the others where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_scale: Option<f64>,
}

fn nonuniform() -> String {
    "nonuniform".into()
}

/// A network of the family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a width is a ratio such as 0.5, or a list of channels, one count a unit")]
pub enum WidthChoice {
    /// Of all units' full counts, to the nearest bins.
    Ratio(f64),
    /// One count a unit.
    Channels(Vec<usize>),
}

/// A `[train]` that cannot be trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainConfigError {
    /// A name that nothing has.
    #[error("train.{key}: there is no `{name}`{}; there are: {}", did_you_mean(name, known.iter().copied()), known.join(", "))]
    Unknown {
        /// The option.
        key: &'static str,
        /// What was written.
        name: String,
        /// What may be.
        known: &'static [&'static str],
    },
    /// The name of a whole run.
    #[error(
        "train.system: autoslim is no single training but what `edgeslim run` does: it trains the system nonuniform, \
         searches, and retrains what it finds; name nonuniform"
    )]
    Autoslim,
    /// An option that the system does not look at.
    #[error(
        "train.{key} does nothing for the system {system}; it is an option of {}; remove it, or name another train.system",
        of.join(" and ")
    )]
    Unused {
        /// The option.
        key: &'static str,
        /// The system that was asked for.
        system: String,
        /// The systems that have it.
        of: &'static [&'static str],
    },
    /// A ratio that the network does not have.
    #[error(
        "train.{key}: {ratio} is not within the network's widths, from {least} to {largest}; change it, or \
         network.min_width and max_width"
    )]
    Ratio {
        /// The option.
        key: &'static str,
        /// What was written.
        ratio: f64,
        /// The narrowest.
        least: f64,
        /// The widest.
        largest: f64,
    },
    /// Options that do not fit the network or each other.
    #[error("[train], system {system}: {problem}")]
    Option {
        /// The system.
        system: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// The option's name, whether it is given, and the systems that have it.
type Use = (&'static str, bool, &'static [&'static str]);

/// The names of [`BatchNorm`].
const BATCH_NORMS: [&str; 2] = ["switchable", "naive"];

impl TrainConfig {
    /// Its keys, and those of `[retrain]`.
    pub const KEYS: [&str; 14] = [
        "epochs",
        "batch",
        "learning_rate",
        "weight_decay",
        "label_smoothing",
        "system",
        "width",
        "switches",
        "batch_norm",
        "sandwich",
        "distil",
        "gradient_scale",
        "seeds",
        "jointly",
    ];

    /// The system that it asks for, on this network.
    ///
    /// # Errors
    /// [`TrainConfigError`]: an unknown name with the nearest that there is, an option that the system does not have, a
    /// width that the network does not have.
    pub fn system(&self, graph: &Graph, network: &NetworkConfig) -> Result<System, TrainConfigError> {
        self.check_options()?;
        let width = |key, choice: &WidthChoice| width(key, choice, graph, network);
        let system = match self.system.as_str() {
            "i-net" => System::INet(width("width", self.width.as_ref().unwrap_or(&WidthChoice::Ratio(1.0)))?),
            "s-net" => {
                let default = || Switches::RATIOS.map(WidthChoice::Ratio).to_vec();
                let choices = self.switches.clone().unwrap_or_else(default);
                let widths =
                    choices.iter().map(|choice| width("switches", choice)).collect::<Result<_, _>>()?;
                let paper = Switches::of(widths);
                System::SNet(Switches {
                    batch_norm: self.batch_norm()?,
                    gradient_scale: self.gradient_scale.unwrap_or(paper.gradient_scale),
                    ..paper
                })
            }
            "us-net" => System::UsNet(self.sandwich()),
            _ => System::Nonuniform(self.sandwich()),
        };
        match system.check(graph) {
            Ok(()) => Ok(system),
            Err(problem) => Err(TrainConfigError::Option { system: system.name(), problem }),
        }
    }

    /// Refuses an unknown system, and options of others.
    fn check_options(&self) -> Result<(), TrainConfigError> {
        let name = self.system.as_str();
        if name == "autoslim" {
            return Err(TrainConfigError::Autoslim);
        }
        if !System::NAMES.contains(&name) {
            return Err(TrainConfigError::Unknown {
                key: "system",
                name: name.into(),
                known: &System::NAMES,
            });
        }
        let uses: [Use; 6] = [
            ("width", self.width.is_some(), &["i-net"]),
            ("switches", self.switches.is_some(), &["s-net"]),
            ("batch_norm", self.batch_norm.is_some(), &["s-net"]),
            ("sandwich", self.sandwich.is_some(), &["us-net", "nonuniform"]),
            ("distil", self.distil.is_some(), &["us-net", "nonuniform"]),
            ("gradient_scale", self.gradient_scale.is_some(), &["s-net", "us-net", "nonuniform"]),
        ];
        match uses.into_iter().find(|(_, given, of)| *given && !of.contains(&name)) {
            Some((key, _, of)) => Err(TrainConfigError::Unused { key, system: name.into(), of }),
            None => Ok(()),
        }
    }

    fn batch_norm(&self) -> Result<BatchNorm, TrainConfigError> {
        match self.batch_norm.as_deref() {
            None | Some("switchable") => Ok(BatchNorm::Switchable),
            Some("naive") => Ok(BatchNorm::Naive),
            Some(name) => {
                Err(TrainConfigError::Unknown { key: "batch_norm", name: name.into(), known: &BATCH_NORMS })
            }
        }
    }

    fn sandwich(&self) -> Sandwich {
        let default = Sandwich::default();
        Sandwich {
            n_subnets: self.sandwich.unwrap_or(default.n_subnets),
            target: if self.distil.unwrap_or(true) { Target::Largest } else { Target::Labels },
            gradient_scale: self.gradient_scale.unwrap_or(default.gradient_scale),
        }
    }
}

fn width(
    key: &'static str,
    choice: &WidthChoice,
    graph: &Graph,
    network: &NetworkConfig,
) -> Result<Width, TrainConfigError> {
    match choice {
        WidthChoice::Channels(counts) => Ok(Channels(counts.clone()).into()),
        &WidthChoice::Ratio(ratio) => {
            // Bins are whole counts: the graph's own ends may lie a little inside, or beyond, what was asked for.
            let [least, largest] = graph.ratios();
            let (least, largest) = (least.min(network.min_width), largest.max(network.max_width));
            match (least..=largest).contains(&ratio) {
                true => Ok(Width::of_ratio(graph, ratio)),
                false => Err(TrainConfigError::Ratio { key, ratio, least, largest }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;
    use crate::network::{Shape, zoo};
    use std::path::Path;

    /// The template with other lines in `[train]` than its system's, on its network.
    fn system(lines: &str) -> Result<System, TrainConfigError> {
        let text = RunConfig::TEMPLATE.replacen("system = \"nonuniform\"", lines, 1);
        let config = RunConfig::parse(&text, Path::new("edgeslim.toml")).unwrap();
        config.train.system(&graph(), &config.network)
    }

    fn graph() -> Graph {
        let options = zoo::ZooOptions { max_width: 1.0, min_width: 0.15, bin_multiple: 8 };
        zoo::network("mobilenet-v1-tiny", Shape { h: 28, w: 28, c: 1 }, 10, options).unwrap()
    }

    fn told(lines: &str) -> String {
        system(lines).unwrap_err().to_string()
    }

    #[test]
    fn every_system_has_the_papers_options_where_nothing_else_is_asked_for() {
        let at = |ratio| Width::of_ratio(&graph(), ratio);
        let switches = Switches::of([0.25, 0.5, 0.75, 1.0].map(at).to_vec());
        assert_eq!(system(""), Ok(System::Nonuniform(Sandwich::default())));
        assert_eq!(system("system = 'us-net'"), Ok(System::UsNet(Sandwich::default())));
        assert_eq!(system("system = 's-net'"), Ok(System::SNet(switches)));
        assert_eq!(system("system = 'i-net'"), Ok(System::INet(at(1.0))));
    }

    #[test]
    fn every_option_reaches_its_system() {
        let full = graph().full();
        let list = format!(
            "system = 's-net'\nswitches = [0.5, {:?}]\nbatch_norm = 'naive'\ngradient_scale = 0.25",
            full.0
        );
        let widths = vec![Width::of_ratio(&graph(), 0.5), full.clone().into()];
        let wanted = Switches { widths, batch_norm: BatchNorm::Naive, gradient_scale: 0.25 };
        assert_eq!(system(&list), Ok(System::SNet(wanted)));
        let wanted = Sandwich { n_subnets: 3, target: Target::Labels, gradient_scale: 1.0 };
        let options = "sandwich = 3\ndistil = false\ngradient_scale = 1";
        assert_eq!(system(&format!("system = 'us-net'\n{options}")), Ok(System::UsNet(wanted)));
        assert_eq!(system(options), Ok(System::Nonuniform(wanted)));
        assert_eq!(system(&format!("system = 'i-net'\nwidth = {:?}", full.0)), Ok(System::INet(full.into())));
    }

    #[test]
    fn an_option_of_other_systems_is_refused_with_their_names() {
        for (system, option, of) in [
            ("i-net", "distil = true", "us-net and nonuniform"),
            ("i-net", "gradient_scale = 1.0", "s-net and us-net and nonuniform"),
            ("s-net", "sandwich = 4", "us-net and nonuniform"),
            ("s-net", "width = 0.5", "i-net"),
            ("us-net", "switches = [0.5, 1.0]", "s-net"),
            ("nonuniform", "batch_norm = 'naive'", "s-net"),
        ] {
            let key = option.split(' ').next().unwrap();
            let message = told(&format!("system = '{system}'\n{option}"));
            let wanted =
                format!("train.{key} does nothing for the system {system}; it is an option of {of};");
            assert!(message.contains(&wanted), "{message}");
        }
    }

    #[test]
    fn unknown_names_are_answered_with_the_nearest() {
        assert!(told("system = 'snet'").contains("(did you mean `s-net`?); there are: i-net, s-net, us-net"));
        let message = told("system = 's-net'\nbatch_norm = 'switchabel'");
        assert!(
            message.contains("train.batch_norm: there is no `switchabel` (did you mean `switchable`?)"),
            "{message}"
        );
        assert!(told("system = 'autoslim'").contains("what `edgeslim run` does"));
    }

    #[test]
    fn widths_that_the_network_does_not_have_are_refused() {
        assert!(told("system = 'i-net'\nwidth = 0.1").contains("train.width: 0.1 is not within"));
        assert!(
            told("system = 's-net'\nswitches = [0.5, 1.25]").contains("train.switches: 1.25 is not within")
        );
        assert!(told("system = 's-net'\nswitches = [0.99, 1.0]").contains("are the same network"));
        assert!(told("system = 'i-net'\nwidth = [8]").contains("1 counts for"));
        assert!(told("sandwich = 1").contains("at least 2"));
    }

    #[test]
    fn a_misspelt_option_is_refused_by_its_name() {
        for (wrong, right) in
            [("distill = false", "distil"), ("batchnorm = 'naive'", "batch_norm"), ("epoch = 3", "epochs")]
        {
            let text = RunConfig::TEMPLATE.replacen("[train]\n", &format!("[train]\n{wrong}\n"), 1);
            let message = RunConfig::parse(&text, Path::new("edgeslim.toml")).unwrap_err().to_string();
            let name = wrong.split(' ').next().unwrap();
            assert!(message.contains(&format!("`{name}`")) && message.contains(right), "{message}");
        }
    }
}
