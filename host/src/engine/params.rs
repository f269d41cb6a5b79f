//! The parameters of a network as named Candle Vars.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarMap;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::network::{ConvKind, Graph, NodeOp};

/// Parameters at the widest channel counts: `n.weight` (OIHW), `n.gamma`, `n.beta` per convolution `n`, and the
/// head's `n.weight` `(classes, c)` and `n.bias`.
#[derive(Clone)]
pub struct Params {
    /// The same Vars by name, for saving and loading.
    pub varmap: VarMap,
    vars: Vec<(String, Var)>,
    decayed: Vec<bool>,
}

impl Params {
    /// Draws new parameters: He's normal initialisation for convolutions, `1 / sqrt(c)` for the head; the same
    /// for the same seed on every machine.
    pub fn new(graph: &Graph, seed: u64, device: &Device) -> Result<Params> {
        Params::with_dtype(graph, seed, device, DType::F32)
    }

    /// [`Params::new`] in another floating-point type; the CPU engine reads f32 only.
    pub fn with_dtype(graph: &Graph, seed: u64, device: &Device, dtype: DType) -> Result<Params> {
        let widest = graph.node_channels(&graph.widest());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut params = Params { varmap: VarMap::new(), vars: Vec::new(), decayed: Vec::new() };
        for (idx, node) in graph.nodes.iter().enumerate() {
            let mut add = |name: &str, values: Vec<f32>, shape: &[usize], decays: bool| -> Result<()> {
                let var = Var::from_tensor(&Tensor::from_vec(values, shape, device)?.to_dtype(dtype)?)?;
                params.push(format!("{}.{name}", node.name), var, decays);
                Ok(())
            };
            match &node.op {
                NodeOp::Conv(conv) => {
                    let c_out = widest[idx];
                    let c_in = if conv.kind == ConvKind::Dense { widest[conv.input] } else { 1 };
                    let k = conv.kernel;
                    let deviation = (2.0 / (c_in * k * k) as f32).sqrt();
                    let weight = normal(&mut rng, c_out * c_in * k * k, deviation);
                    add("weight", weight, &[c_out, c_in, k, k], conv.kind == ConvKind::Dense)?;
                    add("gamma", vec![1.0; c_out], &[c_out], false)?;
                    add("beta", vec![0.0; c_out], &[c_out], false)?;
                }
                NodeOp::Head { input } => {
                    let c = widest[*input];
                    let weight = normal(&mut rng, graph.classes * c, (1.0 / c as f32).sqrt());
                    add("weight", weight, &[graph.classes, c], true)?;
                    add("bias", vec![0.0; graph.classes], &[graph.classes], false)?;
                }
                NodeOp::Input | NodeOp::Add { .. } => {}
            }
        }
        Ok(params)
    }

    /// Every Var by name, in the order of the graph.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.vars.clone()
    }

    /// The Vars that weight decay applies to: weights of dense convolutions and of the head.
    pub fn decayed_vars(&self) -> Vec<(String, Var)> {
        let pairs = self.vars.iter().zip(&self.decayed);
        pairs.filter(|(_, decays)| **decays).map(|(var, _)| var.clone()).collect()
    }

    /// Whether weight decay applies to the Var `name`.
    pub fn decays(&self, name: &str) -> bool {
        self.vars.iter().zip(&self.decayed).any(|((other, _), decays)| other == name && *decays)
    }

    /// The Var `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<&Var> {
        match self.vars.iter().find(|(other, _)| other == name) {
            Some((_, var)) => Ok(var),
            None => candle_core::bail!("{name}: no such parameter"),
        }
    }

    fn push(&mut self, name: String, var: Var, decays: bool) {
        let mut data = self.varmap.data().lock().expect("no thread panics while it holds the map");
        data.insert(name.clone(), var.clone());
        self.vars.push((name, var));
        self.decayed.push(decays);
    }
}

/// `n` draws from N(0, deviation²) by Box and Muller's method.
fn normal(rng: &mut ChaCha8Rng, n: usize, deviation: f32) -> Vec<f32> {
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let mut draw = || {
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * uniform()).cos()) as f32 * deviation
    };
    (0..n).map(|_| draw()).collect()
}
