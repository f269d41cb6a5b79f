//! Results on the standard output: for people, or as JSON.

use crate::cli::Command;
use anyhow::{Context as _, Result};
use cost_tables::table::CostTable;
use edgeslim::board::{BoardFile, Unit};
use edgeslim::doctor::Check;
use edgeslim::experiment::Lab;
use edgeslim::stage::Context;
use edgeslim::ui::put;
use reports::experiment::ExperimentRecord;
use reports::record::{self, Budget, Resource, Summary, SummaryCandidate, TrainRecord, WidthRecord};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// As `println!`, but a closed pipe or a full disk is an error, no panic.
macro_rules! line {
    () => { put(format_args!("\n"))? };
    ($($text:tt)*) => { put(format_args!("{}\n", format_args!($($text)*)))? };
}

pub mod network;

/// Every board, a line each.
pub fn boards(boards: &[BoardFile], as_json: bool) -> Result<()> {
    if as_json {
        return value(&json!(boards));
    }
    for board in boards {
        let emulated = match board.unit {
            Unit::Cycles => String::new(),
            unit => format!("emulated, {}, ", unit.name().replace('_', " ")),
        };
        line!("{:<21} {:<11} {emulated}{}", board.name, board.core, board.chip);
    }
    Ok(())
}

/// One board file.
pub fn board(board: &BoardFile, as_json: bool) -> Result<()> {
    if as_json {
        return value(&json!(board));
    }
    put(format_args!("{}", toml::to_string(board)?))?;
    Ok(())
}

/// What an experiment found, and where its figure lies.
pub fn experiment(record: &ExperimentRecord, lab: &Lab) -> Result<()> {
    line!("{}: {}", record.name, record.title);
    for finding in &record.findings {
        line!("  {}: {} ({}; {})", finding.claim, finding.verdict(), finding.found, finding.quantity);
    }
    line!("  {}", lab.dir.join(format!("{}.png", record.name)).display());
    Ok(())
}

/// All records.
pub fn experiments(records: &[ExperimentRecord]) -> Result<()> {
    value(&json!(records))
}

/// One check of `doctor`, a line.
pub fn check(check: &Check) -> Result<()> {
    let next = check.next.iter().map(|next| format!("; {next}")).collect::<String>();
    line!("{:<11} {:<10} {}{next}", check.outcome.to_string(), check.name, check.fact);
    Ok(())
}

/// All checks of `doctor`.
pub fn checks(checks: &[Check]) -> Result<()> {
    value(&json!(checks))
}

/// A file that was made.
pub fn path(path: &Path, as_json: bool) -> Result<()> {
    if as_json {
        return value(&json!({ "path": path }));
    }
    line!("{}", path.display());
    Ok(())
}

/// A cost table: CSV, or JSON with the median of each layer.
pub fn table(table: &CostTable, as_json: bool) -> Result<()> {
    if !as_json {
        put(format_args!("{}", table.to_csv()))?;
        return Ok(());
    }
    let entries: Vec<Value> = table
        .iter()
        .map(|(spec, entry)| {
            json!({ "layer": spec, "median": entry.median(), "min": entry.min(), "cold": entry.cold,
                "n_calls": entry.n_calls, "samples": entry.samples })
        })
        .collect();
    value(&json!({ "provenance": table.provenance, "entries": entries }))
}

/// The file that a stage has just written, or the table at the end of a run.
pub fn result(ctx: &Context, command: &Command, as_json: bool) -> Result<()> {
    let file = match command {
        Command::Profile { .. } => return profiled(ctx, as_json),
        Command::Train { .. } => "train.json",
        Command::Search(_) => "search.json",
        Command::Retrain => "retrain.json",
        Command::Quantize => return models(ctx, as_json),
        Command::Verify => "verify.json",
        _ => "summary.json",
    };
    let path = ctx.dir.path(file);
    if as_json {
        put(format_args!("{}", std::fs::read_to_string(&path).with_context(|| path.display().to_string())?))?;
        return Ok(());
    }
    match command {
        Command::Report | Command::Run => summary(&record::load(&path)?)?,
        Command::Verify => {
            let verified: record::VerifyRecord = record::load(&path)?;
            let run = record::RunRecord {
                provenance: verified.provenance,
                candidates: verified.candidates,
                ..Default::default()
            };
            summary(&Summary::new(&run, 0.0, vec![]))?;
        }
        Command::Train { .. } => {
            widths(&record::load(&path)?)?;
            line!("{}", path.display());
        }
        _ => line!("{}", path.display()),
    }
    Ok(())
}

/// A line a network of a trained system.
fn widths(trained: &TrainRecord) -> Result<()> {
    let TrainRecord { system, search_images, calibration_images, widths, .. } = trained;
    if widths.is_empty() {
        return Ok(());
    }
    line!(
        "{system}: on {search_images} held-out images, statistics of {calibration_images} training images\n"
    );
    let wide = widths.iter().map(|width| width.name.len()).max().unwrap_or(0).max(7);
    line!("{:<wide$} {:>9} {:>9} {:>7}  channels", "network", "MACs", "accuracy", "loss");
    for WidthRecord { name, channels, macs, accuracy, loss, .. } in widths {
        let channels: Vec<String> = channels.iter().map(usize::to_string).collect();
        let (macs, percent, channels) = (count(*macs as f64), 100.0 * accuracy, channels.join(" "));
        line!("{name:<wide$} {macs:>9} {percent:>7.1} % {loss:>7.4}  {channels}");
    }
    line!();
    Ok(())
}

fn profiled(ctx: &Context, as_json: bool) -> Result<()> {
    let path = ctx.table_path();
    if as_json {
        return table(&CostTable::read(&path)?, true);
    }
    line!("{}", path.display());
    Ok(())
}

fn models(ctx: &Context, as_json: bool) -> Result<()> {
    let models: Vec<(String, PathBuf)> = edgeslim::stage::quantize::models(ctx)?;
    if as_json {
        let rows: Vec<Value> =
            models.iter().map(|(name, path)| json!({ "name": name, "model": path })).collect();
        return value(&json!(rows));
    }
    for (name, path) in &models {
        line!("{name:<28} {}", path.display());
    }
    Ok(())
}

/// A line a candidate.
fn summary(summary: &Summary) -> Result<()> {
    let unit = &summary.unit;
    let emulated = if summary.emulated { " (emulated: no time on a real board)" } else { "" };
    line!("\n{}: latency in {unit}{emulated}, memory in bytes;", summary.board);
    line!("float and int8: accuracy on all test images, board: on those that the board ran\n");
    let wide = summary.candidates.iter().map(|c| c.name.len()).max().unwrap_or(0).max(9);
    line!(
        "{:<wide$} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8} {:>7} {:>7} {:>7}  same bytes  channels",
        "candidate",
        "MACs",
        "predicted",
        "measured",
        "budget",
        "RAM",
        "flash",
        "float",
        "int8",
        "board"
    );
    for candidate in &summary.candidates {
        line!("{}", row(candidate, wide));
    }
    if !summary.charts.is_empty() {
        line!();
    }
    for chart in &summary.charts {
        line!("{}", chart.display());
    }
    Ok(())
}

fn row(c: &SummaryCandidate, wide: usize) -> String {
    let or_dash = |x: Option<f64>| x.map_or("-".into(), count);
    let percent = |x: Option<f64>| x.map_or("-".into(), |x| format!("{:.1} %", 100.0 * x));
    let channels: Vec<String> = c.channels.iter().map(usize::to_string).collect();
    format!(
        "{:<wide$} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8} {:>7} {:>7} {:>7} {:>11}  {}",
        c.name,
        count(c.macs as f64),
        or_dash(c.latency_predicted),
        or_dash(c.latency_measured),
        budget(c),
        c.ram_bytes_measured.unwrap_or(c.ram_bytes_predicted),
        c.flash_bytes,
        percent(c.accuracy_float_all),
        percent(c.accuracy_int8_all),
        percent(c.accuracy_int8_board),
        format!("{}/{}", c.images_equal, c.images_compared),
        channels.join(" ")
    )
}

/// The limit of the budget, marked where the network as measured is over it.
fn budget(c: &SummaryCandidate) -> String {
    let Some(Budget { resource, limit }) = c.budget else { return "-".into() };
    let measured = match resource {
        Resource::Latency => c.latency_measured.or(c.latency_predicted).unwrap_or(f64::INFINITY),
        Resource::Ram => c.ram_bytes_measured.unwrap_or(c.ram_bytes_predicted) as f64,
        Resource::Flash => c.flash_bytes as f64,
        Resource::Macs => c.macs as f64,
    };
    format!("{}{}", if measured > limit { "! " } else { "" }, count(limit))
}

/// Four digits and a suffix.
fn count(x: f64) -> String {
    match x {
        1e9.. => format!("{:.3} G", x / 1e9),
        1e6.. => format!("{:.3} M", x / 1e6),
        1e4.. => format!("{:.1} k", x / 1e3),
        _ => format!("{x:.0}"),
    }
}

fn value(value: &Value) -> Result<()> {
    line!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
