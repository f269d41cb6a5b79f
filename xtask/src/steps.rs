//! The steps of `cargo xtask test`, in the order in which they fail fastest.

use crate::setup::TARGETS;
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
    for target in TARGETS {
        cargo(
            "device-bench has no std, no alloc",
            &format!("clippy --quiet -p device-bench --target {target} -- -D warnings"),
            &[],
        )?;
    }
    crate::firmware::check()?;
    crate::cuda::check()?;
    cargo("tests", "test --workspace", &[])?;
    cargo("kernels in f64", "test -p cpu-kernels --features f64 --lib", &[])?;
    cargo("CPU engine in f64", "test -p edgeslim --features engine-f64 --lib engine::cpu", &[])?;
    cargo("docs", "doc --workspace --no-deps --quiet", &[("RUSTDOCFLAGS", "-D warnings")])?;
    println!("all checks passed in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The tests of killed runs and of faulty boards with so many moments instead of their few.
///
/// # Errors
/// If a run ends with other bytes, or a profile with another table.
pub fn torture(kills: usize, faults: usize) -> Result<()> {
    let (kills, faults) = (kills.to_string(), faults.to_string());
    cargo("kills", "test -p edgeslim --test torture -- --nocapture", &[("EDGESLIM_KILLS", &kills)])?;
    cargo("faults", "test -p edgeslim-tests --test faults -- --nocapture", &[("EDGESLIM_FAULTS", &faults)])
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
