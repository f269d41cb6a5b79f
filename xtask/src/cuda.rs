//! A type check of the `cuda` feature on a machine without the toolkit.
//!
//! Candle's build scripts ask for `nvcc` and `cuda.h`. A stand-in that answers `--version` and writes empty
//! kernels is enough to check our Rust; it proves nothing about the kernels.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// CUDA 13.0, as `cuda.h` and cudarc write it.
const CUDA_VERSION: &str = "13000";

const NVCC: &str = r#"#!/bin/sh
# Stand-in for nvcc: answers --version and writes empty outputs. Written by `cargo xtask test`.
case "$*" in *--version*) echo "Cuda compilation tools, release 13.0, V13.0.0"; exit 0;; esac
while [ $# -gt 0 ]; do
  case "$1" in
    -o|--output-file) shift; : > "$1";;
    --output-directory|-odir) shift; out="$1";;
    *.cu) source="$1";;
  esac
  shift
done
[ -n "$out" ] && [ -n "$source" ] && : > "$out/$(basename "$source" .cu).ptx"
exit 0
"#;

/// Checks the host crate and its tests on a GPU with `--features cuda` against the stand-in toolkit.
///
/// # Errors
/// Where our Rust does not type-check under the feature.
pub fn check() -> Result<()> {
    println!("== cuda feature, types only: cargo check -p edgeslim --features cuda --test device");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/cuda-stand-in");
    let bin = write_stand_in(&root).context("the stand-in for nvcc cannot be written")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let status = Command::new(env!("CARGO"))
        .args([
            "check",
            "--quiet",
            "-p",
            "edgeslim",
            "--features",
            "cuda",
            "--lib",
            "--bins",
            "--test",
            "device",
        ])
        .env("NVCC", bin.join("nvcc"))
        .env("CUDA_HOME", &root)
        .env("CUDA_PATH", &root)
        .env("CUDARC_CUDA_VERSION", CUDA_VERSION)
        .env("CUDA_COMPUTE_CAP", "80")
        .env("PATH", format!("{}:{path}", bin.display()))
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("the host crate does not type-check with --features cuda");
    }
    Ok(())
}

fn write_stand_in(root: &Path) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin)?;
    std::fs::create_dir_all(root.join("include"))?;
    std::fs::write(root.join("include/cuda.h"), format!("#define CUDA_VERSION {CUDA_VERSION}\n"))?;
    let nvcc = bin.join("nvcc");
    std::fs::write(&nvcc, NVCC)?;
    std::fs::set_permissions(&nvcc, std::fs::Permissions::from_mode(0o755))?;
    Ok(bin)
}
