use super::*;
use crate::dataset::{self, Images, hold_out};
use crate::engine::{CandleEngine, CpuEngine, Params};
use crate::network::zoo::{ZooOptions, network};
use crate::network::{Graph, Shape};
use crate::train::sandwich::Target;
use crate::train::{BatchNorm, Sandwich, Switches, Width, evaluate, recalibrate_on, test_logits};
use crate::verify::accuracy;
use candle_core::{DType, Device};
use std::path::PathBuf;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn graph() -> Graph {
    let shape = Shape { h: 28, w: 28, c: 1 };
    network("mobilenet-v1-tiny", shape, 10, ZooOptions::default()).unwrap()
}

fn engine() -> CpuEngine {
    CpuEngine::new(graph(), Params::new(&graph(), 1, &Device::Cpu).unwrap(), 0).unwrap()
}

/// A network whose steps the oracle takes in milliseconds.
fn small_graph() -> Graph {
    network("mobilenet-v1-tiny", Shape { h: 8, w: 8, c: 1 }, 2, ZooOptions::default()).unwrap()
}

/// Images for it, 32 to train on and 8 held out.
fn small_data() -> (TrainSplit, SearchSplit) {
    let pixels = (0..40 * 64).map(|i| (i * 37 % 251 + i / 64 % 2 * 4) as u8).collect();
    hold_out(&Images::new(8, 8, 1, pixels, (0..40).map(|i| i % 2).collect()).unwrap(), 8, 1)
}

/// The engine of the CPU, and the oracle, on the small network.
fn engines(system: &System) -> [Box<dyn Engine>; 2] {
    let graph = small_graph();
    let params = || Params::switchable(&graph, system.n_switches(), 1, &Device::Cpu, DType::F32).unwrap();
    let candle = CandleEngine::new(graph.clone(), params(), Device::Cpu).unwrap();
    [Box::new(CpuEngine::new(graph.clone(), params(), 1).unwrap()), Box::new(candle)]
}

fn smallest() -> System {
    System::INet(graph().smallest().into())
}

fn supernet() -> System {
    System::Nonuniform(Sandwich::default())
}

/// Every system on the small network, and those with options in another way too.
fn systems() -> [System; 7] {
    let graph = small_graph();
    let switches = [0.25, 0.5, 1.0].map(|ratio| Width::of_ratio(&graph, ratio)).to_vec();
    let naive = Switches { batch_norm: BatchNorm::Naive, ..Switches::of(switches.clone()) };
    let labels = Sandwich { n_subnets: 3, target: Target::Labels, gradient_scale: 1.0 };
    [
        System::INet(graph.smallest().into()),
        System::SNet(Switches::of(switches)),
        System::SNet(naive),
        System::UsNet(Sandwich::default()),
        System::UsNet(labels),
        supernet(),
        System::Nonuniform(labels),
    ]
}

/// `n` training images and another 100 held out.
fn data(n: usize) -> (TrainSplit, SearchSplit) {
    let images = dataset::open("embedded").unwrap().train;
    hold_out(&images.select(&(0..n + 100).collect::<Vec<_>>()), 100, 1)
}

fn recipe(epochs: usize, learning_rate: f64) -> Recipe {
    Recipe { epochs, batch: 32, learning_rate, weight_decay: 1e-4, label_smoothing: 0.0 }
}

struct Setup {
    train: TrainSplit,
    search: SearchSplit,
    /// Epochs between validations, if any.
    every: Option<usize>,
    networks: Networks,
    normalisation: Normalisation,
    recipe: Recipe,
    system: System,
    dir: tempfile::TempDir,
}

impl Setup {
    fn new(system: System, recipe: Recipe, n: usize) -> Setup {
        Setup::on(data(n), system, recipe)
    }

    /// On the small network's images.
    fn small(system: System, epochs: usize, learning_rate: f64) -> Setup {
        Setup::on(small_data(), system, Recipe { batch: 8, ..recipe(epochs, learning_rate) })
    }

    fn on((train, search): (TrainSplit, SearchSplit), system: System, recipe: Recipe) -> Setup {
        let normalisation = Normalisation::of(&train);
        Setup {
            train,
            search,
            every: None,
            networks: Networks::Largest,
            normalisation,
            recipe,
            system,
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn training(&self) -> Training<'_> {
        let validation = self.every.map(|every| Validation {
            images: &self.search,
            every,
            recalibration_images: 64,
            networks: self.networks,
        });
        Training {
            validation,
            system: &self.system,
            recipe: &self.recipe,
            section: "train",
            augment: Augment::FlipShift,
            data: &self.train,
            normalisation: &self.normalisation,
            seed: 4,
        }
    }

    fn run(
        &self,
        engine: &dyn Engine,
        file: &str,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Vec<EpochRecord>, TrainError> {
        train(engine, &self.training(), Some(&self.path(file)), stop, watch)
    }
}

/// Trains without a stop, and another engine with one in the middle of the second epoch; the files are the same.
fn stop_and_go_on(system: System, [whole, cut, again]: [&dyn Engine; 3]) -> Outcome {
    let mut setup = Setup::small(system, 3, 0.1);
    (setup.every, setup.recipe.label_smoothing) = (Some(1), 0.1);
    let stop = AtomicBool::new(false);
    let history = setup.run(whole, "whole", &stop, &mut |_| ())?;
    let error = setup.run(cut, "cut", &stop, &mut |p| stop.store(p.step == 6, Ordering::Relaxed));
    assert!(matches!(error, Err(TrainError::Stopped { epoch: 2 })));
    stop.store(false, Ordering::Relaxed);
    let mut first = None;
    let resumed = setup.run(again, "cut", &stop, &mut |p| first = first.or(Some(p.step)))?;
    assert_eq!(first, Some(7), "it goes on with the next step");
    assert_eq!(history, resumed);
    let errors = history.iter().map(|epoch| epoch.train_error.expect("every epoch has one"));
    assert!(errors.clone().all(|error| (0.0..=1.0).contains(&error)), "{:?}", errors.collect::<Vec<_>>());
    assert!(std::fs::read(setup.path("whole"))? == std::fs::read(setup.path("cut"))?, "{:?}", setup.system);
    Ok(())
}

#[test]
fn a_training_of_any_system_that_was_stopped_ends_with_the_bytes_of_one_that_was_not() -> Outcome {
    for system in systems() {
        let [[a, b], [c, d], [e, f]] = [0; 3].map(|_| engines(&system));
        stop_and_go_on(system.clone(), [&*a, &*c, &*e])?;
        stop_and_go_on(system, [&*b, &*d, &*f])?;
    }
    Ok(())
}

#[test]
fn both_engines_train_any_system_to_the_same_weights() -> Outcome {
    for system in systems() {
        let setup = Setup::small(system, 1, 0.05);
        let engines = engines(&setup.system);
        let before = values(&*engines[0])?;
        for (engine, file) in engines.iter().zip(["cpu", "candle"]) {
            setup.run(&**engine, file, &AtomicBool::new(false), &mut |_| ())?;
        }
        let (cpu, candle) = (values(&*engines[0])?, values(&*engines[1])?);
        let largest = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let (moved, apart) = (largest(&cpu, &before), largest(&cpu, &candle));
        assert!(moved > 0.01 && apart < 0.01 * moved, "{apart} of {moved}: {:?}", setup.system);
    }
    Ok(())
}

/// All weights of an engine.
fn values(engine: &dyn Engine) -> candle_core::Result<Vec<f32>> {
    let vars = engine.params().vars();
    let values = |(_, var): &(String, candle_core::Var)| var.flatten_all()?.to_vec1();
    Ok(vars.iter().map(values).collect::<candle_core::Result<Vec<Vec<f32>>>>()?.concat())
}

#[test]
fn a_training_without_a_checkpoint_ends_with_the_same_weights() -> Outcome {
    let setup = Setup::new(smallest(), recipe(1, 0.1), 64);
    let (with, without) = (engine(), engine());
    let stop = AtomicBool::new(false);
    let history = setup.run(&with, "a", &stop, &mut |_| ())?;
    let training = setup.training();
    assert_eq!(train(&without, &training, None, &stop, &mut |_| ())?, history);
    assert_eq!(values(&with)?, values(&without)?);
    Ok(())
}

#[test]
fn parameters_of_another_number_of_switches_are_refused() {
    let switches = Switches::of([0.5, 1.0].map(|ratio| Width::of_ratio(&graph(), ratio)).to_vec());
    let setup = Setup::new(System::SNet(switches), recipe(1, 0.1), 64);
    let error = setup.run(&engine(), "a", &AtomicBool::new(false), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("s-net: it has 2 batch norms a convolution, but the parameters 1"), "{error}");
}

#[test]
fn every_switch_takes_memory_for_its_own_batch_norm() {
    let memory = |n_switches| {
        let params = Params::switchable(&graph(), n_switches, 1, &Device::Cpu, DType::F32).unwrap();
        let n_values: usize = params.vars().iter().map(|(_, var)| var.elem_count()).sum();
        let engine = CpuEngine::new(graph(), params, 1).unwrap();
        (engine.training_memory(8).unwrap(), n_values)
    };
    let ([one, four], values) = ([memory(1).0, memory(4).0], memory(4).1 - memory(1).1);
    assert!(
        values > 0 && four - one == 3 * size_of::<f32>() * values,
        "parameters, gradients and velocities"
    );
}

#[test]
fn smoothed_labels_train_other_weights() -> Outcome {
    let mut setup = Setup::new(smallest(), recipe(1, 0.1), 64);
    let (plain, smooth) = (engine(), engine());
    setup.run(&plain, "plain", &AtomicBool::new(false), &mut |_| ())?;
    setup.recipe.label_smoothing = 0.1;
    setup.run(&smooth, "smooth", &AtomicBool::new(false), &mut |_| ())?;
    assert_ne!(values(&plain)?, values(&smooth)?);
    setup.recipe.label_smoothing = 1.0;
    let error = setup.run(&engine(), "all", &AtomicBool::new(false), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("a label smoothing of 1; it must be from 0 to less than 1"), "{error}");
    Ok(())
}

#[test]
fn a_training_that_was_killed_goes_on_from_the_last_500_steps() -> Outcome {
    let one_image = Recipe { batch: 1, ..recipe(1, 0.01) };
    let setup = Setup::new(smallest(), one_image, 502);
    let stop = AtomicBool::new(false);
    setup.run(&engine(), "whole", &stop, &mut |p| {
        if p.step == 502 {
            std::fs::copy(setup.path("whole"), setup.path("killed")).unwrap();
        }
    })?;
    let mut steps = Vec::new();
    setup.run(&engine(), "killed", &stop, &mut |p| steps.push(p.step))?;
    assert_eq!(steps, [501, 502]);
    assert!(std::fs::read(setup.path("whole"))? == std::fs::read(setup.path("killed"))?);
    Ok(())
}

#[test]
fn validation_fills_the_accuracies_and_changes_no_weight() -> Outcome {
    for system in [supernet(), smallest()] {
        let mut setup = Setup::new(system, recipe(3, 0.1), 128);
        let stop = AtomicBool::new(false);
        let (with, without) = (engine(), engine());
        let silent = setup.run(&without, "without", &stop, &mut |_| ())?;
        setup.every = Some(2);
        let history = setup.run(&with, "with", &stop, &mut |_| ())?;
        for ((name, a), (_, b)) in with.params().vars().iter().zip(without.params().vars()) {
            let values = |var: &candle_core::Var| var.flatten_all()?.to_vec1::<f32>();
            assert_eq!(values(a)?, values(&b)?, "{name}");
        }
        assert!(silent.iter().all(|epoch| epoch.accuracy.is_none()));
        let channels = setup.system.largest(&graph()).channels;
        recalibrate_on(&with, &channels, &setup.train, &setup.normalisation, 64)?;
        let last = evaluate(&with, &channels, &setup.search, &setup.normalisation)?.accuracy;
        assert!(history[0].accuracy.is_none() && history[1].accuracy.is_some(), "{history:?}");
        assert_eq!(history[2].accuracy, Some(last));
    }
    Ok(())
}

#[test]
fn a_finished_training_is_not_trained_again() -> Outcome {
    let setup = Setup::new(supernet(), recipe(1, 0.1), 64);
    let stop = AtomicBool::new(false);
    let history = setup.run(&engine(), "a", &stop, &mut |_| ())?;
    assert_eq!(setup.run(&engine(), "a", &stop, &mut |_| panic!("no step is left"))?, history);
    Ok(())
}

#[test]
fn a_training_that_diverges_stops_and_keeps_the_last_checkpoint() -> Outcome {
    let setup = Setup::new(supernet(), recipe(2, 1e30), 64);
    let stop = AtomicBool::new(false);
    let stopped = setup.run(&engine(), "a", &stop, &mut |_| stop.store(true, Ordering::Relaxed));
    assert!(matches!(stopped, Err(TrainError::Stopped { .. })), "{stopped:?}");
    let kept = std::fs::read(setup.path("a"))?;
    stop.store(false, Ordering::Relaxed);
    let error = setup.run(&engine(), "a", &stop, &mut |_| ()).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { epoch: 1, step: 2, .. }), "{error:?}");
    let path = setup.path("a");
    let told = format!("{} keeps the weights after 0 epochs and 1 steps", path.display());
    assert!(error.to_string().contains(&told), "{error}");
    assert!(error.to_string().contains("lower train.learning_rate in edgeslim.toml (1000"), "{error}");
    assert!(std::fs::read(&path)? == kept);
    Ok(())
}

#[test]
fn a_training_that_diverges_before_its_first_checkpoint_says_that_there_is_none() {
    let setup = Setup::new(System::INet(graph().full().into()), recipe(2, 1e30), 64);
    let error = setup.run(&engine(), "a", &AtomicBool::new(false), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("no checkpoint was written before; lower train.learning_rate"), "{error}");
    assert!(!setup.path("a").exists());
}

#[test]
fn weights_that_are_no_numbers_are_never_written() -> Outcome {
    let setup = Setup::new(System::INet(graph().full().into()), recipe(2, 0.1), 64);
    let engine = engine();
    let stop = AtomicBool::new(false);
    let mut kept = Vec::new();
    let path = setup.path("a");
    let bias = engine.params().get("head.bias")?.clone();
    let error = setup.run(&engine, "a", &stop, &mut |p| {
        if p.step == 4 {
            kept = std::fs::read(&path).unwrap();
            bias.set(&(bias.as_detached_tensor() * f64::NAN).unwrap()).unwrap();
        }
    });
    let left = Some(Kept { path: path.clone(), epochs: 1, steps: 0 });
    let Err(TrainError::NotFinite { epoch: 2, step: 2, kept: told, .. }) = error else { panic!("{error:?}") };
    assert_eq!(told, left);
    assert!(!kept.is_empty() && std::fs::read(&path)? == kept);
    Ok(())
}

#[test]
fn images_of_more_classes_than_the_network_tells_are_refused() -> Outcome {
    let setup = Setup::new(supernet(), recipe(1, 0.1), 64);
    let shape = Shape { h: 28, w: 28, c: 1 };
    let graph = network("mobilenet-v1-tiny", shape, 9, ZooOptions::default())?;
    let engine = CpuEngine::new(graph.clone(), Params::new(&graph, 1, &Device::Cpu)?, 0)?;
    let error = setup.run(&engine, "a", &AtomicBool::new(false), &mut |_| ());
    assert!(matches!(error, Err(TrainError::Classes { found: 10, classes: 9, .. })), "{error:?}");
    recalibrate_on(&engine, &graph.full(), &setup.train, &setup.normalisation, 64)?;
    assert!(evaluate(&engine, &graph.full(), &setup.search, &setup.normalisation).is_err());
    Ok(())
}

#[test]
fn a_checkpoint_cut_at_any_place_is_refused_and_changes_nothing() -> Outcome {
    let setup = Setup::new(supernet(), recipe(1, 0.1), 64);
    let stop = AtomicBool::new(false);
    setup.run(&engine(), "a", &stop, &mut |_| ())?;
    let bytes = std::fs::read(setup.path("a"))?;
    for len in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(setup.path("a"), &bytes[..len])?;
        let engine = engine();
        let before: Vec<f32> = engine.params().get("head.weight")?.flatten_all()?.to_vec1()?;
        let error = setup.run(&engine, "a", &stop, &mut |_| ()).unwrap_err();
        assert!(matches!(error, TrainError::Checkpoint { .. }), "{len}: {error}");
        let after: Vec<f32> = engine.params().get("head.weight")?.flatten_all()?.to_vec1()?;
        assert_eq!(before, after);
    }
    Ok(())
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused() -> Outcome {
    let mut setup = Setup::new(supernet(), recipe(1, 0.1), 64);
    let stop = AtomicBool::new(false);
    setup.run(&engine(), "a", &stop, &mut |_| ())?;
    setup.recipe.learning_rate = 0.2;
    let error = setup.run(&engine(), "a", &stop, &mut |_| ());
    assert!(matches!(error, Err(TrainError::OtherTraining { .. })), "{error:?}");
    Ok(())
}

#[test]
fn a_supernet_learns_and_its_largest_subnet_tells_test_images_apart() -> Outcome {
    let setup = Setup::new(supernet(), recipe(6, 0.1), 1900);
    let engine = engine();
    let history = setup.run(&engine, "a", &AtomicBool::new(false), &mut |_| ())?;
    assert!(history[5].loss < 0.7 * history[0].loss, "{history:?}");
    recalibrate_on(&engine, &graph().widest(), &setup.train, &setup.normalisation, 1000)?;
    let test = dataset::open("embedded")?.test;
    let logits = test_logits(&engine, &graph().widest(), &test, &setup.normalisation)?;
    let found = accuracy(&logits, test.images().labels(), logits.len());
    // Six short epochs reach about 69 %, thirty at twice the rate 84 %; guessing is right for 10 %.
    assert!(found > 0.6 && logits.len() == 1000, "{found}");
    Ok(())
}
