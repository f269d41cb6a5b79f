//! What the core says of itself, before anything runs on it.

use super::{BoardError, BoardFile};
use probe_rs::{Core, MemoryInterface as _, RegisterId};

const CPUID: u64 = 0xE000_ED00;
/// Media and floating-point feature register: 0 without a floating-point unit.
const MVFR0: u64 = 0xE000_EF40;
const VTOR: u64 = 0xE000_ED08;
/// Width and extensions of a RISC-V core.
const MISA: RegisterId = RegisterId(0x301);

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
    if board.is_riscv() {
        let error = super::link::failed(&board.name, "reading misa");
        let misa = core.read_core_reg::<u32>(MISA).map_err(|e| error(e.into()))?;
        return check_isa(misa, &board.target).map_err(|(core, advice)| BoardError::Core {
            board: board.name.clone(),
            core,
            target: board.target.clone(),
            advice,
        });
    }
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

/// The name of what `misa` tells, such as `RV32IMC`; none if it tells nothing (Privileged Architecture, 3.1.1).
pub(super) fn isa(misa: u32) -> Option<String> {
    // In the order of the naming conventions; the other letters are no extensions of code.
    let letters = "IEMAFDCV".chars().filter(|letter| has(misa, *letter));
    (misa != 0).then(|| "RV32".chars().chain(letters).collect())
}

fn has(misa: u32, letter: char) -> bool {
    misa >> (letter as u32 - 'A' as u32) & 1 == 1
}

/// As [`check_target`], of a RISC-V core by its `misa`; one that tells nothing is trusted.
fn check_isa(misa: u32, target: &str) -> Result<(), (String, String)> {
    let Some(name) = isa(misa) else { return Ok(()) };
    let triple = target.split('-').next().unwrap_or_default();
    let runs = |letters: &str| letters.to_uppercase().chars().all(|letter| has(misa, letter));
    let Some(letters) = triple.strip_prefix("riscv32") else {
        return Err((name, format!("{triple} is no target for it")));
    };
    if runs(letters) {
        return Ok(());
    }
    let best = ["imac", "imc", "im", "i"].into_iter().find(|letters| runs(letters));
    let advice = best.map_or("there is no firmware for it".to_owned(), |letters| {
        format!("write target = \"riscv32{letters}-unknown-none-elf\" in the board file")
    });
    Err((name, advice))
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

    /// `misa` of a 32-bit core with these extensions.
    fn misa(letters: &str) -> u32 {
        letters.chars().fold(1 << 30, |misa, letter| misa | 1 << (letter as u32 - 'A' as u32))
    }

    #[test]
    fn a_risc_v_core_runs_what_needs_no_other_extensions() {
        let target = "riscv32imc-unknown-none-elf";
        for letters in ["IMC", "IMCU", "IMACUX", "IMAFDC"] {
            assert_eq!(check_isa(misa(letters), target), Ok(()), "{letters}");
        }
        assert_eq!(check_isa(0, target), Ok(()));
        for (letters, target, name, told) in [
            ("EC", target, "RV32EC", "no firmware"),
            ("IMU", target, "RV32IM", "riscv32im-unknown"),
            ("IMCU", "riscv32imac-unknown-none-elf", "RV32IMC", "riscv32imc-unknown"),
            ("IMCU", "thumbv6m-none-eabi", "RV32IMC", "no target"),
        ] {
            let (core, advice) = check_isa(misa(letters), target).unwrap_err();
            assert!(core == name && advice.contains(told), "{letters}: {core}: {advice}");
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
