//! The Candle engine on the device of this build: the CPU, and with `--features cuda` the first GPU.
//! `cargo xtask test-cuda` runs them there.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor};
use candle_nn::Optimizer as _;
use edgeslim::engine::{CandleEngine, DeviceChoice, Engine, Mode, Params};
use edgeslim::network::zoo::ZooOptions;
use edgeslim::network::{Channels, Graph, Shape, file};
use edgeslim::train::sandwich::{Sandwich, random_subnet, sandwich_step};
use edgeslim::train::{NesterovSgd, SgdParams};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

const SHAPE: Shape = Shape { h: 13, w: 10, c: 3 };
const CLASSES: usize = 5;
const BATCH: usize = 16;

/// Every operator once.
const NETWORK: &str = r#"name = "everything"
unit = [
    { name = "a", full = 24, bins = [12, 24] },
    { name = "gate", full = 6, bins = [3, 6] },
    { name = "b", full = 20, bins = [8, 20] },
]
node = [
    { name = "stem", op = "conv", input = "image", unit = "a", kernel = 3, padding = 1, activation = "relu6" },
    { name = "depthwise", op = "depthwise", input = "stem", kernel = 3, padding = 1, activation = "hard_swish" },
    { name = "grouped", op = "conv", input = "stem", unit = "a", kernel = 1, groups = 3 },
    { name = "shuffled", op = "shuffle", input = "grouped", groups = 3 },
    { name = "sum", op = "add", inputs = ["depthwise", "shuffled"], activation = "relu" },
    { name = "squeezed", op = "global_average", input = "sum" },
    { name = "hidden", op = "linear", input = "squeezed", unit = "gate", activation = "relu" },
    { name = "gate", op = "linear", input = "hidden", unit = "a", activation = "hard_sigmoid" },
    { name = "scaled", op = "scale", inputs = ["sum", "gate"] },
    { name = "left", op = "split", input = "scaled", part = 0, parts = 2 },
    { name = "right", op = "split", input = "scaled", part = 1, parts = 2 },
    { name = "right2", op = "conv", input = "right", unit = "b", kernel = [3, 1], padding = [1, 1, 0, 0], activation = "relu" },
    { name = "both", op = "concat", inputs = ["left", "right2"] },
    { name = "max", op = "max_pool", input = "both", kernel = 3, stride = 2, padding = 1 },
    { name = "average", op = "average_pool", input = "max", kernel = 2, stride = 1 },
    { name = "last", op = "conv", input = "average", unit = ["a", "b"], kernel = 3, stride = 3, activation = "sigmoid" },
    { name = "head", op = "head", input = "last" },
]
"#;

fn graph() -> Graph {
    file::parse(NETWORK, SHAPE, CLASSES, ZooOptions::default()).expect("the network above is valid")
}

fn device() -> Device {
    let choice = if cfg!(feature = "cuda") { DeviceChoice::Cuda } else { DeviceChoice::Cpu };
    choice.device().expect("`cargo xtask test-cuda` has looked for the driver")
}

/// The same numbers on every device.
fn numbers(shape: &[usize], device: &Device) -> Result<Tensor> {
    let value = |i: usize| ((i * 7919 + 13) % 2003) as f32 / 1001.5 - 1.0;
    Tensor::from_vec((0..shape.iter().product()).map(value).collect::<Vec<_>>(), shape, device)
}

fn images(device: &Device) -> Result<Tensor> {
    numbers(&[BATCH, SHAPE.h, SHAPE.w, SHAPE.c], device)
}

fn labels(device: &Device) -> Result<Tensor> {
    let value = |i: usize| if i % CLASSES == i / CLASSES % CLASSES { 1.0 } else { 0.0 };
    Tensor::from_vec((0..BATCH * CLASSES).map(value).collect::<Vec<f32>>(), (BATCH, CLASSES), device)
}

fn engine(device: &Device, dtype: DType) -> Result<CandleEngine> {
    let graph = graph();
    let params = Params::with_dtype(&graph, 3, device, dtype)?;
    CandleEngine::new(graph, params, device.clone())
}

fn values(xs: &Tensor) -> Result<Vec<f64>> {
    xs.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}

fn gradients(engine: &CandleEngine, channels: &Channels) -> Result<Vec<Vec<f64>>> {
    let logits = engine.logits(&images(engine.device())?, channels, Mode::Train)?;
    let direction = numbers(logits.dims(), engine.device())?.to_dtype(logits.dtype())?;
    (logits * direction)?.sum_all()?.backward()?;
    let mut store = GradStore::default();
    engine.take_grads(&mut store)?;
    engine.params().vars().iter().map(|(_, var)| values(store.get(var).expect("one per Var"))).collect()
}

fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |m, x| m.max(x.abs()))
}

#[test]
fn gradients_equal_those_of_f64_on_the_cpu() -> Result<()> {
    let (ours, exact) = (engine(&device(), DType::F32)?, engine(&Device::Cpu, DType::F64)?);
    for channels in [graph().widest(), graph().smallest()] {
        let (a, b) = (gradients(&ours, &channels)?, gradients(&exact, &channels)?);
        let floor = 1e-2 * largest(b.concat());
        for (((name, _), a), b) in ours.params().vars().iter().zip(&a).zip(&b) {
            let difference = largest(a.iter().zip(b).map(|(a, b)| a - b));
            let relative = difference / largest(b.iter().copied()).max(floor);
            assert!(relative < 5e-3, "{name}: {relative:e}");
        }
    }
    Ok(())
}

#[test]
fn bf16_points_where_f32_does() -> Result<()> {
    let widest = graph().widest();
    let half = engine(&device(), DType::F32)?.computing_in(DType::BF16);
    let a = gradients(&half, &widest)?.concat();
    let b = gradients(&engine(&device(), DType::F32)?, &widest)?.concat();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    assert!(cosine > 0.97, "{cosine}");
    Ok(())
}

/// An engine and its optimiser in the middle of a training.
struct Training {
    engine: CandleEngine,
    sgd: NesterovSgd,
}

impl Training {
    fn new(device: &Device) -> Result<Training> {
        let engine = engine(device, DType::F32)?;
        let params = SgdParams { learning_rate: 0.05, momentum: 0.9, weight_decay: 1e-4 };
        let sgd = NesterovSgd::for_network(engine.params(), params);
        Ok(Training { engine, sgd })
    }

    fn step(&mut self, seed: u64) -> Result<f32> {
        let (images, labels) = (images(self.engine.device())?, labels(self.engine.device())?);
        let (sandwich, mut rng) = (Sandwich::default(), ChaCha8Rng::seed_from_u64(seed));
        let (engine, sgd) = (&self.engine, &mut self.sgd);
        Ok(sandwich_step(engine, &sandwich, random_subnet, &images, &labels, sgd, &mut rng)?.loss)
    }

    fn weights(&self) -> Result<Vec<f64>> {
        let vars = self.engine.params().vars();
        Ok(vars.iter().map(|(_, var)| values(var)).collect::<Result<Vec<_>>>()?.concat())
    }
}

#[test]
fn a_sandwich_step_changes_the_weights_as_it_does_on_the_cpu() -> Result<()> {
    let (mut ours, mut cpu) = (Training::new(&device())?, Training::new(&Device::Cpu)?);
    let before = cpu.weights()?;
    let (a, b) = (ours.step(1)?, cpu.step(1)?);
    assert!((a - b).abs() < 1e-4 * b.abs(), "loss {a} and {b}");
    let (a, b) = (ours.weights()?, cpu.weights()?);
    let step = largest(b.iter().zip(&before).map(|(after, before)| after - before));
    let difference = largest(a.iter().zip(&b).map(|(a, b)| a - b));
    assert!(step > 1e-3 && difference < 1e-2 * step, "{difference} of a step of {step}");
    Ok(())
}

#[test]
fn a_training_that_is_stopped_and_resumed_ends_with_the_same_weights() -> Result<()> {
    let file = tempfile::NamedTempFile::with_suffix(".safetensors").expect("a temporary file");
    let mut whole = Training::new(&device())?;
    let loss = whole.step(1)?;
    whole.step(2)?;
    let mut first = Training::new(&device())?;
    assert!((first.step(1)? - loss).abs() < 1e-5);
    first.engine.params().varmap.save(file.path())?;
    let on_cpu = |v: &Option<Tensor>| v.as_ref().map(|v| v.to_device(&Device::Cpu)).transpose();
    let kept: Vec<Option<Tensor>> = first.sgd.velocities().iter().map(on_cpu).collect::<Result<_>>()?;
    drop(first);
    let mut second = Training::new(&device())?;
    second.engine.params().varmap.clone().load(file.path())?;
    let on_device = |v: Option<Tensor>| v.map(|v| v.to_device(second.engine.device())).transpose();
    let velocities = kept.into_iter().map(on_device).collect::<Result<_>>()?;
    second.sgd.set_velocities(velocities)?;
    assert_eq!(second.sgd.learning_rate(), whole.sgd.learning_rate());
    second.step(2)?;
    let (a, b) = (second.weights()?, whole.weights()?);
    let difference = largest(a.iter().zip(&b).map(|(a, b)| a - b));
    // A GPU may add in another order; the CPU may not.
    let most = if device().is_cpu() { 0.0 } else { 1e-5 };
    assert!(difference <= most, "{difference}");
    Ok(())
}
