//! What has nothing to do with one board: the toolchain, QEMU, the probes.

use super::{Check, Outcome, Tell};
use crate::board::{AttachedProbe, BoardFile, ProbeKind, attached_probes, embedded};
use crate::firmware;
use anyhow::Result;
use std::collections::BTreeSet;
use std::process::Command;
use virtual_board::{Emulator, Machine};

const RUST: &str = "install Rust from https://rustup.rs";

/// Looks at what `board` needs, or any board. The first check that no firmware can be built without and that failed.
pub(super) fn examine(board: Option<&BoardFile>, tell: &mut Tell<'_>) -> Result<Option<&'static str>> {
    let rustc = version("rustc", &firmware::rustc());
    let targets = match rustc.outcome {
        Outcome::Ok => targets(board),
        _ => Check::not_checked("targets", "rustc"),
    };
    let toolchain = [version("cargo", "cargo"), rustc, targets];
    let lacking = toolchain.iter().find(|check| check.outcome == Outcome::Failed).map(|check| check.name);
    toolchain.into_iter().try_for_each(&mut *tell)?;
    match board.map(|board| board.probe) {
        Some(ProbeKind::Virtual) => tell(qemu(&emulators(board), Outcome::Failed))?,
        // Whether it is the right one is a check of the board.
        Some(ProbeKind::Usb) => probes(&attached_probes(), tell)?,
        None => {
            tell(qemu(&Emulator::ALL, Outcome::Warning))?;
            probes(&attached_probes(), tell)?;
        }
    }
    Ok(lacking)
}

fn version(name: &'static str, command: &str) -> Check {
    match Command::new(command).arg("--version").output() {
        Ok(output) if output.status.success() => {
            Check::ok(name, String::from_utf8_lossy(&output.stdout).trim())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or_default();
            Check::failed(name, format!("`{command} --version` fails: {said}"), RUST)
        }
        Err(error) => Check::failed(name, format!("{command}: {error}"), RUST),
    }
}

/// Without a board, those of all boards: none of them is needed for certain.
fn targets(board: Option<&BoardFile>) -> Check {
    const NAME: &str = "targets";
    let boards = board.map_or_else(embedded, |board| vec![board.clone()]);
    let targets: BTreeSet<&str> = boards.iter().map(|board| board.target.as_str()).collect();
    let (there, missing): (Vec<&str>, Vec<&str>) =
        targets.into_iter().partition(|target| !firmware::compiler(target).is_empty());
    if missing.is_empty() {
        return Check::ok(NAME, format!("{} installed", there.join(", ")));
    }
    let outcome = if board.is_some() { Outcome::Failed } else { Outcome::Warning };
    let (fact, next) =
        (format!("{} not installed", missing.join(", ")), format!("rustup target add {}", missing.join(" ")));
    Check { name: NAME, outcome, fact, next: Some(next) }
}

/// What emulates a virtual board; all there is, if its machine is unknown.
fn emulators(board: Option<&BoardFile>) -> Vec<Emulator> {
    let machine = board.and_then(|board| Machine::named(board.machine.as_deref()?));
    machine.map_or(Emulator::ALL.to_vec(), |machine| vec![machine.emulator])
}

/// `outcome` is that of a QEMU that is missing or too old; the first such is told.
fn qemu(emulators: &[Emulator], outcome: Outcome) -> Check {
    let mut found = Vec::new();
    for &emulator in emulators {
        match virtual_board::version(emulator) {
            Ok((major, minor)) => found.push(format!("{} {major}.{minor}", emulator.program())),
            Err(error) => {
                let next = format!("install {}; only virtual boards need it", emulator.package());
                return Check { outcome, ..Check::of_error("qemu", error, &next) };
            }
        }
    }
    Check::ok("qemu", found.join(", "))
}

fn probes(attached: &[AttachedProbe], tell: &mut Tell<'_>) -> Result<()> {
    if attached.is_empty() {
        let next = "connect one for a real board; virtual boards need none";
        return tell(Check::warning("probes", "no debug probe is attached", next));
    }
    for probe in attached {
        tell(match probe.permitted {
            true => Check::ok("probes", probe.to_string()),
            false => Check::warning("probes", format!("no permission to open {probe}"), crate::board::UNLOCK),
        })?;
    }
    Ok(())
}
