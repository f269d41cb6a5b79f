//! Instructions a multiply-accumulate of every layer: ours, CMSIS-NN's and the floor.

use crate::{Core, Row, Unit};
use plotters::prelude::*;
use reports::axes::{Axis, Scale};
use reports::chart::{Area, ChartError, GREY, INK, Marker, PALE, PALETTE, header, render, text};
use std::path::Path;

/// SMLAD multiplies and adds twice.
const FLOOR: f64 = 0.5;

/// A layer's dots.
#[derive(Debug, Clone, PartialEq)]
pub struct Dots {
    pub name: &'static str,
    pub ours: f64,
    pub cmsis_nn: f64,
}

/// The layers of the Cortex-M4 that multiply; networks have no operator of their own.
///
/// # Errors
/// [`ChartError::Empty`] if there are none.
pub fn series(rows: &[Row]) -> Result<Vec<Dots>, ChartError> {
    let is_layer = |row: &&Row| {
        row.core == Core::M4
            && row.unit == Unit::Instructions
            && ["conv", "pw", "dw", "fc"].iter().any(|op| row.what.starts_with(op))
    };
    let a_mac = |figure: u64, row: &Row| figure as f64 / row.macs as f64;
    let dots: Vec<Dots> = rows
        .iter()
        .filter(is_layer)
        .map(|row| Dots { name: row.what, ours: a_mac(row.ours, row), cmsis_nn: a_mac(row.cmsis_nn, row) })
        .collect();
    if dots.is_empty() {
        return Err(ChartError::Empty { figure: "bench_kernels", what: "layer of the Cortex-M4" });
    }
    Ok(dots)
}

/// Pixels of a layer's row.
const ROW: u32 = 38;
/// Pixels of the names.
const NAMES: i32 = 310;

/// Draws the figure.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written.
pub fn draw(dots: &[Dots], path: &Path) -> Result<(), ChartError> {
    let size = (1400, 250 + ROW * dots.len() as u32);
    let subtitle =
        "Cortex-M4 emulated by QEMU · executed instructions, not time · CMSIS-NN at its best flags";
    render(path, size, |area| {
        let below = header(area, "Instructions of a multiply-accumulate", subtitle, &[])?;
        panel(area, &below, dots)
    })
}

fn panel<'a>(area: &Area<'a>, panel: &Area<'a>, dots: &[Dots]) -> Result<(), ChartError> {
    let label = "instructions a multiply-accumulate";
    let values = dots.iter().flat_map(|d| [d.ours, d.cmsis_nn]);
    let x = Axis::around(label, values.chain([0.0]), Scale::Linear);
    let rows = 0.0..dots.len() as f64;
    let mut chart = ChartBuilder::on(panel)
        .margin_left(NAMES)
        .margin_right(40)
        .margin_top(50)
        .margin_bottom(18)
        .x_label_area_size(80)
        .build_cartesian_2d(0.0..x.high, rows.clone())?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .bold_line_style(PALE)
        .light_line_style(TRANSPARENT)
        .axis_style(GREY)
        .x_labels(10)
        .x_desc(label)
        .axis_desc_style(text(24, INK))
        .label_style(text(21, INK))
        .draw()?;
    chart.draw_series(LineSeries::new([(FLOOR, rows.start), (FLOOR, rows.end)], GREY.stroke_width(2)))?;
    let (floor_x, top) = chart.backend_coord(&(FLOOR, rows.end));
    area.draw_text("floor: SMLAD, 0.5", &text(20, GREY), (floor_x + 6, top - 30))?;
    for (i, (name, color, marker)) in
        [("edgeslim", PALETTE[0], Marker::Circle), ("CMSIS-NN", PALETTE[1], Marker::Square)]
            .into_iter()
            .enumerate()
    {
        let (x, y) = (floor_x + 330 + 220 * i as i32, top - 20);
        marker.draw(area, (x, y), color)?;
        area.draw_text(name, &text(22, INK), (x + 18, y + 2))?;
    }
    for (i, dot) in dots.iter().enumerate() {
        let y = rows.end - i as f64 - 0.5;
        chart.draw_series(LineSeries::new([(dot.ours, y), (dot.cmsis_nn, y)], PALE.stroke_width(4)))?;
        for (value, color, marker) in
            [(dot.ours, PALETTE[0], Marker::Circle), (dot.cmsis_nn, PALETTE[1], Marker::Square)]
        {
            let (px, py) = chart.backend_coord(&(value, y));
            marker.draw(area, (px, py), color)?;
        }
        let (_, py) = chart.backend_coord(&(0.0, y));
        area.draw_text(dot.name, &text(21, INK), (40, py + 2))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_the_m4_that_multiply_are_shown() {
        let row = |core, unit, what| Row {
            core,
            unit,
            what,
            ours: 80,
            cmsis_nn: 175,
            ratio: 2.2,
            macs: 100,
            goal: None,
        };
        let rows = [
            row(Core::M4, Unit::Instructions, "pw_16-32@48"),
            row(Core::M4, Unit::ModelledCycles, "pw_16-32@48"),
            row(Core::M3, Unit::Instructions, "pw_16-32@48"),
            row(Core::M4, Unit::Instructions, "add_32x32x16"),
            row(Core::M4, Unit::Instructions, "resnet8"),
        ];
        let dots = series(&rows).unwrap();
        assert_eq!(dots, [Dots { name: "pw_16-32@48", ours: 0.8, cmsis_nn: 1.75 }]);
        assert!(matches!(series(&rows[1..]), Err(ChartError::Empty { .. })));
    }
}
