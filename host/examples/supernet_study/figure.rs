//! Every variant's difference to the baseline as a dot with its 95 % interval: accuracy left, cross-entropy right.

use crate::records::Record;
use crate::statistics::{Figure, Of, difference};
use crate::variants::{self, BASELINE};
use plotters::prelude::*;
use reports::axes::{Axis, Scale, si};
use reports::chart::{Area, ChartError, GREY, INK, Marker, PALE, PALETTE, header, render, text};
use std::path::Path;

/// A variant's difference to the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Dot {
    /// The variant.
    pub name: String,
    /// Mean difference.
    pub mean: f64,
    /// Half its interval.
    pub half: f64,
}

/// What the figure shows; the mean over all measured subnets.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Where the numbers come from.
    pub subtitle: String,
    /// Points of accuracy, best first.
    pub accuracy: Vec<Dot>,
    /// Nats of cross-entropy, in the same order.
    pub loss: Vec<Dot>,
}

/// The figure's data: variants that have an interval, by accuracy.
///
/// # Errors
/// [`ChartError::Empty`] if there are none.
pub fn series(records: &[Record]) -> Result<Data, ChartError> {
    let dot = |name: &str, figure| {
        let found = difference(records, name, Of::Mean, figure)?;
        Some(Dot { name: name.to_owned(), mean: found.mean, half: found.half()? })
    };
    let names = variants::all().into_iter().map(|(name, _)| name).filter(|name| *name != BASELINE);
    let mut dots: Vec<(Dot, Dot)> =
        names.filter_map(|name| dot(name, Figure::Accuracy).zip(dot(name, Figure::Loss))).collect();
    dots.sort_by(|a, b| b.0.mean.total_cmp(&a.0.mean));
    let (Some(first), false) = (records.first(), dots.is_empty()) else {
        return Err(ChartError::Empty { figure: "supernet_study", what: "variant with two seeds" });
    };
    let setup = &first.setup;
    let subtitle = format!(
        "{} · {} training images · mean over {} subnets · difference to the baseline of the same seed, 95 % intervals",
        setup.network,
        setup.n_train,
        records.iter().map(|r| r.subnets.len()).max().unwrap_or(0),
    );
    let (accuracy, loss) = dots.into_iter().unzip();
    Ok(Data { subtitle, accuracy, loss })
}

/// Pixels of a variant's row.
const ROW: u32 = 34;
/// Pixels of the names.
const NAMES: i32 = 310;

/// Draws the figure.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written.
pub fn draw(data: &Data, path: &Path) -> Result<(), ChartError> {
    let size = (1600, 260 + ROW * data.accuracy.len() as u32);
    render(path, size, |area| {
        let below = header(area, "Supernets at equal time", &data.subtitle, &[])?;
        let (left, right) = below.split_horizontally((size.0 as i32 + NAMES) / 2);
        panel(area, &left, "accuracy (percentage points, more is better)", &data.accuracy, NAMES)?;
        panel(area, &right, "cross-entropy (nats, less is better)", &data.loss, 30)
    })
}

/// One figure of all variants, from top to bottom; their names left of it where `names` pixels are enough.
fn panel<'a>(
    area: &Area<'a>,
    panel: &Area<'a>,
    label: &str,
    dots: &[Dot],
    names: i32,
) -> Result<(), ChartError> {
    let ends = dots.iter().flat_map(|d| [d.mean - d.half, d.mean + d.half]);
    let x = Axis::around(label, ends.chain([0.0]), Scale::Linear);
    let rows = 0.0..dots.len() as f64;
    let mut chart = ChartBuilder::on(panel)
        .margin_left(names)
        .margin_right(40)
        .margin_top(10)
        .margin_bottom(18)
        .x_label_area_size(80)
        .build_cartesian_2d(x.low..x.high, rows.clone())?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .bold_line_style(PALE)
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .x_labels(7)
        .x_desc(label)
        .axis_desc_style(text(24, INK))
        .label_style(text(21, INK))
        .x_label_formatter(&|v| if v.abs() < 1e-9 { "0".into() } else { si(*v) })
        .draw()?;
    chart.draw_series(LineSeries::new([(0.0, rows.start), (0.0, rows.end)], GREY.stroke_width(2)))?;
    for (i, dot) in dots.iter().enumerate() {
        let y = rows.end - i as f64 - 0.5;
        let color = if dot.mean.abs() > dot.half { PALETTE[1] } else { PALETTE[0] };
        let ends = [(dot.mean - dot.half, y), (dot.mean + dot.half, y)];
        chart.draw_series(LineSeries::new(ends, color.stroke_width(3)))?;
        let (px, py) = chart.backend_coord(&(dot.mean, y));
        let marker = if dot.mean.abs() > dot.half { Marker::Square } else { Marker::Circle };
        marker.draw(area, (px, py), color)?;
        if names == NAMES {
            area.draw_text(&dot.name, &text(21, INK), (50, py + 3))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::tests::record;

    #[test]
    fn variants_with_an_interval_are_shown_best_first() {
        let levels = [(BASELINE, 0.80), ("clip 1", 0.81), ("3 subnets", 0.83)];
        let of_seed = |seed: u64| levels.map(|(name, level)| record(name, seed, level + seed as f64 * 1e-3));
        let mut records: Vec<Record> = (1..=3).flat_map(of_seed).collect();
        records.push(record("clip 3", 1, 0.9));
        let data = series(&records).unwrap();
        let names: Vec<&str> = data.accuracy.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["3 subnets", "clip 1"]);
        assert!((data.accuracy[0].mean - 3.0).abs() < 1e-9 && data.accuracy[0].half < 1e-9);
        assert_eq!(data.loss[1].name, "clip 1");
        assert!(matches!(series(&records[..1]), Err(ChartError::Empty { .. })));
    }
}
