//! `cargo xtask demo`: the whole pipeline on the virtual Cortex-M4, with the images that come with edgeslim.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

const CONFIG: &str = include_str!("demo.toml");
const BOARD: &str = "virtual-m4";
const RUN: &str = "runs/demo";

/// Whether an earlier demo is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Stages that are unchanged are skipped, as in any run.
    Resume,
    /// The folder of the run is deleted first.
    Fresh,
}

/// Builds edgeslim and the firmware, then runs all stages in `runs/demo`.
///
/// # Errors
/// The first step that fails, with the command that repeats it.
pub fn demo(start: Start) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let dir = root.join(RUN);
    if start == Start::Fresh && dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    std::fs::write(dir.join("edgeslim.toml"), CONFIG).context("edgeslim.toml cannot be written")?;
    run(root, env!("CARGO"), &["build", "--release", "--package", "edgeslim"])?;
    let edgeslim = root.join("target/release/edgeslim");
    let edgeslim = edgeslim.to_str().context("the path of the repository is no UTF-8")?;
    run(root, edgeslim, &["boards", "build", BOARD])?;
    run(root, edgeslim, &["run", "--run", RUN])
}

fn run(root: &Path, program: &str, args: &[&str]) -> Result<()> {
    let line = format!("{program} {}", args.join(" "));
    let status = Command::new(program).args(args).current_dir(root).status();
    if !status.with_context(|| line.clone())?.success() {
        bail!("the demo stopped; go on with `{line}`");
    }
    Ok(())
}
