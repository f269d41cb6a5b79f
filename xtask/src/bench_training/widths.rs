//! What a narrower subnet's step and evaluation take of the widest's, beside its operations and bytes.

use super::cases::{Net, What};
use super::processes::{LIMIT, Ours};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Shares of every unit's full count.
const WIDTHS: [f64; 7] = [0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0];
const NETS: [Net; 3] = [Net::Mb28, Net::Resnet8, Net::MobilenetV1];
const BATCH: usize = 64;
/// Times that every width is measured, in turn; the least counts.
const ROUNDS: usize = 12;
/// Steps a turn.
const STEPS: usize = 3;

/// The files that the documentation shows.
const RECORD: &str = "docs/training-widths.json";
const FIGURE: &str = "docs/training-widths.png";

#[derive(Deserialize)]
struct Steps {
    ms: Vec<f64>,
    flops: f64,
    bytes: f64,
}

/// The least of the times so far, and the work, of one width.
#[derive(Clone)]
struct Point {
    ms: f64,
    flops: f64,
    bytes: f64,
}

/// Measures every width, writes the record and draws it.
///
/// # Errors
/// The side's, or where a file cannot be written.
pub fn run(root: &Path, mut ours: Ours, threads: usize) -> Result<()> {
    let simd = ours.open(NETS[0], threads, "cpu")?;
    let mut networks = Vec::new();
    for net in NETS {
        ours.open(net, threads, "cpu")?;
        let plain = measure(&mut ours, What::Plain)?;
        let evaluate = measure(&mut ours, What::Evaluate)?;
        for (width, (plain, evaluate)) in WIDTHS.iter().zip(plain.iter().zip(&evaluate)) {
            println!("{} x{width}: step {:.2} ms, evaluation {:.2} ms", net.name(), plain.ms, evaluate.ms);
        }
        networks.push(json!({ "name": net.name(), "plain": points(&plain), "evaluate": points(&evaluate) }));
    }
    let record = json!({
        "command": format!("cargo xtask bench-training --widths --threads {threads}"),
        "processor": processor(),
        "simd": simd,
        "threads": threads,
        "batch": BATCH,
        "networks": networks,
    });
    let path = root.join(RECORD);
    let text = serde_json::to_string_pretty(&record)? + "\n";
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    draw(root)
}

fn measure(ours: &mut Ours, what: What) -> Result<Vec<Point>> {
    let mut points = vec![Point { ms: f64::INFINITY, flops: 0.0, bytes: 0.0 }; WIDTHS.len()];
    for _ in 0..ROUNDS {
        for (width, point) in WIDTHS.iter().zip(&mut points) {
            let request =
                json!({ "request": "width", "what": what, "batch": BATCH, "width": width, "steps": STEPS });
            let Steps { ms, flops, bytes } = ours.side.ask(&request, LIMIT)?;
            *point = Point { ms: ms.into_iter().fold(point.ms, f64::min), flops, bytes };
        }
    }
    Ok(points)
}

fn points(points: &[Point]) -> Vec<Value> {
    let point = |(width, point): (&f64, &Point)| {
        let Point { ms, flops, bytes } = point;
        json!({ "width": width, "ms": ms, "flops": flops, "bytes": bytes })
    };
    WIDTHS.iter().zip(points).map(point).collect()
}

/// The processor's name, where Linux tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn draw(root: &Path) -> Result<()> {
    let args = ["run", "--quiet", "--release", "--package", "reports", "--example", "training_widths", "--"];
    let mut command = Command::new(env!("CARGO"));
    let status = command.args(args).args([RECORD, FIGURE]).current_dir(root).status();
    if !status.context("cargo does not start")?.success() {
        bail!("{FIGURE} is not drawn; {RECORD} is there");
    }
    println!("{RECORD}, {FIGURE}");
    Ok(())
}
