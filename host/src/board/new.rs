//! A first board file for any chip that probe-rs knows.

use super::{LayoutError, MemoryMap, RunFrom};
use crate::nearest::nearest;
use probe_rs::config::Registry;
use probe_rs::{CoreType, Target};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A chip for which no board file can be written.
#[derive(Debug, thiserror::Error)]
pub enum NewBoardError {
    /// probe-rs does not know it.
    #[error("{reason}; `probe-rs chip list` lists all")]
    Unknown {
        /// The chip, with the nearest known name, if one is near.
        reason: String,
    },
    /// The firmware does not fit where it was asked to.
    #[error("{chip}: {source}")]
    Layout {
        /// The chip.
        chip: String,
        /// Why.
        source: LayoutError,
    },
    /// The firmware fits neither in RAM nor in flash.
    #[error("{chip}: in RAM: {ram}; in flash: {flash}")]
    Nowhere {
        /// The chip.
        chip: String,
        /// Why not in RAM.
        ram: LayoutError,
        /// Why not in flash.
        flash: LayoutError,
    },
}

/// A commented board file for `chip` at its clock after reset, and the name of the board in it.
///
/// The firmware runs from `run_from`, or from RAM where it fits there (nothing is flashed then), else from flash.
///
/// # Errors
/// [`NewBoardError`]
pub fn new_board(chip: &str, run_from: Option<RunFrom>) -> Result<(String, String), NewBoardError> {
    virtual_board::register();
    let registry = Registry::from_builtin_families();
    let target = registry
        .get_target_by_name(chip)
        .map_err(|_| NewBoardError::Unknown { reason: unknown(&registry, chip) })?;
    let (run_from, map) = place(&target, run_from)?;
    let name = target.name.to_lowercase();
    let text = commented(&name, &target, run_from, &map);
    Ok((name, text))
}

/// That there is no such chip, with the nearest name of one.
pub(super) fn unknown(registry: &Registry, chip: &str) -> String {
    let variants = registry.families().iter().flat_map(|family| family.variants());
    // Case counts for nothing in chip names.
    let names: BTreeMap<String, &str> =
        variants.map(|variant| (variant.name.to_uppercase(), variant.name.as_str())).collect();
    let near = nearest(&chip.to_uppercase(), names.keys().map(String::as_str));
    let near = near.map_or(String::new(), |upper| format!(" (did you mean `{}`?)", names[upper]));
    format!("probe-rs knows no chip `{chip}`{near}")
}

fn place(target: &Target, run_from: Option<RunFrom>) -> Result<(RunFrom, MemoryMap), NewBoardError> {
    let map = |run_from| MemoryMap::of(target, run_from, None).map(|map| (run_from, map));
    let chip = || target.name.clone();
    match run_from {
        Some(run_from) => map(run_from).map_err(|source| NewBoardError::Layout { chip: chip(), source }),
        None => map(RunFrom::Ram).or_else(|ram| {
            map(RunFrom::Flash).map_err(|flash| match ram {
                same if same == flash => NewBoardError::Layout { chip: chip(), source: same },
                ram => NewBoardError::Nowhere { chip: chip(), ram, flash },
            })
        }),
    }
}

/// The core as far as probe-rs tells, the Rust target, and what to check.
fn core_of(target: &Target) -> (&'static str, &'static str, &'static str) {
    match target.cores.first().map(|core| core.core_type) {
        Some(CoreType::Armv6m) => ("Armv6-M", "thumbv6m-none-eabi", "right for Cortex-M0, M0+ and M1"),
        Some(CoreType::Armv7m) => ("Armv7-M", "thumbv7m-none-eabi", "right for Cortex-M3"),
        Some(CoreType::Armv8m) => (
            "Armv8-M",
            "thumbv8m.main-none-eabihf",
            "for a Cortex-M33 or later with FPU; without: thumbv8m.main-none-eabi; Cortex-M23: thumbv8m.base-none-eabi",
        ),
        Some(CoreType::Riscv) => {
            ("RV32IMC", "riscv32imc-unknown-none-elf", "right for RV32IMC and all that has more")
        }
        _ => (
            "Armv7E-M",
            "thumbv7em-none-eabihf",
            "for a Cortex-M4 or M7 with FPU; without: thumbv7em-none-eabi",
        ),
    }
}

fn commented(name: &str, target: &Target, run_from: RunFrom, map: &MemoryMap) -> String {
    let chip = &target.name;
    let (core, triple, check) = core_of(target);
    let dsp = match core {
        "RV32IMC" => "",
        _ => {
            " Write \"Cortex-M33\" (M35P, M55, M85) for one with the DSP extension: the firmware then uses it."
        }
    };
    let part = |what: &str, range: &std::ops::Range<u64>| {
        format!(
            "#   {what:<6} {:#010x} to {:#010x}, {} KiB\n",
            range.start,
            range.end,
            (range.end - range.start) / 1024
        )
    };
    let mut text = format!(
        "# Made by `edgeslim boards new --chip {chip}` from probe-rs's memory map. The chip keeps its clock of after reset.\n\
         name = \"{name}\"\n\
         # probe-rs's target name.\n\
         chip = \"{chip}\"\n\
         # For reports.{dsp}\n\
         core = \"{core}\"\n\
         # The firmware's Rust target, {check}.\n\
         target = \"{triple}\"\n"
    );
    let (from, how) = match run_from {
        RunFrom::Ram => ("ram", "nothing is flashed; half of what the code leaves is for the model"),
        RunFrom::Flash => ("flash", "the firmware overwrites what is in flash"),
    };
    let _ = writeln!(text, "# Where the firmware runs, \"ram\" or \"flash\". Here {how}:");
    for (what, range) in [("code", &map.code), ("model", &map.model), ("data", &map.ram)] {
        text += &part(what, range);
    }
    let _ = write!(
        text,
        "run_from = \"{from}\"\n\
         # model_bytes = {}\n",
        map.model.end - map.model.start
    );
    text += &match emulator(chip) {
        None => "# The core's clock, if you know it: then it is checked, else measured.\n\
                 # core_hz = 4_000_000\n\
                 unit = \"cycles\"\n"
            .to_owned(),
        Some(machine) => format!(
            "# QEMU, which has no clock: it counts instructions, never a real board's cycles.\n\
             probe = \"virtual\"\n\
             machine = \"{machine}\"\n\
             unit = \"instructions\"\n"
        ),
    };
    text
}

/// The QEMU machine that has this chip.
fn emulator(chip: &str) -> Option<&'static str> {
    let machine = chip.strip_prefix("virtual-")?;
    virtual_board::MACHINES.iter().map(|m| m.name).find(|name| machine.starts_with(name))
}

#[cfg(test)]
mod tests;
