//! One forward pass.

use candle_core::{D, DType, Result, Tensor, bail};

use super::ops;
use crate::engine::{BN_EPSILON, Dropout, Mode, NodeStatistics, Params};
use crate::network::{Activation, ChannelMap, Conv, ConvKind, Graph, Linear, NodeId, NodeOp, WeightMap};

/// What one forward carries along; tensors of nodes are `(n, h, w, c)`.
pub struct Forward<'a> {
    pub graph: &'a Graph,
    pub params: &'a Params,
    /// The type of activations and products.
    pub compute: DType,
    /// The type of statistics, sums and logits.
    pub exact: DType,
    pub mode: Mode,
    pub switch: usize,
    pub dropout: Option<Dropout>,
    pub maps: Vec<ChannelMap>,
    /// Mean and variance `(1, c)` per conv node, where the mode uses them.
    pub running: Vec<Option<(Tensor, Tensor)>>,
    /// Of this batch, in [`Mode::Calibrate`].
    pub batch: Vec<Option<NodeStatistics>>,
}

impl Forward<'_> {
    /// Logits `(n, classes)` of images `(n, h, w, c)`.
    pub fn run(&mut self, images: &Tensor) -> Result<Tensor> {
        let graph = self.graph;
        let mut ys: Vec<Option<Tensor>> = Vec::with_capacity(graph.nodes.len());
        let last_reader = last_readers(graph);
        for (id, node) in graph.nodes.iter().enumerate() {
            let y = match &node.op {
                NodeOp::Input => images.to_dtype(self.compute)?.contiguous()?,
                op => {
                    let inputs: Vec<&Tensor> = op
                        .inputs()
                        .iter()
                        .map(|&i| ys[i].as_ref().expect("kept until its last reader"))
                        .collect();
                    self.node(id, op, &inputs)?
                }
            };
            ys.push(Some(y));
            node.op
                .inputs()
                .iter()
                .filter(|&&input| last_reader[input] == id)
                .for_each(|&input| ys[input] = None);
        }
        Ok(ys.pop().flatten().expect("a graph has a head"))
    }

    fn node(&mut self, id: NodeId, op: &NodeOp, xs: &[&Tensor]) -> Result<Tensor> {
        match op {
            NodeOp::Input => bail!("{}: only node 0 is an image", self.graph.name),
            NodeOp::Conv(conv) => self.conv(id, conv, xs[0]),
            NodeOp::Linear(Linear { activation, .. }) => {
                let y = ops::activate(&self.linear(id, &xs[0].flatten_from(1)?)?, *activation)?; // (n, c)
                y.to_dtype(self.compute)?.unsqueeze(1)?.unsqueeze(1)
            }
            NodeOp::Add { activation, .. } => ops::activate(&(xs[0] + xs[1])?, *activation),
            NodeOp::Concat { .. } => Tensor::cat(xs, 3),
            NodeOp::Shuffle { groups, .. } => ops::shuffle(xs[0], *groups),
            NodeOp::Split { part, parts, .. } => {
                let c = xs[0].dim(3)? / parts;
                xs[0].narrow(3, part * c, c)?.contiguous()
            }
            NodeOp::Pool(pool) => ops::pool(xs[0], pool.kind, &op.window().expect("a pool has a window")),
            NodeOp::GlobalAverage { .. } => ops::global_average(xs[0], self.exact),
            NodeOp::Scale { .. } => xs[0].broadcast_mul(xs[1]),
            NodeOp::Head { input } => {
                let pooled = ops::global_average(xs[0], self.exact)?.flatten_from(1)?; // (n, c)
                self.linear(id, &self.dropped(*input, pooled)?)
            }
        }
    }

    fn param(&self, idx: Option<usize>) -> Result<Tensor> {
        let Some(idx) = idx else { bail!("{}: parameters of another network", self.graph.name) };
        let var = self.params.var(idx);
        Ok(if self.mode.is_differentiable() { var.as_tensor().clone() } else { var.as_detached_tensor() })
    }

    fn weight(&self, id: NodeId) -> Result<Tensor> {
        let Some(WeightMap { rows, columns }) = self.graph.weight_map(id, &self.maps) else {
            bail!("{}: node {id} has no weight", self.graph.name)
        };
        ops::select(&ops::select(&self.param(self.params.nodes()[id].weight)?, 0, &rows)?, 1, &columns)
    }

    /// One value per output channel, `(1, c)`.
    fn vector(&self, id: NodeId, idx: Option<usize>) -> Result<Tensor> {
        ops::select(&self.param(idx)?.to_dtype(self.exact)?, 0, &self.maps[id])?.unsqueeze(0)
    }

    /// `(n, c_in)` to `(n, c_out)` in the exact type.
    fn linear(&self, id: NodeId, xs: &Tensor) -> Result<Tensor> {
        let weight = self.weight(id)?.to_dtype(self.compute)?.t()?.contiguous()?;
        let product = xs.to_dtype(self.compute)?.matmul(&weight)?.to_dtype(self.exact)?;
        product.broadcast_add(&self.vector(id, self.params.nodes()[id].bias)?)
    }

    fn dropped(&self, input: NodeId, pooled: Tensor) -> Result<Tensor> {
        let Some(dropout) = self.dropout.filter(|_| self.mode.is_differentiable()) else { return Ok(pooled) };
        let (n, _) = pooled.dims2()?;
        let row =
            |image: usize| self.maps[input].indices().map(move |channel| dropout.factor(image, channel));
        let factors: Vec<f32> = (0..n).flat_map(row).collect();
        let factors = Tensor::from_vec(factors, pooled.shape(), pooled.device())?;
        &pooled * factors.to_dtype(pooled.dtype())?
    }

    /// Convolution, batch norm and activation; keeps the batch's statistics.
    fn conv(&mut self, id: NodeId, conv: &Conv, xs: &Tensor) -> Result<Tensor> {
        let weight = self.weight(id)?.to_dtype(self.compute)?;
        let window = self.graph.nodes[id].op.window().expect("a convolution has a window");
        let z = match conv.kind {
            ConvKind::Depthwise => ops::depthwise(xs, &weight, &window)?,
            ConvKind::Grouped { groups } => ops::conv(xs, &weight, &window, groups)?,
            ConvKind::Dense => ops::conv(xs, &weight, &window, 1)?,
        };
        let (n, h, w, c) = z.dims4()?;
        let z = z.to_dtype(self.exact)?.reshape((n * h * w, c))?;
        let y = self.norm(id, &z, conv.activation)?;
        y.to_dtype(self.compute)?.reshape((n, h, w, c))
    }

    /// - `z`: `(pixels, c)`
    fn norm(&mut self, id: NodeId, z: &Tensor, activation: Activation) -> Result<Tensor> {
        let (mean, variance) = match self.running.get(id) {
            Some(Some(running)) => running.clone(),
            _ => {
                let mean = z.mean_keepdim(0)?; // (1, c)
                let variance = z.broadcast_sub(&mean)?.sqr()?.mean_keepdim(0)?;
                (mean, variance)
            }
        };
        if self.mode == Mode::Calibrate {
            let m = z.dim(0)? as f64;
            let unbiased = (&variance * (m / (m - 1.0).max(1.0)))?;
            self.batch[id] = Some(NodeStatistics { mean: values(&mean)?, variance: values(&unbiased)? });
        }
        let Some(norm) = self.params.nodes()[id].norms.get(self.switch).copied() else {
            bail!("{}: no batch norm of switch {}", self.graph.nodes[id].name, self.switch)
        };
        let (gamma, beta) = (self.vector(id, Some(norm.gamma))?, self.vector(id, Some(norm.beta))?);
        let scale = (gamma / (variance + BN_EPSILON)?.sqrt()?)?; // (1, c)
        let y = z.broadcast_sub(&mean)?.broadcast_mul(&scale)?.broadcast_add(&beta)?;
        ops::activate(&y, activation)
    }
}

/// The last node that reads each.
fn last_readers(graph: &Graph) -> Vec<NodeId> {
    let mut last = vec![0; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        node.op.inputs().iter().for_each(|&input| last[input] = id);
    }
    last
}

fn values(xs: &Tensor) -> Result<Vec<f32>> {
    xs.flatten(0, D::Minus1)?.to_dtype(DType::F32)?.to_vec1()
}
