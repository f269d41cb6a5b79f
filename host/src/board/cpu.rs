//! What the core says of itself, before anything runs on it.

use super::{BoardError, BoardFile};
use probe_rs::{Core, MemoryInterface as _};

const CPUID: u64 = 0xE000_ED00;
/// Media and floating-point feature register: 0 without a floating-point unit.
const MVFR0: u64 = 0xE000_EF40;
const VTOR: u64 = 0xE000_ED08;

/// Architectures, each of which runs what those before it run, baseline Armv8-M apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Architecture {
    V6m,
    V7m,
    V7em,
    V8mMain,
}

/// Part number of CPUID, the core, and what runs on it.
const CORES: [(u32, &str, Architecture); 12] = [
    (0xc20, "Cortex-M0", Architecture::V6m),
    (0xc21, "Cortex-M1", Architecture::V6m),
    (0xc60, "Cortex-M0+", Architecture::V6m),
    (0xc23, "Cortex-M3", Architecture::V7m),
    (0xc24, "Cortex-M4", Architecture::V7em),
    (0xc27, "Cortex-M7", Architecture::V7em),
    (0xd20, "Cortex-M23", Architecture::V6m),
    (0xd21, "Cortex-M33", Architecture::V8mMain),
    (0xd22, "Cortex-M55", Architecture::V8mMain),
    (0xd23, "Cortex-M85", Architecture::V8mMain),
    (0xd31, "Cortex-M35P", Architecture::V8mMain),
    (0xd24, "Cortex-M52", Architecture::V8mMain),
];

/// The core's name by its CPUID register, if it is a known one.
pub(super) fn name(cpuid: u32) -> Option<&'static str> {
    CORES.into_iter().find(|core| core.0 == part(cpuid)).map(|core| core.1)
}

fn part(cpuid: u32) -> u32 {
    cpuid >> 4 & 0xfff
}

/// Refuses firmware that the core cannot run: it would end in a fault that tells nothing.
pub(super) fn check(core: &mut Core<'_>, board: &BoardFile) -> Result<(), BoardError> {
    let mut word = |address, step| {
        core.read_word_32(address).map_err(|e| super::link::failed(&board.name, step)(e.into()))
    };
    let cpuid = word(CPUID, "reading CPUID")?;
    let fpu = word(MVFR0, "reading MVFR0")? != 0;
    check_target(cpuid, fpu, &board.target).map_err(|(core, advice)| BoardError::Core {
        board: board.name.clone(),
        core,
        target: board.target.clone(),
        advice,
    })
}

/// The core's name and which target to take instead.
fn check_target(cpuid: u32, fpu: bool, target: &str) -> Result<(), (String, String)> {
    let part = part(cpuid);
    // A core that is not in the list may well run it.
    let Some((_, name, architecture)) = CORES.into_iter().find(|core| core.0 == part) else { return Ok(()) };
    let needed = match target.split('-').next().unwrap_or_default() {
        "thumbv6m" => Architecture::V6m,
        "thumbv7m" => Architecture::V7m,
        "thumbv7em" => Architecture::V7em,
        "thumbv8m.main" => Architecture::V8mMain,
        // The baseline's few additions are the Cortex-M23's and the later cores'.
        "thumbv8m.base" if part >= 0xd00 => return Ok(()),
        other => return Err((name.to_owned(), format!("{other} is no target for it"))),
    };
    let suffix = if fpu { "eabihf" } else { "eabi" };
    let best = match architecture {
        Architecture::V6m if part == 0xd20 => "thumbv8m.base-none-eabi".to_owned(),
        Architecture::V6m => "thumbv6m-none-eabi".to_owned(),
        Architecture::V7m => "thumbv7m-none-eabi".to_owned(),
        Architecture::V7em => format!("thumbv7em-none-{suffix}"),
        Architecture::V8mMain => format!("thumbv8m.main-none-{suffix}"),
    };
    let advice = format!("write target = \"{best}\" in the board file");
    if needed > architecture {
        return Err((name.to_owned(), advice));
    }
    if target.ends_with("hf") && !fpu {
        return Err((format!("{name} without a floating-point unit"), advice));
    }
    Ok(())
}

/// Whether the vector table can be moved to `address`: a Cortex-M0 cannot, its exceptions would go elsewhere.
pub(super) fn check_vectors(core: &mut Core<'_>, address: u64, board: &BoardFile) -> Result<(), BoardError> {
    let error = super::link::failed(&board.name, "setting the vector table");
    let found = core.read_word_32(VTOR).map_err(|e| error(e.into()))?;
    if u64::from(found) == address {
        return Ok(());
    }
    Err(BoardError::Vectors { board: board.name.clone(), address: address as u32, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_the_core_cannot_run_is_answered_with_one_that_it_can() {
        for (cpuid, fpu, target, best) in [
            (0x410c_c200, false, "thumbv7em-none-eabihf", "thumbv6m-none-eabi"),
            (0x412f_c231, false, "thumbv7em-none-eabi", "thumbv7m-none-eabi"),
            (0x410f_c241, false, "thumbv7em-none-eabihf", "thumbv7em-none-eabi"),
            (0x410f_c241, true, "thumbv8m.main-none-eabihf", "thumbv7em-none-eabihf"),
            (0x410f_d213, false, "thumbv8m.main-none-eabihf", "thumbv8m.main-none-eabi"),
            (0x410c_d200, false, "thumbv8m.main-none-eabi", "thumbv8m.base-none-eabi"),
            (0x410c_c601, false, "thumbv8m.base-none-eabi", "no target"),
        ] {
            let (core, advice) = check_target(cpuid, fpu, target).unwrap_err();
            assert!(advice.contains(best), "{core}: {target}: {advice}");
        }
    }

    #[test]
    fn an_older_target_runs_on_a_newer_core_and_an_unknown_core_is_trusted() {
        for (cpuid, fpu, target) in [
            (0x410f_c241, true, "thumbv7m-none-eabi"),
            (0x411f_c271, true, "thumbv7em-none-eabihf"),
            (0x410f_d213, true, "thumbv8m.base-none-eabi"),
            (0x410c_d200, false, "thumbv8m.base-none-eabi"),
            (0x410c_d200, false, "thumbv6m-none-eabi"),
            (0x4100_f000, false, "thumbv7em-none-eabihf"),
        ] {
            assert_eq!(check_target(cpuid, fpu, target), Ok(()), "{cpuid:#x} {target}");
        }
    }
}
