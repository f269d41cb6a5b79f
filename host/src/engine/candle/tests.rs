use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::network::arbitrary::{self, Gene};
use crate::network::{ChannelMap, Unit};

const CPU: Device = Device::Cpu;

fn noise(shape: &[usize], seed: u64, dtype: DType) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &CPU).unwrap().to_dtype(dtype).unwrap()
}

fn images(graph: &Graph, n: usize, seed: u64) -> Tensor {
    noise(&[n, graph.input.h, graph.input.w, graph.input.c], seed, DType::F32)
}

/// Parameters whose affines and biases are not the initial 1 and 0.
fn params(graph: &Graph, n_switches: usize, dtype: DType) -> Params {
    let params = Params::switchable(graph, n_switches, 5, &CPU, dtype).unwrap();
    for (idx, (name, var)) in params.vars().into_iter().enumerate() {
        if !name.ends_with("weight") {
            let moved = (noise(var.dims(), 100 + idx as u64, dtype) * 0.3).unwrap();
            var.set(&(var.as_tensor() + moved).unwrap()).unwrap();
        }
    }
    params
}

fn engine(graph: &Graph) -> CandleEngine {
    CandleEngine::new(graph.clone(), params(graph, 1, DType::F64), CPU).unwrap()
}

fn flat(xs: &Tensor) -> Vec<f64> {
    xs.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Gradients of `Σ logits · direction` by Var.
fn gradients(engine: &CandleEngine, xs: &Tensor, channels: &Channels, mode: Mode) -> Result<Vec<Tensor>> {
    let logits = engine.logits(xs, channels, mode)?;
    let direction = noise(logits.dims(), 77, logits.dtype());
    (logits * direction)?.sum_all()?.backward()?;
    taken(engine)
}

fn taken(engine: &CandleEngine) -> Result<Vec<Tensor>> {
    let mut store = GradStore::default();
    engine.take_grads(&mut store)?;
    let grads = engine.params().vars();
    Ok(grads.iter().map(|(_, var)| store.get(var).expect("one per Var").clone()).collect())
}

/// The network that has only the channels `channels`.
fn plain(graph: &Graph, channels: &Channels) -> Graph {
    let unit = |(unit, &n): (&Unit, &usize)| Unit { name: unit.name.clone(), full: n, bins: vec![n] };
    let units = graph.units.iter().zip(&channels.0).map(unit).collect();
    Graph { units, ..graph.clone() }
}

fn chosen(xs: &Tensor, dim: usize, map: &ChannelMap) -> Tensor {
    let indices: Vec<u32> = map.indices().map(|i| i as u32).collect();
    xs.contiguous().unwrap().index_select(&Tensor::new(indices, &CPU).unwrap(), dim).unwrap()
}

/// The active part of one tensor per Var.
fn active(graph: &Graph, params: &Params, channels: &Channels, full: &[Tensor]) -> Vec<Tensor> {
    let maps = graph.channel_maps(channels);
    let mut parts = full.to_vec();
    for (id, node) in params.nodes().iter().enumerate() {
        if let (Some(weight), Some(map)) = (node.weight, graph.weight_map(id, &maps)) {
            parts[weight] = chosen(&chosen(&full[weight], 0, &map.rows), 1, &map.columns);
        }
        let norms = node.norms.iter().flat_map(|norm| [norm.gamma, norm.beta]);
        node.bias.into_iter().chain(norms).for_each(|i| parts[i] = chosen(&full[i], 0, &maps[id]));
    }
    parts
}

/// The engine of the plain network, with the active weights of `engine`.
fn plain_engine(engine: &CandleEngine, channels: &Channels) -> CandleEngine {
    let graph = plain(engine.graph(), channels);
    let params = params(&graph, engine.params().n_switches(), DType::F64);
    let full: Vec<Tensor> = engine.params().vars().iter().map(|(_, var)| var.as_detached_tensor()).collect();
    let sliced = active(engine.graph(), engine.params(), channels, &full);
    for ((_, var), value) in params.vars().iter().zip(sliced) {
        var.set(&value).unwrap();
    }
    CandleEngine::new(graph, params, CPU).unwrap()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m, x| m.max(x.abs()))
}

/// Relative to the largest value, but at least to `floor`.
fn assert_close(what: &str, a: &[f64], b: &[f64], floor: f64, tolerance: f64) {
    assert_eq!(a.len(), b.len(), "{what}");
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let relative = largest(&difference) / largest(b).max(floor);
    assert!(relative <= tolerance, "{what}: {relative:e}");
}

fn compare_with_plain(graph: &Graph, salt: usize) -> Result<()> {
    let channels = arbitrary::channels(graph, salt);
    let (supernet, xs) = (engine(graph), images(graph, 4, salt as u64));
    let alone = plain_engine(&supernet, &channels);
    let widest = alone.graph().widest();
    for engine in [(&supernet, &channels), (&alone, &widest)] {
        engine.0.logits(&images(graph, 6, 50), engine.1, Mode::Calibrate)?;
    }
    for mode in [Mode::Train, Mode::Frozen] {
        let (a, b) = (supernet.logits(&xs, &channels, mode)?, alone.logits(&xs, &widest, mode)?);
        assert_close("logits", &flat(&a), &flat(&b), 1.0, 1e-8);
        let full = gradients(&supernet, &xs, &channels, mode)?;
        let expected = gradients(&alone, &xs, &widest, mode)?;
        let floor = expected.iter().map(|grad| largest(&flat(grad))).fold(0.0, f64::max) * 1e-3;
        let found = active(graph, supernet.params(), &channels, &full);
        for (((name, _), full), (a, b)) in
            supernet.params().vars().iter().zip(&full).zip(found.iter().zip(&expected))
        {
            assert_close(name, &flat(a), &flat(b), floor, 1e-6);
            let non_zero = |xs: &Tensor| flat(xs).iter().filter(|x| **x != 0.0).count();
            assert_eq!(non_zero(full), non_zero(a), "{name}: a gradient outside the active channels");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_subnet_equals_the_plain_network_that_has_its_weights(
        genes in prop::collection::vec(prop::array::uniform4(0..10_000usize), 1..9),
        salt in 0..1000usize,
    ) {
        let genes: Vec<Gene> = genes;
        let graph = arbitrary::any_graph(&genes);
        compare_with_plain(&graph, salt).unwrap();
    }
}

/// Along one random direction per Var, so that every element counts.
fn compare_with_differences(graph: &Graph, salt: usize, mode: Mode) -> Result<()> {
    let (engine, xs) = (engine(graph), images(graph, 4, salt as u64));
    let channels = arbitrary::channels(graph, salt);
    engine.logits(&images(graph, 6, 50), &channels, Mode::Calibrate)?;
    let grads = gradients(&engine, &xs, &channels, mode)?;
    let floor = grads.iter().map(|grad| largest(&flat(grad))).fold(0.0, f64::max) * 1e-3;
    for ((name, var), grad) in engine.params().vars().iter().zip(&grads) {
        let (start, direction) = (var.as_detached_tensor().copy()?, noise(var.dims(), 31, DType::F64));
        let at = |delta: f64| -> Result<f64> {
            var.set(&(&start + (&direction * delta)?)?)?;
            let logits = engine.logits(&xs, &channels, mode)?;
            (&logits * noise(logits.dims(), 77, DType::F64))?.sum_all()?.to_scalar()
        };
        let step = 1e-6;
        let difference = (at(step)? - at(-step)?) / (2.0 * step);
        var.set(&start)?;
        let exact = (grad * &direction)?.sum_all()?.to_scalar::<f64>()?;
        let scale = flat(grad).iter().zip(flat(&direction)).map(|(g, d)| (g * d).abs()).sum::<f64>();
        let relative = (difference - exact).abs() / scale.max(floor);
        assert!(relative < 1e-4, "{name}: {difference} {exact}");
    }
    Ok(())
}

#[test]
fn gradients_of_random_graphs_equal_finite_differences() -> Result<()> {
    for seed in 0..40 {
        let graph = arbitrary::any_graph(&arbitrary::genes(seed, 1 + seed % 6));
        compare_with_differences(&graph, seed, if seed % 3 == 0 { Mode::Frozen } else { Mode::Train })?;
    }
    Ok(())
}

fn some_graph() -> Graph {
    arbitrary::any_graph(&[
        [9, 0, 9, 24],
        [10, 0, 1, 2],
        [3, 0, 1, 5],
        [2, 0, 3, 12],
        [0, 0, 1, 1],
        [5, 0, 3, 4],
    ])
}

#[test]
fn every_switch_has_its_own_batch_norm() -> Result<()> {
    let graph = some_graph();
    let engine = CandleEngine::new(graph.clone(), params(&graph, 3, DType::F64), CPU)?;
    let (xs, widest) = (images(&graph, 5, 1), graph.widest());
    let mut logits = Vec::new();
    for switch in 0..3 {
        engine.set_switch(switch)?;
        assert!(engine.logits(&xs, &widest, Mode::Evaluate).is_err(), "no statistics of switch {switch} yet");
        engine.logits(&images(&graph, 5, 10 + switch as u64), &widest, Mode::Calibrate)?;
        logits.push(flat(&engine.logits(&xs, &widest, Mode::Evaluate)?));
        let grads = gradients(&engine, &xs, &widest, Mode::Train)?;
        for ((name, _), grad) in engine.params().vars().iter().zip(&grads) {
            let norm = name.contains(".gamma.") || name.contains(".beta.");
            let own = name.ends_with(&format!(".{switch}"));
            assert!(!norm || own || largest(&flat(grad)) == 0.0, "{name} has a gradient in switch {switch}");
        }
        assert!(grads.iter().any(|grad| largest(&flat(grad)) > 0.0));
    }
    assert!(logits[0] != logits[1] && logits[1] != logits[2]);
    engine.set_switch(0)?;
    assert_eq!(flat(&engine.logits(&xs, &widest, Mode::Evaluate)?), logits[0]);
    assert!(engine.set_switch(3).is_err());
    Ok(())
}

#[test]
fn dropout_depends_on_the_seed_alone_and_ends_where_training_does() -> Result<()> {
    let graph = some_graph();
    let (engine, xs, widest) = (engine(&graph), images(&graph, 5, 1), graph.widest());
    let run = |seed: Option<u64>| -> Result<Vec<f64>> {
        engine.set_dropout(seed.map(|seed| Dropout { rate: 0.5, seed }))?;
        Ok(flat(&engine.logits(&xs, &widest, Mode::Train)?))
    };
    assert_eq!(run(Some(1))?, run(Some(1))?);
    assert_ne!(run(Some(1))?, run(Some(2))?);
    assert_ne!(run(Some(1))?, run(None)?);
    engine.logits(&xs, &widest, Mode::Calibrate)?;
    let without = flat(&engine.logits(&xs, &widest, Mode::Evaluate)?);
    engine.set_dropout(Some(Dropout { rate: 0.5, seed: 1 }))?;
    assert_eq!(flat(&engine.logits(&xs, &widest, Mode::Evaluate)?), without);
    assert!(engine.set_dropout(Some(Dropout { rate: 1.0, seed: 1 })).is_err());
    Ok(())
}

#[test]
fn bf16_gives_the_logits_and_gradients_of_f32_to_its_precision() -> Result<()> {
    let graph = some_graph();
    let make = || CandleEngine::new(graph.clone(), params(&graph, 1, DType::F32), CPU);
    let (exact, half) = (make()?, make()?.computing_in(DType::BF16));
    let (xs, widest) = (images(&graph, 8, 1), graph.widest());
    let (a, b) = (half.logits(&xs, &widest, Mode::Train)?, exact.logits(&xs, &widest, Mode::Train)?);
    assert_eq!(a.dtype(), DType::F32);
    // bf16 has 8 bits: a few roundings in a row are some percent.
    assert_close("logits", &flat(&a), &flat(&b), 0.0, 0.1);
    let (a, b) =
        (gradients(&half, &xs, &widest, Mode::Train)?, gradients(&exact, &xs, &widest, Mode::Train)?);
    let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.dtype(), DType::F32);
        for (a, b) in flat(a).into_iter().zip(flat(b)) {
            (dot, aa, bb) = (dot + a * b, aa + a * a, bb + b * b);
        }
    }
    let cosine = dot / f64::sqrt(aa * bb);
    assert!(cosine > 0.98, "{cosine}");
    Ok(())
}
