//! Bytes of code that the kernels take in a firmware.

use anyhow::Result;
use object::{Object as _, ObjectSymbol as _, SymbolKind, read::elf::ElfFile32};
use std::path::Path;

/// The goal on a Cortex-M4.
pub const MOST: u64 = 24 * 1024;

/// Of every function of `device_bench::kernels` and of its assembly, each up to the next one.
///
/// # Errors
/// If the file is no firmware.
pub fn of_kernels(elf: &Path) -> Result<u64> {
    let bytes = std::fs::read(elf)?;
    let file = ElfFile32::<object::Endianness>::parse(&*bytes)?;
    let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    // The last bit of an address says that it is Thumb code.
    let mut starts: Vec<(u64, bool)> =
        functions.map(|symbol| (symbol.address() & !1, symbol.name().is_ok_and(is_of_kernels))).collect();
    starts.sort_unstable();
    starts.dedup_by_key(|(address, _)| *address);
    let of_kernels = starts.windows(2).filter(|pair| pair[0].1);
    Ok(of_kernels.map(|pair| pair[1].0 - pair[0].0).sum())
}

fn is_of_kernels(name: &str) -> bool {
    let of_rust = ["12device_bench7kernels", "device_bench..kernels"];
    name.starts_with("edgeslim_") || of_rust.iter().any(|path| name.contains(path))
}
