//! A network: a box a node, top to bottom, in the colour and with the number of the unit that its channels have.

mod grid;
mod route;

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use crate::chart::{ChartError, GREY, INK, PALETTE, centred, render, render_svg, shortened, text, width_of};
use grid::grid;
use route::{LANE_GAP, ROW_GAP, Sizes, routes};

/// A network in words, as its picture shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Its name.
    pub title: String,
    /// What the whole network takes.
    pub subtitle: String,
    /// Each reads earlier ones.
    pub nodes: Vec<NodeRecord>,
    /// What the nodes name.
    pub units: Vec<UnitRecord>,
}

/// A node of a [`NetworkRecord`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub name: String,
    /// What it does.
    pub op: String,
    /// What it writes.
    pub shape: String,
    /// The nodes that it reads.
    pub inputs: Vec<usize>,
    /// The units that its channels follow from.
    pub units: Vec<usize>,
}

/// A unit of a [`NetworkRecord`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// Its name.
    pub name: String,
    /// Its channels.
    pub channels: String,
}

/// A box of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeBox {
    /// Left and top, pixels.
    pub at: (i32, i32),
    /// Name, operator and shape.
    pub text: [String; 3],
    /// Its units; more than [`MOST_MARKS`] are drawn as fewer.
    pub units: Vec<usize>,
}

/// An entry of the legend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Left and vertical middle, pixels.
    pub at: (i32, i32),
    /// Name and channels.
    pub text: String,
}

/// What the picture shows, in pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Above the picture.
    pub title: String,
    /// Below the title.
    pub subtitle: String,
    /// Width and height of the picture.
    pub size: (i32, i32),
    /// Width and height of each box.
    pub box_size: (i32, i32),
    /// In the network's order.
    pub boxes: Vec<NodeBox>,
    /// From the bottom of a box to the top of one that reads it, in straight pieces.
    pub lines: Vec<Vec<(i32, i32)>>,
    /// Of each unit.
    pub legend: Vec<Entry>,
}

/// A box has the numbers of so many units at the most.
pub const MOST_MARKS: usize = 3;
/// A PNG has so many pixels at the most.
const MOST_PIXELS: i64 = 200_000_000;
const MARGIN: i32 = 40;
const TOP: i32 = 110;
const BOX_HEIGHT: i32 = 74;
/// The coloured part of a box.
const MARK: i32 = 36;
const NAME_SIZE: u32 = 18;
const TEXT_SIZE: u32 = 16;
const LEGEND_ROW: i32 = 32;
/// Longer texts of a box lose their beginning.
const MOST_LETTERS: usize = 26;

/// Lays the picture out.
///
/// # Errors
/// [`ChartError::Empty`] without nodes; [`ChartError::Draw`] if a node reads itself or a later one, or names a unit that
/// there is not.
pub fn series(network: &NetworkRecord) -> Result<Data, ChartError> {
    if network.nodes.is_empty() {
        return Err(ChartError::Empty { figure: "network", what: "node" });
    }
    for (id, node) in network.nodes.iter().enumerate() {
        let known = node.inputs.iter().all(|&input| input < id)
            && node.units.iter().all(|&unit| unit < network.units.len());
        if !known {
            let message =
                format!("node `{}` reads no earlier node, or names a unit that there is not", node.name);
            return Err(ChartError::Draw(message));
        }
    }
    let boxes: Vec<[String; 3]> = network.nodes.iter().map(box_text).collect();
    let widest = boxes.iter().map(text_width).max().unwrap_or(0);
    let box_size = (MARK + widest + 22, BOX_HEIGHT);
    let inputs: Vec<Vec<usize>> = network.nodes.iter().map(|node| node.inputs.clone()).collect();
    let grid = grid(&inputs, (box_size.0 + 2 * LANE_GAP, BOX_HEIGHT + ROW_GAP));
    let sizes = Sizes { width: box_size.0, height: BOX_HEIGHT, left: MARGIN, top: TOP };
    let routes = routes(&grid, &inputs, sizes);
    let subtitle_width = width_of(&network.subtitle, 20).max(width_of(&network.title, 34));
    let width = routes.right.max(subtitle_width + MARGIN) + MARGIN;
    let (legend, bottom) = legend(&network.units, width, routes.bottom + MARGIN);
    let place = |((node, text), at): ((&NodeRecord, [String; 3]), (i32, i32))| NodeBox {
        at,
        text,
        units: node.units.clone(),
    };
    Ok(Data {
        title: network.title.clone(),
        subtitle: network.subtitle.clone(),
        size: (width, bottom + MARGIN / 2),
        box_size,
        boxes: network.nodes.iter().zip(boxes).zip(routes.boxes).map(place).collect(),
        lines: routes.lines,
        legend,
    })
}

fn box_text(node: &NodeRecord) -> [String; 3] {
    [&node.name, &node.op, &node.shape].map(|line| shortened(line, MOST_LETTERS))
}

fn text_width([name, op, shape]: &[String; 3]) -> i32 {
    width_of(name, NAME_SIZE).max(width_of(op, TEXT_SIZE)).max(width_of(shape, TEXT_SIZE))
}

/// The entries in columns below `top`, and where they end.
fn legend(units: &[UnitRecord], width: i32, top: i32) -> (Vec<Entry>, i32) {
    let texts: Vec<String> = units.iter().map(|unit| format!("{}: {}", unit.name, unit.channels)).collect();
    let entry_width = MARK + 40 + texts.iter().map(|text| width_of(text, TEXT_SIZE)).max().unwrap_or(0);
    let n_columns = ((width - 2 * MARGIN) / entry_width).max(1) as usize;
    let n_rows = texts.len().div_ceil(n_columns).max(1);
    let place = |(i, text)| {
        let (column, row) = ((i / n_rows) as i32, (i % n_rows) as i32);
        Entry { at: (MARGIN + column * entry_width, top + row * LEGEND_ROW + LEGEND_ROW / 2), text }
    };
    let bottom = top + LEGEND_ROW * if texts.is_empty() { 0 } else { n_rows as i32 };
    (texts.into_iter().enumerate().map(place).collect(), bottom)
}

/// Draws the picture: SVG if `path` ends so, else PNG.
///
/// # Errors
/// [`ChartError`] if it can't be drawn or written, or is too large for a PNG.
pub fn draw(data: &Data, path: &Path) -> Result<(), ChartError> {
    let (width, height) = data.size;
    let size = (width as u32, height as u32);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
        return render_svg(path, size, |area| paint(area, data));
    }
    if i64::from(width) * i64::from(height) > MOST_PIXELS {
        let message = format!(
            "a picture of {width}x{height} pixels is too large for a PNG; write a file that ends in .svg"
        );
        return Err(ChartError::Draw(message));
    }
    render(path, size, |area| paint(area, data))
}

type On<B> = DrawingArea<B, Shift>;

fn paint<B: DrawingBackend>(area: &On<B>, data: &Data) -> Result<(), ChartError> {
    area.draw_text(&data.title, &text(34, INK), (MARGIN, 40))?;
    area.draw_text(&data.subtitle, &text(20, GREY), (MARGIN, 82))?;
    for line in &data.lines {
        area.draw(&PathElement::new(line.clone(), GREY.stroke_width(2)))?;
        if let Some(&(x, y)) = line.last() {
            area.draw(&Polygon::new(vec![(x - 5, y - 9), (x + 5, y - 9), (x, y)], GREY.filled()))?;
        }
    }
    for node in &data.boxes {
        draw_box(area, node, data.box_size)?;
    }
    for (unit, Entry { at: (x, y), text: words }) in data.legend.iter().enumerate() {
        draw_mark(area, unit, [(*x, y - 12), (x + MARK, y + 12)])?;
        area.draw_text(words, &text(TEXT_SIZE, INK), (x + MARK + 10, *y))?;
    }
    Ok(())
}

fn draw_box<B: DrawingBackend>(
    area: &On<B>,
    node: &NodeBox,
    (width, height): (i32, i32),
) -> Result<(), ChartError> {
    let (left, top) = node.at;
    let frame = [(left, top), (left + width, top + height)];
    let (fill, border) = match node.units[..] {
        [unit] => (color(unit).mix(0.1), color(unit)),
        _ => (GREY.mix(0.06), GREY),
    };
    area.draw(&Rectangle::new(frame, WHITE.filled()))?;
    area.draw(&Rectangle::new(frame, fill.filled()))?;
    let n_marks = node.units.len().min(MOST_MARKS) as i32;
    for (i, &unit) in node.units.iter().take(MOST_MARKS).enumerate() {
        let edge = |i: i32| top + height * i / n_marks;
        draw_mark(area, unit, [(left, edge(i as i32)), (left + MARK, edge(i as i32 + 1))])?;
    }
    area.draw(&Rectangle::new(frame, border.stroke_width(2)))?;
    let x = left + 11 + if node.units.is_empty() { 0 } else { MARK };
    let [name, op, shape] = &node.text;
    area.draw_text(name, &text(NAME_SIZE, INK), (x, top + 18))?;
    area.draw_text(op, &text(TEXT_SIZE, INK), (x, top + 39))?;
    Ok(area.draw_text(shape, &text(TEXT_SIZE, INK), (x, top + 58))?)
}

/// The colour and number of a unit: colours come again, numbers do not.
fn draw_mark<B: DrawingBackend>(area: &On<B>, unit: usize, frame: [(i32, i32); 2]) -> Result<(), ChartError> {
    let color = color(unit);
    let RGBColor(r, g, b) = color;
    // ITU-R BT.601 luma.
    let luma = 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
    let ink = if luma > 140_000 { INK } else { WHITE };
    let [(left, top), (right, bottom)] = frame;
    area.draw(&Rectangle::new(frame, color.filled()))?;
    let middle = ((left + right) / 2, (top + bottom) / 2 + 1);
    Ok(area.draw_text(&(unit + 1).to_string(), &centred(TEXT_SIZE, ink), middle)?)
}

fn color(unit: usize) -> RGBColor {
    PALETTE[unit % PALETTE.len()]
}

#[cfg(test)]
mod tests;
