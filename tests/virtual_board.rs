//! The link, end to end, on emulated boards: everything above the debug port is what a real board uses.

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
fn a_panic_and_a_hard_fault_arrive_as_typed_faults() {
    for name in ["virtual-m0"] {
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
