//! Axes with chosen ticks, numbers with SI prefixes, and labels that don't overlap.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::chart::{Area, Chart, ChartError, GREY, INK, PALE, text, text_width};

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equal lengths.
    Linear,
    /// Equal ratios are equal lengths; values must be positive.
    Log,
}

/// An axis: what it shows and from where to where.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Quantity and unit.
    pub label: String,
    /// Lowest value.
    pub low: f64,
    /// Highest value, above `low`.
    pub high: f64,
    /// How values are spread.
    pub scale: Scale,
}

impl Axis {
    /// An axis around `values` with a margin; never empty, also for one value or none.
    pub fn around(label: impl Into<String>, values: impl IntoIterator<Item = f64>, scale: Scale) -> Axis {
        let usable = |v: &f64| v.is_finite() && (scale == Scale::Linear || *v > 0.0);
        let mut range: Option<(f64, f64)> = None;
        for v in values.into_iter().filter(usable) {
            range = Some(range.map_or((v, v), |(low, high)| (low.min(v), high.max(v))));
        }
        let (low, high) = range.unwrap_or((1.0, 10.0));
        let (low, high) = match scale {
            Scale::Log => {
                let margin = (high / low).powf(0.08).max(1.5);
                (low / margin, high * margin)
            }
            Scale::Linear => {
                let margin = if high > low { (high - low) * 0.08 } else { high.abs().max(1.0) * 0.1 };
                (low - margin, high + margin)
            }
        };
        Axis { label: label.into(), low, high, scale }
    }

    /// The coordinate of `value` on the axis.
    pub fn at(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    /// Round values between the ends: steps of 1, 2 or 5 times a power of ten.
    pub fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high),
            Scale::Log => log_ticks(self.low, self.high),
        }
    }

    fn coord(&self) -> Coord {
        let ticks = self.ticks().into_iter().map(|t| self.at(t)).collect();
        Coord { inner: (self.at(self.low)..self.at(self.high)).into(), ticks }
    }

    fn format(&self, coord: f64) -> String {
        match self.scale {
            Scale::Linear => si(coord),
            Scale::Log => si(10f64.powf(coord)),
        }
    }
}

/// A coordinate with chosen ticks; a logarithmic axis holds log10 of its values.
#[derive(Clone)]
pub struct Coord {
    inner: RangedCoordf64,
    ticks: Vec<f64>,
}

impl Ranged for Coord {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.inner.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.inner.range()
    }
}

fn linear_ticks(low: f64, high: f64) -> Vec<f64> {
    let raw = (high - low) / 7.0;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= raw).unwrap_or(raw);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = (high / low).log10();
    let steps: &[f64] = if decades > 3.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let all = (first..=last).flat_map(|e| steps.iter().map(move |m| m * 10f64.powi(e)));
    all.filter(|t| (low..=high).contains(t)).collect()
}

/// `value` with an SI prefix and three digits: `1.25 M`.
pub fn si(value: f64) -> String {
    let size = value.abs();
    let prefixes = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match prefixes.into_iter().find(|(factor, _)| size >= factor * 0.9995) {
        Some((factor, prefix)) => format!("{} {prefix}", three_digits(value / factor)),
        None => three_digits(value),
    }
}

fn three_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let decimals = (2 - value.abs().log10().floor() as i32).clamp(0, 8) as usize;
    let digits = format!("{value:.decimals$}");
    let short =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { &digits };
    short.replace('-', "−")
}

/// A chart with grid, ticks and axis labels on `area`.
///
/// # Errors
/// [`ChartError::Draw`].
pub fn chart<'a>(area: &Area<'a>, x: &Axis, y: &Axis) -> Result<Chart<'a>, ChartError> {
    let mut chart = ChartBuilder::on(area)
        .margin_right(50)
        .margin_top(16)
        .margin_bottom(18)
        .margin_left(30)
        .x_label_area_size(80)
        .y_label_area_size(120)
        .build_cartesian_2d(x.coord(), y.coord())?;
    chart
        .configure_mesh()
        .bold_line_style(PALE)
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .x_desc(x.label.as_str())
        .y_desc(y.label.as_str())
        .axis_desc_style(text(24, INK))
        .label_style(text(21, INK))
        .x_label_formatter(&|v| x.format(*v))
        .y_label_formatter(&|v| y.format(*v))
        .draw()?;
    Ok(chart)
}

/// Places labels so that none covers another; a label without room is left out.
#[derive(Debug, Default)]
pub struct Labels {
    taken: Vec<[i32; 4]>,
    lines: Vec<[i32; 4]>,
}

/// Distance of two lines of labels, pixels.
const ROW: i32 = 24;
/// Height of a label's text, pixels.
const SIZE: u32 = 19;

impl Labels {
    /// Keeps labels off a point at `at`.
    pub fn keep_clear(&mut self, (x, y): (i32, i32)) {
        self.taken.push([x - 12, y - 12, x + 12, y + 12]);
    }

    /// Writes `label` right, left, above or below `at`, where there is room within `frame` (x and y ranges).
    ///
    /// # Errors
    /// [`ChartError::Draw`].
    pub fn place(
        &mut self,
        area: &Area,
        (x, y): (i32, i32),
        label: &str,
        frame: &(Range<i32>, Range<i32>),
    ) -> Result<(), ChartError> {
        let w = text_width(area, label, &text(SIZE, INK))?;
        let at = [(x + 17, y), (x - 17 - w, y), (x - w / 2, y - 27), (x - w / 2, y + 27)];
        let near = [(x + 13, y - 24), (x + 13, y + 24), (x - 13 - w, y - 24), (x - 13 - w, y + 24)];
        self.write(area, at.into_iter().chain(near), label, frame)
    }

    /// Keeps labels off a vertical line at `x` of `frame`, where they have room elsewhere.
    pub fn keep_off_line(&mut self, x: i32, frame: &(Range<i32>, Range<i32>)) {
        self.lines.push([x - 2, frame.1.start, x + 2, frame.1.end]);
    }

    /// Writes `label` beside a vertical line at `x`, as high in `frame` as there is room.
    ///
    /// # Errors
    /// [`ChartError::Draw`].
    pub fn place_by_line(
        &mut self,
        area: &Area,
        x: i32,
        label: &str,
        frame: &(Range<i32>, Range<i32>),
    ) -> Result<(), ChartError> {
        let w = text_width(area, label, &text(SIZE, INK))?;
        let rows = (frame.1.start + ROW / 2..frame.1.end).step_by(ROW as usize);
        self.write(area, rows.flat_map(|y| [(x + 8, y), (x - 8 - w, y)]), label, frame)
    }

    /// Writes `label` at the first of `spots` (left, vertical middle) with room, rather off lines than on one.
    fn write(
        &mut self,
        area: &Area,
        spots: impl Iterator<Item = (i32, i32)>,
        label: &str,
        frame: &(Range<i32>, Range<i32>),
    ) -> Result<(), ChartError> {
        let style = text(SIZE, INK);
        let w = text_width(area, label, &style)?;
        let boxes = spots.map(|(left, middle)| [left - 3, middle - 11, left + w + 3, middle + 11]);
        let inside = |b: &[i32; 4]| {
            b[0] >= frame.0.start && b[2] <= frame.0.end && b[1] >= frame.1.start && b[3] <= frame.1.end
        };
        let free = |b: &[i32; 4]| inside(b) && !self.taken.iter().any(|t| overlap(t, b));
        let free: Vec<[i32; 4]> = boxes.filter(free).collect();
        let off_lines = free.iter().find(|b| !self.lines.iter().any(|l| overlap(l, b)));
        let Some(&spot) = off_lines.or(free.first()) else { return Ok(()) };
        self.taken.push(spot);
        area.draw(&Rectangle::new([(spot[0], spot[1]), (spot[2], spot[3])], WHITE.mix(0.8).filled()))?;
        Ok(area.draw_text(label, &style, (spot[0] + 3, spot[1] + 11))?)
    }
}

fn overlap(a: &[i32; 4], b: &[i32; 4]) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_prefixes_and_three_digits() {
        assert_eq!(si(1_250_000.0), "1.25 M");
        assert_eq!(si(999_900.0), "1 M");
        assert_eq!(si(0.0), "0");
        assert_eq!(si(-12.5), "−12.5");
        assert_eq!(si(100.0), "100");
    }

    #[test]
    fn an_axis_around_one_value_or_none_is_not_empty() {
        for scale in [Scale::Linear, Scale::Log] {
            for values in [vec![], vec![3.0], vec![0.0], vec![f64::NAN]] {
                let axis = Axis::around("x", values, scale);
                assert!(axis.high > axis.low && !axis.ticks().is_empty(), "{axis:?}");
            }
        }
    }

    #[test]
    fn ticks_lie_on_the_axis() {
        let axis = Axis::around("x", [0.0, 93.0], Scale::Linear);
        assert!(axis.ticks().iter().all(|t| (axis.low..=axis.high).contains(t)));
        assert!(axis.ticks().contains(&20.0));
    }
}
