//! `cargo xtask test-cuda`: the Candle engine on a GPU.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

const TESTS: [&str; 9] =
    ["test", "-p", "edgeslim", "--features", "cuda", "--test", "device", "--", "--nocapture"];

/// Compares gradients, a sandwich step and a resumed training on the first GPU with the CPU, or says why it cannot.
///
/// # Errors
/// If a comparison fails, or the build does.
pub fn test_cuda() -> Result<()> {
    if let Some(reason) = missing() {
        println!("skipped: {reason}");
        return Ok(());
    }
    println!("== on a GPU: cargo {}", TESTS.join(" "));
    // One test at a time: each takes a context and memory of the GPU.
    let status = Command::new(env!("CARGO"))
        .args(TESTS)
        .arg("--test-threads=1")
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("the GPU does not compute what the CPU does; repeat it with `cargo {}`", TESTS.join(" "));
    }
    println!("gradients, a sandwich step and a resumed training on the GPU agree with the CPU");
    Ok(())
}

/// What this machine lacks.
fn missing() -> Option<String> {
    let runs = |program: &str, arg: &str| {
        let quiet = Command::new(program).arg(arg).stdout(Stdio::null()).stderr(Stdio::null()).status();
        quiet.is_ok_and(|status| status.success())
    };
    if !runs("nvidia-smi", "-L") {
        return Some("no NVIDIA GPU or no driver for it (`nvidia-smi -L` fails)".into());
    }
    if !runs("nvcc", "--version") {
        return Some(
            "no CUDA toolkit to build with (`nvcc --version` fails); install it and add it to PATH".into(),
        );
    }
    None
}
