//! Channels of each unit: every candidate against the full network, one row a candidate.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::axes::si;
use crate::chart::{
    Area, Caption, ChartError, GREY, INK, Marker, PALE, PALETTE, SIZE, centred, header, render, shortened,
    text,
};
use crate::record::RunRecord;

const ROW: i32 = 190;
const LEFT: i32 = 330;

/// One candidate's bars.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The candidate's name.
    pub name: String,
    /// Multiply-accumulates of an image.
    pub macs: u64,
    /// Best known latency.
    pub latency: Option<f64>,
    /// Channels: `[units]`.
    pub channels: Vec<usize>,
    /// Channels of the full network: `[units]`.
    pub full: Vec<usize>,
}

/// What the figure shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Where the numbers come from.
    pub caption: Caption,
    /// Name of each unit.
    pub units: Vec<String>,
    /// Candidates other than the full network, in the run's order.
    pub rows: Vec<Row>,
}

/// The figure's data. Random candidates and the full network aren't shown.
///
/// # Errors
/// [`ChartError::Empty`] if no candidate has the channels of every unit.
pub fn series(run: &RunRecord) -> Result<Data, ChartError> {
    let shown = |strategy: &str| !matches!(strategy, "full" | "random");
    let mut units = Vec::new();
    let mut rows = Vec::new();
    for c in run.candidates.iter().filter(|c| shown(&c.strategy)) {
        let n = c.unit_names.len();
        if n == 0 || c.channels.len() != n || c.full_channels.len() != n {
            continue;
        }
        if units.is_empty() {
            units = c.unit_names.clone();
        }
        if units == c.unit_names {
            let (channels, full) = (c.channels.clone(), c.full_channels.clone());
            rows.push(Row { name: c.name.clone(), macs: c.macs, latency: c.latency(), channels, full });
        }
    }
    if rows.is_empty() {
        return Err(ChartError::Empty { figure: "channels", what: "candidate with channels" });
    }
    Ok(Data { caption: Caption::new(&run.provenance), units, rows })
}

/// Draws the figure.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written.
pub fn draw(data: &Data, path: &Path) -> Result<(), ChartError> {
    let names = Names::of(&data.units);
    let foot = if names == Names::Lying { 60 } else { 190 };
    let height = 160 + ROW * data.rows.len() as i32 + foot;
    let kept = if numbered(data.units.len()) { "kept channels, their number above" } else { "kept channels" };
    let legend =
        [(kept.to_string(), PALETTE[0], Marker::Square), ("full network".to_string(), PALE, Marker::Square)];
    render(path, (SIZE.0, height as u32), |area| {
        let below = header(area, "Channels of each unit", &data.caption.subtitle, &legend)?;
        for (i, row) in data.rows.iter().enumerate() {
            draw_row(&below, row, ROW * i as i32, &data.caption.unit)?;
        }
        draw_names(&below, &data.units, ROW * data.rows.len() as i32 + 12, names)
    })
}

/// How the units' names stand below their bars.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Lying,
    Turned,
}

impl Names {
    /// Lying where the longest name fits its slot, at 12 pixels a letter.
    fn of(units: &[String]) -> Names {
        let longest = units.iter().map(|u| u.chars().count()).max().unwrap_or(0);
        if longest as f64 * 12.0 + 8.0 < slot(units.len()) { Names::Lying } else { Names::Turned }
    }
}

fn slot(n_units: usize) -> f64 {
    f64::from(SIZE.0 as i32 - LEFT - 50) / n_units as f64
}

/// Whether a number fits above each bar.
fn numbered(n_units: usize) -> bool {
    slot(n_units) > 34.0
}

fn draw_row(area: &Area, row: &Row, top: i32, unit: &str) -> Result<(), ChartError> {
    let (base, tallest) = (top + ROW, f64::from(ROW - 50));
    let most = row.full.iter().chain(&row.channels).copied().max().unwrap_or(1).max(1) as f64;
    let size = if row.name.chars().count() <= 18 { 24 } else { 18 };
    area.draw_text(&shortened(&row.name, 24), &text(size, INK), (50, base - 96))?;
    let latency = row.latency.map_or("not measured".into(), |latency| format!("{} {unit}", si(latency)));
    area.draw_text(&latency, &text(19, GREY), (50, base - 62))?;
    area.draw_text(&format!("{} MACs", si(row.macs as f64)), &text(19, GREY), (50, base - 34))?;
    let slot = slot(row.channels.len());
    let y = |channels: usize| base - (channels as f64 / most * tallest) as i32;
    for (u, (&kept, &full)) in row.channels.iter().zip(&row.full).enumerate() {
        let left = LEFT + (slot * (u as f64 + 0.12)) as i32;
        let right = LEFT + (slot * (u as f64 + 0.88)) as i32;
        area.draw(&Rectangle::new([(left, y(full)), (right, base)], PALE.filled()))?;
        area.draw(&Rectangle::new([(left, y(kept)), (right, base)], PALETTE[0].filled()))?;
        if numbered(row.channels.len()) {
            let above = y(kept.max(full)) - 14;
            area.draw_text(&kept.to_string(), &centred(19, INK), ((left + right) / 2, above))?;
        }
    }
    let line = [(LEFT, base), (SIZE.0 as i32 - 50, base)];
    Ok(area.draw(&PathElement::new(line.to_vec(), GREY.stroke_width(1)))?)
}

fn draw_names(area: &Area, units: &[String], top: i32, names: Names) -> Result<(), ChartError> {
    let slot = slot(units.len());
    let size = if slot < 24.0 { 14 } else { 19 };
    let upright = text(size, INK);
    let turned = TextStyle { font: upright.font.transform(FontTransform::Rotate90), ..upright.clone() };
    for (u, unit) in units.iter().enumerate() {
        let middle = LEFT + (slot * (u as f64 + 0.5)) as i32;
        if names == Names::Lying {
            area.draw_text(unit, &centred(size, INK), (middle, top + 10))?;
        } else {
            let style = turned.pos(Pos::new(HPos::Left, VPos::Center));
            area.draw_text(&shortened(unit, 15), &style, (middle, top))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn the_full_network_and_random_candidates_get_no_row() {
        let run = example::run();
        let data = series(&run).unwrap();
        let shown = run.candidates.iter().filter(|c| !["full", "random"].contains(&c.strategy.as_str()));
        assert_eq!(data.rows.len(), shown.count());
        assert!(data.rows.iter().all(|r| r.channels.len() == data.units.len()));
    }

    #[test]
    fn a_candidate_whose_channels_do_not_match_its_units_is_left_out() {
        let mut run = example::run();
        run.candidates.iter_mut().for_each(|c| {
            c.channels.pop();
        });
        assert!(matches!(series(&run), Err(ChartError::Empty { .. })));
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shortened("stage1.conv2", 15), "stage1.conv2");
        assert_eq!(shortened("features.block12.expand", 10), "…12.expand");
    }
}
