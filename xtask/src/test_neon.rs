//! `cargo xtask test-neon`: the NEON kernels of the CPU engine on an emulated aarch64.
//!
//! The tests are linked by rust-lld with the C library that comes with the target, so QEMU is all that a machine needs.

use crate::setup;
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

const TARGET: &str = "aarch64-unknown-linux-musl";
const TESTS: &str = "test -p cpu-kernels --lib --target aarch64-unknown-linux-musl";
/// What Cargo links and runs programs of [`TARGET`] with.
const TOOLS: [(&str, &str); 2] = [
    ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld"),
    ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", QEMU),
];
const QEMU: &str = "qemu-aarch64";

/// Installs what is missing and runs the tests of `cpu-kernels` for aarch64, or says why it cannot.
///
/// # Errors
/// If a test fails, or where something is missing and cannot be installed from here: the command that does.
pub fn test_neon() -> Result<()> {
    if let Some(reason) = impossible() {
        println!("skipped: {reason}");
        return Ok(());
    }
    setup::targets(&[TARGET])?;
    setup::programs(&[(QEMU, "qemu-user")])?;
    let repeat = TOOLS.map(|(name, value)| format!("{name}={value}")).join(" ") + " cargo " + TESTS;
    println!("== NEON kernels: {repeat}");
    let started = Instant::now();
    let status = Command::new(env!("CARGO"))
        .args(TESTS.split(' '))
        .envs(TOOLS)
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("the NEON kernels fail; repeat it with `{repeat}`");
    }
    println!("the NEON kernels compute what loops in f64 do, in {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Why this machine has no use for it, or cannot.
fn impossible() -> Option<&'static str> {
    if cfg!(target_arch = "aarch64") {
        return Some("this processor has NEON; `cargo xtask test` tests its kernels");
    }
    (!cfg!(target_os = "linux")).then_some("QEMU runs programs of another processor under Linux only")
}
