//! The training systems of the slimmable family, as data (arXiv 1812.08928, 1903.05134 and 1903.11728).

use super::sandwich::Sandwich;
use super::switches::{BatchNorm, Switches};
use crate::network::{Channels, Graph};
use serde::Serialize;
use std::fmt;

/// What is trained, and how its networks share weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// I-Net: one network by itself.
    INet(Width),
    /// S-Net: a few networks, all in every step.
    SNet(Switches),
    /// US-Net: any ratio, the same for all units.
    UsNet(Sandwich),
    /// AutoSlim's supernet: every unit has a width of its own.
    Nonuniform(Sandwich),
}

/// One network of a system.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Width {
    /// The ratio that it was asked for by, if one for all units.
    pub ratio: Option<f64>,
    /// Its channels.
    pub channels: Channels,
}

impl Width {
    /// Every unit at `ratio`, see [`Graph::at_ratio`].
    pub fn of_ratio(graph: &Graph, ratio: f64) -> Width {
        Width { ratio: Some(ratio), channels: graph.at_ratio(ratio) }
    }
}

impl From<Channels> for Width {
    fn from(channels: Channels) -> Width {
        Width { ratio: None, channels }
    }
}

impl fmt::Display for Width {
    /// `x0.5`, to three digits, or the channels as in `8-16-24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ratio {
            Some(ratio) => write!(f, "x{}", (ratio * 1e3).round() / 1e3),
            None => f.write_str(&self.channels.0.iter().map(usize::to_string).collect::<Vec<_>>().join("-")),
        }
    }
}

/// Between the widths of a range that is evaluated; the papers' 0.25, 0.5, 0.75 and 1 are among them.
const RATIO_STEP: f64 = 0.125;

impl System {
    /// The names of all systems, as configurations write them.
    pub const NAMES: [&str; 4] = ["i-net", "s-net", "us-net", "nonuniform"];

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            System::INet(_) => "i-net",
            System::SNet(_) => "s-net",
            System::UsNet(_) => "us-net",
            System::Nonuniform(_) => "nonuniform",
        }
    }

    /// Batch norms that a convolution has: the argument of [`Params::switchable`](crate::engine::Params::switchable).
    pub fn n_switches(&self) -> usize {
        match self {
            System::SNet(Switches { widths, batch_norm: BatchNorm::Switchable, .. }) => widths.len(),
            _ => 1,
        }
    }

    /// The network whose errors in training are counted: that of most multiply-accumulates.
    pub fn largest(&self, graph: &Graph) -> Width {
        match self {
            System::INet(width) => width.clone(),
            System::SNet(switches) => switches.widths[switches.largest(graph)].clone(),
            System::UsNet(_) | System::Nonuniform(_) => graph.widest().into(),
        }
    }

    /// The networks that tell how well it was trained: the one, all switches, or ratios in steps of an eighth with the
    /// ends of the range, each network once.
    pub fn widths(&self, graph: &Graph) -> Vec<Width> {
        match self {
            System::INet(width) => vec![width.clone()],
            System::SNet(switches) => switches.widths.clone(),
            System::UsNet(_) | System::Nonuniform(_) => {
                let [least, largest] = graph.ratios();
                let steps =
                    |step: f64| (1..).map(move |i| f64::from(i) * step).take_while(move |&r| r <= largest);
                let inside = |step: f64| steps(step).filter(move |&ratio| ratio >= least);
                let mut widths: Vec<Width> = Vec::new();
                // Of ratios that give the same network the papers' names it.
                for ratio in inside(2.0 * RATIO_STEP).chain([least, largest]).chain(inside(RATIO_STEP)) {
                    let width = Width::of_ratio(graph, ratio);
                    if widths.iter().all(|other| other.channels != width.channels) {
                        widths.push(width);
                    }
                }
                widths.sort_by(|a, b| a.ratio.partial_cmp(&b.ratio).expect("ratios are numbers"));
                widths
            }
        }
    }

    /// Compares it with the graph.
    ///
    /// # Errors
    /// What is wrong: channels that the graph does not have, the same switch twice or none, a number out of its range.
    pub fn check(&self, graph: &Graph) -> Result<(), String> {
        match self {
            System::INet(width) => width.check(graph),
            System::SNet(switches) => switches.check(graph),
            System::UsNet(sandwich) | System::Nonuniform(sandwich) => sandwich.check(),
        }
    }
}

impl Width {
    pub(super) fn check(&self, graph: &Graph) -> Result<(), String> {
        let (given, units) = (&self.channels.0, &graph.units);
        if given.len() != units.len() {
            let names: Vec<&str> = units.iter().map(|unit| unit.name.as_str()).collect();
            return Err(format!("{} counts for {} units: {}", given.len(), units.len(), names.join(", ")));
        }
        match given.iter().zip(units).find(|(count, unit)| !unit.bins.contains(count)) {
            Some((count, unit)) => {
                Err(format!("{count} channels of {}, which has {:?}", unit.name, unit.bins))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, zoo};

    fn graph(max_width: f64) -> Graph {
        let options = zoo::ZooOptions { max_width, min_width: 0.25, bin_multiple: 8 };
        zoo::network("mobilenet-v1-tiny", Shape { h: 28, w: 28, c: 1 }, 10, options).unwrap()
    }

    #[test]
    fn the_widths_of_a_range_have_both_ends_and_the_papers_between_them() {
        let graph = graph(1.5);
        let widths = System::UsNet(Sandwich::default()).widths(&graph);
        let channels: Vec<&Channels> = widths.iter().map(|width| &width.channels).collect();
        assert_eq!((channels[0], channels[channels.len() - 1]), (&graph.smallest(), &graph.widest()));
        for ratio in [0.25, 0.5, 0.75, 1.0] {
            assert!(widths.contains(&Width::of_ratio(&graph, ratio)), "{ratio}");
        }
        assert!(widths.windows(2).all(|pair| pair[0].ratio < pair[1].ratio), "{widths:?}");
    }

    #[test]
    fn the_largest_switch_is_the_one_of_most_macs_wherever_it_is_listed() {
        let graph = graph(1.0);
        let widths = [0.25, 1.0, 0.5].map(|ratio| Width::of_ratio(&graph, ratio)).to_vec();
        let system = |batch_norm| System::SNet(Switches { batch_norm, ..Switches::of(widths.clone()) });
        assert_eq!(system(BatchNorm::Switchable).largest(&graph), widths[1]);
        assert_eq!(system(BatchNorm::Naive).largest(&graph), widths[1]);
        assert_eq!(system(BatchNorm::Switchable).n_switches(), 3);
        assert_eq!(system(BatchNorm::Naive).n_switches(), 1);
    }

    #[test]
    fn systems_that_cannot_be_trained_are_told_apart() {
        let graph = graph(1.0);
        let told = |system: System| system.check(&graph).unwrap_err();
        let half = Width::of_ratio(&graph, 0.5);
        assert_eq!(System::INet(half.clone()).check(&graph), Ok(()));
        assert!(told(System::INet(Channels(vec![8]).into())).contains("1 counts for"));
        let mut odd = graph.full();
        odd.0[1] = 7;
        assert!(told(System::INet(odd.into())).contains("7 channels of"));
        assert!(told(System::SNet(Switches::of(vec![]))).contains("no switch"));
        let twice = Switches::of(vec![half.clone(), graph.full().into(), half.channels.clone().into()]);
        assert!(told(System::SNet(twice)).contains("the same network"));
        let alone = Sandwich { n_subnets: 1, ..Sandwich::default() };
        assert!(told(System::UsNet(alone)).contains("at least 2"));
        let still = Sandwich { gradient_scale: 0.0, ..Sandwich::default() };
        assert!(told(System::Nonuniform(still)).contains("above 0"));
    }
}
