//! The tasks of one step, for the schedule of any number of threads.

use std::time::Instant;

use anyhow::Result;
use candle_core::{Device, Tensor};
use edgeslim::engine::{CpuEngine, Engine as _, Params};
use edgeslim::network::Graph;
use edgeslim::train::NesterovSgd;
use edgeslim::train::plain::plain_step;
use edgeslim::train::sandwich::{Sandwich, random_subnet, sandwich_step};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::What;
use crate::session::SGD;

const WARM_UP: usize = 2;

/// Milliseconds on one thread of every task of each parallel section, and of all that is in none, of one training
/// step: the least of `repeats`.
pub fn record(graph: &Graph, what: What, images: &Tensor, labels: &Tensor, repeats: usize) -> Result<Value> {
    let params = Params::new(graph, 1, &Device::Cpu)?;
    let mut sgd = NesterovSgd::for_network(&params, SGD);
    let engine = CpuEngine::new(graph.clone(), params, 1)?;
    let widest = engine.graph().widest();
    let mut step = || match what {
        What::Sandwich => {
            let (sandwich, mut rng) = (Sandwich::default(), ChaCha8Rng::seed_from_u64(1));
            sandwich_step(&engine, &sandwich, random_subnet, images, labels, &mut sgd, &mut rng)
        }
        _ => plain_step(&engine, &widest, images, labels, &mut sgd),
    };
    (0..WARM_UP).try_for_each(|_| step().map(drop))?;
    let (mut least, mut serial): (Vec<Vec<f64>>, f64) = (Vec::new(), f64::INFINITY);
    for _ in 0..repeats.max(1) {
        let start = Instant::now();
        let (loss, sections) = engine.recorded(&mut step);
        let total = start.elapsed().as_secs_f64();
        loss?;
        serial = serial.min(total - sections.iter().flatten().sum::<f64>());
        if least.is_empty() {
            least = sections;
            continue;
        }
        for (least, seconds) in least.iter_mut().flatten().zip(sections.iter().flatten()) {
            *least = least.min(*seconds);
        }
    }
    least.iter_mut().flatten().for_each(|seconds| *seconds *= 1e3);
    Ok(json!({ "serial_ms": serial * 1e3, "sections_ms": least }))
}
