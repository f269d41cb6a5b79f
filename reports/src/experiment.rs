//! What an experiment found: the record that `edgeslim experiment` writes, and its verdicts on the papers' claims.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::interval::Interval;

/// One experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentRecord {
    /// What it is called on the command line.
    pub name: String,
    /// What it asks.
    pub title: String,
    /// What repeats it.
    pub command: String,
    /// The data set, as it was written.
    pub dataset: String,
    /// Digest of its images and labels.
    pub digest: String,
    /// Images that weights learn from.
    pub train_images: usize,
    /// Images that accuracies are taken on.
    pub test_images: usize,
    /// Trainings are repeated with these.
    pub seeds: Vec<u64>,
    /// How networks were trained, in words.
    pub recipe: String,
    /// Version of edgeslim that ran.
    pub edgeslim: String,
    /// Where latencies come from, if it has any; whether they are emulated is said in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// What the figure shows.
    pub panels: Vec<Panel>,
    /// What the papers claim, and what was found.
    pub findings: Vec<Finding>,
}

/// One chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// Above it.
    pub title: String,
    /// Quantity and unit.
    pub x: String,
    /// How values of `x` are spread.
    #[serde(default)]
    pub x_scale: Scale,
    /// Quantity and unit.
    pub y: String,
    /// In the order of the legend.
    pub series: Vec<Series>,
}

/// How an axis spreads values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Equal differences are equal lengths.
    #[default]
    Linear,
    /// Equal ratios are equal lengths.
    Log,
}

/// Points of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// How its points are drawn.
    pub mark: Mark,
    /// In their order.
    pub points: Vec<Point>,
}

/// How points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Joined by a line.
    Line,
    /// Each by itself.
    Dots,
}

/// A value over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// What it is called, such as `x0.5`.
    pub label: String,
    /// In the panel's unit.
    pub x: f64,
    /// In the panel's unit.
    pub y: Interval,
    /// What else is known of it, such as parameters; name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<(String, f64)>,
}

/// A claim of a paper, as a difference that it says is positive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The claim, in words.
    pub claim: String,
    /// Which paper says so, and its own figures.
    pub source: String,
    /// What was subtracted from what, in words, with its unit.
    pub quantity: String,
    /// What was found, paired by seed.
    pub found: Interval,
}

/// Whether a claim holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The interval is above zero.
    Agrees,
    /// The interval is below zero.
    Differs,
    /// The interval has zero in it, or there is none.
    CannotSay,
}

impl Finding {
    /// What the interval allows to say at a scale that a laptop runs.
    pub fn verdict(&self) -> Verdict {
        match self.found.ends {
            Some([low, _]) if low > 0.0 => Verdict::Agrees,
            Some([_, high]) if high < 0.0 => Verdict::Differs,
            _ => Verdict::CannotSay,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Agrees => "agrees",
            Verdict::Differs => "differs",
            Verdict::CannotSay => "cannot say at this scale",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_needs_an_interval_without_zero() {
        let verdict = |values: &[f64]| {
            let found = Interval::of(values).unwrap();
            Finding { claim: "a".into(), source: "b".into(), quantity: "c".into(), found }.verdict()
        };
        assert_eq!(verdict(&[1.0, 1.1, 0.9]), Verdict::Agrees);
        assert_eq!(verdict(&[-1.0, -1.1, -0.9]), Verdict::Differs);
        assert_eq!(verdict(&[-1.0, 1.1, 0.9]), Verdict::CannotSay);
        assert_eq!(verdict(&[5.0]), Verdict::CannotSay, "one training says nothing of the next");
    }
}
