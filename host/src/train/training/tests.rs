use super::*;
use crate::dataset::{self, hold_out};
use crate::engine::{CpuEngine, Params};
use crate::network::zoo::{ZooOptions, network};
use crate::network::{Graph, Shape};
use crate::train::test_logits;
use crate::verify::accuracy;
use candle_core::Device;
use std::path::PathBuf;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn graph() -> Graph {
    let shape = Shape { h: 28, w: 28, c: 1 };
    network("mobilenet-v1-tiny", shape, 10, ZooOptions::default()).unwrap()
}

fn engine() -> CpuEngine {
    CpuEngine::new(graph(), Params::new(&graph(), 1, &Device::Cpu).unwrap(), 0).unwrap()
}

/// `n` training images and another 100 held out.
fn data(n: usize) -> (TrainSplit, SearchSplit) {
    let images = dataset::open("embedded").unwrap().train;
    hold_out(&images.select(&(0..n + 100).collect::<Vec<_>>()), 100, 1)
}

fn recipe(epochs: usize, learning_rate: f64) -> Recipe {
    Recipe { epochs, batch: 32, learning_rate, weight_decay: 1e-4 }
}

struct Setup {
    train: TrainSplit,
    search: SearchSplit,
    /// Epochs between validations, if any.
    every: Option<usize>,
    normalisation: Normalisation,
    recipe: Recipe,
    goal: Goal,
    dir: tempfile::TempDir,
}

impl Setup {
    fn new(goal: Goal, recipe: Recipe, n: usize) -> Setup {
        let (train, search) = data(n);
        let normalisation = Normalisation::of(&train);
        Setup { train, search, every: None, normalisation, recipe, goal, dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(
        &self,
        engine: &CpuEngine,
        file: &str,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Vec<EpochRecord>, TrainError> {
        let validation =
            self.every.map(|every| Validation { images: &self.search, every, recalibration_images: 64 });
        let training = Training {
            validation,
            goal: &self.goal,
            recipe: &self.recipe,
            augment: Augment::FlipShift,
            data: &self.train,
            normalisation: &self.normalisation,
            seed: 4,
        };
        train(engine, &training, &self.path(file), stop, watch)
    }
}

#[test]
fn a_training_that_was_stopped_ends_with_the_bytes_of_one_that_was_not() -> Outcome {
    for goal in [Goal::Supernet, Goal::Subnet(graph().smallest())] {
        let mut setup = Setup::new(goal, recipe(3, 0.1), 128);
        setup.every = Some(1);
        let stop = AtomicBool::new(false);
        let whole = setup.run(&engine(), "whole", &stop, &mut |_| ())?;
        // In the middle of the second epoch.
        let error = setup.run(&engine(), "cut", &stop, &mut |p| stop.store(p.step == 6, Ordering::Relaxed));
        assert!(matches!(error, Err(TrainError::Stopped { epoch: 2 })));
        stop.store(false, Ordering::Relaxed);
        let mut first = None;
        let resumed = setup.run(&engine(), "cut", &stop, &mut |p| first = first.or(Some(p.step)))?;
        assert_eq!(first, Some(7), "it goes on with the next step");
        assert_eq!(whole, resumed);
        assert!(std::fs::read(setup.path("whole"))? == std::fs::read(setup.path("cut"))?);
    }
    Ok(())
}

#[test]
fn a_training_that_was_killed_goes_on_from_the_last_500_steps() -> Outcome {
    let one_image = Recipe { batch: 1, ..recipe(1, 0.01) };
    let setup = Setup::new(Goal::Subnet(graph().smallest()), one_image, 502);
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
    for goal in [Goal::Supernet, Goal::Subnet(graph().smallest())] {
        let mut setup = Setup::new(goal, recipe(3, 0.1), 128);
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
        let channels = setup.goal.channels(&graph());
        recalibrate_on(&with, &channels, &setup.train, &setup.normalisation, 64)?;
        let last = evaluate(&with, &channels, &setup.search, &setup.normalisation)?.accuracy;
        assert!(history[0].accuracy.is_none() && history[1].accuracy.is_some(), "{history:?}");
        assert_eq!(history[2].accuracy, Some(last));
    }
    Ok(())
}

#[test]
fn a_finished_training_is_not_trained_again() -> Outcome {
    let setup = Setup::new(Goal::Supernet, recipe(1, 0.1), 64);
    let stop = AtomicBool::new(false);
    let history = setup.run(&engine(), "a", &stop, &mut |_| ())?;
    assert_eq!(setup.run(&engine(), "a", &stop, &mut |_| panic!("no step is left"))?, history);
    Ok(())
}

#[test]
fn a_training_that_diverges_stops_and_keeps_the_last_checkpoint() -> Outcome {
    let setup = Setup::new(Goal::Supernet, recipe(2, 1e30), 64);
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
    assert!(error.to_string().contains("lower train.learning_rate (1000"), "{error}");
    assert!(std::fs::read(&path)? == kept);
    Ok(())
}

#[test]
fn a_training_that_diverges_before_its_first_checkpoint_says_that_there_is_none() {
    let setup = Setup::new(Goal::Subnet(graph().full()), recipe(2, 1e30), 64);
    let error = setup.run(&engine(), "a", &AtomicBool::new(false), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("no checkpoint was written before; lower retrain.learning_rate"), "{error}");
    assert!(!setup.path("a").exists());
}

#[test]
fn weights_that_are_no_numbers_are_never_written() -> Outcome {
    let setup = Setup::new(Goal::Subnet(graph().full()), recipe(2, 0.1), 64);
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
    let setup = Setup::new(Goal::Supernet, recipe(1, 0.1), 64);
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
    let setup = Setup::new(Goal::Supernet, recipe(1, 0.1), 64);
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
    let mut setup = Setup::new(Goal::Supernet, recipe(1, 0.1), 64);
    let stop = AtomicBool::new(false);
    setup.run(&engine(), "a", &stop, &mut |_| ())?;
    setup.recipe.learning_rate = 0.2;
    let error = setup.run(&engine(), "a", &stop, &mut |_| ());
    assert!(matches!(error, Err(TrainError::OtherTraining { .. })), "{error:?}");
    Ok(())
}

#[test]
fn a_supernet_learns_and_its_largest_subnet_tells_test_images_apart() -> Outcome {
    let setup = Setup::new(Goal::Supernet, recipe(6, 0.1), 1900);
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
