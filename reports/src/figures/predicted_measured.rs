//! Predicted against measured latency, per layer and of whole networks, with the error.

use std::path::Path;

use device_bench::layer::Op;
use plotters::prelude::*;

use crate::axes::{Axis, Labels, Scale, chart};
use crate::chart::{Area, Caption, ChartError, GREY, INK, Marker, SIZE, header, render, text};
use crate::figures::{op_legend, op_look, percent};
use crate::record::{CandidateRecord, RunRecord};

/// A latency that was both predicted and measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The layer's or the candidate's name.
    pub name: String,
    /// Operator; `None` for a whole network.
    pub op: Option<Op>,
    /// Predicted latency.
    pub predicted: f64,
    /// Measured latency.
    pub measured: f64,
}

impl Point {
    /// `predicted / measured - 1`.
    pub fn error(&self) -> f64 {
        self.predicted / self.measured - 1.0
    }
}

/// What the figure shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Where the numbers come from.
    pub caption: Caption,
    /// Layers of all candidates.
    pub layers: Vec<Point>,
    /// Whole networks.
    pub wholes: Vec<Point>,
}

/// The figure's data: pairs in which both numbers are positive.
///
/// # Errors
/// [`ChartError::Empty`] if nothing was measured.
pub fn series(run: &RunRecord) -> Result<Data, ChartError> {
    let layers = run.candidates.iter().flat_map(layers).collect::<Vec<_>>();
    let wholes = run.candidates.iter().filter_map(whole).collect::<Vec<_>>();
    if layers.is_empty() && wholes.is_empty() {
        return Err(ChartError::Empty { figure: "predicted_measured", what: "measured latency" });
    }
    Ok(Data { caption: Caption::new(&run.provenance), layers, wholes })
}

fn layers(c: &CandidateRecord) -> impl Iterator<Item = Point> {
    c.layers.iter().filter_map(|l| point(&l.name, Some(l.spec.op), l.predicted, l.measured))
}

fn whole(c: &CandidateRecord) -> Option<Point> {
    point(&c.name, None, c.latency_predicted?, c.whole_measured.or(c.latency_measured))
}

fn point(name: &str, op: Option<Op>, predicted: f64, measured: Option<f64>) -> Option<Point> {
    let measured = measured.filter(|&m| m > 0.0 && predicted > 0.0)?;
    Some(Point { name: name.into(), op, predicted, measured })
}

/// Median and largest absolute error of `points`; `None` if there are none.
pub fn errors(points: &[Point]) -> Option<(f64, f64)> {
    let mut errors: Vec<f64> = points.iter().map(|p| p.error().abs()).collect();
    errors.sort_by(f64::total_cmp);
    let n = errors.len();
    let median = (errors.get(n.checked_sub(1)? / 2)? + errors[n / 2]) / 2.0;
    Some((median, errors[n - 1]))
}

fn verdict(data: &Data) -> String {
    let part = |what: &str, points: &[Point]| {
        let (median, worst) = errors(points)?;
        let (n, median, worst) = (points.len(), median * 100.0, worst * 100.0);
        let s = if n == 1 { "" } else { "s" };
        Some(format!("{n} {what}{s}: median error {median:.1} %, worst {worst:.1} %"))
    };
    let parts = [part("layer", &data.layers), part("whole network", &data.wholes)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// Draws the figure: predicted against measured on the left, the error of each on the right.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written.
pub fn draw(data: &Data, path: &Path) -> Result<(), ChartError> {
    let mut legend = op_legend(data.layers.iter().filter_map(|p| p.op));
    if !data.wholes.is_empty() {
        legend.push(("whole network".into(), BLACK, Marker::Diamond));
    }
    let subtitle = &data.caption.subtitle;
    render(path, SIZE, |area| {
        let below = header(area, "Predicted against measured latency", subtitle, &legend)?;
        below.draw_text(&verdict(data), &text(22, INK), (50, 20))?;
        let (left, right) = below.margin(40, 0, 0, 0).split_horizontally(SIZE.0 / 2);
        draw_pairs(area, &left, data)?;
        draw_errors(area, &right, data)
    })
}

fn all(data: &Data) -> impl Iterator<Item = &Point> {
    data.layers.iter().chain(&data.wholes)
}

fn point_look(p: &Point) -> (RGBColor, Marker) {
    p.op.map_or((BLACK, Marker::Diamond), op_look)
}

fn draw_pairs<'a>(area: &Area<'a>, panel: &Area<'a>, data: &Data) -> Result<(), ChartError> {
    let values = || all(data).flat_map(|p| [p.predicted, p.measured]);
    let x = Axis::around(format!("predicted ({})", data.caption.unit), values(), Scale::Log);
    let y = Axis::around(format!("measured ({})", data.caption.unit), values(), Scale::Log);
    let mut chart = chart(panel, &x, &y)?;
    let ends = [x.low, x.high].map(|v| (x.at(v), y.at(v)));
    chart.draw_series(LineSeries::new(ends, GREY.stroke_width(2)))?;
    for p in all(data) {
        let (color, marker) = point_look(p);
        marker.draw(area, chart.backend_coord(&(x.at(p.predicted), y.at(p.measured))), color)?;
    }
    Ok(())
}

fn draw_errors<'a>(area: &Area<'a>, panel: &Area<'a>, data: &Data) -> Result<(), ChartError> {
    let x =
        Axis::around(format!("measured ({})", data.caption.unit), all(data).map(|p| p.measured), Scale::Log);
    let percents = all(data).map(|p| p.error() * 100.0).chain([-1.0, 1.0]);
    let y = Axis::around("error of the prediction (% of measured)", percents, Scale::Linear);
    let mut chart = chart(panel, &x, &y)?;
    let zero = [(x.at(x.low), 0.0), (x.at(x.high), 0.0)];
    chart.draw_series(LineSeries::new(zero, GREY.stroke_width(2)))?;
    let frame = chart.plotting_area().get_pixel_range();
    let pixel = |p: &Point| chart.backend_coord(&(x.at(p.measured), p.error() * 100.0));
    let mut labels = Labels::default();
    for p in all(data) {
        let (color, marker) = point_look(p);
        marker.draw(area, pixel(p), color)?;
        labels.keep_clear(pixel(p));
    }
    for p in labelled(data) {
        labels.place(area, pixel(p), &format!("{} {}", p.name, percent(p.error())), &frame)?;
    }
    Ok(())
}

/// Whole networks, then the layers of the largest errors: those that get a label. The same layer in several
/// networks is one point.
fn labelled(data: &Data) -> Vec<&Point> {
    let mut worst: Vec<&Point> = data.layers.iter().collect();
    worst.sort_by(|a, b| b.error().abs().total_cmp(&a.error().abs()));
    worst.dedup_by(|a, b| (&a.name, a.predicted) == (&b.name, b.predicted));
    data.wholes.iter().chain(worst.into_iter().take(6)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn errors_are_relative_to_what_was_measured() {
        let p = point("a", None, 110.0, Some(100.0)).unwrap();
        assert!((p.error() - 0.1).abs() < 1e-12);
        assert_eq!(percent(p.error()), "+10.0 %");
        let q = point("b", None, 70.0, Some(100.0)).unwrap();
        let (median, worst) = errors(&[p, q]).unwrap();
        assert!((median - 0.2).abs() < 1e-12 && (worst - 0.3).abs() < 1e-12);
        assert_eq!(errors(&[]), None);
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let mut run = example::run();
        let n = series(&run).unwrap().layers.len();
        run.candidates[0].layers[0].measured = None;
        assert_eq!(series(&run).unwrap().layers.len(), n - 1);
        for c in &mut run.candidates {
            (c.latency_measured, c.whole_measured) = (None, None);
            c.layers.clear();
        }
        assert!(matches!(series(&run), Err(ChartError::Empty { .. })));
    }
}
