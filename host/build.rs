//! `EDGESLIM_CODE`: a digest of the sources that decide what a stage writes.

use std::path::{Path, PathBuf};

/// From here; the firmware's, the table's and the charts' among them.
const SOURCES: [&str; 5] =
    ["src", "../device-bench/src", "../device-bench/firmware/src", "../cost-tables/src", "../reports/src"];

fn main() {
    let mut files = Vec::new();
    for dir in SOURCES {
        println!("cargo:rerun-if-changed={dir}");
        collect(Path::new(dir), &mut files);
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(file.to_string_lossy().as_bytes());
        hasher.update(&std::fs::read(&file).unwrap_or_default());
    }
    println!("cargo:rustc-env=EDGESLIM_CODE={}", hasher.finalize().to_hex());
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
