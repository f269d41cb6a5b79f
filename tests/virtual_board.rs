//! The link, end to end, on emulated boards: everything above the debug port is what a real board uses.

#[path = "../device-bench/tests/case/mod.rs"]
#[allow(dead_code, reason = "shared with the tests of device-bench, which use more of it")]
mod case;

use case::{Random, bytes, random_case};
use device_bench::Op;
use device_bench::kernels::KernelSet;
use device_bench::wire::{FaultKind, Request};
use edgeslim::board::{BoardError, BoardFile, Link, load};
use edgeslim::firmware;

fn open(board: &BoardFile) -> Link {
    let elf = firmware::build(board, &board.memory().unwrap()).unwrap();
    Link::open(board, &elf).unwrap()
}

fn loads_runs_and_answers(name: &str) {
    let mut link = open(&load(name).unwrap());
    assert_eq!(link.info().board, name);
    assert!(link.info().arena_bytes > 4096 && link.info().model_bytes >= 128 * 1024, "{:?}", link.info());
    let (used, size) = link.stack_used().unwrap();
    assert!(used > 0 && used < size, "{name}: {used} of {size}");
}

#[test]
fn the_m0_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m0");
}

#[test]
fn the_m3_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m3");
}

#[test]
fn the_m4_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m4");
}

#[test]
fn the_m7_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m7");
}

#[test]
fn the_m33_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m33");
}

#[test]
fn a_panic_and_a_hard_fault_arrive_as_typed_faults() {
    for name in ["virtual-m0", "virtual-m4"] {
        for wanted in [FaultKind::Panic, FaultKind::HardFault] {
            let mut link = open(&load(name).unwrap());
            let error = link.request(&Request::Crash { kind: wanted }, |_| ()).unwrap_err();
            let BoardError::Fault { kind, ref location, pc, .. } = error else { panic!("{name}: {error}") };
            assert_eq!(kind, wanted);
            match wanted {
                FaultKind::Panic => assert!(location.contains("main.rs:"), "{location}"),
                FaultKind::HardFault => assert_ne!(pc, 0),
            }
        }
    }
}

/// Random layers of every operator with one input, as models of their own.
fn layers_agree_with_the_host(name: &str, n_layers: u64) {
    let mut link = open(&load(name).unwrap());
    let mut random = Random(7);
    for i in 0..n_layers {
        for op in Op::ALL.into_iter().filter(|&op| op != Op::Add) {
            let case = random_case(&mut random, op);
            let blob = case.blob();
            link.load_model(bytes(&blob)).unwrap();
            let board = link.run_model(&case.inputs[0]).unwrap();
            assert_eq!(board, case.run(&blob, KernelSet::Portable), "{name}, layer {i}: {}", case.spec);
        }
    }
}

#[test]
fn random_layers_are_byte_exact_on_the_dsp_build_of_the_m4() {
    layers_agree_with_the_host("virtual-m4", 60);
}

#[test]
fn random_layers_are_byte_exact_on_the_portable_build_of_the_m3() {
    layers_agree_with_the_host("virtual-m3", 60);
}
