//! `cargo xtask bench-kernels`: the int8 kernels beside CMSIS-NN's committed figures, on the virtual boards.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench-kernels --core m4\n  cargo xtask bench-kernels --json > kernels.json"
)]
pub struct Options {
    /// Print one JSON array instead of the table.
    #[arg(long)]
    json: bool,
    /// Only these cores: m4, m7, m33, m3, m0.
    #[arg(long)]
    core: Vec<String>,
    /// Draw the Cortex-M4's instructions a multiply-accumulate.
    #[arg(long)]
    figure: Option<PathBuf>,
}

/// Builds the bench and runs it.
///
/// # Errors
/// If either does not build, or the bench fails.
pub fn run(options: &Options) -> Result<()> {
    let mut command = example()?;
    if options.json {
        command.arg("--json");
    }
    for core in &options.core {
        command.args(["--core", core]);
    }
    if let Some(figure) = &options.figure {
        command.arg("--figure").arg(std::path::absolute(figure)?);
    }
    let status = command.status().context("the bench does not start")?;
    if !status.success() {
        bail!("the bench failed; see above");
    }
    Ok(())
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository")
}

/// The example that measures and prices, built.
///
/// # Errors
/// If it does not build.
pub fn example() -> Result<Command> {
    build(&["-p", "edgeslim", "--example", "bench_kernels"])?;
    Ok(Command::new(root().join("target/release/examples/bench_kernels")))
}

/// QEMU's plugin, built.
///
/// # Errors
/// If it does not build.
pub fn plugin() -> Result<PathBuf> {
    build(&["-p", "window-counts"])?;
    let name = format!("{}window_counts{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    Ok(root().join("target/release").join(name))
}

/// Builds packages of the workspace, optimised.
///
/// # Errors
/// If cargo does not start or they do not build.
pub fn build(arguments: &[&str]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet"])
        .args(arguments)
        .current_dir(root())
        .env_remove("CARGO_TARGET_DIR")
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("`cargo build --release {}` failed; see above", arguments.join(" "));
    }
    Ok(())
}
