//! `cargo xtask miri`: the kernels and the thread pool of the CPU engine under nightly's Miri.
//!
//! Miri sees every access out of bounds, every use of what is not initialised, two mutable borrows of one value and data
//! races. It has no intrinsics, so those are not checked: what runs is the portable kernels, in the tile shapes of all
//! instruction sets.

use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

const MIRI: [&str; 4] = ["run", "nightly", "cargo", "miri"];
const TESTS: &str = "test -p cpu-kernels --lib";
const INSTALL: [&str; 7] =
    ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri,rust-src"];

/// Runs the tests of `cpu-kernels` under Miri, in a few minutes, or says why it cannot.
///
/// # Errors
/// If Miri finds undefined behaviour, or a test fails.
pub fn miri() -> Result<()> {
    if !has_miri() {
        let install = format!("rustup {}", INSTALL.join(" "));
        println!("setup: {install}");
        let installed = Command::new("rustup").args(INSTALL).status().is_ok_and(|status| status.success());
        if !installed || !has_miri() {
            println!("skipped: no nightly Rust with Miri; `{install}` tells why");
            return Ok(());
        }
    }
    let repeat = format!("cargo +nightly miri {TESTS}");
    println!("== Miri, portable kernels only: {repeat}");
    let started = Instant::now();
    let status =
        Command::new("rustup").args(MIRI).args(TESTS.split(' ')).status().context("rustup does not start")?;
    if !status.success() {
        bail!("Miri refuses `cpu-kernels`; repeat it with `{repeat}`");
    }
    let s = started.elapsed().as_secs_f64();
    println!(
        "no undefined behaviour in portable kernels and thread pool, in {s:.0} s; intrinsics are not checked"
    );
    Ok(())
}

fn has_miri() -> bool {
    Command::new("rustup").args(MIRI).arg("--version").output().is_ok_and(|out| out.status.success())
}
