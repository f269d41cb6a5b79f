//! Bytes of code that the kernels take in a firmware.

use anyhow::Result;
use object::{Object as _, ObjectSymbol as _, SymbolKind, read::elf::ElfFile32};
use std::path::Path;

/// The goal on a Cortex-M4.
pub const MOST: u64 = 24 * 1024;

/// The operators that CMSIS-NN's networks lack, and what only they call.
const OTHER_MODULES: [&str; 7] =
    ["7grouped", "10one_by_one", "6concat", "6select", "5scale", "6lookup", "4runs"];

/// What the kernels take, bytes.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// The operators of the networks that are compared, and the assembly.
    pub compared: u64,
    /// All other operators.
    pub others: u64,
}

/// Of every function of `device_bench::kernels` and of its assembly, each up to the next one.
///
/// # Errors
/// If the file is no firmware.
pub fn of_kernels(elf: &Path) -> Result<Code> {
    let bytes = std::fs::read(elf)?;
    let file = ElfFile32::<object::Endianness>::parse(&*bytes)?;
    let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text);
    // The last bit of an address says that it is Thumb code.
    let mut starts: Vec<(u64, &str)> =
        functions.map(|symbol| (symbol.address() & !1, symbol.name().unwrap_or(""))).collect();
    starts.sort_by_key(|(address, name)| (*address, !is_of_kernels(name)));
    starts.dedup_by_key(|(address, _)| *address);
    let mut code = Code { compared: 0, others: 0 };
    for pair in starts.windows(2).filter(|pair| is_of_kernels(pair[0].1)) {
        let other = OTHER_MODULES.iter().any(|module| pair[0].1.contains(&format!("kernels{module}")));
        *if other { &mut code.others } else { &mut code.compared } += pair[1].0 - pair[0].0;
    }
    Ok(code)
}

fn is_of_kernels(name: &str) -> bool {
    let of_rust = ["12device_bench7kernels", "device_bench..kernels"];
    name.starts_with("edgeslim_") || of_rust.iter().any(|path| name.contains(path))
}
