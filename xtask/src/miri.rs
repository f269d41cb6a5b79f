//! `cargo xtask miri`: the kernels and the thread pool of the CPU engine, and the int8 kernels, under nightly's Miri.
//!
//! Miri sees every access out of bounds, every use of what is not initialised, two mutable borrows of one value and data
//! races. It has no intrinsics, so those are not checked: what runs is the portable kernels, in the tile shapes of all
//! instruction sets.

use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

const MIRI: [&str; 4] = ["run", "nightly", "cargo", "miri"];
const TESTS: [&str; 2] = ["test -p cpu-kernels --lib", "test -p device-bench --test reference"];
const INSTALL: [&str; 7] =
    ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri,rust-src"];

/// Runs the tests of `cpu-kernels` and `device-bench` under Miri, in a few minutes, or says why it cannot.
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
    let started = Instant::now();
    for tests in TESTS {
        let repeat = format!("cargo +nightly miri {tests}");
        println!("== Miri, portable kernels only: {repeat}");
        let status = Command::new("rustup")
            .args(MIRI)
            .args(tests.split(' '))
            .status()
            .context("rustup does not start")?;
        if !status.success() {
            bail!("Miri refuses something; repeat it with `{repeat}`");
        }
    }
    let s = started.elapsed().as_secs_f64();
    println!(
        "no undefined behaviour in portable kernels and thread pool, in {s:.0} s; neither intrinsics nor assembly are checked"
    );
    Ok(())
}

fn has_miri() -> bool {
    Command::new("rustup").args(MIRI).arg("--version").output().is_ok_and(|out| out.status.success())
}
