//! `cargo xtask compare-runtimes`: quantised layers and networks in LiteRT and onnxruntime, byte by byte beside the kernels.

use crate::bench_kernels::{build, root};
use crate::venv::{self, Packages};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const RUNTIMES: Packages = Packages {
    names: &["ai-edge-litert>=2.1", "onnxruntime", "onnx", "numpy"],
    check: "import ai_edge_litert.schema_py_generated, onnx, onnxruntime",
    told: "LiteRT and onnxruntime from PyPI",
};

/// What is compared.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask compare-runtimes > runtimes.md")]
pub struct Options {
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
    /// A Python environment with both runtimes; made where it is missing.
    #[arg(long, default_value = "target/compare-runtimes/venv")]
    venv: PathBuf,
}

/// Writes the models with what the kernels make of them, and runs them.
///
/// # Errors
/// If something cannot be built, installed or run.
pub fn run(options: &Options) -> Result<()> {
    let dir = root().join("target/compare-runtimes");
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    build(&["-p", "edgeslim-tests", "--example", "runtime_models"])?;
    let made = Command::new(root().join("target/release/examples/runtime_models")).output()?;
    if !made.status.success() {
        bail!("the models could not be made: {}", String::from_utf8_lossy(&made.stderr));
    }
    let models = dir.join("models.json");
    fs::write(&models, made.stdout)?;
    let python = venv::python(&root().join(&options.venv), &RUNTIMES)?;
    let mut compare = Command::new(python);
    compare.arg(root().join("device-bench/baselines/runtimes/compare.py")).arg(models);
    if options.json {
        compare.arg("--json");
    }
    if !compare.status()?.success() {
        bail!("the comparison failed; see above");
    }
    Ok(())
}
