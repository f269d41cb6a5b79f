//! Where firmware, model and data lie on a chip: from probe-rs's memory map and nothing else.

use super::RunFrom;
use probe_rs::config::MemoryRegion;
use probe_rs::{CoreType, Target};
use serde::Serialize;
use std::ops::Range;

/// Room for the firmware's code and constants, which take 46 to 59 KiB.
pub const CODE_BYTES: u64 = 60 * 1024;
/// The least model region that is worth a board file.
pub const MIN_MODEL_BYTES: u64 = 4 * 1024;
/// The least RAM for statics, stack and arena.
pub const MIN_DATA_BYTES: u64 = 8 * 1024;
/// A vector table is aligned to its size rounded up to a power of two; no Cortex-M has a larger one in use here.
/// RISC-V cores have none, and are content with it.
const VECTORS_ALIGN: u64 = 1024;
/// Of the stack (RISC-V's calling convention; Arm's wants 8) and of the model.
const ALIGN: u64 = 16;

/// Chips whose flash holds words that firmware must not overwrite or has to bring, by the beginning of their names.
pub const RESERVED_FLASH: [(&str, &str); 9] = [
    ("S32K1", "its flash configuration field at 0x400 can lock the chip for good"),
    ("R7FA", "its option-setting memory lies among the code, from 0x400 on"),
    ("R7JA", "its option-setting memory lies among the code, from 0x400 on"),
    ("CC13", "its customer configuration is the end of the flash"),
    ("CC26", "its customer configuration is the end of the flash"),
    ("RP2040", "its boot ROM wants a second-stage boot loader at the start of the flash"),
    ("RP235", "its boot ROM wants an image definition at the start of the flash"),
    ("HPM", "its boot ROM wants a flash configuration and an image header at the start of the flash"),
    ("MIMXRT", "its boot ROM wants a FlexSPI header at the start of the flash"),
];

const RV32E: &str =
    "its core is a QingKe V2 (RV32EC), which has half of the registers; the firmware is built for RV32IMC";
const NO_MCYCLE: &str = "its QingKe core has no mcycle that its manual tells of, and the firmware has no other counter for RISC-V";

/// RISC-V chips that cannot be served yet, by the beginning of their names; the first that fits.
pub const UNSERVED_RISCV: [(&str, &str); 4] =
    [("CH32V00", RV32E), ("CH32M00", RV32E), ("CH641", RV32E), ("CH", NO_MCYCLE)];

/// The regions that the firmware is linked into; addresses as the core sees them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryMap {
    /// Vector table, code and constants.
    pub code: Range<u64>,
    /// The model blob; a layer that is timed alone takes its weights from here.
    pub model: Range<u64>,
    /// Statics, arena and stack.
    pub ram: Range<u64>,
}

/// Why no firmware can be linked for a chip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A RISC-V core that lacks what the firmware needs.
    #[error("{why}")]
    RiscV {
        /// What is missing.
        why: &'static str,
    },
    /// A core of another kind.
    #[error("its core is {core}; edgeslim measures on Cortex-M and 32-bit RISC-V")]
    Core {
        /// probe-rs's name of the core type.
        core: String,
    },
    /// The memory map has no such memory.
    #[error("probe-rs knows no {what} of it")]
    Missing {
        /// The kind of memory.
        what: &'static str,
    },
    /// Words in flash that are not the firmware's.
    #[error("{why}; use run_from = \"ram\"")]
    Reserved {
        /// What would go wrong.
        why: &'static str,
    },
    /// A region is too small.
    #[error("its {what} has {available} bytes, the firmware needs {needed}")]
    TooSmall {
        /// The region.
        what: &'static str,
        /// Bytes that it has.
        available: u64,
        /// Bytes needed at the least.
        needed: u64,
    },
}

impl MemoryMap {
    /// Divides the memory of `target`'s first core.
    ///
    /// - In RAM the firmware takes the region that the chip boots from (of virtual boards) or the largest one.
    ///   What the code leaves is halved between model and data, unless `model_bytes` says otherwise.
    /// - In flash it takes the largest region that the chip boots from; the model begins at a sector of its own.
    ///
    /// # Errors
    /// [`LayoutError`]: no core that the firmware runs on, or too little memory.
    pub fn of(
        target: &Target,
        run_from: RunFrom,
        model_bytes: Option<u64>,
    ) -> Result<MemoryMap, LayoutError> {
        let memory = Memory::of(target)?;
        match run_from {
            RunFrom::Ram => memory.in_ram(model_bytes),
            RunFrom::Flash => memory.in_flash(target, model_bytes),
        }
    }
}

/// What the first core of a chip can use, in order of address; regions that touch are one.
struct Memory {
    /// RAM that code can run from.
    executable: Vec<Range<u64>>,
    /// All RAM.
    ram: Vec<Range<u64>>,
    boot_ram: Vec<Range<u64>>,
    boot_flash: Vec<Range<u64>>,
}

impl Memory {
    fn of(target: &Target) -> Result<Memory, LayoutError> {
        let core = target.cores.first().ok_or(LayoutError::Missing { what: "core" })?;
        match core.core_type {
            CoreType::Armv6m | CoreType::Armv7m | CoreType::Armv7em | CoreType::Armv8m => {}
            CoreType::Riscv => served(&target.name)?,
            CoreType::Riscv64 => return Err(LayoutError::Core { core: "64-bit RISC-V".to_owned() }),
            other => return Err(LayoutError::Core { core: format!("{other:?}") }),
        }
        let regions = |kind: fn(&MemoryRegion) -> bool| {
            let seen = target
                .memory_map
                .iter()
                .filter(|region| kind(region) && !is_alias(region) && region.cores().contains(&core.name));
            merged(seen.map(MemoryRegion::address_range).collect())
        };
        Ok(Memory {
            executable: regions(|r| matches!(r, MemoryRegion::Ram(r) if r.is_executable())),
            ram: regions(|r| matches!(r, MemoryRegion::Ram(r) if r.is_writable())),
            boot_ram: regions(|r| matches!(r, MemoryRegion::Ram(r) if r.is_boot_memory())),
            boot_flash: regions(|r| matches!(r, MemoryRegion::Nvm(r) if r.is_boot_memory())),
        })
    }

    fn in_ram(&self, model_bytes: Option<u64>) -> Result<MemoryMap, LayoutError> {
        let boot = largest(&self.boot_ram);
        let apart = |boot: &Range<u64>| {
            let others = self.ram.iter().filter(|ram| ram.end <= boot.start || ram.start >= boot.end);
            largest(&others.cloned().collect::<Vec<_>>())
        };
        if let Some((boot, ram)) = boot.and_then(|boot| apart(&boot).map(|ram| (boot, ram))) {
            let (code, model) = behind_code(&boot, boot.start + CODE_BYTES, "boot memory")?;
            let model = shortened(&model, model_bytes);
            return Ok(MemoryMap { code, model, ram: aligned(&ram) });
        }
        let whole = largest(&self.executable).ok_or(LayoutError::Missing { what: "RAM" })?;
        let start = whole.start.next_multiple_of(VECTORS_ALIGN);
        let code = start..start + CODE_BYTES;
        let needed = CODE_BYTES + MIN_DATA_BYTES + model_bytes.unwrap_or(MIN_MODEL_BYTES);
        let available = whole.end.saturating_sub(start);
        if available < needed {
            return Err(LayoutError::TooSmall { what: "RAM", available, needed });
        }
        let beside_code = available - CODE_BYTES;
        let half = (beside_code / 2).min(beside_code - MIN_DATA_BYTES);
        let model = code.end..code.end + model_bytes.unwrap_or(half) / ALIGN * ALIGN;
        Ok(MemoryMap { code, ram: aligned(&(model.end..whole.end)), model })
    }

    fn in_flash(&self, target: &Target, model_bytes: Option<u64>) -> Result<MemoryMap, LayoutError> {
        if let Some((_, why)) = RESERVED_FLASH.iter().find(|(prefix, _)| target.name.starts_with(prefix)) {
            return Err(LayoutError::Reserved { why });
        }
        let flash = largest(&self.boot_flash).ok_or(LayoutError::Missing { what: "flash" })?;
        let ram = largest(&self.ram).ok_or(LayoutError::Missing { what: "RAM" })?;
        let ram = aligned(&ram);
        let available = ram.end - ram.start;
        if available < MIN_DATA_BYTES {
            return Err(LayoutError::TooSmall { what: "RAM", available, needed: MIN_DATA_BYTES });
        }
        let sector = sector_from(target, flash.start + CODE_BYTES)
            .ok_or(LayoutError::Missing { what: "flash algorithm" })?;
        let (code, model) = behind_code(&flash, sector, "flash")?;
        Ok(MemoryMap { code, model: shortened(&model, model_bytes), ram })
    }
}

/// Code up to `model_start`, the model behind it.
fn behind_code(
    region: &Range<u64>,
    model_start: u64,
    what: &'static str,
) -> Result<(Range<u64>, Range<u64>), LayoutError> {
    let needed = model_start - region.start + MIN_MODEL_BYTES;
    let available = region.end - region.start;
    if available < needed {
        return Err(LayoutError::TooSmall { what, available, needed });
    }
    Ok((region.start..model_start, model_start..region.end))
}

fn shortened(model: &Range<u64>, bytes: Option<u64>) -> Range<u64> {
    aligned(&(model.start..bytes.map_or(model.end, |bytes| model.end.min(model.start + bytes))))
}

/// The first address from `least` on at which a sector of the flash begins.
fn sector_from(target: &Target, least: u64) -> Option<u64> {
    let flashes = target.flash_algorithms.iter().map(|algorithm| &algorithm.flash_properties);
    let flash = flashes.into_iter().find(|flash| flash.address_range.contains(&(least - 1)))?;
    let offset = least - flash.address_range.start;
    // Each entry holds from its address up to the next one's.
    let sector = flash.sectors.iter().rev().find(|sector| sector.address <= offset)?;
    let inside = (offset - sector.address).next_multiple_of(sector.size.max(1));
    Some(flash.address_range.start + sector.address + inside)
}

fn served(riscv_chip: &str) -> Result<(), LayoutError> {
    let unserved = UNSERVED_RISCV.into_iter().find(|(prefix, _)| riscv_chip.starts_with(prefix));
    unserved.map_or(Ok(()), |(_, why)| Err(LayoutError::RiscV { why }))
}

fn is_alias(region: &MemoryRegion) -> bool {
    match region {
        MemoryRegion::Ram(region) => region.is_alias,
        MemoryRegion::Nvm(region) => region.is_alias,
        MemoryRegion::Generic(_) => false,
    }
}

fn largest(regions: &[Range<u64>]) -> Option<Range<u64>> {
    // The first of equals: `max_by_key` would take the last.
    regions.iter().rev().max_by_key(|region| region.end - region.start).cloned()
}

fn aligned(region: &Range<u64>) -> Range<u64> {
    region.start.next_multiple_of(ALIGN)..region.end / ALIGN * ALIGN
}

fn merged(mut regions: Vec<Range<u64>>) -> Vec<Range<u64>> {
    regions.sort_by_key(|region| region.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for region in regions {
        match merged.last_mut() {
            Some(last) if region.start <= last.end => last.end = last.end.max(region.end),
            _ => merged.push(region),
        }
    }
    merged
}
