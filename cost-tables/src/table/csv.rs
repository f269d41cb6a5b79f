//! The file of a cost table: provenance in comments, then one line a layer.
//!
//! Values of the provenance are JSON, so that any text fits on its line. Cells are numbers and names: nothing is
//! ever quoted, and a line of the file is a row of the table.

use std::collections::{BTreeMap, btree_map};
use std::fmt::Write as _;
use std::str::FromStr;

use device_bench::{LayerSpec, Op, Padding};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{CostTable, Entry, EntryError, Provenance};

const BANNER: &str = "# edgeslim cost table; do not edit; written by `edgeslim profile`";

const COLUMNS: [&str; 17] = [
    "op",
    "in_h",
    "in_w",
    "c_in",
    "c_out",
    "kernel_h",
    "kernel_w",
    "stride",
    "groups",
    "pad_top",
    "pad_bottom",
    "pad_left",
    "pad_right",
    "quantity",
    "cold",
    "n_calls",
    "samples",
];

/// What every row holds; other quantities than latency get their own name here.
const QUANTITY: &str = "latency";

/// Only of a clock that was measured.
const SPREAD: &str = "core_hz_spread";
const ALIGNMENT: &str = "alignment";
/// Only of modelled cycles.
const MODEL: &str = "cycle_model";

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The first line is another.
    #[error("not a cost table: the first line is not `{BANNER}`")]
    Banner,
    /// A line of the provenance has no ` = `.
    #[error("the provenance has lines `# key = value`, not `{0}`")]
    NotAField(String),
    /// The provenance lacks a key.
    #[error("the provenance lacks `{0}`; run `edgeslim profile`")]
    MissingKey(&'static str),
    /// The provenance has a key twice.
    #[error("the provenance has `{0}` twice")]
    DuplicateKey(String),
    /// The provenance has a key that this version does not know, so neither whether it matters.
    #[error("the provenance has `{0}`, which this version of edgeslim does not know")]
    UnknownKey(String),
    /// A value of the provenance is no JSON of its kind.
    #[error("`{key}` of the provenance: {source}")]
    Field {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The line after the provenance is another.
    #[error("the columns are not `{}`", COLUMNS.join(","))]
    Columns,
    /// A row has more or fewer cells than there are columns.
    #[error("{found} cells instead of {n}: the line is damaged or cut off", n = COLUMNS.len())]
    Cells {
        /// Cells there are.
        found: usize,
    },
    /// The last line does not end.
    #[error("the line is cut off: the file does not end with a line break")]
    CutOff,
    /// A cell is no number, or not within the range of its column.
    #[error("column `{column}`: `{cell}` is not {expected}")]
    Cell {
        /// Name of the column.
        column: &'static str,
        /// What is there.
        cell: String,
        /// What should be there.
        expected: &'static str,
    },
    /// No kernel can run the layer, or it has no figures.
    #[error("{spec}: {source}")]
    Entry {
        /// The layer.
        spec: LayerSpec,
        /// What is wrong with it.
        source: EntryError,
    },
    /// The layer is there already.
    #[error("{spec} has been measured in line {first_line} already")]
    Duplicate {
        /// The layer.
        spec: LayerSpec,
        /// Line of the first one, from 1.
        first_line: usize,
    },
}

/// A line, from 1, and what is wrong with it.
type AtLine = (usize, Problem);

pub(super) fn format(table: &CostTable) -> String {
    let mut csv = format!("{BANNER}\n");
    for (key, value) in table.provenance.fields() {
        let _ = writeln!(csv, "# {key} = {value}");
    }
    if !table.provenance.cycle_model.is_empty() {
        let _ = writeln!(csv, "# {MODEL} = {}", json!(table.provenance.cycle_model));
    }
    if table.provenance.core_hz_spread > 0 {
        let _ = writeln!(csv, "# {SPREAD} = {}", table.provenance.core_hz_spread);
    }
    if !table.provenance.alignment.is_empty() {
        let _ = writeln!(csv, "# {ALIGNMENT} = {}", json!(table.provenance.alignment));
    }
    csv.push_str(&COLUMNS.join(","));
    csv.push('\n');
    for (spec, entry) in table.iter() {
        let LayerSpec { op, in_h, in_w, c_in, c_out, kernel_h, kernel_w, stride, groups, padding: p } = spec;
        let _ =
            write!(csv, "{},{in_h},{in_w},{c_in},{c_out},{kernel_h},{kernel_w},{stride},{groups}", op.name());
        let _ = write!(csv, ",{},{},{},{},{QUANTITY}", p.top, p.bottom, p.left, p.right);
        let samples: Vec<String> = entry.samples.iter().map(u64::to_string).collect();
        let _ = writeln!(csv, ",{},{},{}", entry.cold, entry.n_calls, samples.join(" "));
    }
    csv
}

pub(super) fn parse(text: &str) -> Result<CostTable, AtLine> {
    let mut lines = text.lines().enumerate().map(|(idx, line)| (idx + 1, line)).peekable();
    if lines.next().is_none_or(|(_, line)| line != BANNER) {
        return Err((1, Problem::Banner));
    }
    if !text.ends_with('\n') {
        return Err((text.lines().count(), Problem::CutOff));
    }
    let mut fields = Fields::default();
    while let Some((line, text)) = lines.next_if(|(_, line)| line.starts_with('#')) {
        fields.add(line, text)?;
    }
    let (line, columns) = lines.next().unwrap_or((text.lines().count(), ""));
    let mut table = CostTable::new(fields.provenance(line)?);
    if columns != COLUMNS.join(",") {
        return Err((line, Problem::Columns));
    }
    let mut line_of = BTreeMap::new();
    for (line, text) in lines {
        let (spec, entry) = parse_row(text).map_err(|problem| (line, problem))?;
        if let Some(first_line) = line_of.insert(spec, line) {
            return Err((line, Problem::Duplicate { spec, first_line }));
        }
        table.insert(spec, entry).map_err(|source| (line, Problem::Entry { spec, source }))?;
    }
    Ok(table)
}

/// The provenance as it is read: line and value by key.
#[derive(Default)]
struct Fields<'a>(BTreeMap<&'a str, (usize, &'a str)>);

impl<'a> Fields<'a> {
    fn add(&mut self, line: usize, text: &'a str) -> Result<(), AtLine> {
        let field = text.strip_prefix("# ").and_then(|field| field.split_once(" = "));
        let (key, value) = field.ok_or_else(|| (line, Problem::NotAField(text.into())))?;
        match self.0.entry(key) {
            btree_map::Entry::Occupied(_) => Err((line, Problem::DuplicateKey(key.into()))),
            btree_map::Entry::Vacant(vacant) => {
                vacant.insert((line, value));
                Ok(())
            }
        }
    }

    /// All fields; `end` is the line after them.
    fn provenance(mut self, end: usize) -> Result<Provenance, AtLine> {
        let provenance = Provenance {
            board: self.take("board", end)?,
            chip: self.take("chip", end)?,
            core: self.take("core", end)?,
            target: self.take("target", end)?,
            core_hz: self.take("core_hz", end)?,
            core_hz_spread: self.take_if_there(SPREAD, end)?,
            emulated: self.take("emulated", end)?,
            unit: self.take("unit", end)?,
            cycle_model: self.take_if_there(MODEL, end)?,
            memory: self.take("memory", end)?,
            kernels: self.take("kernels", end)?,
            kernel_revision: self.take("kernel_revision", end)?,
            firmware: self.take("firmware", end)?,
            compiler: self.take("compiler", end)?,
            seed: self.take("seed", end)?,
            edgeslim: self.take("edgeslim", end)?,
            alignment: self.take_if_there(ALIGNMENT, end)?,
        };
        match self.0.pop_first() {
            Some((key, (line, _))) => Err((line, Problem::UnknownKey(key.into()))),
            None => Ok(provenance),
        }
    }

    fn take_if_there<T: DeserializeOwned + Default>(
        &mut self,
        key: &'static str,
        end: usize,
    ) -> Result<T, AtLine> {
        if self.0.contains_key(key) { self.take(key, end) } else { Ok(T::default()) }
    }

    fn take<T: DeserializeOwned>(&mut self, key: &'static str, end: usize) -> Result<T, AtLine> {
        let (line, value) = self.0.remove(key).ok_or((end, Problem::MissingKey(key)))?;
        serde_json::from_str(value).map_err(|source| (line, Problem::Field { key, source }))
    }
}

fn parse_row(text: &str) -> Result<(LayerSpec, Entry), Problem> {
    let cells: Vec<&str> = text.split(',').collect();
    let cells: [&str; COLUMNS.len()] =
        cells.try_into().map_err(|cells: Vec<&str>| Problem::Cells { found: cells.len() })?;
    let spec = LayerSpec {
        op: Op::from_name(cells[0]).ok_or_else(|| bad_cell(0, cells[0], "an operator"))?,
        in_h: number(&cells, 1)?,
        in_w: number(&cells, 2)?,
        c_in: number(&cells, 3)?,
        c_out: number(&cells, 4)?,
        kernel_h: number(&cells, 5)?,
        kernel_w: number(&cells, 6)?,
        stride: number(&cells, 7)?,
        groups: number(&cells, 8)?,
        padding: Padding {
            top: number(&cells, 9)?,
            bottom: number(&cells, 10)?,
            left: number(&cells, 11)?,
            right: number(&cells, 12)?,
        },
    };
    if cells[13] != QUANTITY {
        return Err(bad_cell(13, cells[13], "a quantity that this version of edgeslim knows (`latency`)"));
    }
    let samples = cells[16].split(' ').filter(|_| !cells[16].is_empty());
    let samples = samples.map(|cell| parse_number(16, cell)).collect::<Result<_, _>>()?;
    Ok((spec, Entry { cold: number(&cells, 14)?, n_calls: number(&cells, 15)?, samples }))
}

fn number<T: FromStr>(cells: &[&str; COLUMNS.len()], column: usize) -> Result<T, Problem> {
    parse_number(column, cells[column])
}

fn parse_number<T: FromStr>(column: usize, cell: &str) -> Result<T, Problem> {
    cell.parse().map_err(|_| bad_cell(column, cell, "a whole number within the column's range"))
}

fn bad_cell(column: usize, cell: &str, expected: &'static str) -> Problem {
    Problem::Cell { column: COLUMNS[column], cell: cell.into(), expected }
}
