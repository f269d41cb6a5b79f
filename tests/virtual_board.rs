//! The link, end to end, on emulated boards: everything above the debug port is what a real board uses.

use device_bench::Op;
use device_bench::kernels::KernelSet;
use device_bench::wire::{Counter, FaultKind, Request};
use edgeslim::board::{BoardError, Cache, Link, ProbeOptions, load};
use edgeslim::firmware;
use edgeslim_tests::case::{Random, bytes, extreme_case_of, large_specs, random_case, random_case_of};
use edgeslim_tests::open;

fn loads_runs_and_answers(name: &str, kernels: &str, counter: Counter) {
    let mut link = open(name);
    assert_eq!(link.info().board, name);
    assert!(link.info().arena_bytes > 4096 && link.info().model_bytes >= 128 * 1024, "{:?}", link.info());
    let used = link.ram_used().unwrap();
    assert!(used.stack > 0 && used.stack < used.stack_size, "{name}: {used:?}");
    assert!(link.info().compiler.starts_with("rustc 1."), "{:?}", link.info());
    assert_eq!(link.info().kernels, kernels);
    // QEMU has a cycle counter of Cortex-M that stands still.
    assert_eq!(link.info().counter, Some(counter));
}

#[test]
fn the_m0_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m0", "thumb1", Counter::SysTick);
}

#[test]
fn the_m3_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m3", "thumb2", Counter::SysTick);
}

#[test]
fn the_m4_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m4", "dsp", Counter::SysTick);
}

#[test]
fn the_m7_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m7", "dsp", Counter::SysTick);
}

#[test]
fn the_m33_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-m33", "dsp", Counter::SysTick);
}

#[test]
fn the_rv32_loads_runs_and_answers() {
    loads_runs_and_answers("virtual-rv32", "portable", Counter::Mcycle);
}

#[test]
fn a_panic_a_hard_fault_and_a_used_up_stack_arrive_as_typed_faults() {
    for name in ["virtual-m0", "virtual-m4", "virtual-rv32"] {
        for wanted in [FaultKind::Panic, FaultKind::HardFault, FaultKind::StackOverflow] {
            let mut link = open(name);
            let error = link.request(&Request::Crash { kind: wanted }, |_| Some(())).unwrap_err();
            let BoardError::Fault { kind, ref location, ref registers, .. } = error else {
                panic!("{name}: {error}")
            };
            assert_eq!(kind, wanted);
            match wanted {
                FaultKind::StackOverflow => assert_eq!(location, "the end of its stack"),
                FaultKind::Panic => assert!(location.contains("main.rs:"), "{location}"),
                FaultKind::HardFault if name == "virtual-rv32" => {
                    let register = |name| registers.iter().find(|r| r.0 == name).unwrap().1;
                    assert!(
                        [register("pc"), register("ra"), register("sp")].iter().all(|&word| word >> 31 == 1)
                    );
                    assert_eq!(register("mcause"), 2, "an illegal instruction: {error}");
                    assert!(error.to_string().contains("mcause 0x"), "{error}");
                }
                FaultKind::HardFault => {
                    let register = |name| registers.iter().find(|r| r.0 == name).unwrap().1;
                    assert!(register("pc") != 0 && register("sp") != 0 && register("psr") & 0xff == 0);
                    assert!(error.to_string().contains("pc 0x"), "{error}");
                }
            }
        }
    }
}

#[test]
fn a_cache_that_does_not_come_on_is_refused() {
    // QEMU's M7 has none.
    for (name, caches, told) in
        [("virtual-m7", vec![Cache::I, Cache::D], "no i cache"), ("virtual-m0", vec![Cache::D], "no d cache")]
    {
        let mut board = load(name).unwrap();
        board.name = format!("{name}-cached");
        board.caches = caches;
        let elf = firmware::build(&board, &board.memory().unwrap()).unwrap();
        let Err(error) = Link::open(&board, &elf, &ProbeOptions::default()) else {
            panic!("{name} has a cache")
        };
        assert!(error.to_string().contains(told), "{error}");
    }
}

/// Random layers of every operator, as models of their own.
fn layers_agree_with_the_host(name: &str, n_layers: usize) {
    let mut link = open(name);
    let mut random = Random(7);
    for (i, op) in Op::ALL.into_iter().cycle().take(n_layers).enumerate() {
        let case = random_case(&mut random, op);
        let blob = case.blob();
        link.load_model(bytes(&blob)).unwrap();
        let board = link.run_model(&case.input()).unwrap();
        assert_eq!(board, case.run(&blob, KernelSet::Portable), "{name}, layer {i}: {}", case.spec);
    }
}

/// Layers in pieces and strips, and with the largest sums, of every set of kernels.
#[test]
fn large_layers_are_byte_exact_on_the_m4_m3_and_m0_builds() {
    for (name, target) in
        [("virtual-m4", None), ("virtual-m3", None), ("virtual-m3", Some("thumbv6m-none-eabi"))]
    {
        let mut board = load(name).unwrap();
        if let Some(target) = target {
            // The micro:bit has too little memory; a Cortex-M3 runs its instructions too.
            board.name = format!("{name}-{target}");
            board.target = target.to_owned();
        }
        let elf = firmware::build(&board, &board.memory().unwrap()).unwrap();
        let mut link = Link::open(&board, &elf, &ProbeOptions::default()).unwrap();
        let mut random = Random(8);
        for spec in large_specs() {
            for case in [random_case_of(&mut random, spec), extreme_case_of(&mut random, spec)] {
                let blob = case.blob();
                link.load_model(bytes(&blob)).unwrap();
                let output = link.run_model(&case.input()).unwrap();
                assert!(output == case.run(&blob, KernelSet::Portable), "{}: {spec}", board.name);
            }
        }
    }
}

#[test]
fn random_layers_are_byte_exact_on_the_dsp_build_of_the_m4() {
    layers_agree_with_the_host("virtual-m4", 1_000);
}

#[test]
fn random_layers_are_byte_exact_on_the_dsp_builds_of_the_m7_and_m33() {
    layers_agree_with_the_host("virtual-m7", 100);
    layers_agree_with_the_host("virtual-m33", 100);
}

#[test]
fn random_layers_are_byte_exact_on_the_thumb2_build_of_the_m3() {
    layers_agree_with_the_host("virtual-m3", 1_000);
}

#[test]
fn random_layers_are_byte_exact_on_the_thumb1_build_of_the_m0() {
    layers_agree_with_the_host("virtual-m0", 1_000);
}

#[test]
fn random_layers_are_byte_exact_on_the_rv32() {
    layers_agree_with_the_host("virtual-rv32", 1_000);
}
