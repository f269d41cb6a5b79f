//! `edgeslim doctor` through the command line.

mod command;

use command::{Run, json};
use serde_json::Value;
use std::fs;

const MACHINE: [&str; 4] = ["cargo", "rustc", "targets", "qemu"];
const BOARD: [&str; 11] = [
    "board file",
    "chip",
    "memory",
    "set-up",
    "firmware",
    "probe",
    "link",
    "core",
    "kernels",
    "counter",
    "clock",
];

/// The checks of a board, by `--json`; whether they fail is told by the exit status.
fn examine(run: &Run, board: &str, passes: bool) -> Vec<Value> {
    // A probe that happens to be attached where the tests run is left alone.
    let nowhere = ["--probe", "0483:374b:none"];
    let probe: &[&str] = if board.starts_with("nucleo") { &nowhere } else { &[] };
    let (passed, printed, said) = run.attempt(&[&["doctor", "--json", "--board", board], probe].concat());
    assert_eq!(passed, passes, "{printed}{said}");
    assert_eq!(said.contains("checks failed"), !passes, "{said}");
    let checks = json(&printed).as_array().unwrap().clone();
    for check in &checks {
        let told = [&check["name"], &check["fact"]].iter().all(|text| !text.as_str().unwrap().is_empty());
        let expected = matches!(check["outcome"].as_str(), Some("warning" | "failed"));
        assert!(told && check["next"].is_string() == expected, "{check}");
    }
    checks
}

fn outcome<'a>(checks: &'a [Value], name: &str) -> &'a str {
    let check = checks.iter().find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no {name} in {checks:?}"))["outcome"].as_str().unwrap()
}

fn told<'a>(checks: &'a [Value], name: &str, key: &str) -> &'a str {
    checks.iter().find(|check| check["name"] == name).unwrap()[key].as_str().unwrap()
}

#[test]
fn of_a_virtual_board_everything_is_checked_and_found_well() {
    let run = Run::small();
    for (board, core, counter) in
        [("virtual-m4", "Cortex-M4", "the system timer"), ("virtual-rv32", "RV32IMC", "mcycle")]
    {
        let checks = examine(&run, board, true);
        let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
        assert_eq!(names, [&MACHINE[..], &BOARD[..]].concat());
        for check in &checks {
            assert_eq!(check["outcome"], "ok", "{check}");
        }
        assert!(told(&checks, "core", "fact").starts_with(core), "{checks:?}");
        assert!(told(&checks, "counter", "fact").contains(counter), "{checks:?}");
        assert!(told(&checks, "counter", "fact").contains("200000 instructions"), "{checks:?}");
        // A line each for people.
        let lines = run.edgeslim(&["doctor", "--board", board]);
        assert_eq!(lines.lines().count(), checks.len(), "{lines}");
        assert!(lines.lines().all(|line| line.starts_with("ok ")), "{lines}");
    }
}

#[test]
fn without_a_board_the_machine_is_checked() {
    let checks = json(&Run::small().edgeslim(&["doctor", "--json"]));
    let checks = checks.as_array().unwrap();
    for name in ["cargo", "rustc", "targets", "qemu"] {
        assert_eq!(outcome(checks, name), "ok", "{checks:?}");
    }
    assert!(!outcome(checks, "probes").is_empty());
}

#[test]
fn without_a_toolchain_the_board_file_is_checked_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_edgeslim"));
    let doctor = doctor.args(["doctor", "--json", "--board", "virtual-m4"]).env_remove("RUSTC");
    let output = doctor.env("PATH", folder.path()).output().unwrap();
    assert!(!output.status.success());
    let checks = json(&String::from_utf8(output.stdout).unwrap()).as_array().unwrap().clone();
    for name in ["cargo", "rustc", "qemu"] {
        assert_eq!(outcome(&checks, name), "failed", "{name}");
    }
    assert!(told(&checks, "rustc", "next").contains("rustup"), "{checks:?}");
    assert!(told(&checks, "qemu", "next").contains("qemu-system-arm"), "{checks:?}");
    assert_eq!((outcome(&checks, "targets"), outcome(&checks, "memory")), ("not_checked", "ok"));
    assert_eq!(told(&checks, "firmware", "fact"), "needs: cargo");
}

#[test]
fn an_unknown_board_fails_and_leaves_the_rest_unchecked() {
    let checks = examine(&Run::small(), "virtul-m4", false);
    assert_eq!(outcome(&checks, "board file"), "failed");
    assert!(told(&checks, "board file", "fact").contains("virtual-m4"), "{checks:?}");
    for name in &BOARD[1..] {
        assert_eq!(outcome(&checks, name), "not_checked", "{name}");
    }
}

/// A board file of virtual-m4 with some text replaced.
fn altered(run: &Run, from: &str, to: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../device-bench/boards/virtual-m4.toml");
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(run.path("desk.toml"), text.replace(from, to)).unwrap();
    run.path("desk.toml").to_str().unwrap().to_owned()
}

#[test]
fn a_chip_that_probe_rs_does_not_know_stops_the_firmware_and_not_the_probe() {
    let run = Run::small();
    let checks = examine(&run, &altered(&run, "chip = \"virtual-mps2-an386\"", "chip = \"STM32X\""), false);
    assert_eq!(outcome(&checks, "chip"), "failed");
    assert!(told(&checks, "chip", "fact").contains("STM32X"), "{checks:?}");
    for (name, wanted) in [("probe", "ok"), ("memory", "not_checked"), ("firmware", "not_checked")] {
        assert_eq!(outcome(&checks, name), wanted, "{name}");
    }
    assert_eq!(told(&checks, "link", "fact"), "needs: firmware");
}

#[test]
fn a_board_on_usb_without_a_probe_is_built_for_and_not_opened() {
    let run = Run::small();
    let checks = examine(&run, "nucleo-f446re", false);
    assert_eq!(outcome(&checks, "firmware"), "ok");
    assert_eq!(outcome(&checks, "probe"), "failed");
    assert!(told(&checks, "probe", "next").contains("cable"), "{checks:?}");
    assert!(told(&checks, "set-up", "fact").ends_with(" steps, then 180000000 Hz"), "{checks:?}");
    assert_eq!(outcome(&checks, "counter"), "not_checked");
}

#[test]
fn firmware_that_the_core_cannot_run_is_told_where_the_board_is_opened() {
    let run = Run::small();
    let checks = examine(&run, &altered(&run, "thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf"), false);
    assert_eq!(outcome(&checks, "link"), "failed");
    assert_eq!(told(&checks, "link", "next"), "write target = \"thumbv7em-none-eabihf\" in the board file");
}
