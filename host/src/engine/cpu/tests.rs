use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor};
use device_bench::Padding;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::engine::CandleEngine;
use crate::network::{Activation, Conv, ConvKind, Kernel, Node, NodeOp, Unit};

const DTYPE: DType = Real::DTYPE;

/// What rounding leaves: `in_f32`, or with the feature `engine-f64` 1e-9, through corners of activations too.
fn tolerance(in_f32: f64) -> f64 {
    if DTYPE == DType::F64 { 1e-9 } else { in_f32 }
}

/// Builds small graphs; the spatial sizes and paddings are deliberately uneven.
struct Builder(Graph);

impl Builder {
    fn new(h: usize, w: usize, c: usize) -> Builder {
        let input = crate::network::graph::Shape { h, w, c };
        let node = Node { name: "input".into(), op: NodeOp::Input };
        Builder(Graph { name: "test".into(), input, classes: 3, nodes: vec![node], units: vec![] })
    }

    fn unit(&mut self, max: usize) -> usize {
        let bins = (1..=max).collect();
        self.0.units.push(Unit { name: format!("u{}", self.0.units.len()), full: max, bins });
        self.0.units.len() - 1
    }

    fn node(&mut self, op: NodeOp) -> usize {
        self.0.nodes.push(Node { name: format!("n{}", self.0.nodes.len()), op });
        self.0.nodes.len() - 1
    }

    fn conv(
        &mut self,
        input: usize,
        unit: usize,
        kind: ConvKind,
        (kernel, stride, pad): (usize, usize, [u8; 4]),
        activation: Activation,
    ) -> usize {
        let [top, bottom, left, right] = pad;
        let padding = Padding { top, bottom, left, right };
        let (kernel, units) = (Kernel::square(kernel), vec![unit]);
        self.node(NodeOp::Conv(Conv { input, kind, kernel, stride, padding, units, activation }))
    }

    fn head(mut self, input: usize) -> Graph {
        self.node(NodeOp::Head { input });
        self.0
    }
}

use Activation::{None as Linear, Relu};
use ConvKind::{Dense, Depthwise};

const SAME: [u8; 4] = [1; 4];

/// Stem, then depthwise and pointwise; strides, an asymmetric padding and a 5 × 5.
fn separable(act: Activation) -> Graph {
    let mut b = Builder::new(9, 7, 1);
    let (u0, u1, u2) = (b.unit(11), b.unit(18), b.unit(33));
    let x = b.conv(0, u0, Dense, (3, 1, SAME), act);
    let x = b.conv(x, u0, Depthwise, (3, 2, [0, 1, 1, 1]), act);
    let x = b.conv(x, u1, Dense, (1, 1, [0; 4]), act);
    let x = b.conv(x, u1, Depthwise, (5, 1, [2; 4]), act);
    let x = b.conv(x, u1, Depthwise, (3, 1, SAME), Linear);
    let x = b.conv(x, u2, Dense, (1, 1, [0; 4]), act);
    b.head(x)
}

/// Two residual blocks: one with identity, one with a strided 1 × 1 shortcut; a depthwise conv and a sum read the
/// same node.
fn residual(act: Activation) -> Graph {
    let mut b = Builder::new(8, 7, 3);
    let (u0, u1, u2) = (b.unit(12), b.unit(17), b.unit(20));
    let x = b.conv(0, u0, Dense, (3, 2, [1, 0, 0, 1]), act);
    let y = b.conv(x, u1, Dense, (3, 1, SAME), act);
    let y = b.conv(y, u0, Dense, (3, 1, SAME), Linear);
    let x = b.node(NodeOp::Add { a: x, b: y, activation: act });
    let y = b.conv(x, u2, Dense, (3, 2, SAME), act);
    let s = b.conv(x, u2, Dense, (1, 2, [0; 4]), Linear);
    let x = b.node(NodeOp::Add { a: y, b: s, activation: act });
    let y = b.conv(x, u2, Depthwise, (3, 1, SAME), act);
    let x = b.node(NodeOp::Add { a: y, b: x, activation: Linear });
    b.head(x)
}

/// Depthwise convolutions of kernels and strides without a kernel of their own, and one that misses the last row.
fn strided(act: Activation) -> Graph {
    let mut b = Builder::new(15, 14, 2);
    let (u0, u1) = (b.unit(10), b.unit(19));
    let x = b.conv(0, u0, Dense, (1, 1, [0; 4]), act);
    let x = b.conv(x, u0, Depthwise, (3, 2, [1, 0, 1, 0]), act);
    let x = b.conv(x, u1, Dense, (1, 1, [0; 4]), act);
    let x = b.conv(x, u1, Depthwise, (5, 2, [2, 1, 2, 2]), act);
    let x = b.conv(x, u1, Depthwise, (3, 3, [1; 4]), Linear);
    b.head(x)
}

/// 3 × 3 convolutions with so many channels that they are computed in tiles: of 4 × 4 pixels, and of 2 × 2 at the end.
fn tiled(act: Activation) -> Graph {
    let mut b = Builder::new(8, 12, 3);
    let (u0, u1) = (b.unit(40), b.unit(72));
    let x = b.conv(0, u0, Dense, (3, 1, SAME), act);
    let x = b.conv(x, u1, Dense, (3, 1, SAME), act);
    let y = b.conv(x, u1, Dense, (3, 1, SAME), Linear);
    let x = b.node(NodeOp::Add { a: x, b: y, activation: act });
    let x = b.conv(x, u1, Dense, (3, 2, SAME), act);
    let x = b.conv(x, u1, Dense, (3, 1, SAME), Linear);
    b.head(x)
}

fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|_| (rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0).collect();
    let values = Tensor::from_vec(values, shape, &Device::Cpu).expect("the shape holds the values");
    values.to_dtype(DTYPE).expect("a cast")
}

fn images(graph: &Graph, n: usize, seed: u64) -> Tensor {
    random(&[n, graph.input.h, graph.input.w, graph.input.c], seed)
}

fn some_channels(graph: &Graph, seed: u64) -> Channels {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Channels(graph.units.iter().map(|u| 1 + rng.next_u32() as usize % u.max()).collect())
}

/// Parameters whose affines are not the initial 1 and 0.
fn params(graph: &Graph, dtype: DType) -> Params {
    let params = Params::with_dtype(graph, 5, &Device::Cpu, dtype).expect("a small graph");
    for (idx, (name, var)) in params.vars().into_iter().enumerate() {
        if !name.ends_with("weight") {
            let noise = random(var.dims(), 100 + idx as u64).to_dtype(dtype).expect("a cast");
            let moved = (var.as_tensor() + (noise * 0.3).expect("a product")).expect("a sum");
            var.set(&moved).expect("one shape");
        }
    }
    params
}

/// Gradients of `Σ logits · direction`, flattened, over all of `subnets`.
fn gradients(engine: &dyn Engine, xs: &Tensor, subnets: &[Channels]) -> Result<Vec<Vec<f64>>> {
    for channels in subnets {
        let logits = engine.logits(xs, channels, Mode::Train)?;
        let direction = random(logits.dims(), 77).to_dtype(logits.dtype())?;
        (logits * direction)?.sum_all()?.backward()?;
    }
    let mut store = GradStore::default();
    engine.take_grads(&mut store)?;
    let vars = engine.params().vars();
    let flat = |var: &Var| store.get(var).expect("every Var").flatten_all()?.to_dtype(DType::F64)?.to_vec1();
    vars.iter().map(|(_, var)| flat(var)).collect()
}

fn graphs(act: Activation) -> [Graph; 4] {
    [separable(act), residual(act), strided(act), tiled(act)]
}

/// Largest difference relative to the largest gradient of the Var, but at least 1e-3 of all Vars' largest.
fn assert_close(graph: &Graph, names: &Params, a: &[Vec<f64>], b: &[Vec<f64>], tolerance: f64) {
    let largest = |v: &[f64]| v.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let floor = b.iter().map(|v| largest(v)).fold(0.0, f64::max) * 1e-3;
    for ((name, _), (a, b)) in names.vars().iter().zip(a.iter().zip(b)) {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        let relative = largest(&differences) / largest(b).max(floor);
        assert!(relative < tolerance, "{} {name}: {relative:e}", graph.nodes.len());
    }
}

fn compare_with_candle(act: Activation, in_f32: f64) -> Result<()> {
    graphs(act).into_iter().try_for_each(|graph| compare_graph_with_candle(graph, in_f32))
}

fn compare_graph_with_candle(graph: Graph, in_f32: f64) -> Result<()> {
    let (ours, exact) = (params(&graph, DTYPE), params(&graph, DType::F64));
    let candle = CandleEngine::new(graph.clone(), exact, Device::Cpu)?;
    for isa in [Isa::PORTABLE, Isa::detect()] {
        let engine = CpuEngine::with_isa(graph.clone(), ours.clone(), 2, isa)?;
        for (seed, n) in [(1, 9), (2, 5), (3, 8)] {
            let xs = images(&graph, n, seed);
            let subnets = [graph.widest(), some_channels(&graph, seed), some_channels(&graph, seed + 9)];
            let a = gradients(&engine, &xs, &subnets)?;
            let b = gradients(&candle, &xs, &subnets)?;
            assert_close(&graph, &ours, &a, &b, tolerance(in_f32));
        }
    }
    Ok(())
}

#[test]
fn gradients_equal_candles_in_f64() -> Result<()> {
    compare_with_candle(Linear, 1e-4)
}

#[test]
fn gradients_equal_candles_in_f64_with_relu() -> Result<()> {
    compare_with_candle(Relu, 2e-2)
}

/// Any operators, kernels, strides and ties, without what has no derivative somewhere.
fn random_graph(seed: u64) -> Graph {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut gene = || [(); 4].map(|()| rng.next_u32() as usize % 1000);
    let genes: Vec<_> = (0..3 + seed as usize % 6).map(|_| gene()).collect();
    let mut graph = crate::network::arbitrary::graph(&genes);
    for node in &mut graph.nodes {
        match &mut node.op {
            NodeOp::Conv(conv) => conv.activation = Linear,
            NodeOp::Add { activation, .. } => *activation = Linear,
            _ => {}
        }
    }
    graph
}

#[test]
fn gradients_of_random_graphs_equal_candles_in_f64() -> Result<()> {
    (0..24).try_for_each(|seed| compare_graph_with_candle(random_graph(seed), 1e-3))
}

#[test]
fn gradients_equal_finite_differences() -> Result<()> {
    for graph in graphs(Linear) {
        let params = params(&graph, DType::F64);
        let engine = CandleEngine::new(graph.clone(), params.clone(), Device::Cpu)?;
        let (xs, channels) = (images(&graph, 4, 8), some_channels(&graph, 4));
        let grads = gradients(&engine, &xs, std::slice::from_ref(&channels))?;
        let loss = || -> Result<f64> {
            let logits = engine.logits(&xs, &channels, Mode::Train)?;
            (&logits * random(logits.dims(), 77).to_dtype(DType::F64)?)?.sum_all()?.to_scalar()
        };
        for ((name, var), grad) in params.vars().iter().zip(&grads) {
            let start = var.as_detached_tensor().copy()?;
            let mut values = start.flatten_all()?.to_vec1::<f64>()?;
            let mut at = |delta: f64| {
                values[0] += delta;
                var.set(&Tensor::from_slice(&values, var.shape(), &Device::Cpu)?)?;
                loss()
            };
            let (above, below) = (at(1e-5)?, at(-2e-5)?);
            var.set(&start)?;
            let difference = (above - below) / 2e-5;
            assert!(
                (difference - grad[0]).abs() < 1e-5 * (1.0 + grad[0].abs()),
                "{name}: {difference} {}",
                grad[0]
            );
        }
    }
    Ok(())
}

#[test]
fn any_number_of_threads_gives_the_same_bits() -> Result<()> {
    for graph in graphs(Relu) {
        let (xs, subnets) = (images(&graph, 13, 3), [graph.widest(), some_channels(&graph, 6)]);
        let run = |threads: usize| {
            gradients(&CpuEngine::new(graph.clone(), params(&graph, DTYPE), threads)?, &xs, &subnets)
        };
        let one = run(1)?;
        assert_eq!(one, run(2)?);
        assert_eq!(one, run(3)?);
    }
    Ok(())
}

#[test]
fn calibration_averages_every_batch_equally_and_evaluation_uses_it() -> Result<()> {
    for graph in graphs(Relu) {
        let channels = some_channels(&graph, 2);
        let cpu = CpuEngine::new(graph.clone(), params(&graph, DTYPE), 2)?;
        let candle = CandleEngine::new(graph.clone(), params(&graph, DTYPE), Device::Cpu)?;
        assert!(cpu.logits(&images(&graph, 2, 1), &channels, Mode::Evaluate).is_err());
        let mut first_means = Vec::new();
        for seed in 0..3 {
            let xs = images(&graph, 6, seed);
            cpu.logits(&xs, &channels, Mode::Calibrate)?;
            candle.logits(&xs, &channels, Mode::Calibrate)?;
            let alone = CpuEngine::new(graph.clone(), params(&graph, DTYPE), 1)?;
            alone.logits(&xs, &channels, Mode::Calibrate)?;
            first_means.push(alone.statistics().nodes[1].clone().expect("node 1 is a convolution").mean[0]);
        }
        let (a, b) = (cpu.statistics(), candle.statistics());
        assert_eq!(a.n_batches, 3);
        let average = first_means.iter().sum::<f32>() / 3.0;
        assert!((a.nodes[1].as_ref().expect("a convolution").mean[0] - average).abs() < 1e-5);
        for (a, b) in a.nodes.iter().flatten().zip(b.nodes.iter().flatten()) {
            let close =
                |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs()));
            assert!(close(&a.mean, &b.mean) && close(&a.variance, &b.variance));
        }
        let xs = images(&graph, 4, 50);
        let (a, b) =
            (cpu.logits(&xs, &channels, Mode::Evaluate)?, candle.logits(&xs, &channels, Mode::Evaluate)?);
        assert!((a - b)?.abs()?.max_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()? < 1e-3);
    }
    Ok(())
}

#[test]
fn a_stale_backward_is_refused() -> Result<()> {
    let graph = separable(Relu);
    let engine = CpuEngine::new(graph.clone(), params(&graph, DTYPE), 2)?;
    let xs = images(&graph, 3, 1);
    let stale = engine.logits(&xs, &graph.widest(), Mode::Train)?;
    let fresh = engine.logits(&xs, &graph.widest(), Mode::Train)?;
    assert!(stale.sum_all()?.backward().is_err());
    fresh.sum_all()?.backward()?;
    assert!(fresh.sum_all()?.backward().is_err());
    Ok(())
}

#[test]
fn the_memory_of_a_step_is_stated_before() -> Result<()> {
    let shape = crate::network::graph::Shape { h: 28, w: 28, c: 1 };
    let options = crate::network::zoo::ZooOptions::default();
    for name in ["mobilenet-v1", "resnet-8", "mobilenet-v2"] {
        let graph = crate::network::zoo::network(name, shape, 10, options).expect("a network of the zoo");
        let engine = CpuEngine::new(graph.clone(), params(&graph, DTYPE), 2)?;
        let stated = engine.memory(16);
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let narrower = (0..6).map(|_| crate::train::sandwich::random_subnet(&graph, &mut rng));
        for channels in [graph.widest(), graph.smallest()].into_iter().chain(narrower) {
            let xs = images(&graph, 16, 1);
            engine.logits(&xs, &channels, Mode::Train)?.sum_all()?.backward()?;
        }
        let taken = engine.core().allocated();
        let parameters = 2 * stated.parameters / 3; // the Vars' and the velocities' are not the engine's
        let stated = stated.total() - parameters;
        assert!(taken <= stated, "{name}: {taken} bytes, {stated} stated");
        assert!(taken * 10 >= stated * 7, "{name}: {taken} bytes, {stated} stated");
    }
    Ok(())
}

#[test]
fn wide_convolutions_are_computed_in_tiles_where_whole_ones_fit() -> Result<()> {
    use cpu_kernels::winograd::Tile;
    let graph = tiled(Relu);
    for isa in Isa::available() {
        let engine = CpuEngine::with_isa(graph.clone(), params(&graph, DTYPE), 1, isa)?;
        engine.logits(&images(&graph, 2, 1), &graph.widest(), Mode::Train)?;
        let core = engine.core();
        let chosen = |idx: usize| {
            let plan = &core.plans[idx];
            [plan.tiles, plan.input_tiles, plan.weight_tiles].map(|tiles| tiles.map(|tiles| tiles.tile))
        };
        // Of three channels, twice whole tiles of 4 × 4 pixels, a stride of two, and a plane of 4 × 6.
        let (four, fours, twos) = (Some(Tile::Four), [Some(Tile::Four); 3], [Some(Tile::Two); 3]);
        let wanted = [[None, four, None], fours, fours, [None; 3], twos];
        assert_eq!([1, 2, 3, 5, 6].map(chosen), wanted, "{isa}");
    }
    Ok(())
}

#[test]
fn an_evaluation_adds_the_end_of_a_residual_block_in_place() {
    let sharing = evaluate_layout::Sharing::new(&residual(Relu));
    // Conv 3 ends the first block, conv 6 (the shortcut) the second; the third ends with a depthwise convolution.
    assert_eq!(sharing.leaders, [0, 1, 2, 1, 1, 5, 5, 5, 8, 9, 10]);
    assert_eq!(sharing.sums.iter().flatten().collect::<Vec<_>>(), [&4, &7]);
}

#[test]
fn an_image_has_the_same_logits_in_any_company() -> Result<()> {
    let shape = crate::network::graph::Shape { h: 32, w: 32, c: 3 };
    let options = crate::network::zoo::ZooOptions::default();
    let v1 = crate::network::zoo::network("mobilenet-v1-imagenet", shape, 3, options).expect("of the zoo");
    for graph in [tiled(Relu), v1] {
        let engine = CpuEngine::new(graph.clone(), params(&graph, DTYPE), 2)?;
        let (xs, channels) = (images(&graph, 70, 5), graph.widest());
        engine.logits(&xs.narrow(0, 0, 8)?, &channels, Mode::Calibrate)?;
        let together = engine.logits(&xs, &channels, Mode::Evaluate)?;
        assert!(engine.core().kept.parts.len() > 1, "{}", graph.name);
        for image in [0, 33, 69] {
            let alone = engine.logits(&xs.narrow(0, image, 1)?, &channels, Mode::Evaluate)?;
            let same = (together.narrow(0, image, 1)? - alone)?.abs()?.max_all()?.to_dtype(DType::F64)?;
            assert_eq!(same.to_scalar::<f64>()?, 0.0, "{} image {image}", graph.name);
        }
    }
    Ok(())
}
