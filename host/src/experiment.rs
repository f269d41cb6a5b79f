//! The papers' experiments at a scale that a laptop runs: each gives a record, a figure and verdicts on what the papers
//! claim.

mod autoslim_table;
mod calibration;
mod estimator;
mod lab;
mod naturally_slimmable;
mod page;
mod s_net_table;
mod sandwich;
mod switchable_bn;
mod us_net_curve;

pub use lab::{Lab, Scale};
pub use page::page;

use crate::nearest::did_you_mean;
use crate::network::Graph;
use crate::train::{Switches, Width};
use anyhow::{Context as _, Result};
use lab::Measured;
use reports::experiment::{ExperimentRecord, Finding, Mark, Panel, Point, Series};
use reports::figures::experiment as figure;
use reports::interval::Interval;
use reports::record;
use std::path::PathBuf;
use std::str::FromStr;

/// An experiment by its name on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Experiment {
    /// Naive against switchable batch norm.
    SwitchableBn,
    /// Individual networks against an S-Net.
    SNetTable,
    /// US-Net against S-Net and individual networks.
    UsNetCurve,
    /// The least width that is trained.
    LowerBound,
    /// Subnets a step.
    SandwichN,
    /// What smaller subnets learn from.
    Distillation,
    /// Images behind batch-norm statistics.
    Calibration,
    /// A plainly trained network, narrowed.
    NaturallySlimmable,
    /// A supernet's estimates against retrained networks.
    Estimator,
    /// Uniform networks against AutoSlim's at measured budgets.
    AutoslimTable,
}

/// A name that no experiment has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no experiment is called `{name}`{}; there are: {}, and `all`", did_you_mean(name, Experiment::names()), Experiment::names().join(", "))]
pub struct UnknownExperiment {
    /// What was written.
    pub name: String,
}

impl Experiment {
    /// All of them, in the order in which a reader meets them.
    pub const ALL: [Experiment; 10] = [
        Experiment::SwitchableBn,
        Experiment::SNetTable,
        Experiment::UsNetCurve,
        Experiment::LowerBound,
        Experiment::SandwichN,
        Experiment::Distillation,
        Experiment::Calibration,
        Experiment::NaturallySlimmable,
        Experiment::Estimator,
        Experiment::AutoslimTable,
    ];

    /// As it is written on the command line and in file names.
    pub const fn name(self) -> &'static str {
        match self {
            Experiment::SwitchableBn => "switchable-bn",
            Experiment::SNetTable => "s-net-table",
            Experiment::UsNetCurve => "us-net-curve",
            Experiment::LowerBound => "lower-bound",
            Experiment::SandwichN => "sandwich-n",
            Experiment::Distillation => "distillation",
            Experiment::Calibration => "calibration",
            Experiment::NaturallySlimmable => "naturally-slimmable",
            Experiment::Estimator => "estimator",
            Experiment::AutoslimTable => "autoslim-table",
        }
    }

    fn names() -> [&'static str; 10] {
        Experiment::ALL.map(Experiment::name)
    }

    fn outcome(self, lab: &Lab) -> Result<Outcome> {
        match self {
            Experiment::SwitchableBn => switchable_bn::run(lab),
            Experiment::SNetTable => s_net_table::run(lab),
            Experiment::UsNetCurve => us_net_curve::run(lab),
            Experiment::LowerBound => sandwich::lower_bound(lab),
            Experiment::SandwichN => sandwich::sandwich_n(lab),
            Experiment::Distillation => sandwich::distillation(lab),
            Experiment::Calibration => calibration::run(lab),
            Experiment::NaturallySlimmable => naturally_slimmable::run(lab),
            Experiment::Estimator => estimator::run(lab),
            Experiment::AutoslimTable => autoslim_table::run(lab),
        }
    }
}

impl FromStr for Experiment {
    type Err = UnknownExperiment;

    fn from_str(name: &str) -> Result<Experiment, UnknownExperiment> {
        let known = Experiment::ALL.into_iter().find(|e| e.name() == name);
        known.ok_or_else(|| UnknownExperiment { name: name.to_owned() })
    }
}

/// Makes an experiment: writes `NAME.json` and `NAME.png` into the lab's folder, and gives the record.
///
/// What was trained for it or another experiment of the folder is not trained again.
///
/// # Errors
/// Where a training, a board or a file fails; what was trained is kept.
pub fn run(experiment: Experiment, lab: &Lab, command: &str) -> Result<ExperimentRecord> {
    let name = experiment.name();
    let Outcome { title, board, images, panels, findings } = experiment.outcome(lab).context(name)?;
    let [train_images, test_images] =
        images.unwrap_or_else(|| [lab.train.images().len(), lab.test.images().len()]);
    let record = ExperimentRecord {
        name: name.into(),
        title,
        command: command.into(),
        dataset: lab.dataset_name(),
        digest: lab.digest.clone(),
        train_images,
        test_images,
        seeds: lab.scale.seeds.clone(),
        recipe: lab.recipe_in_words(),
        edgeslim: env!("CARGO_PKG_VERSION").into(),
        board,
        panels,
        findings,
    };
    record::save(&record, &path(lab, name, "json"))?;
    figure::draw(&figure::series(&record)?, &path(lab, name, "png"))?;
    Ok(record)
}

impl Lab {
    /// Writes the page of all experiments whose records lie in the folder, beside it: FOLDER.md.
    ///
    /// # Errors
    /// Where a record is damaged or the page cannot be written.
    pub fn write_page(&self) -> Result<()> {
        let paths = Experiment::names().map(|name| path(self, name, "json"));
        let records: Vec<ExperimentRecord> = paths
            .iter()
            .filter(|path| path.exists())
            .map(|path| record::load(path))
            .collect::<Result<_, _>>()?;
        let folder = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let path = self.dir.with_file_name(format!("{folder}.md"));
        crate::run::write_atomic(&path, page(&records, &folder).as_bytes())?;
        Ok(())
    }
}

fn path(lab: &Lab, name: &str, ending: &str) -> PathBuf {
    lab.dir.join(format!("{name}.{ending}"))
}

/// The least width that is trained, unless an experiment varies it.
const SMALLEST: f64 = Switches::RATIOS[0];
/// Within so many points two accuracies are called as good.
const AS_GOOD: f64 = 0.2;
const MACS: &str = "multiply-accumulates of an image";
const ACCURACY: &str = "accuracy on test images (%)";

/// What an experiment found.
struct Outcome {
    title: String,
    /// Where latencies come from.
    board: Option<String>,
    /// Training and test images, where they are not the lab's.
    images: Option<[usize; 2]>,
    panels: Vec<Panel>,
    findings: Vec<Finding>,
}

fn ratios(graph: &Graph, ratios: &[f64]) -> Vec<Width> {
    ratios.iter().map(|&ratio| Width::of_ratio(graph, ratio)).collect()
}

fn line(name: &str, curve: &[Measured], point: impl Fn(&Measured) -> Point) -> Series {
    Series { name: name.into(), mark: Mark::Line, points: curve.iter().map(point).collect() }
}

/// A claim that `a` is larger than `b`, seed by seed.
fn finding(claim: &str, source: &str, quantity: &str, a: &[f64], b: &[f64]) -> Finding {
    let found = Interval::of_differences(a, b).expect("a scale has a seed");
    Finding { claim: claim.into(), source: source.into(), quantity: quantity.into(), found }
}

/// A claim that the networks of `a` are better than those of `b` on average.
fn gains(claim: &str, source: &str, quantity: &str, a: &[Measured], b: &[Measured]) -> Finding {
    finding(claim, source, quantity, &means(a), &means(b))
}

/// The mean over networks, one a seed.
fn means(curve: &[Measured]) -> Vec<f64> {
    let n_seeds = curve.first().map_or(0, |m| m.accuracies.len());
    let mean = |seed: usize| curve.iter().map(|m| m.accuracies[seed]).sum::<f64>() / curve.len() as f64;
    (0..n_seeds).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_to_their_experiments_and_near_ones_are_suggested() {
        for experiment in Experiment::ALL {
            assert_eq!(experiment.name().parse(), Ok(experiment));
        }
        let error = "estimater".parse::<Experiment>().unwrap_err().to_string();
        assert!(error.contains("did you mean `estimator`?"), "{error}");
    }

    #[test]
    fn means_over_networks_stay_apart_by_seed() {
        let measured = |accuracies: [f64; 2]| Measured {
            width: crate::network::Channels(vec![8]).into(),
            macs: 1.0,
            accuracies: accuracies.to_vec(),
        };
        let curve = [measured([80.0, 82.0]), measured([90.0, 96.0])];
        assert_eq!(means(&curve), [85.0, 89.0]);
        let found = gains("a", "b", "c", &curve, &curve).found;
        assert_eq!((found.mean, found.n), (0.0, 2));
    }
}
