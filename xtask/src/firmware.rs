//! Format and clippy of the firmware, which is a workspace of its own.

use crate::setup::TARGETS;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// What `edgeslim::firmware::build` sets; nothing is linked, so any board serves.
const BOARD: [(&str, &str); 6] = [
    ("EDGESLIM_BOARD", "any"),
    ("EDGESLIM_FIRMWARE", "any"),
    ("EDGESLIM_CACHES", ""),
    ("EDGESLIM_MEMORY", ""),
    ("EDGESLIM_TICKS", "1"),
    ("EDGESLIM_TIMER_TICKS", "1"),
];

/// Checks the firmware's format, and lints it for every target.
///
/// # Errors
/// The first check that fails, with the command.
pub fn check() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let source = root.join("device-bench/firmware");
    let out = root.join("target/firmware/lint");
    let cargo = |args: &str| {
        println!("== firmware: cargo {args}");
        let status = Command::new(env!("CARGO"))
            .args(args.split(' '))
            .current_dir(&source)
            .envs(BOARD)
            .env("CARGO_TARGET_DIR", &out)
            .status()
            .context("cargo does not start")?;
        if !status.success() {
            bail!("the firmware fails `cargo {args}`; see above, then repeat `cargo xtask test`");
        }
        Ok(())
    };
    cargo("fmt --check")?;
    for target in TARGETS {
        cargo(&format!("clippy --quiet --locked --target {target} -- -D warnings"))?;
    }
    Ok(())
}
