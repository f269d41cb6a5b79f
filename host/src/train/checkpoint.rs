//! A training on disk: weights, velocities and where it is, in one safetensors file.

use super::{NesterovSgd, SgdParams, TrainError};
use crate::engine::Params;
use crate::network::Graph;
use candle_core::safetensors::{Load as _, SliceSafetensors};
use candle_core::{DType, Device, Tensor, Var};
use reports::record::EpochRecord;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// [`State`] as JSON.
const STATE: &str = "training.state";
/// What was trained with which recipe, as JSON.
const IDENTITY: &str = "training.identity";

/// Where a training is; everything random follows from it and the seed.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The whole epochs.
    pub history: Vec<EpochRecord>,
    /// Steps done in the epoch after them.
    pub step: usize,
    /// The losses of these steps, added up.
    pub loss_sum: f64,
    /// Images of these steps that the largest network got wrong.
    pub n_wrong: usize,
}

/// Writes the state after a step; the file is whole or the old one.
///
/// # Errors
/// [`TrainError::Write`].
pub fn save(
    path: &Path,
    params: &Params,
    sgd: &NesterovSgd,
    state: &State,
    identity: &str,
) -> Result<(), TrainError> {
    let json = serde_json::to_vec(state).expect("numbers and options become JSON");
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    tensors.insert(STATE.into(), bytes_tensor(json)?);
    tensors.insert(IDENTITY.into(), bytes_tensor(identity.as_bytes().to_vec())?);
    for ((name, var), velocity) in params.vars().into_iter().zip(sgd.velocities()) {
        if let Some(velocity) = velocity {
            tensors.insert(velocity_name(&name), velocity);
        }
        tensors.insert(name, var.as_detached_tensor());
    }
    let bytes = safetensors::serialize(&tensors, None).map_err(candle_core::Error::from)?;
    cost_tables::file::write_atomic(path, &bytes)
        .map_err(|source| TrainError::Write { path: path.to_owned(), source })
}

/// Writes one switch of an S-Net as the weights of a network by itself, for [`restore_weights`]; no training goes on
/// from it.
///
/// # Errors
/// [`TrainError::Write`]; a switch that there is not.
pub fn save_switch(path: &Path, graph: &Graph, params: &Params, switch: usize) -> Result<(), TrainError> {
    let own = params.of_switch(graph, switch)?;
    let still = SgdParams { learning_rate: 0.0, momentum: 0.0, weight_decay: 0.0 };
    let identity = format!("switch {switch} of {}", params.n_switches());
    save(path, &own, &NesterovSgd::for_network(&own, still), &State::default(), &identity)
}

/// Restores what [`save`] wrote and returns the state; `None` if there is no file.
pub(super) fn load(
    path: &Path,
    params: &Params,
    sgd: &mut NesterovSgd,
    training: Expected<'_>,
) -> Result<Option<State>, TrainError> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(path)
        .map_err(|error| TrainError::Checkpoint { path: path.to_owned(), problem: error.to_string() })?;
    match restore(&bytes, params, sgd, training) {
        Ok(state) => Ok(Some(state)),
        Err(Refused::OtherTraining) => Err(TrainError::OtherTraining { path: path.to_owned() }),
        Err(Refused::Damaged(problem)) => Err(TrainError::Checkpoint { path: path.to_owned(), problem }),
    }
}

/// What a checkpoint must agree with.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// What is trained with which recipe, as it was saved.
    pub identity: &'a str,
    /// Epochs of the training.
    pub epochs: usize,
    /// Steps of an epoch.
    pub steps: usize,
}

/// Why a checkpoint is not gone on from.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is another training's.
    #[error("written by another training")]
    OtherTraining,
    /// What is wrong with it.
    #[error("{0}")]
    Damaged(String),
}

/// Sets weights and velocities to those of a checkpoint's bytes; returns where its training is.
///
/// # Errors
/// [`Refused`]; nothing is changed then.
pub fn restore(
    bytes: &[u8],
    params: &Params,
    sgd: &mut NesterovSgd,
    expected: Expected<'_>,
) -> Result<State, Refused> {
    let file = SliceSafetensors::new(bytes).map_err(first_line)?;
    if text(&file, IDENTITY)? != expected.identity.as_bytes() {
        return Err(Refused::OtherTraining);
    }
    let state: State =
        serde_json::from_slice(&text(&file, STATE)?).map_err(|error| Refused::Damaged(error.to_string()))?;
    let State { history, step, .. } = &state;
    let Expected { epochs, steps, .. } = expected;
    if history.len() > epochs || *step > 0 && (*step >= steps || history.len() == epochs) {
        let problem = format!(
            "it is {} epochs and {step} steps far, of {epochs} epochs of {steps} steps",
            history.len()
        );
        return Err(Refused::Damaged(problem));
    }
    let (vars, names) = (params.vars(), names(&file));
    let weights = vars.iter().map(|(name, var)| tensor(&file, name, var)).collect::<Result<Vec<_>, _>>()?;
    let velocities = vars.iter().map(|(name, var)| {
        let name = velocity_name(name);
        names.contains(&name).then(|| tensor(&file, &name, var)).transpose()
    });
    sgd.set_velocities(velocities.collect::<Result<_, _>>()?).map_err(first_line)?;
    for ((_, var), weight) in vars.iter().zip(weights) {
        var.set(&weight).map_err(first_line)?;
    }
    Ok(state)
}

/// Sets the weights to those of a checkpoint's bytes, whatever training it is of.
///
/// # Errors
/// What is missing, or no number, or of another shape or type; nothing is changed then.
pub fn restore_weights(bytes: &[u8], params: &Params) -> Result<(), Refused> {
    let (file, vars) = (SliceSafetensors::new(bytes).map_err(first_line)?, params.vars());
    let weights = vars.iter().map(|(name, var)| tensor(&file, name, var)).collect::<Result<Vec<_>, _>>()?;
    vars.iter().zip(weights).try_for_each(|((_, var), weight)| var.set(&weight).map_err(first_line))
}

fn names(file: &SliceSafetensors<'_>) -> HashSet<String> {
    file.tensors().into_iter().map(|(name, _)| name).collect()
}

/// The tensor `name`, for `var`; its shape is compared before anything is allocated for it.
fn tensor(file: &SliceSafetensors<'_>, name: &str, var: &Var) -> Result<Tensor, Refused> {
    let view = file.get(name).map_err(first_line)?;
    let same_type = DType::try_from(view.dtype()).is_ok_and(|dtype| dtype == var.dtype());
    if view.shape() != var.dims() || !same_type {
        let (shape, dtype) = (view.shape(), view.dtype());
        let (wanted, wanted_type) = (var.dims(), var.dtype());
        let problem = format!("`{name}` is {shape:?} of {dtype:?}, not {wanted:?} of {wanted_type:?}");
        return Err(Refused::Damaged(problem));
    }
    let tensor = view.load(var.device()).map_err(first_line)?;
    let sum = tensor.abs().and_then(|t| t.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>());
    match sum {
        Ok(sum) if sum.is_finite() => Ok(tensor),
        _ => Err(Refused::Damaged(format!("`{name}` has a value that is no number"))),
    }
}

/// The bytes of a text that is kept as a tensor.
fn text(file: &SliceSafetensors<'_>, name: &str) -> Result<Vec<u8>, Refused> {
    let view = file.get(name).map_err(first_line)?;
    match (view.shape().len(), DType::try_from(view.dtype())) {
        (1, Ok(DType::U8)) => Ok(view.data().to_vec()),
        _ => Err(Refused::Damaged(format!("`{name}` is no text"))),
    }
}

fn first_line(error: candle_core::Error) -> Refused {
    Refused::Damaged(error.to_string().lines().next().unwrap_or_default().to_owned())
}

fn velocity_name(name: &str) -> String {
    format!("velocity/{name}")
}

fn bytes_tensor(bytes: Vec<u8>) -> candle_core::Result<Tensor> {
    let len = bytes.len();
    Tensor::from_vec(bytes, len, &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{CandleEngine, Engine as _, Mode};
    use crate::network::{Shape, zoo};
    use crate::train::tests::{batch, tiny_engine};

    const WHOLE: Expected<'_> = Expected { identity: "this", epochs: 3, steps: 5 };

    fn network(seed: u64) -> (Params, NesterovSgd) {
        let (shape, options) = (Shape { h: 8, w: 8, c: 1 }, zoo::ZooOptions::default());
        let graph = zoo::network("mobilenet-v1-tiny", shape, 2, options).unwrap();
        let params = Params::new(&graph, seed, &Device::Cpu).unwrap();
        let sgd = SgdParams { learning_rate: 0.0, momentum: 0.9, weight_decay: 0.0 };
        let sgd = NesterovSgd::for_network(&params, sgd);
        (params, sgd)
    }

    fn saved(state: &State, change: impl FnOnce(&Params)) -> Vec<u8> {
        let (params, sgd) = network(1);
        change(&params);
        let dir = tempfile::tempdir().unwrap();
        save(&dir.path().join("c"), &params, &sgd, state, "this").unwrap();
        std::fs::read(dir.path().join("c")).unwrap()
    }

    fn first(params: &Params) -> Vec<f32> {
        params.vars()[0].1.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_state_beyond_the_training_is_refused_and_changes_nothing() {
        let state = |n: usize, step: usize| State {
            history: vec![EpochRecord::default(); n],
            step,
            ..State::default()
        };
        for (n, step, fits) in
            [(0, 0, true), (2, 4, true), (3, 0, true), (2, 5, false), (3, 1, false), (4, 0, false)]
        {
            let bytes = saved(&state(n, step), |_| ());
            let (params, mut sgd) = network(2);
            let before = first(&params);
            let restored = restore(&bytes, &params, &mut sgd, WHOLE);
            assert_eq!(restored.is_ok(), fits, "{n} epochs, {step} steps: {restored:?}");
            assert_eq!(first(&params) == before, !fits);
        }
        let bytes = saved(&state(0, usize::MAX), |_| ());
        let (params, mut sgd) = network(2);
        assert!(matches!(restore(&bytes, &params, &mut sgd, WHOLE), Err(Refused::Damaged(_))));
    }

    #[test]
    fn a_saved_switch_answers_by_itself_as_it_did_among_the_others() {
        let (joint, own) = (tiny_engine(3), tiny_engine(1));
        for (i, (_, var)) in joint.params().vars().into_iter().enumerate() {
            var.set(&var.affine(1.0, 0.1 * i as f64).unwrap()).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        save_switch(&dir.path().join("c"), joint.graph(), joint.params(), 1).unwrap();
        restore_weights(&std::fs::read(dir.path().join("c")).unwrap(), own.params()).unwrap();
        let ((images, _), channels) = (batch(), joint.graph().smallest());
        joint.set_switch(1).unwrap();
        let logits = |engine: &CandleEngine| {
            engine.logits(&images, &channels, Mode::Train).unwrap().to_vec2::<f32>().unwrap()
        };
        assert_eq!(logits(&joint), logits(&own));
        joint.set_switch(2).unwrap();
        assert_ne!(logits(&joint), logits(&own));
        assert!(save_switch(&dir.path().join("d"), joint.graph(), joint.params(), 3).is_err());
    }

    #[test]
    fn a_weight_that_is_no_number_is_refused_by_its_name() {
        let bytes = saved(&State::default(), |params| {
            let (_, var) = &params.vars()[3];
            var.set(&var.affine(f64::NAN, 0.0).unwrap()).unwrap();
        });
        let (params, mut sgd) = network(2);
        let name = &params.vars()[3].0;
        for error in [
            restore(&bytes, &params, &mut sgd, WHOLE).unwrap_err(),
            restore_weights(&bytes, &params).unwrap_err(),
        ] {
            assert!(
                error.to_string().contains(&format!("`{name}` has a value that is no number")),
                "{error}"
            );
        }
    }
}
