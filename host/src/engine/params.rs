//! The parameters of a network as named Candle Vars.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarMap;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::network::{ConvKind, Graph, NodeOp};

/// Parameters at the widest channel counts: `n.weight` (OIHW) per convolution `n`, and `n.weight` `(c_out, c_in)`
/// and `n.bias` per linear layer and for the head.
///
/// The batch norms of a convolution have `n.gamma` and `n.beta`; with several switches (S-Net, arXiv 1812.08928) each
/// switch `s` has its own, `n.gamma.s` and `n.beta.s`.
#[derive(Clone)]
pub struct Params {
    /// The same Vars by name, for saving and loading.
    pub varmap: VarMap,
    vars: Vec<(String, Var)>,
    decayed: Vec<bool>,
    nodes: Vec<NodeParams>,
    n_switches: usize,
}

/// Where the parameters of a node are among [`Params::vars`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeParams {
    /// Of a convolution, linear layer or head.
    pub weight: Option<usize>,
    /// Of a linear layer or head.
    pub bias: Option<usize>,
    /// Of a convolution, one per switch.
    pub norms: Vec<NormParams>,
}

/// Where the parameters of a batch norm are among [`Params::vars`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormParams {
    /// Factors.
    pub gamma: usize,
    /// Offsets.
    pub beta: usize,
}

impl Params {
    /// Draws new parameters: He's normal initialisation for convolutions, `1 / sqrt(c)` for linear layers; the same
    /// for the same seed on every machine.
    ///
    /// # Errors
    /// If the device has no memory for them.
    pub fn new(graph: &Graph, seed: u64, device: &Device) -> Result<Params> {
        Params::with_dtype(graph, seed, device, DType::F32)
    }

    /// [`Params::new`] in another floating-point type; the CPU engine reads f32 only.
    ///
    /// # Errors
    /// Those of [`Params::new`].
    pub fn with_dtype(graph: &Graph, seed: u64, device: &Device, dtype: DType) -> Result<Params> {
        Params::switchable(graph, 1, seed, device, dtype)
    }

    /// [`Params::with_dtype`] with `n_switches` batch norms per convolution, at least one.
    ///
    /// # Errors
    /// Those of [`Params::new`].
    pub fn switchable(
        graph: &Graph,
        n_switches: usize,
        seed: u64,
        device: &Device,
        dtype: DType,
    ) -> Result<Params> {
        let widest = graph.node_channels(&graph.widest());
        let maps = graph.channel_maps(&graph.widest());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut params = Params {
            varmap: VarMap::new(),
            vars: Vec::new(),
            decayed: Vec::new(),
            nodes: Vec::new(),
            n_switches: n_switches.max(1),
        };
        for (id, node) in graph.nodes.iter().enumerate() {
            let mut found = NodeParams::default();
            let mut add = |name: String, values: Vec<f32>, shape: &[usize], decays: bool| -> Result<usize> {
                let var = Var::from_tensor(&Tensor::from_vec(values, shape, device)?.to_dtype(dtype)?)?;
                Ok(params.push(format!("{}.{name}", node.name), var, decays))
            };
            let c_out = widest[id];
            let c_in = graph.weight_map(id, &maps).map_or(0, |map| map.columns.len());
            match &node.op {
                NodeOp::Conv(conv) => {
                    let taps = conv.kernel.taps();
                    let deviation = (2.0 / (c_in * taps) as f32).sqrt();
                    let weight = normal(&mut rng, c_out * c_in * taps, deviation);
                    let shape = [c_out, c_in, conv.kernel.h, conv.kernel.w];
                    let decays = conv.kind != ConvKind::Depthwise;
                    found.weight = Some(add("weight".into(), weight, &shape, decays)?);
                    for switch in 0..n_switches.max(1) {
                        let name = |what: &str| match n_switches {
                            0 | 1 => what.to_owned(),
                            _ => format!("{what}.{switch}"),
                        };
                        let gamma = add(name("gamma"), vec![1.0; c_out], &[c_out], false)?;
                        let beta = add(name("beta"), vec![0.0; c_out], &[c_out], false)?;
                        found.norms.push(NormParams { gamma, beta });
                    }
                }
                NodeOp::Linear(_) | NodeOp::Head { .. } => {
                    let weight = normal(&mut rng, c_out * c_in, (1.0 / c_in as f32).sqrt());
                    found.weight = Some(add("weight".into(), weight, &[c_out, c_in], true)?);
                    found.bias = Some(add("bias".into(), vec![0.0; c_out], &[c_out], false)?);
                }
                _ => {}
            }
            params.nodes.push(found);
        }
        Ok(params)
    }

    /// A copy with one batch norm per convolution, that of `switch`; `graph` is the one that these were made for.
    ///
    /// # Errors
    /// If there is no such switch, or the device has no memory for it.
    pub fn of_switch(&self, graph: &Graph, switch: usize) -> Result<Params> {
        let Some((_, first)) = self.vars.first() else { candle_core::bail!("{}: no parameters", graph.name) };
        let copy = Params::with_dtype(graph, 0, first.device(), first.dtype())?;
        for (to, from) in copy.nodes.iter().zip(&self.nodes) {
            let norm = from.norms.get(switch);
            if norm.is_none() && !from.norms.is_empty() {
                candle_core::bail!("{}: switch {switch} of {}", graph.name, self.n_switches);
            }
            let norms = to
                .norms
                .iter()
                .zip(norm)
                .flat_map(|(to, from)| [(to.gamma, from.gamma), (to.beta, from.beta)]);
            let others = to.weight.zip(from.weight).into_iter().chain(to.bias.zip(from.bias));
            for (to, from) in norms.chain(others) {
                copy.var(to).set(self.var(from))?;
            }
        }
        Ok(copy)
    }

    /// Batch norms per convolution.
    pub fn n_switches(&self) -> usize {
        self.n_switches
    }

    /// Where the parameters of every node of the graph are among [`Params::vars`].
    pub fn nodes(&self) -> &[NodeParams] {
        &self.nodes
    }

    /// Every Var by name, in the order of the graph.
    pub fn vars(&self) -> Vec<(String, Var)> {
        self.vars.clone()
    }

    /// The Vars that weight decay applies to: weights of all but depthwise convolutions, of linear layers and of the head.
    pub fn decayed_vars(&self) -> Vec<(String, Var)> {
        let pairs = self.vars.iter().zip(&self.decayed);
        pairs.filter(|(_, decays)| **decays).map(|(var, _)| var.clone()).collect()
    }

    /// The Var at an index of [`Params::nodes`].
    pub fn var(&self, idx: usize) -> &Var {
        &self.vars[idx].1
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

    fn push(&mut self, name: String, var: Var, decays: bool) -> usize {
        let mut data = self.varmap.data().lock().expect("no thread panics while it holds the map");
        data.insert(name.clone(), var.clone());
        self.vars.push((name, var));
        self.decayed.push(decays);
        self.vars.len() - 1
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
