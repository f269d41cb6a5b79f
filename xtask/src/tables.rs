//! `cargo xtask tables`: the committed cost tables of the virtual boards, measured anew.

use crate::bench_kernels::{build, root};
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

/// Boards that run the demo's network.
const BOARDS: [&str; 9] = [
    "virtual-m3",
    "virtual-m3-modelled",
    "virtual-m4",
    "virtual-m4-modelled",
    "virtual-m7",
    "virtual-m7-modelled",
    "virtual-m33",
    "virtual-m33-modelled",
    "virtual-rv32",
];
/// Boards that are too small for it, and run a list of layers.
const SMALL_BOARDS: [&str; 2] = ["virtual-m0", "virtual-m0-modelled"];

/// Measures every table and writes it to `cost-tables/virtual`.
///
/// # Errors
/// If a profile fails; tables that were written before stay.
pub fn tables() -> Result<()> {
    build(&["-p", "edgeslim", "--bin", "edgeslim"])?;
    let edgeslim = || Command::new(root().join("target/release/edgeslim"));
    let committed = root().join("cost-tables/virtual");
    let demo = fs::read_to_string(root().join("xtask/src/demo.toml"))?;
    for board in BOARDS {
        println!("== {board}");
        let run = root().join("target/tables").join(board);
        fs::create_dir_all(&run).with_context(|| run.display().to_string())?;
        fs::write(run.join("edgeslim.toml"), &demo)?;
        succeed(edgeslim().args(["profile", "--board", board, "--run"]).arg(&run))?;
        fs::copy(run.join("cost-table.csv"), committed.join(format!("{board}.csv")))?;
    }
    for board in SMALL_BOARDS {
        println!("== {board}");
        let layers = committed.join("small-layers.toml");
        let out = committed.join(format!("{board}.csv"));
        succeed(
            edgeslim().args(["profile", "--board", board, "--layers"]).arg(layers).arg("--out").arg(out),
        )?;
    }
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    if !command.status()?.success() {
        bail!("{command:?} failed; see above");
    }
    Ok(())
}
