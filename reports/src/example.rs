//! A made-up run, for tests and the `draw` example; no number of it was measured.

use device_bench::layer::{LayerSpec, Padding};

use crate::record::{
    Budget, CandidateRecord, EpochRecord, LayerRecord, Provenance, Resource, RunRecord, SeedResult,
    TrainingRecord,
};

const FULL: [usize; 8] = [16, 32, 32, 64, 64, 128, 128, 256];

/// A made-up run of an emulated board: 18 candidates of five strategies on a network of eight units.
pub fn run() -> RunRecord {
    let mut candidates = vec![candidate("full", "full", [100; 8], 0.912)];
    for (percent, accuracy) in [(75, 0.899), (50, 0.873), (25, 0.801)] {
        candidates.push(candidate(&format!("uniform {percent} %"), "uniform", [percent; 8], accuracy));
    }
    let searched = [
        ("75 %", [50, 50, 75, 75, 75, 88, 88, 62], 0.908, 0.904),
        ("50 %", [50, 38, 50, 50, 62, 62, 75, 50], 0.894, 0.886),
        ("25 %", [25, 25, 25, 38, 25, 38, 50, 38], 0.852, 0.831),
    ];
    for (budget, percents, ours, flops) in searched {
        candidates.push(candidate(&format!("latency {budget}"), "autoslim", percents, ours));
        candidates.push(candidate(&format!("MACs {budget}"), "flops", percents.map(|p| p + 3), flops));
    }
    for i in 0..8 {
        let percents = std::array::from_fn(|u| 25 + (i * 37 + u * 53) % 70);
        candidates.push(candidate(&format!("random {i}"), "random", percents, 0.79 + 0.012 * i as f64));
    }
    let trainings = vec![training("supernet", 30, 0.86), training("retrain latency 50 %", 20, 0.89)];
    RunRecord { provenance: provenance(), trainings, candidates, rounds: Vec::new() }
}

/// Accuracy of one seed.
pub fn seed(seed: u64, accuracy_float: f64) -> SeedResult {
    SeedResult { seed, accuracy_float }
}

fn provenance() -> Provenance {
    Provenance {
        board: "mps2-an386".into(),
        core: "Cortex-M4".into(),
        emulated: true,
        unit: "instructions".into(),
        kernel_revision: "made up".into(),
        firmware: "made up".into(),
        network: "example-net".into(),
        dataset: "example-data".into(),
        seed: 7,
        test_images: 10_000,
        edgeslim: env!("CARGO_PKG_VERSION").into(),
        ..Default::default()
    }
}

fn training(name: &str, n: usize, best: f64) -> TrainingRecord {
    let epoch = |epoch: usize| {
        let t = epoch as f64;
        let wobble = 0.02 * (t * 2.1).sin();
        let accuracy = Some(best - 0.5 * (-t / 4.0).exp() + wobble / 3.0);
        EpochRecord {
            epoch,
            loss: 0.3 + 1.9 * (-t / 6.0).exp() + wobble,
            accuracy,
            lr: 0.1,
            train_error: None,
            accuracies: vec![],
        }
    };
    TrainingRecord { name: name.into(), epochs: (1..=n).map(epoch).collect() }
}

fn candidate(name: &str, strategy: &str, percents: [usize; 8], accuracy: f64) -> CandidateRecord {
    let channels: Vec<usize> =
        FULL.iter().zip(percents).map(|(f, p)| (f * p.min(100) / 100).div_ceil(4) * 4).collect();
    let layers = layers(&channels);
    let predicted: f64 = layers.iter().map(|l| l.predicted).sum();
    let measured: f64 = layers.iter().filter_map(|l| l.measured).sum();
    let flash = layers.iter().map(|l| l.spec.weight_bytes() as u64).sum::<u64>();
    let ram = layers.iter().map(|l| (l.spec.input_bytes() + l.spec.output_bytes()) as u64).max();
    let searched = matches!(strategy, "autoslim" | "flops");
    let resource = if strategy == "flops" { Resource::Macs } else { Resource::Latency };
    CandidateRecord {
        name: name.into(),
        strategy: strategy.into(),
        budget: searched.then_some(Budget { resource, limit: predicted * 1.02 }),
        budgets: if searched { vec![Budget { resource, limit: predicted * 1.02 }] } else { vec![] },
        unit_names: (0..8).map(|u| format!("stage{}.conv{}", u / 2, u % 2)).collect(),
        full_channels: FULL.to_vec(),
        macs: layers.iter().map(|l| l.macs).sum(),
        latency_predicted: Some(predicted),
        latency_measured: Some(measured),
        ram_bytes_predicted: ram.unwrap_or(0),
        ram_bytes_measured: ram,
        flash_bytes: flash,
        accuracy_float: Some(accuracy + 0.004),
        accuracy_int8_host: Some(accuracy + 0.001),
        accuracy_int8_board: Some(accuracy + 0.001),
        accuracy_float_all: Some(accuracy),
        accuracy_int8_all: Some(accuracy - 0.003),
        images_compared: 256,
        images_equal: 256,
        seeds: (0..3).map(|s| seed(s, accuracy + 0.005 * (s as f64 - 1.0))).collect(),
        whole_measured: Some(measured * 1.01),
        channels,
        layers,
    }
}

fn layers(channels: &[usize]) -> Vec<LayerRecord> {
    let (mut layers, mut c_in, mut size) = (Vec::new(), 3u16, 32u16);
    for (u, &c) in channels.iter().enumerate() {
        let c = c as u16;
        let stride = if u % 2 == 0 && u > 0 { 2 } else { 1 };
        if u > 0 {
            let spec = LayerSpec::depthwise(size, size, c_in, 3, stride, Padding::all(1));
            size = spec.out_h();
            layers.push(layer(format!("dw{u}"), spec, 3.9));
        }
        let (kernel, padding) = if u == 0 { (3, Padding::all(1)) } else { (1, Padding::NONE) };
        layers.push(layer(
            format!("conv{u}"),
            LayerSpec::conv(size, size, c_in, c, kernel, 1, padding),
            1.05,
        ));
        c_in = c;
    }
    layers.push(layer("pool".into(), LayerSpec::global_avg_pool(size, size, c_in), 2.2));
    layers.push(layer("fc".into(), LayerSpec::linear(c_in, 10), 1.7));
    layers
}

fn layer(name: String, spec: LayerSpec, cost: f64) -> LayerRecord {
    let macs = spec.macs();
    let small = 1.0 + 9.0 / f64::from(spec.c_in);
    let predicted = (macs as f64 * cost * small + 400.0).round();
    let wobble = 1.0 + 0.06 * (macs as f64).sin() + if macs % 7 == 3 { 0.09 } else { 0.0 };
    let measured = Some((predicted * wobble).round());
    LayerRecord { name, spec, macs, predicted, low: predicted * 0.9, high: predicted * 1.1, measured }
}
