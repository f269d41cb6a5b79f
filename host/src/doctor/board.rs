//! One board: its file, what can be built for it, and the board itself.

use super::{Check, Tell};
use crate::board::{BoardError, BoardFile, BoardInfo, Link, MemoryMap, ProbeOptions, Unit, clock, probe_of};
use crate::firmware::{self, FirmwareError};
use anyhow::Result;
use device_bench::kernels::KERNEL_REVISION;
use device_bench::wire::Counter;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Rounds of the counter's check; a tenth of a second at 4 MHz.
const N_LOOPS: u32 = 100_000;
/// Twice the loops may be off twice the ticks by so much.
const MAX_OFF: f64 = 0.01;
const MANUAL: &str = "docs/boards.md says what each key means";

/// `name` is what was typed; `lacking` is what no firmware can be built without. Every check is told, those that cannot
/// be made too.
pub(super) fn examine(
    name: &str,
    loaded: Result<BoardFile, BoardError>,
    lacking: Option<&'static str>,
    options: &ProbeOptions,
    tell: &mut Tell<'_>,
) -> Result<()> {
    let board = match loaded {
        Ok(board) => board,
        Err(error) => {
            tell(Check::of_error("board file", error, MANUAL))?;
            for name in ["chip", "memory", "set-up", "firmware", "probe"] {
                tell(Check::not_checked(name, "board file"))?;
            }
            return not_open("board file", tell);
        }
    };
    tell(Check::ok("board file", format!("{}: {}, {}", board.name, board.chip, board.core)))?;
    let memory = memory(&board, tell)?;
    tell(set_up(&board))?;
    let memory = memory.as_ref().ok_or("memory").and_then(|memory| lacking.map_or(Ok(memory), Err));
    let elf = build(name, &board, memory, tell)?;
    let probe = probe_of(&board, options);
    let found = probe.is_ok();
    tell(match probe {
        Ok(selector) => Check::ok("probe", format!("--probe {selector}")),
        Err(error) => Check::of_error("probe", error, "connect one"),
    })?;
    match elf {
        None => not_open("firmware", tell),
        Some(_) if !found => not_open("probe", tell),
        Some(elf) => open(&board, &elf, options, tell),
    }
}

/// The checks of a board that is not opened.
fn not_open(needs: &str, tell: &mut Tell<'_>) -> Result<()> {
    tell(Check::not_checked("link", needs))?;
    unanswered(tell)
}

/// The checks of a board that does not answer.
fn unanswered(tell: &mut Tell<'_>) -> Result<()> {
    ["core", "kernels", "counter", "clock"]
        .into_iter()
        .try_for_each(|name| tell(Check::not_checked(name, "link")))
}

fn memory(board: &BoardFile, tell: &mut Tell<'_>) -> Result<Option<MemoryMap>> {
    let known = || Check::ok("chip", format!("{} is known to probe-rs", board.chip));
    match board.memory() {
        Ok(map) => {
            tell(known())?;
            let place = |name: &str, range: &Range<u64>| {
                format!("{name} {:#010x} ({} KiB)", range.start, (range.end - range.start) / 1024)
            };
            let places =
                [("code", &map.code), ("model", &map.model), ("data", &map.ram)].map(|(n, r)| place(n, r));
            tell(Check::ok("memory", places.join(", ")))?;
            Ok(Some(map))
        }
        Err(error @ BoardError::Layout { .. }) => {
            tell(known())?;
            tell(Check::of_error("memory", error, "take another chip"))?;
            Ok(None)
        }
        Err(error) => {
            tell(Check::of_error("chip", error, MANUAL))?;
            tell(Check::not_checked("memory", "chip"))?;
            Ok(None)
        }
    }
}

/// What the board file says of the clock.
fn set_up(board: &BoardFile) -> Check {
    let steps = match board.setup.len() {
        0 => "none: the chip keeps what it has after reset".to_owned(),
        n_steps => format!("{n_steps} steps"),
    };
    let hz = board.core_hz.map_or(String::new(), |hz| format!(", then {hz} Hz"));
    Check::ok("set-up", steps + &hz)
}

fn build(
    name: &str,
    board: &BoardFile,
    memory: Result<&MemoryMap, &str>,
    tell: &mut Tell<'_>,
) -> Result<Option<PathBuf>> {
    let memory = match memory {
        Ok(memory) => memory,
        Err(needs) => {
            tell(Check::not_checked("firmware", needs))?;
            return Ok(None);
        }
    };
    match firmware::build(board, memory) {
        Ok(elf) => {
            let version = firmware::version().unwrap_or_default();
            tell(Check::ok("firmware", format!("{version} for {}", board.target)))?;
            Ok(Some(elf))
        }
        Err(FirmwareError::Build { stderr, .. }) => {
            let error = stderr.lines().find(|line| line.starts_with("error")).unwrap_or("cargo failed");
            let next = format!("`edgeslim boards build {name}` shows all that cargo says");
            tell(Check::failed("firmware", error, next))?;
            Ok(None)
        }
        Err(error) => {
            tell(Check::of_error("firmware", error, MANUAL))?;
            Ok(None)
        }
    }
}

fn open(board: &BoardFile, elf: &Path, options: &ProbeOptions, tell: &mut Tell<'_>) -> Result<()> {
    let mut link = match Link::open(board, elf, options) {
        Ok(link) => link,
        Err(error) => {
            tell(Check::of_error("link", error, "check cable and supply"))?;
            return unanswered(tell);
        }
    };
    let info = link.info().clone();
    tell(Check::ok("link", format!("attached, loaded and verified; {} answers", info.firmware)))?;
    tell(core(board, &info))?;
    let kernels = format!("{}, revision {}", info.kernels, info.kernel_revision);
    tell(match info.kernel_revision {
        KERNEL_REVISION => Check::ok("kernels", kernels),
        _ => Check::failed("kernels", format!("{kernels}, not {KERNEL_REVISION}"), "build edgeslim again"),
    })?;
    tell(match link.spin(N_LOOPS).and_then(|once| Ok((once, link.spin(2 * N_LOOPS)?))) {
        Ok((once, twice)) => counter(info.counter, (once, twice), board.unit),
        Err(error) => Check::of_error("counter", error, "run it again"),
    })?;
    tell(match clock::check(&mut link) {
        Ok(None) => Check::ok("clock", "none: an emulator has none"),
        Ok(Some(found)) => Check::ok("clock", format!("{found} by the host's time")),
        Err(error) => Check::of_error("clock", error, "run it again"),
    })
}

/// That the core runs the target was checked before anything was started.
fn core(board: &BoardFile, info: &BoardInfo) -> Check {
    let Some(core) = info.core(board) else {
        let register = if board.is_riscv() { "misa" } else { "CPUID" };
        return Check::ok("core", format!("{register} {:#010x} runs {}", info.cpuid, board.target));
    };
    // An F is for the floating-point unit.
    if board.core.trim_end_matches('F') == core {
        return Check::ok("core", format!("{core} runs {}", board.target));
    }
    let named = BoardFile { core: core.clone(), ..board.clone() };
    let has_option = named.target_cpu().is_some() && board.target.starts_with("thumbv8m");
    let where_dsp = if has_option { ", if its data sheet has the DSP extension" } else { "" };
    Check::warning(
        "core",
        format!("{core} runs {}; the board file says {}", board.target, board.core),
        format!("write core = \"{core}\"{where_dsp}"),
    )
}

/// Twice the loops must take twice the ticks.
fn counter(counter: Option<Counter>, (once, twice): (u64, u64), unit: Unit) -> Check {
    let name = match counter {
        Some(Counter::Dwt) => "the cycle counter",
        Some(Counter::SysTick) => "the system timer",
        Some(Counter::Mcycle) => "mcycle",
        None => "no counter",
    };
    let unit = match unit {
        Unit::Cycles => "cycles",
        Unit::Instructions | Unit::ModelledCycles => "instructions",
    };
    let ratio = twice as f64 / once as f64;
    let fact = format!("by {name} {N_LOOPS} loops take {once} {unit}, twice as many {twice}");
    // Not a number where the counter stands still.
    if (ratio / 2.0 - 1.0).abs() <= MAX_OFF {
        return Check::ok("counter", fact);
    }
    let next =
        "end the set-up with a wait, so that the clock has settled; figures of this board mean nothing";
    Check::failed("counter", fact, next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_counter_that_stands_still_or_runs_unevenly_is_refused() {
        for (once, twice, outcome) in [
            (300_012, 600_012, Outcome::Ok),
            (0, 0, Outcome::Failed),
            (300_012, 300_012, Outcome::Failed),
            (300_012, 1_200_000, Outcome::Failed),
        ] {
            let check = counter(Some(Counter::Dwt), (once, twice), Unit::Cycles);
            assert_eq!(check.outcome, outcome, "{check:?}");
        }
    }
}
