//! The steps of `cargo xtask test`, in the order in which they fail fastest.

use crate::setup::THUMB_TARGETS;
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

/// Runs every check of the repository.
///
/// # Errors
/// The first step that fails, with the command that repeats it.
pub fn test() -> Result<()> {
    let started = Instant::now();
    cargo("format", "fmt --all --check", &[])?;
    cargo("clippy", "clippy --workspace --all-targets --quiet -- -D warnings", &[])?;
    for target in THUMB_TARGETS {
        cargo(
            "device-bench has no std, no alloc",
            &format!("clippy --quiet -p device-bench --target {target} -- -D warnings"),
            &[],
        )?;
    }
    crate::firmware::check()?;
    crate::cuda::check()?;
    cargo("tests", "test --workspace", &[])?;
    cargo("docs", "doc --workspace --no-deps --quiet", &[("RUSTDOCFLAGS", "-D warnings")])?;
    println!("all checks passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The test of killed runs with so many kills instead of its few.
///
/// # Errors
/// If a run ends with other bytes.
pub fn torture(kills: usize) -> Result<()> {
    let kills = kills.to_string();
    cargo("torture", "test -p edgeslim --test torture -- --nocapture", &[("EDGESLIM_KILLS", &kills)])
}

fn cargo(what: &str, args: &str, env: &[(&str, &str)]) -> Result<()> {
    println!("== {what}: cargo {args}");
    let status = Command::new(env!("CARGO"))
        .args(args.split(' '))
        .envs(env.iter().copied())
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("{what} failed; repeat it with `cargo {args}`");
    }
    Ok(())
}
