//! Long runs of the fuzz tests.

use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is fuzzed, and how long.
#[derive(clap::Args)]
pub struct Options {
    /// Inputs for each target.
    #[arg(long, default_value_t = 10_000_000)]
    inputs: u64,
    /// One target, such as `network`; all of them without it.
    #[arg(long)]
    target: Option<String>,
    /// Seed of the inputs; another one each time without it.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of the first input, to go on from an earlier run of the same seed or to repeat a failure.
    #[arg(long, default_value_t = 0)]
    first: u64,
}

/// Feeds the parsers.
///
/// # Errors
/// The first input that a parser fails on; the test has told its target, seed and number.
pub fn fuzz(options: &Options) -> Result<()> {
    let Options { inputs, target, seed, first } = options;
    let seed =
        seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs()));
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["test", "-p", "edgeslim-tests", "--test", "fuzz", "--", "--nocapture", "--test-threads=1"])
        .args(target.iter().flat_map(|target| ["--exact", target]))
        .env("EDGESLIM_FUZZ_INPUTS", inputs.to_string())
        .env("EDGESLIM_FUZZ_SEED", seed.to_string())
        .env("EDGESLIM_FUZZ_FIRST", first.to_string());
    if !command.status().context("cargo does not start")?.success() {
        bail!(
            "a parser fails; `cargo xtask fuzz --inputs 1 --target NAME --seed {seed} --first NUMBER` repeats it"
        );
    }
    Ok(())
}
