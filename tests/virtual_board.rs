//! The link, end to end, on emulated boards: everything above the debug port is what a real board uses.

use candle_core::{Device, Tensor};
use device_bench::Op;
use device_bench::kernels::KernelSet;
use device_bench::wire::{Counter, FaultKind, Request};
use edgeslim::board::{BoardError, Cache, Link, ProbeOptions, load};
use edgeslim::engine::{CpuEngine, Engine as _, Params};
use edgeslim::firmware;
use edgeslim::memory::plan;
use edgeslim::network::zoo::{self, Task, ZooOptions};
use edgeslim::network::{Channels, Unit, lower};
use edgeslim::quantize::{encode, fold, quantize, run_host};
use edgeslim::train::recalibrate;
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

/// A subnet of every network for small images, quantised with weights that nobody trained.
#[test]
fn subnets_of_the_zoo_are_byte_exact_on_the_m4() {
    let mut link = open("virtual-m4");
    for (salt, name) in zoo::NAMES.into_iter().filter(|name| !name.ends_with("-imagenet")).enumerate() {
        let Task { input, classes, .. } = Task::of(name);
        let options = ZooOptions { bin_multiple: 2, ..ZooOptions::default() };
        let graph = zoo::network(name, input, classes, options).unwrap();
        // Mostly small ones: the board has 256 KiB for a model.
        let pick = |(i, unit): (usize, &Unit)| unit.bins[(i + salt) % 3 % unit.bins.len()];
        let channels = Channels(graph.units.iter().enumerate().map(pick).collect());
        let engine = CpuEngine::new(graph.clone(), Params::new(&graph, 1, &Device::Cpu).unwrap(), 1).unwrap();
        let mut random = Random(salt as u64);
        let n_values = input.h * input.w * input.c;
        let images: Vec<f32> =
            (0..4 * n_values).map(|_| random.within(-2000, 2000) as f32 / 1000.0).collect();
        let batch = Tensor::from_slice(&images, (4, input.h, input.w, input.c), &Device::Cpu).unwrap();
        recalibrate(&engine, &channels, [Ok(batch)]).unwrap();
        let folded = fold(&graph, &channels, engine.params(), &engine.statistics()).unwrap();
        let observed = folded.calibrate(images.chunks(n_values), 0.0).unwrap();
        let int8 = quantize(&folded, &observed).unwrap();
        let blob = encode(&int8, &plan(&lower(&graph, &channels).unwrap()).layout).unwrap();
        link.load_model(blob.bytes()).unwrap();
        let image = int8.quantize_image(&images[..n_values]);
        let host = run_host(blob.bytes(), [image.as_slice()]).unwrap();
        assert!(host[0].iter().any(|logit| *logit != host[0][0]), "{name}: {host:?}");
        assert_eq!(link.run_model(&image).unwrap(), host[0], "{name}");
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
