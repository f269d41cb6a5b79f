//! A training on disk: weights, velocities and where it is, in one safetensors file.

use super::{NesterovSgd, TrainError};
use crate::engine::Params;
use candle_core::{Device, Tensor};
use reports::record::EpochRecord;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// [`State`] as JSON.
const STATE: &str = "training.state";
/// What was trained with which recipe, as JSON.
const IDENTITY: &str = "training.identity";

/// Where a training is; everything random follows from it and the seed.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The whole epochs.
    pub history: Vec<EpochRecord>,
    /// Steps done in the epoch after them.
    pub step: usize,
    /// The losses of these steps, added up.
    pub loss_sum: f64,
}

/// Writes the state after a step; the file is whole or the old one.
pub(super) fn save(
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
    let saved =
        cost_tables::file::replace(path, |temporary| candle_core::safetensors::save(&tensors, temporary));
    saved.map_err(|error| match error {
        candle_core::Error::Io(source) => TrainError::Write { path: path.to_owned(), source },
        other => other.into(),
    })
}

/// Restores what [`save`] wrote and returns the state; `None` if there is no file.
pub(super) fn load(
    path: &Path,
    params: &Params,
    sgd: &mut NesterovSgd,
    identity: &str,
) -> Result<Option<State>, TrainError> {
    if !path.exists() {
        return Ok(None);
    }
    let damaged = |problem: String| TrainError::Checkpoint { path: path.to_owned(), problem };
    let first_line =
        |error: candle_core::Error| damaged(error.to_string().lines().next().unwrap_or_default().to_owned());
    let mut tensors = candle_core::safetensors::load(path, &Device::Cpu).map_err(first_line)?;
    let mut bytes = |name: &str| -> Result<Vec<u8>, TrainError> {
        let tensor = tensors.remove(name).ok_or_else(|| damaged(format!("no `{name}`")))?;
        tensor.to_vec1().map_err(first_line)
    };
    if bytes(IDENTITY)? != identity.as_bytes() {
        return Err(TrainError::OtherTraining { path: path.to_owned() });
    }
    let state = serde_json::from_slice(&bytes(STATE)?).map_err(|error| damaged(error.to_string()))?;
    let vars = params.vars();
    // Everything is looked at before anything is changed.
    for (name, var) in &vars {
        let found = tensors.get(name).map(Tensor::dims);
        if found != Some(var.dims()) {
            return Err(damaged(format!("`{name}` is {found:?}, not {:?}", var.dims())));
        }
    }
    let velocities = vars
        .iter()
        .map(|(name, var)| tensors.get(&velocity_name(name)).map(|v| v.to_device(var.device())).transpose());
    sgd.set_velocities(velocities.collect::<Result<_, _>>()?).map_err(first_line)?;
    for (name, var) in &vars {
        var.set(&tensors[name].to_device(var.device())?)?;
    }
    Ok(Some(state))
}

fn velocity_name(name: &str) -> String {
    format!("velocity/{name}")
}

fn bytes_tensor(bytes: Vec<u8>) -> candle_core::Result<Tensor> {
    let len = bytes.len();
    Tensor::from_vec(bytes, len, &Device::Cpu)
}
