//! Timing, end to end, on emulated boards: their unit is the instruction, which is exact.

use device_bench::bench::{self, Clock, Plan};
use device_bench::kernels::KernelSet;
use device_bench::model::Model;
use device_bench::quant::Clamp;
use device_bench::wire::Refusal;
use device_bench::{LayerSpec, Op, Padding};
use edgeslim::board::{BoardError, LayerPlan, clock};
use edgeslim_tests::case::{Case, Random, bytes, random_case_of};
use edgeslim_tests::{chain, open};

const BOARDS: [&str; 6] =
    ["virtual-m0", "virtual-m3", "virtual-m4", "virtual-m7", "virtual-m33", "virtual-rv32"];
const PLAN: LayerPlan = LayerPlan { warmups: 1, samples: 5, seed: 3 };

fn conv(c_in: u16, c_out: u16) -> LayerSpec {
    LayerSpec::conv(14, 14, c_in, c_out, 3, 1, Padding::all(1))
}

/// Far from `expected` by at most `tolerance` of it.
fn is_near(found: u64, expected: u64, tolerance: f64) -> bool {
    (found as f64 - expected as f64).abs() <= tolerance * expected as f64
}

#[test]
fn a_loop_of_known_length_takes_exactly_its_instructions() {
    for name in BOARDS {
        let mut link = open(name);
        for n_loops in [1, 2, 3, 5, 7, 100, 99_999, 30_000_000] {
            assert_eq!(link.spin(n_loops).unwrap(), 2 * u64::from(n_loops), "{name}, {n_loops} rounds");
        }
    }
}

#[test]
fn the_clock_of_an_emulated_board_is_measured_when_asked_for_and_not_judged() {
    let mut link = open("virtual-m4");
    // Emulated instructions a second of the host: whatever they are, there are some.
    let emulator = clock::measure(&mut link).unwrap();
    assert!(emulator.core_hz > 1_000_000, "{emulator}");
    assert_eq!(clock::check(&mut link).unwrap(), None);
}

#[test]
fn a_layer_timed_twice_and_by_a_fresh_process_takes_the_same() {
    for name in ["virtual-m0", "virtual-m4", "virtual-rv32"] {
        let spec = LayerSpec::depthwise(14, 14, 8, 3, 2, Padding::all(1));
        let mut link = open(name);
        let first = link.time_layer(&spec, &PLAN).unwrap();
        assert_eq!((first.samples.len(), first.n_calls), (5, 1));
        assert!(first.samples.iter().all(|&s| s == first.samples[0] && s > 10_000), "{first:?}");
        assert_eq!(link.time_layer(&spec, &PLAN).unwrap(), first, "{name}");
        assert_eq!(open(name).time_layer(&spec, &PLAN).unwrap(), first, "{name}, fresh");
    }
}

#[test]
fn a_window_longer_than_the_timer_is_as_exact_as_a_short_one() {
    let mut link = open("virtual-m4");
    let spec = conv(16, 16);
    let mut plan = Plan { n_warmups: 1, n_samples: 1, min_sample_ticks: 0 };
    let one = link.time_layer_by(&spec, plan, 3).unwrap();
    plan.min_sample_ticks = 60_000_000;
    let many = link.time_layer_by(&spec, plan, 3).unwrap();
    assert!(many.n_calls > 10 && many.samples[0] > 3 << 24, "{many:?}");
    let expected = u64::from(many.n_calls) * one.samples[0];
    assert!(many.samples[0].abs_diff(expected) <= 2, "{many:?} is not {} times {one:?}", many.n_calls);
}

#[test]
fn twice_the_channels_take_about_twice_as_long() {
    for name in ["virtual-m3", "virtual-m4", "virtual-m33", "virtual-rv32"] {
        let mut link = open(name);
        let mut time = |spec| link.time_layer(&spec, &PLAN).unwrap().samples[0];
        let (half, whole) = (time(conv(32, 32)), time(conv(32, 64)));
        assert!(is_near(whole, 2 * half, 0.1), "{name}: {half} and {whole}");
    }
}

#[test]
fn a_layer_is_timed_on_the_output_that_the_host_computes() {
    struct Still;
    impl Clock for Still {
        fn restart(&mut self) {}
        fn read(&mut self) -> u64 {
            0
        }
    }
    let mut random = Random(11);
    for name in ["virtual-m0", "virtual-m4", "virtual-m33", "virtual-rv32"] {
        let mut link = open(name);
        let blob = random_case_of(&mut random, LayerSpec::linear(400, 10)).blob();
        link.load_model(bytes(&blob)).unwrap();
        let max_pool = LayerSpec { op: Op::MaxPool, ..LayerSpec::depthwise(9, 9, 7, 2, 2, Padding::NONE) };
        let others = [
            conv(6, 9).grouped(3),
            LayerSpec::concat(9, 9, 4, 7),
            LayerSpec::select(9, 9, 8, 5),
            LayerSpec::scale(9, 9, 7),
            LayerSpec::lookup(9, 9, 7),
        ];
        let usual = [conv(6, 9), LayerSpec::linear(300, 5), LayerSpec::add(9, 9, 7), max_pool];
        for spec in usual.into_iter().chain(others) {
            let board = link.time_layer(&spec, &PLAN).unwrap();
            let mut memory = vec![0u32; bench::layer_memory_bytes(&spec).div_ceil(4)];
            let (_, crc) = bench::time_layer(
                &spec,
                KernelSet::Portable,
                edgeslim_tests::case::bytes_mut(&mut memory),
                bytes(&blob),
                PLAN.seed,
                &mut Still,
                &Plan { n_warmups: 1, n_samples: 1, min_sample_ticks: 0 },
                &mut [0],
            )
            .unwrap();
            assert_eq!(board.crc, crc, "{name}: {spec}");
        }
    }
}

#[test]
fn a_layer_too_large_for_the_board_is_refused_with_the_bytes() {
    let mut link = open("virtual-m0");
    let arena = link.info().arena_bytes;
    let large = conv(64, 64);
    let error = link.time_layer(&large, &PLAN).unwrap_err();
    let BoardError::Refused { reason: Refusal::Memory { needed, available }, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((needed as usize, available), (bench::layer_memory_bytes(&large), arena));
    assert!(error.to_string().contains(&format!("{needed} bytes are needed and {arena} available")));

    let heavy = LayerSpec::linear(1000, 1000);
    let error = link.time_layer(&heavy, &PLAN).unwrap_err();
    let weights = Refusal::Weights { needed: 1_000_000, available: link.info().model_bytes };
    assert!(matches!(error, BoardError::Refused { reason, .. } if reason == weights), "{error}");
}

/// Convolutions and pools as in a small network.
fn network(random: &mut Random) -> Vec<Case> {
    let max_pool = LayerSpec { op: Op::MaxPool, ..LayerSpec::depthwise(28, 28, 16, 2, 2, Padding::NONE) };
    let specs = [
        LayerSpec::conv(28, 28, 1, 16, 3, 1, Padding::all(1)),
        max_pool,
        LayerSpec::depthwise(14, 14, 16, 3, 1, Padding::all(1)),
        LayerSpec::conv(14, 14, 16, 32, 1, 1, Padding::NONE),
        LayerSpec::conv(14, 14, 32, 32, 3, 1, Padding::all(1)),
        LayerSpec::conv(14, 14, 32, 48, 3, 2, Padding::all(1)),
        LayerSpec::global_avg_pool(7, 7, 48),
        LayerSpec::linear(48, 10),
    ];
    specs.into_iter().map(|spec| usual_case_of(random, spec)).collect()
}

/// A layer with scales and a clamp as trained ones have: what a layer takes is told for those.
fn usual_case_of(random: &mut Random, spec: LayerSpec) -> Case {
    let mut case = random_case_of(random, spec);
    case.clamp = Clamp::FULL;
    case.requant.iter_mut().for_each(|requant| requant.shift = -9);
    case
}

/// A search takes a channel away because that costs less; it must not cost more.
#[test]
fn another_channel_never_makes_a_layer_cheaper_by_more_than_three_percent() {
    type Shape = fn(u16) -> LayerSpec;
    let layers: [(&str, u16, Shape); 8] = [
        ("pointwise, inputs", 1, |c| LayerSpec::conv(9, 9, c, 24, 1, 1, Padding::NONE)),
        ("pointwise, outputs", 1, |c| LayerSpec::conv(9, 9, 24, c, 1, 1, Padding::NONE)),
        ("3 x 3, inputs", 1, |c| LayerSpec::conv(9, 9, c, 24, 3, 1, Padding::all(1))),
        ("3 x 3, outputs", 1, |c| LayerSpec::conv(9, 9, 24, c, 3, 1, Padding::all(1))),
        ("depthwise", 1, |c| LayerSpec::depthwise(9, 9, c, 3, 1, Padding::all(1))),
        ("depthwise, stride 2", 1, |c| LayerSpec::depthwise(12, 12, c, 3, 2, Padding::all(1))),
        ("depthwise, 5 x 5", 4, |c| LayerSpec::depthwise(9, 9, c, 5, 1, Padding::all(2))),
        ("linear", 1, |c| LayerSpec::linear(c, 24)),
    ];
    for name in ["virtual-m3", "virtual-m4"] {
        let mut link = open(name);
        for (what, first, layer) in layers {
            let first = if name == "virtual-m3" { 1 } else { first };
            let mut time = |c| link.time_layer(&layer(c), &PLAN).unwrap().samples[0];
            let times: Vec<u64> = (first..=40).map(&mut time).collect();
            for (c, pair) in (first..).zip(times.windows(2)) {
                let falls = 1.0 - pair[1] as f64 / pair[0] as f64;
                assert!(falls < 0.03, "{name}, {what}: {} channels take {}, {c} {}", c + 1, pair[1], pair[0]);
            }
        }
    }
}

#[test]
fn depthwise_layers_of_fewer_channels_than_four_cost_no_more_than_those_of_four() {
    for name in ["virtual-m0", "virtual-m3"] {
        let mut link = open(name);
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            let layer = |c| LayerSpec::depthwise(12, 12, c, kernel, stride, Padding::all(kernel / 2));
            let times = [1, 2, 3, 4].map(|c| link.time_layer(&layer(c), &PLAN).unwrap().samples[0]);
            assert!(times.is_sorted(), "{name}, {kernel} x {kernel}, stride {stride}: {times:?}");
        }
    }
}

/// Such a channel is computed apart. A network has it where batch norm saw no variance, and a price cannot tell.
#[test]
fn one_channel_with_a_scale_of_a_half_or_more_costs_less_than_a_few_others() {
    let depthwise = |c, kernel| LayerSpec::depthwise(10, 10, c, kernel, 1, Padding::all(kernel / 2));
    for (name, few) in [("virtual-m0", 5), ("virtual-m3", 6), ("virtual-m4", 14), ("virtual-m33", 14)] {
        let mut link = open(name);
        let mut time = |case: &Case| {
            link.load_model(bytes(&case.blob())).unwrap();
            link.time_model().unwrap().layers[0]
        };
        for layer in
            [depthwise(16, 3), depthwise(16, 5), LayerSpec::conv(10, 10, 16, 16, 1, 1, Padding::NONE)]
        {
            let mut case = usual_case_of(&mut Random(6), layer);
            let usual = time(&case);
            case.requant[5].shift = 2;
            let slow = time(&case);
            let channel = usual / 16;
            assert!(slow < usual + few * channel, "{name}, {layer}: {usual}, with a slow channel {slow}");
        }
    }
}

#[test]
fn the_layers_of_a_model_sum_up_to_the_whole() {
    for name in ["virtual-m3", "virtual-m4", "virtual-m7", "virtual-m33", "virtual-rv32"] {
        let cases = network(&mut Random(5));
        let mut link = open(name);
        link.load_model(bytes(&chain(&cases))).unwrap();
        let timing = link.time_model().unwrap();
        assert_eq!(timing, link.time_model().unwrap(), "{name}: timed twice");
        assert_eq!(timing.layers.len(), cases.len());
        let sum: u64 = timing.layers.iter().sum();
        assert!(sum <= timing.whole && is_near(sum, timing.whole, 0.001), "{name}: {sum}, {timing:?}");

        let alone = cases.iter().map(|case| link.time_layer(&case.spec, &PLAN).unwrap().samples[0]);
        let alone: Vec<u64> = alone.collect();
        let sum: u64 = alone.iter().sum();
        assert!(is_near(sum, timing.whole, 0.001), "{name}: {sum}, {alone:?}, {timing:?}");
        let error = link.time_model().unwrap_err();
        assert!(matches!(error, BoardError::Refused { reason: Refusal::NoModel, .. }), "{error}");
    }
}

#[test]
fn modelled_cycles_of_layers_sum_up_to_those_of_the_model_and_repeat() {
    for name in ["virtual-m3-modelled", "virtual-m4-modelled", "virtual-m7-modelled", "virtual-m33-modelled"]
    {
        let cases = network(&mut Random(5));
        let mut link = open(name);
        link.load_model(bytes(&chain(&cases))).unwrap();
        let timing = link.time_model().unwrap();
        // A branch may have been predicted another way.
        let again = link.time_model().unwrap();
        let pairs = timing.layers.iter().zip(&again.layers).chain([(&timing.whole, &again.whole)]);
        assert!(pairs.into_iter().all(|(a, b)| a.abs_diff(*b) <= 16), "{name}: {timing:?}, {again:?}");
        let sum: u64 = timing.layers.iter().sum();
        assert!(
            timing.layers.len() == cases.len() && is_near(sum, timing.whole, 0.001),
            "{name}: {timing:?}"
        );

        let mut alone = 0;
        for case in &cases {
            let layer = link.time_layer(&case.spec, &PLAN).unwrap();
            assert_eq!((layer.samples.len(), layer.instructions.len()), (5, 5));
            assert!(layer.samples.iter().all(|&s| s == layer.samples[0] && s != layer.instructions[0]));
            alone += layer.samples[0];
        }
        assert!(is_near(alone, timing.whole, 0.001), "{name}: {alone}, {timing:?}");
        // What is timed is what the board counts by itself, in the other unit.
        let same = link.time_layer(&cases[2].spec, &PLAN).unwrap().instructions;
        let counting = open(name.trim_end_matches("-modelled")).time_layer(&cases[2].spec, &PLAN).unwrap();
        assert_eq!(same, counting.samples, "{name}");
    }
}

#[test]
fn a_cortex_m7_takes_fewer_modelled_cycles_than_instructions_and_a_cortex_m4_more() {
    let cycles_per_instruction = |name| {
        let timing = open(name).time_layer(&conv(32, 32), &PLAN).unwrap();
        timing.samples[0] as f64 / timing.instructions[0] as f64
    };
    let [m4, m7] = ["virtual-m4-modelled", "virtual-m7-modelled"].map(cycles_per_instruction);
    assert!(m4 > 1.2 && m4 < 2.0, "{m4}");
    assert!(m7 > 0.5 && m7 < 1.0, "{m7}");
}

#[test]
fn a_model_of_more_layers_than_a_page_is_timed_whole() {
    let pool = LayerSpec { op: Op::AvgPool, ..LayerSpec::depthwise(6, 6, 4, 1, 1, Padding::NONE) };
    let cases: Vec<Case> = (0..150).map(|_| random_case_of(&mut Random(8), pool)).collect();
    let mut link = open("virtual-m0");
    link.load_model(bytes(&chain(&cases))).unwrap();
    let timing = link.time_model().unwrap();
    assert_eq!(timing.layers.len(), 150);
    assert!(timing.layers.iter().all(|&layer| layer == timing.layers[0] && layer > 0), "{timing:?}");
}

#[test]
fn a_run_uses_no_more_of_the_arena_than_the_model_says() {
    for name in ["virtual-m0", "virtual-m4"] {
        let mut link = open(name);
        let mut random = Random(9);
        let layers = [LayerSpec::conv(6, 6, 12, 8, 3, 1, Padding::all(1)), LayerSpec::linear(288, 40)];
        let cases = layers.map(|spec| random_case_of(&mut random, spec));
        let blob = chain(&cases);
        let arena_bytes = Model::parse(bytes(&blob)).unwrap().arena_bytes() as u32;
        link.load_model(bytes(&blob)).unwrap();
        assert_eq!(link.ram_used().unwrap().arena, 0, "{name}: painted");
        link.run_model(&cases[0].inputs[0]).unwrap();
        let used = link.ram_used().unwrap();
        assert!(
            used.arena > arena_bytes / 2 && used.arena <= arena_bytes,
            "{name}: {used:?} of {arena_bytes}"
        );
        assert!(used.stack < used.stack_size * 3 / 4, "{name}: {used:?}");
    }
}
