//! Latency of each layer against its multiply-accumulates: where counting operations misleads.

use std::path::Path;

use device_bench::layer::LayerSpec;
use plotters::prelude::*;

use crate::axes::{Axis, Labels, Scale, chart, si};
use crate::chart::{Caption, ChartError, GREY, SIZE, header, render, text};
use crate::figures::{op_legend, op_look};
use crate::record::RunRecord;

/// One distinct layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Name in the first candidate that has the layer.
    pub name: String,
    /// Its shape.
    pub spec: LayerSpec,
    /// Multiply-accumulates.
    pub macs: f64,
    /// Measured latency, or else predicted.
    pub latency: f64,
}

impl Point {
    /// Latency of one multiply-accumulate.
    pub fn cost(&self) -> f64 {
        self.latency / self.macs
    }
}

/// What the figure shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Where the numbers come from.
    pub caption: Caption,
    /// Distinct layers of all candidates.
    pub points: Vec<Point>,
}

/// The figure's data: each shape once, as first met.
///
/// # Errors
/// [`ChartError::Empty`] if no candidate has layers.
pub fn series(run: &RunRecord) -> Result<Data, ChartError> {
    let mut points: Vec<Point> = Vec::new();
    for l in run.candidates.iter().flat_map(|c| &c.layers) {
        let latency = l.measured.unwrap_or(l.predicted);
        if l.macs > 0 && latency > 0.0 && !points.iter().any(|p| p.spec == l.spec) {
            points.push(Point { name: l.name.clone(), spec: l.spec, macs: l.macs as f64, latency });
        }
    }
    if points.is_empty() {
        return Err(ChartError::Empty { figure: "latency_macs", what: "layer with a latency" });
    }
    Ok(Data { caption: Caption::new(&run.provenance), points })
}

/// Costs of a MAC at which a line is drawn: 1, 2 or 5 times powers of ten across the points.
pub fn iso_costs(points: &[Point]) -> Vec<f64> {
    let axis = Axis::around("", points.iter().map(Point::cost), Scale::Log);
    axis.ticks()
}

/// Draws the figure.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written.
pub fn draw(data: &Data, path: &Path) -> Result<(), ChartError> {
    let unit = &data.caption.unit;
    let x = Axis::around("multiply-accumulates of the layer", data.points.iter().map(|p| p.macs), Scale::Log);
    let y_values = data.points.iter().map(|p| p.latency);
    let y = Axis::around(format!("latency of the layer ({unit})"), y_values, Scale::Log);
    let mut legend = op_legend(data.points.iter().map(|p| p.spec.op));
    legend.push((format!("grey lines: equal {unit} for a MAC"), WHITE, crate::chart::Marker::Circle));
    render(path, SIZE, |area| {
        let title = "Latency of a layer against its MACs";
        let below = header(area, title, &data.caption.subtitle, &legend)?;
        let mut chart = chart(&below, &x, &y)?;
        let frame = chart.plotting_area().get_pixel_range();
        let mut labels = Labels::default();
        for cost in iso_costs(&data.points) {
            let Some([from, to]) = iso_line(&x, &y, cost) else { continue };
            chart.draw_series(DashedLineSeries::new([from, to], 4, 8, GREY.stroke_width(1)))?;
            let (px, py) = chart.backend_coord(&from);
            let at = (px + 8, (py - 16).max(frame.1.start + 16));
            area.draw_text(&si(cost), &text(18, GREY), at)?;
            labels.keep_clear((at.0 + 14, at.1));
        }
        let pixel = |p: &Point| chart.backend_coord(&(x.at(p.macs), y.at(p.latency)));
        for p in &data.points {
            let (color, marker) = op_look(p.spec.op);
            marker.draw(area, pixel(p), color)?;
            labels.keep_clear(pixel(p));
        }
        for p in extremes(&data.points) {
            labels.place(area, pixel(p), &p.name, &frame)?;
        }
        Ok(())
    })
}

/// The part of `latency = cost * macs` inside the axes, in coordinates.
fn iso_line(x: &Axis, y: &Axis, cost: f64) -> Option<[(f64, f64); 2]> {
    let low = x.low.max(y.low / cost);
    let high = x.high.min(y.high / cost);
    let at = |macs: f64| (x.at(macs), y.at(macs * cost));
    (low < high).then(|| [at(low), at(high)])
}

/// The dearest and the cheapest layers of a MAC, which get a label.
fn extremes(points: &[Point]) -> Vec<&Point> {
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| b.cost().total_cmp(&a.cost()));
    let n = sorted.len();
    if n > 10 {
        sorted.drain(5..n - 3);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn every_shape_is_shown_once() {
        let data = series(&example::run()).unwrap();
        for (i, p) in data.points.iter().enumerate() {
            assert!(data.points[..i].iter().all(|q| q.spec != p.spec));
        }
    }

    #[test]
    fn an_iso_line_stays_inside_the_axes() {
        let x = Axis::around("", [1e3, 1e6], Scale::Log);
        let y = Axis::around("", [1e4, 1e5], Scale::Log);
        let [from, to] = iso_line(&x, &y, 1.0).unwrap();
        assert!((from.1 - y.at(y.low)).abs() < 1e-9 && (to.1 - y.at(y.high)).abs() < 1e-9);
        assert!(iso_line(&x, &y, 1e9).is_none());
    }

    #[test]
    fn a_run_without_layers_is_refused() {
        assert!(matches!(series(&RunRecord::default()), Err(ChartError::Empty { .. })));
    }
}
