//! Draws the record of `cargo xtask bench-training --widths`: `training_widths RECORD.json FIGURE.png`.

use reports::figures::training_widths::{Record, draw, series};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [record, figure] = args.as_slice() else { return Err("two paths: RECORD.json FIGURE.png".into()) };
    let text = std::fs::read_to_string(record).map_err(|error| format!("{record}: {error}"))?;
    let record: Record = serde_json::from_str(&text).map_err(|error| format!("{record}: {error}"))?;
    Ok(draw(&series(&record)?, Path::new(figure))?)
}
