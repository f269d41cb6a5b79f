//! Plotters set-up shared by all figures: embedded font, palette, sizes, axes, header and legend.

use std::path::{Path, PathBuf};
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::axes::Coord;
use crate::record::{Provenance, RecordError, write_atomically};

/// Width and height of a figure, pixels.
pub const SIZE: (u32, u32) = (1600, 1000);
/// Text colour.
pub const INK: RGBColor = RGBColor(34, 34, 34);
/// Colour of what stands back: subtitles, axis lines, guides.
pub const GREY: RGBColor = RGBColor(110, 110, 110);
/// Colour of grid lines and outlines.
pub const PALE: RGBColor = RGBColor(222, 222, 222);
/// Okabe and Ito's colour-blind-safe palette, without its yellow, too light on white.
pub const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

const FONT: &str = "DejaVu Sans";
const HEADER: i32 = 112;

/// The drawing area of a figure, in pixels.
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
/// A chart on two [`Coord`]s.
pub type Chart<'a> = ChartContext<'a, BitMapBackend<'a>, Cartesian2d<Coord, Coord>>;

/// A figure that can't be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The record has nothing that this figure shows.
    #[error("{figure}: the record has no {what}")]
    Empty {
        /// The figure's name.
        figure: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// The drawing library refused.
    #[error("cannot draw: {0}")]
    Draw(String),
    /// The file can't be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The folder of the report can't be made.
    #[error("{path}: cannot make the folder: {source}", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for ChartError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        ChartError::Draw(error.to_string())
    }
}

/// What all figures of a run say about where their numbers come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caption {
    /// Board, network and data set; for an emulated board also that its unit is no time.
    pub subtitle: String,
    /// Unit of latencies.
    pub unit: String,
}

impl Caption {
    /// The caption of a run.
    pub fn new(p: &Provenance) -> Caption {
        let mut subtitle = format!("{} ({}) · {} on {}", p.board, p.core, p.network, p.dataset);
        if p.emulated {
            subtitle += &format!(" · emulated: {}, not time on a real board", p.emulated_in_words());
        }
        Caption { subtitle, unit: p.unit_in_words() }
    }
}

/// Draws a white figure and writes it as PNG, atomically; the same drawing gives the same bytes.
///
/// # Errors
/// [`ChartError`] of the drawing, or if `path` can't be written.
pub fn render(
    path: &Path,
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area) -> Result<(), ChartError>,
) -> Result<(), ChartError> {
    register_font();
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::write_image(encoder, &pixels, width, height, image::ExtendedColorType::Rgb8)
        .map_err(|e| ChartError::Draw(e.to_string()))?;
    Ok(write_atomically(&png, path)?)
}

/// Draws a white figure and writes it as SVG, atomically. Its letters are the reader's, of the embedded font or one of
/// its widths.
///
/// # Errors
/// [`ChartError`] of the drawing, or if `path` can't be written.
pub fn render_svg(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<SVGBackend, Shift>) -> Result<(), ChartError>,
) -> Result<(), ChartError> {
    register_font();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    let svg = svg.replace(&format!("\"{FONT}\""), &format!("\"{FONT}, Verdana, sans-serif\""));
    Ok(write_atomically(svg.as_bytes(), path)?)
}

/// Width of `string` in the embedded font, pixels.
pub fn width_of(string: &str, size: u32) -> i32 {
    register_font();
    let font = (FONT, size).into_font();
    font.box_size(string).map_or(0, |(width, _)| width as i32)
}

/// The last `n_letters` of `name`, after an ellipsis if there are more.
pub fn shortened(name: &str, n_letters: usize) -> String {
    let n = name.chars().count();
    if n <= n_letters {
        return name.into();
    }
    format!("…{}", name.chars().skip(n + 1 - n_letters).collect::<String>())
}

fn register_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let bytes = include_bytes!("../fonts/DejaVuSans.ttf");
        let registered = plotters::style::register_font(FONT, FontStyle::Normal, bytes);
        assert!(registered.is_ok(), "the embedded font is a font");
    });
}

/// Text in the embedded font, anchored at its left and vertical middle.
pub fn text(size: u32, color: RGBColor) -> TextStyle<'static> {
    let pos = Pos::new(HPos::Left, VPos::Center);
    TextStyle { color: color.to_backend_color(), pos, ..TextStyle::from((FONT, size).into_font()) }
}

/// The same, centred at its position.
pub fn centred(size: u32, color: RGBColor) -> TextStyle<'static> {
    text(size, color).pos(Pos::new(HPos::Center, VPos::Center))
}

/// Width of `string`, pixels.
pub fn text_width(area: &Area, string: &str, style: &TextStyle) -> Result<i32, ChartError> {
    Ok(area.estimate_text_size(string, style)?.0 as i32)
}

/// Title, subtitle and legend at the top; returns the area below them.
///
/// # Errors
/// [`ChartError::Draw`].
pub fn header<'a>(
    area: &Area<'a>,
    title: &str,
    subtitle: &str,
    legend: &[(String, RGBColor, Marker)],
) -> Result<Area<'a>, ChartError> {
    area.draw_text(title, &text(38, INK), (50, 42))?;
    area.draw_text(subtitle, &text(22, GREY), (50, 88))?;
    let style = text(22, INK);
    let (mut x, mut y) = (60, HEADER + 22);
    for (label, color, marker) in legend {
        let width = text_width(area, label, &style)? + 62;
        if x + width > area.dim_in_pixel().0 as i32 - 20 && x > 60 {
            (x, y) = (60, y + 34);
        }
        marker.draw(area, (x, y), *color)?;
        area.draw_text(label, &style, (x + 18, y + 3))?;
        x += width;
    }
    let below = if legend.is_empty() { HEADER } else { y + 24 };
    Ok(area.margin(below, 0, 0, 0))
}

/// The mark of a point, so that colour isn't the only difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle, point up.
    Triangle,
    /// A square on its corner.
    Diamond,
}

impl Marker {
    /// The marks, in the order in which series get them.
    pub const ALL: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];

    /// Draws the mark with a white rim.
    ///
    /// # Errors
    /// [`ChartError::Draw`].
    pub fn draw(self, area: &Area, at: (i32, i32), color: RGBColor) -> Result<(), ChartError> {
        self.fill(area, at, 11, WHITE)?;
        self.fill(area, at, 9, color)
    }

    fn fill(self, area: &Area, (x, y): (i32, i32), r: i32, color: RGBColor) -> Result<(), ChartError> {
        let style = color.filled();
        let s = r - 1;
        match self {
            Marker::Circle => area.draw(&Circle::new((x, y), r, style))?,
            Marker::Square => area.draw(&Rectangle::new([(x - s, y - s), (x + s, y + s)], style))?,
            Marker::Triangle => {
                area.draw(&Polygon::new(vec![(x, y - r - 1), (x + r + 1, y + s), (x - r - 1, y + s)], style))?
            }
            Marker::Diamond => area.draw(&Polygon::new(
                vec![(x, y - r - 2), (x + r + 2, y), (x, y + r + 2), (x - r - 2, y)],
                style,
            ))?,
        }
        Ok(())
    }
}

/// The colour and mark of the `i`-th series.
pub fn look(i: usize) -> (RGBColor, Marker) {
    (PALETTE[i % PALETTE.len()], Marker::ALL[i % Marker::ALL.len()])
}
