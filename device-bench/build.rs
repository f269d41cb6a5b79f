//! Sets `EDGESLIM_KERNELS`, a digest of the kernels' sources, `cfg(dsp)`, `cfg(thumb2)` or `cfg(thumb1)` by what the
//! compiler may use (`target_feature = "dsp"` is not visible on stable Rust), and `cfg(dual_issue)` for a Cortex-M7.

use std::io;
use std::path::{Path, PathBuf};

/// What the kernels are made of.
const KERNELS: [&str; 2] = ["src/kernels", "src/quant.rs"];

/// Armv8-M cores with the extension, and the feature by name.
const V8M_FLAGS: [&str; 5] = ["cortex-m33", "cortex-m35p", "cortex-m55", "cortex-m85", "+dsp"];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    for path in KERNELS {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rustc-env=EDGESLIM_KERNELS={:08x}", digest(&KERNELS.map(PathBuf::from))?);
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    // A digest of the sources: their times do not tell an edit from before the clock was set back.
    println!("cargo::rerun-if-env-changed=EDGESLIM_FIRMWARE");
    println!("cargo::rustc-check-cfg=cfg(dsp, thumb2, thumb1, dual_issue)");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (target, flags) = (variable("TARGET"), variable("CARGO_ENCODED_RUSTFLAGS"));
    if let Some(set) = kernel_set(&target, &flags) {
        println!("cargo::rustc-cfg={set}");
    }
    if flags.contains("cortex-m7") {
        println!("cargo::rustc-cfg=dual_issue");
    }
    Ok(())
}

/// The instructions that the kernels may use. Every Armv7E-M core has the DSP extension; an Armv8-M build says so by
/// `-C target-cpu` or `+dsp`.
fn kernel_set(target: &str, flags: &str) -> Option<&'static str> {
    let has_dsp = V8M_FLAGS.iter().any(|flag| flags.contains(flag));
    let architecture = target.split('-').next()?;
    match architecture {
        "thumbv7em" => Some("dsp"),
        "thumbv8m.main" if has_dsp => Some("dsp"),
        "thumbv7m" | "thumbv8m.main" => Some("thumb2"),
        "thumbv6m" | "thumbv8m.base" => Some("thumb1"),
        _ => None,
    }
}

/// FNV-1a (RFC 9923) over the lines of all files, in the order of their names: the same for either kind of line ends.
fn digest(paths: &[PathBuf]) -> io::Result<u32> {
    let mut files = Vec::new();
    paths.iter().try_for_each(|path| find(path, &mut files))?;
    files.sort();
    let mut hash = 0x811c_9dc5u32;
    for file in files {
        for line in std::fs::read_to_string(file)?.lines() {
            for byte in line.bytes().chain([b'\n']) {
                hash = (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            }
        }
    }
    Ok(hash)
}

fn find(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    std::fs::read_dir(path)?.try_for_each(|entry| find(&entry?.path(), files))
}
