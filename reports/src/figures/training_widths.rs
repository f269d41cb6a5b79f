//! Whether a narrower subnet costs less: time of its training step and evaluation over the widest's, beside its
//! operations and bytes.

use std::path::Path;

use plotters::prelude::*;
use serde::Deserialize;

use crate::axes::{Axis, Scale, chart};
use crate::chart::{Area, ChartError, INK, SIZE, centred, header, look, render};

/// What `cargo xtask bench-training --widths` writes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What made it.
    pub command: String,
    /// The processor's name, where the system tells it.
    pub processor: Option<String>,
    /// Instruction set of the engine.
    pub simd: Option<String>,
    /// Threads of the engine.
    pub threads: usize,
    /// Images a step.
    pub batch: usize,
    /// In the figure's order.
    pub networks: Vec<Network>,
}

/// One network's times.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The benchmark's name of it.
    pub name: String,
    /// Training steps of one subnet.
    pub plain: Vec<Point>,
    /// Evaluations of it.
    pub evaluate: Vec<Point>,
}

/// One width.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Share of every unit's full count.
    pub width: f64,
    /// Least of all repetitions, milliseconds.
    pub ms: f64,
    /// Operations of convolutions and classifier.
    pub flops: f64,
    /// Bytes of activations and their gradients, once a use.
    pub bytes: f64,
}

/// Names of a panel's lines; the first two are measured, the others counted.
const LINES: [&str; 4] = ["time of a training step", "time of an evaluation", "MACs", "bytes of activations"];

/// One network's panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// The network.
    pub name: String,
    /// Width and percent of the widest, in the order of the legend.
    pub lines: [Vec<(f64, f64)>; 4],
}

/// What the figure shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Where the numbers come from.
    pub subtitle: String,
    /// One per network.
    pub panels: Vec<Panel>,
}

/// The figure's data: everything relative to the widest.
///
/// # Errors
/// [`ChartError::Empty`] if there is no network, or one without a width.
pub fn series(record: &Record) -> Result<Data, ChartError> {
    let Record { processor, simd, threads, batch, networks, .. } = record;
    let panels = networks.iter().map(panel).collect::<Option<Vec<Panel>>>();
    let Some(panels) = panels.filter(|panels| !panels.is_empty()) else {
        return Err(ChartError::Empty { figure: "training_widths", what: "network with widths" });
    };
    let of = |name: &Option<String>| name.clone().unwrap_or_else(|| "unknown".into());
    let subtitle = format!(
        "{} · {} · {threads} {} · batch {batch} · least of all repetitions",
        of(processor),
        of(simd),
        if *threads == 1 { "thread" } else { "threads" }
    );
    Ok(Data { subtitle, panels })
}

fn panel(network: &Network) -> Option<Panel> {
    let Network { name, plain, evaluate } = network;
    let line = |points: &[Point], of: fn(&Point) -> f64| {
        let widest = points.iter().max_by(|a, b| a.width.total_cmp(&b.width))?;
        Some(points.iter().map(|p| (p.width, 100.0 * of(p) / of(widest))).collect())
    };
    let lines = [
        line(plain, |p| p.ms)?,
        line(evaluate, |p| p.ms)?,
        line(plain, |p| p.flops)?,
        line(plain, |p| p.bytes)?,
    ];
    Some(Panel { name: name.clone(), lines })
}

/// Draws the figure.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written.
pub fn draw(data: &Data, path: &Path) -> Result<(), ChartError> {
    let entry = |(i, name): (usize, &&str)| ((*name).to_owned(), look(i).0, look(i).1);
    let legend: Vec<_> = LINES.iter().enumerate().map(entry).collect();
    render(path, SIZE, |area| {
        let title = "Time of a narrower subnet, beside its MACs and bytes";
        let below = header(area, title, &data.subtitle, &legend)?;
        let areas = below.split_evenly((1, data.panels.len()));
        areas.iter().zip(&data.panels).try_for_each(|(part, panel)| draw_panel(area, part, panel))
    })
}

/// In a part of the figure.
fn draw_panel(figure: &Area, area: &Area, panel: &Panel) -> Result<(), ChartError> {
    let middle = area.dim_in_pixel().0 as i32 / 2;
    area.draw_text(&panel.name, &centred(26, INK), (middle + 60, 24))?;
    let axis = |label: &str, low, high| Axis { label: label.into(), low, high, scale: Scale::Linear };
    let highest = panel.lines.iter().flatten().map(|p| p.1).fold(100.0, f64::max);
    let (x, y) = (axis("width", 0.2, 1.04), axis("share of the widest (%)", 0.0, 1.05 * highest));
    let below = area.margin(36, 0, 0, 0);
    let mut chart = chart(&below, &x, &y)?;
    for (i, line) in panel.lines.iter().enumerate().rev() {
        let (points, style) = (line.iter().copied(), look(i).0.stroke_width(3));
        match i < 2 {
            true => chart.draw_series(LineSeries::new(points, style))?,
            false => chart.draw_series(DashedLineSeries::new(points, 8, 8, style))?,
        };
        for point in line {
            look(i).1.draw(figure, chart.backend_coord(point), look(i).0)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let point = |width, ms, flops, bytes| Point { width, ms, flops, bytes };
        let plain = vec![point(0.5, 3.0, 20.0, 50.0), point(1.0, 10.0, 80.0, 100.0)];
        let evaluate = vec![point(0.5, 1.0, 7.0, 7.0), point(1.0, 2.0, 9.0, 9.0)];
        let network = Network { name: "mb28".into(), plain, evaluate };
        Record {
            command: "c".into(),
            processor: Some("P".into()),
            simd: Some("avx2".into()),
            threads: 2,
            batch: 64,
            networks: vec![network],
        }
    }

    #[test]
    fn everything_is_relative_to_the_widest() {
        let data = series(&record()).unwrap();
        let at_half: Vec<f64> = data.panels[0].lines.iter().map(|line| line[0].1).collect();
        assert_eq!(at_half, [30.0, 50.0, 25.0, 50.0]);
        assert!(data.panels[0].lines.iter().all(|line| line[1] == (1.0, 100.0)));
    }

    #[test]
    fn the_subtitle_says_on_what_it_was_measured() {
        let subtitle = series(&record()).unwrap().subtitle;
        assert!(subtitle.starts_with("P · avx2 · 2 threads · batch 64"), "{subtitle}");
    }

    #[test]
    fn a_record_without_widths_is_refused() {
        let mut empty = record();
        empty.networks[0].evaluate.clear();
        assert!(matches!(series(&empty), Err(ChartError::Empty { .. })));
        empty.networks.clear();
        assert!(matches!(series(&empty), Err(ChartError::Empty { .. })));
    }

    #[test]
    fn a_figure_is_drawn_alike_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = ["a.png", "b.png"].map(|name| {
            draw(&series(&record()).unwrap(), &dir.path().join(name)).unwrap();
            std::fs::read(dir.path().join(name)).unwrap()
        });
        assert!(bytes[0] == bytes[1]);
    }
}
