//! An experiment's panels: means over seeds with their 95 % intervals.

use std::path::Path;

use plotters::prelude::*;

use crate::axes::{Axis, Scale, chart};
use crate::chart::{Area, ChartError, INK, Marker, centred, header, look, render};
use crate::experiment::{self, ExperimentRecord, Mark, Panel, Series};

/// Panels side by side.
const COLUMNS: usize = 2;
/// Width of a figure with one panel, and with more.
const WIDTHS: [u32; 2] = [1400, 2000];
/// Height of a row of panels.
const ROW: u32 = 760;
/// Room for title, subtitle and legend.
const TOP: u32 = 190;

/// What the figure shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// What the experiment asks.
    pub title: String,
    /// Where the numbers come from.
    pub subtitle: String,
    /// The names of all series, each once, in the order of their first panel.
    pub legend: Vec<String>,
    /// The charts.
    pub panels: Vec<Panel>,
}

/// The figure's data: what is drawn of a record.
///
/// # Errors
/// [`ChartError::Empty`] if there is no point.
pub fn series(record: &ExperimentRecord) -> Result<Data, ChartError> {
    let has_points = |panel: &Panel| panel.series.iter().any(|series| !series.points.is_empty());
    let panels: Vec<Panel> = record.panels.iter().filter(|panel| has_points(panel)).cloned().collect();
    if panels.is_empty() {
        return Err(ChartError::Empty { figure: "experiment", what: "point" });
    }
    let mut legend: Vec<String> = Vec::new();
    for Series { name, .. } in panels.iter().flat_map(|panel| &panel.series) {
        if !legend.contains(name) {
            legend.push(name.clone());
        }
    }
    let n_seeds = record.seeds.len();
    let seeds = if n_seeds == 1 { "1 seed".into() } else { format!("{n_seeds} seeds, 95 % intervals") };
    let mut subtitle =
        format!("{} · {} training images · {} · {seeds}", record.dataset, record.train_images, record.recipe);
    if let Some(board) = &record.board {
        subtitle += &format!(" · {board}");
    }
    Ok(Data { title: record.title.clone(), subtitle, legend, panels })
}

/// Draws the figure.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written.
pub fn draw(data: &Data, path: &Path) -> Result<(), ChartError> {
    let entry = |(i, name): (usize, &String)| (name.clone(), look(i).0, look(i).1);
    let legend: Vec<_> = data.legend.iter().enumerate().map(entry).collect();
    let columns = data.panels.len().min(COLUMNS);
    let rows = data.panels.len().div_ceil(columns);
    let size = (WIDTHS[columns - 1], TOP + ROW * rows as u32);
    render(path, size, |area| {
        let below = header(area, &data.title, &data.subtitle, &legend)?;
        let areas = below.split_evenly((rows, columns));
        areas.iter().zip(&data.panels).try_for_each(|(part, panel)| draw_panel(area, part, panel, &legend))
    })
}

/// Name, colour and mark of a series.
type Entry = (String, RGBColor, Marker);

/// In a part of the figure.
fn draw_panel(figure: &Area, area: &Area, panel: &Panel, legend: &[Entry]) -> Result<(), ChartError> {
    let middle = area.dim_in_pixel().0 as i32 / 2;
    area.draw_text(&panel.title, &centred(26, INK), (middle + 60, 24))?;
    let points = || panel.series.iter().flat_map(|series| &series.points);
    let scale = match panel.x_scale {
        experiment::Scale::Linear => Scale::Linear,
        experiment::Scale::Log => Scale::Log,
    };
    let x = Axis::around(&panel.x, points().map(|p| p.x), scale);
    let ends = points().flat_map(|p| p.y.ends.unwrap_or([p.y.mean; 2]));
    let y = Axis::around(&panel.y, ends, Scale::Linear);
    let mut chart = chart(&area.margin(44, 0, 0, 0), &x, &y)?;
    for series in &panel.series {
        let color = style(legend, series).1;
        if series.mark == Mark::Line {
            let line = series.points.iter().map(|p| (x.at(p.x), p.y.mean));
            chart.draw_series(LineSeries::new(line, color.stroke_width(3)))?;
        }
        for (p, [low, high]) in series.points.iter().filter_map(|p| Some((p, p.y.ends?))) {
            let bar = vec![(x.at(p.x), low), (x.at(p.x), high)];
            chart.draw_series([PathElement::new(bar, color.mix(0.6).stroke_width(3))])?;
        }
    }
    for series in &panel.series {
        let (_, color, marker) = style(legend, series);
        for p in &series.points {
            marker.draw(figure, chart.backend_coord(&(x.at(p.x), p.y.mean)), *color)?;
        }
    }
    Ok(())
}

fn style<'a>(legend: &'a [Entry], series: &Series) -> &'a Entry {
    legend.iter().find(|(name, ..)| *name == series.name).expect("the legend names every series")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Point;
    use crate::interval::Interval;

    fn record() -> ExperimentRecord {
        let point = |x: f64, values: &[f64]| {
            let y = Interval::of(values).unwrap();
            Point { label: format!("x{x}"), x, y, more: vec![] }
        };
        let series = |name: &str, points| Series { name: name.into(), mark: Mark::Line, points };
        let panel = |series| Panel {
            title: "mobilenet-v1".into(),
            x: "multiply-accumulates".into(),
            x_scale: experiment::Scale::Log,
            y: "accuracy on test images (%)".into(),
            series,
        };
        let curve = vec![point(1e5, &[80.0, 81.0]), point(4e5, &[85.0, 86.0])];
        ExperimentRecord {
            name: "s-net-table".into(),
            title: "Four networks in one".into(),
            command: "edgeslim experiment s-net-table".into(),
            dataset: "embedded".into(),
            digest: "0".into(),
            train_images: 100,
            test_images: 50,
            seeds: vec![1, 2],
            recipe: "1 epoch".into(),
            edgeslim: "0.1.0".into(),
            board: None,
            panels: vec![
                panel(vec![series("I-Net", curve.clone()), series("S-Net", curve.clone())]),
                panel(vec![series("S-Net", curve)]),
                panel(vec![series("nothing", vec![])]),
            ],
            findings: vec![],
        }
    }

    #[test]
    fn a_series_has_one_entry_in_the_legend_whatever_panels_it_is_in() {
        let data = series(&record()).unwrap();
        assert_eq!(data.legend, ["I-Net", "S-Net"]);
        assert_eq!(data.panels.len(), 2, "a panel without a point is left out");
        assert!(data.subtitle.contains("2 seeds, 95 % intervals"), "{}", data.subtitle);
    }

    #[test]
    fn an_experiment_without_a_point_is_refused() {
        let empty = ExperimentRecord { panels: vec![], ..record() };
        assert!(matches!(series(&empty), Err(ChartError::Empty { .. })));
    }

    #[test]
    fn the_same_data_gives_the_same_bytes() {
        let (dir, data) = (tempfile::tempdir().unwrap(), series(&record()).unwrap());
        let [a, b] = ["a.png", "b.png"].map(|name| dir.path().join(name));
        draw(&data, &a).unwrap();
        draw(&data, &b).unwrap();
        assert!(std::fs::read(&a).unwrap() == std::fs::read(&b).unwrap());
    }
}
