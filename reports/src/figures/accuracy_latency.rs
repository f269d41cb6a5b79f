//! Accuracy against latency of every candidate, by strategy, with the spread over seeds and the latency budgets.

use std::path::Path;

use plotters::prelude::*;

use crate::axes::{Axis, Labels, Scale, chart, si};
use crate::chart::{Caption, ChartError, GREY, Marker, SIZE, header, look, render};
use crate::record::{CandidateRecord, Resource, RunRecord};

/// One candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The candidate's name.
    pub name: String,
    /// Best known latency.
    pub latency: f64,
    /// Best known accuracy, 0 to 1.
    pub accuracy: f64,
    /// Lowest accuracy over seeds.
    pub low: f64,
    /// Highest accuracy over seeds.
    pub high: f64,
}

/// The candidates of one strategy, by latency.
#[derive(Debug, Clone, PartialEq)]
pub struct Strategy {
    /// The strategy's name.
    pub name: String,
    /// Its candidates.
    pub points: Vec<Point>,
}

/// What the figure shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Where the numbers come from.
    pub caption: Caption,
    /// Strategies in the order of their first candidate.
    pub strategies: Vec<Strategy>,
    /// The latencies that candidates were searched under, each once, ascending.
    pub budgets: Vec<f64>,
    /// Candidates whose latency is only predicted.
    pub n_predicted: usize,
}

/// The figure's data.
///
/// # Errors
/// [`ChartError::Empty`] if no candidate has an accuracy and a latency.
pub fn series(run: &RunRecord) -> Result<Data, ChartError> {
    let mut data = Data {
        caption: Caption::new(&run.provenance),
        strategies: Vec::<Strategy>::new(),
        budgets: budgets(&run.candidates),
        n_predicted: 0,
    };
    for c in &run.candidates {
        let Some(point) = point(c) else { continue };
        data.n_predicted += usize::from(c.whole_measured.or(c.latency_measured).is_none());
        match data.strategies.iter_mut().find(|s| s.name == c.strategy) {
            Some(strategy) => strategy.points.push(point),
            None => data.strategies.push(Strategy { name: c.strategy.clone(), points: vec![point] }),
        }
    }
    for strategy in &mut data.strategies {
        strategy.points.sort_by(|a, b| a.latency.total_cmp(&b.latency));
    }
    if data.strategies.is_empty() {
        return Err(ChartError::Empty {
            figure: "accuracy_latency",
            what: "candidate with an accuracy and a latency",
        });
    }
    Ok(data)
}

fn budgets(candidates: &[CandidateRecord]) -> Vec<f64> {
    let budgets = candidates.iter().filter_map(|c| c.budget);
    let mut limits: Vec<f64> = budgets.filter(|b| b.resource == Resource::Latency).map(|b| b.limit).collect();
    limits.sort_by(f64::total_cmp);
    limits.dedup();
    limits
}

fn point(c: &CandidateRecord) -> Option<Point> {
    let (accuracy, latency) = (c.accuracy()?, c.latency()?);
    let seeds = c.seeds.iter().map(|s| s.accuracy_float);
    let (low, high) = seeds.fold((accuracy, accuracy), |(low, high), a| (low.min(a), high.max(a)));
    Some(Point { name: c.name.clone(), latency, accuracy, low, high })
}

/// Draws the figure.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written.
pub fn draw(data: &Data, path: &Path) -> Result<(), ChartError> {
    let all = || data.strategies.iter().flat_map(|s| &s.points);
    let mut x_label = format!("latency of an image ({})", data.caption.unit);
    if data.n_predicted > 0 {
        x_label += &format!("; {} of {} only predicted", data.n_predicted, all().count());
    }
    let latencies = all().map(|p| p.latency).chain(data.budgets.iter().copied());
    let x = Axis::around(x_label, latencies, Scale::Linear);
    let accuracies = all().flat_map(|p| [p.low * 100.0, p.high * 100.0]);
    let mut y = Axis::around("accuracy on test images (%)", accuracies, Scale::Linear);
    y.high = y.high.min(100.5);
    let legend: Vec<_> = data.strategies.iter().enumerate().map(|(i, s)| entry(i, &s.name)).collect();
    render(path, SIZE, |area| {
        let below = header(area, "Accuracy against latency", &data.caption.subtitle, &legend)?;
        let mut chart = chart(&below, &x, &y)?;
        for &limit in &data.budgets {
            let ends = [(limit, y.low), (limit, y.high)];
            chart.draw_series(DashedLineSeries::new(ends, 10, 8, GREY.stroke_width(2)))?;
        }
        for (s, (_, color, _)) in data.strategies.iter().zip(&legend) {
            if s.name != "random" {
                let line = s.points.iter().map(|p| (p.latency, p.accuracy * 100.0));
                chart.draw_series(LineSeries::new(line, color.mix(0.45).stroke_width(3)))?;
            }
            for p in &s.points {
                let bar = [(p.latency, p.low * 100.0), (p.latency, p.high * 100.0)];
                chart.draw_series([PathElement::new(bar.to_vec(), color.stroke_width(3))])?;
            }
        }
        let frame = chart.plotting_area().get_pixel_range();
        let pixel = |p: &Point| chart.backend_coord(&(p.latency, p.accuracy * 100.0));
        let mut labels = Labels::default();
        for (s, (_, color, marker)) in data.strategies.iter().zip(&legend) {
            for p in &s.points {
                marker.draw(area, pixel(p), *color)?;
                labels.keep_clear(pixel(p));
            }
        }
        let x_of = |limit: f64| chart.backend_coord(&(limit, y.low)).0;
        data.budgets.iter().for_each(|&limit| labels.keep_off_line(x_of(limit), &frame));
        for &limit in &data.budgets {
            labels.place_by_line(area, x_of(limit), &format!("budget {}", si(limit)), &frame)?;
        }
        for p in data.strategies.iter().filter(|s| s.name != "random").flat_map(|s| &s.points) {
            labels.place(area, pixel(p), &p.name, &frame)?;
        }
        Ok(())
    })
}

/// Strategies in the order of their colours and marks, so that one looks the same in every run.
pub const STRATEGIES: [&str; 10] = [
    "dp",
    "autoslim",
    "uniform",
    "random",
    "flops",
    "greedy-loss",
    "greedy-kl",
    "greedy-latency",
    "evolution",
    "macs-dp",
];

fn entry(i: usize, name: &str) -> (String, RGBColor, Marker) {
    let known = STRATEGIES.iter().position(|strategy| *strategy == name);
    let look = || look(known.unwrap_or(STRATEGIES.len() + i));
    let (color, marker) = if name == "full" { (BLACK, Marker::Diamond) } else { look() };
    (name.into(), color, marker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn points_of_a_strategy_are_in_order_of_latency() {
        let data = series(&example::run()).unwrap();
        assert!(data.strategies.len() >= 3);
        for s in &data.strategies {
            assert!(s.points.is_sorted_by(|a, b| a.latency <= b.latency), "{s:?}");
        }
    }

    #[test]
    fn latency_budgets_are_drawn_once_each_and_no_others() {
        let mut run = example::run();
        let budget = |resource, limit| Some(crate::record::Budget { resource, limit });
        let budgets =
            [budget(Resource::Latency, 9e6), budget(Resource::Ram, 2e4), budget(Resource::Latency, 5e6)];
        run.candidates.truncate(5);
        for (c, budget) in run.candidates.iter_mut().zip(budgets.iter().cycle()) {
            c.budget = *budget;
        }
        assert_eq!(series(&run).unwrap().budgets, [5e6, 9e6]);
    }

    #[test]
    fn bars_reach_from_the_worst_seed_to_the_best() {
        let mut run = example::run();
        run.candidates.truncate(1);
        run.candidates[0].accuracy_float_all = Some(0.5);
        run.candidates[0].seeds = [0.4, 0.7].map(|a| example::seed(1, a)).to_vec();
        let point = series(&run).unwrap().strategies[0].points[0].clone();
        assert_eq!((point.low, point.accuracy, point.high), (0.4, 0.5, 0.7));
    }

    #[test]
    fn no_two_strategies_look_alike() {
        let entries = ["full"].into_iter().chain(STRATEGIES).map(|name| entry(0, name));
        let looks: Vec<_> = entries.map(|(_, color, marker)| (color, marker)).collect();
        assert!((1..looks.len()).all(|i| !looks[..i].contains(&looks[i])), "{looks:?}");
        assert_eq!(entry(3, "dp"), entry(0, "dp"));
    }

    #[test]
    fn a_run_without_accuracies_is_refused() {
        assert!(matches!(series(&RunRecord::default()), Err(ChartError::Empty { .. })));
    }
}
