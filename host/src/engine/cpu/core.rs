//! What the CPU engine keeps between passes: one arena of activations, and the running sums.

use std::ops::Range;
use std::sync::Mutex;

use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::norm::{Affine, expand, period};
use cpu_kernels::pool::Pool;
use cpu_kernels::{Isa, Real};

use super::evaluate::{Kept, Slots};
use super::geometry::{Geometry, Layer};
use super::image_ops::ImageOp;
use super::loans::Loans;
use super::memory::gradient_slots;
use super::norm::Norm;
use super::plan::Plan;
use crate::engine::{Dropout, NodeParams, Statistics};
use crate::network::{Activation, Channels, Conv, ConvKind, Graph, Linear, NodeId, NodeOp};

/// One thread's temporaries.
pub type Scratch = [Vec<Real>; 2];

/// State of one node in the current pass.
#[derive(Default)]
pub struct NodeState {
    /// Active channels.
    pub c: usize,
    /// Values of the output, `n · h · w · c`; buffers keep the length of the largest subnet so far.
    pub len: usize,
    /// Output `[n, h, w, c]`, before batch norm and activation.
    pub z: Vec<Real>,
    /// Gradient of the output `[n, h, w, c]`; once every consumer has visited it, of what the activation reads.
    pub grad: Vec<Real>,
    /// Whether `grad` holds something.
    pub has_grad: bool,
    /// Consumers whose backward is still to come.
    pub consumers_left: usize,
    /// Batch norm; for a linear layer and a sum scale 1, and the bias or 0 as shift.
    pub norm: Norm,
}

/// The state of one engine.
pub struct Core {
    pub graph: Graph,
    pub isa: Isa,
    pub pool: Pool,
    pub scratch: Vec<Mutex<Scratch>>,
    pub nodes: Vec<NodeState>,
    pub plans: Vec<Plan>,
    /// Height and width per node.
    pub planes: Vec<(usize, usize)>,
    /// Per node, input channels that an output channel's weights are stored for.
    pub stored: Vec<usize>,
    /// Whether active channels may be others than the first.
    pub reorders: bool,
    /// Where each node's parameters are.
    pub layout: Vec<NodeParams>,
    /// Per node, the one or two that it reads.
    pub inputs: Vec<[NodeId; 2]>,
    /// Per node, how many read it.
    pub consumers: Vec<usize>,
    /// Images of the current pass.
    pub n: usize,
    /// Channels of every node in the current pass.
    pub counts: Vec<usize>,
    /// Whether the batch norms of the current pass are constants.
    pub frozen: bool,
    pub dropout: Option<Dropout>,
    /// Which batch norms and statistics are used.
    pub switch: usize,
    /// Per node, which gradient buffer it uses.
    pub grad_slots: Vec<usize>,
    /// Gradient buffers; empty while a node uses it.
    pub grad_buffers: Vec<Vec<Real>>,
    /// Counts forward passes; a backward must carry the last one's.
    pub generation: u64,
    /// A packed operand.
    pub packed: Vec<Real>,
    /// Partial sums per chunk.
    pub parts: Vec<Real>,
    /// One layer's coefficients per channel, before they are expanded.
    pub coefficients: Vec<Real>,
    /// One layer's sums per channel.
    pub sums: [Vec<f64>; 2],
    /// Operands of a wide layer, for the whole batch.
    pub whole: [Vec<Real>; 3],
    /// Per thread, what an evaluation keeps of its images.
    pub slots: Vec<Mutex<Slots>>,
    /// What all images of an evaluation share.
    pub kept: Kept,
    /// Head input `[n, c]`.
    pub pooled: Vec<Real>,
    /// Gradient sums, one per parameter; empty while they are lent.
    pub grads: Vec<Vec<Real>>,
    pub loans: Loans,
    /// Running statistics, one per switch.
    pub statistics: Vec<Statistics>,
}

impl Core {
    /// State for `graph`, whose parameters lie where `layout` says and have these gradients.
    pub fn new(
        graph: Graph,
        layout: Vec<NodeParams>,
        loans: Loans,
        n_switches: usize,
        n_threads: usize,
        isa: Isa,
    ) -> Core {
        let mut consumers = vec![0; graph.nodes.len()];
        graph.nodes.iter().flat_map(|node| node.op.inputs()).for_each(|input| consumers[input] += 1);
        let inputs = graph.nodes.iter().map(|node| match node.op.inputs()[..] {
            [] => [0, 0],
            [a] => [a, a],
            [a, b, ..] => [a, b],
        });
        let inputs = inputs.collect();
        let widest_maps = graph.channel_maps(&graph.widest());
        let stored = |idx| graph.weight_map(idx, &widest_maps).map_or(0, |map| map.columns.len());
        let grad_slots = gradient_slots(&graph);
        Core {
            isa,
            scratch: (0..n_threads).map(|_| Mutex::default()).collect(),
            pool: Pool::new(n_threads),
            nodes: graph.nodes.iter().map(|_| NodeState::default()).collect(),
            plans: graph.nodes.iter().map(|_| Plan::default()).collect(),
            planes: graph.node_planes(),
            stored: (0..graph.nodes.len()).map(stored).collect(),
            reorders: graph.nodes.iter().any(|node| reorders(&node.op)),
            layout,
            inputs,
            consumers,
            n: 0,
            frozen: false,
            dropout: None,
            switch: 0,
            grad_buffers: vec![Vec::new(); grad_slots.iter().max().map_or(0, |slot| slot + 1)],
            grad_slots,
            generation: 0,
            packed: Vec::new(),
            parts: Vec::new(),
            coefficients: Vec::new(),
            sums: Default::default(),
            whole: Default::default(),
            slots: (0..n_threads).map(|_| Mutex::default()).collect(),
            kept: Kept::new(&graph),
            pooled: Vec::new(),
            grads: vec![Vec::new(); loans.n_tensors()],
            loans,
            statistics: vec![Statistics::default(); n_switches],
            counts: Vec::new(),
            graph,
        }
    }

    /// Sizes every buffer for `n` images of the subnet `channels` and forgets the last pass.
    pub fn prepare(&mut self, n: usize, channels: &Channels) {
        self.prepare_shapes(n, channels);
        let Core { graph, nodes, isa, .. } = self;
        for (state, node) in nodes.iter_mut().zip(&graph.nodes) {
            buffer(&mut state.z, state.len);
            if let NodeOp::Add { .. } = node.op {
                let p = period(*isa, state.c);
                resized(&mut state.norm.scale, p).fill(1.0);
                resized(&mut state.norm.shift, p).fill(0.0);
            }
        }
    }

    /// Lays out a pass of `n` images of the subnet `channels`; the last pass can have no backward any more.
    pub fn prepare_shapes(&mut self, n: usize, channels: &Channels) {
        self.n = n;
        self.generation += 1;
        self.graph.node_channels_into(channels, &mut self.counts);
        let maps = self.reorders.then(|| self.graph.channel_maps(channels));
        for idx in 0..self.nodes.len() {
            let ((h, w), c) = (self.planes[idx], self.counts[idx]);
            let state = &mut self.nodes[idx];
            (state.c, state.len, state.consumers_left) = (c, n * h * w * c, self.consumers[idx]);
            state.has_grad = false;
            let weights = maps.as_ref().and_then(|maps| self.graph.weight_map(idx, maps));
            let (rows, columns) =
                (weights.as_ref().map(|map| &map.rows), weights.as_ref().map(|map| &map.columns));
            if let Some(layer) = Layer::of(&self.graph.nodes[idx].op) {
                let g = geometry(&self.nodes, &self.planes, idx, &layer);
                let (c_out, c_in) = ((g.c_out, rows), (g.group_in(), columns));
                self.plans[idx].select(c_out, c_in, self.stored[idx], g.taps());
                self.plans[idx].update(&g, self.isa);
            } else if let NodeOp::Head { input } = self.graph.nodes[idx].op {
                let c_in = (self.counts[input], columns);
                self.plans[idx].select((c, None), c_in, self.stored[idx], 1);
            }
        }
    }

    /// Geometry of the layer `idx` in the current pass.
    pub fn geometry(&self, idx: usize, layer: &Layer) -> Geometry {
        geometry(&self.nodes, &self.planes, idx, layer)
    }

    /// The operator of node `idx`, where it works image by image without parameters.
    pub fn image_op(&self, idx: usize) -> Option<ImageOp> {
        let shape = |idx: NodeId| (self.planes[idx].0, self.planes[idx].1, self.nodes[idx].c);
        let [a, b] = self.inputs[idx];
        ImageOp::new(&self.graph.nodes[idx].op, &[shape(a), shape(b)])
    }

    /// The convolution or linear layer `idx`.
    pub fn layer(&self, idx: usize) -> Layer {
        Layer::of(&self.graph.nodes[idx].op).expect("only layers come here")
    }

    /// Into how many tasks a layer of `macs` an image and `n_weights` goes. Depends on shapes only, so that sums are
    /// added in the same order for every number of threads; many enough for many threads, few enough that the
    /// partial sums cost little.
    pub fn n_chunks(&self, macs: usize, n_weights: usize) -> usize {
        const MACS_A_CHUNK: usize = 1 << 18;
        let by_work = self.n * macs / MACS_A_CHUNK;
        let by_sums = self.n * macs / (n_weights.max(1) * 128).max(1);
        by_work.min(by_sums).clamp(8, 64).min(self.n)
    }
}

/// Whether active channels behind it may be others than the first.
fn reorders(op: &NodeOp) -> bool {
    match op {
        NodeOp::Conv(conv) => conv.units.len() > 1 || matches!(conv.kind, ConvKind::Grouped { .. }),
        NodeOp::Linear(linear) => linear.units.len() > 1,
        NodeOp::Concat { .. } | NodeOp::Shuffle { .. } => true,
        _ => false,
    }
}

/// Geometry of the layer `idx`, whose channels and those of its input are in `nodes`.
fn geometry(nodes: &[NodeState], planes: &[(usize, usize)], idx: usize, layer: &Layer) -> Geometry {
    let ((h, w), (h_out, w_out)) = (planes[layer.input], planes[idx]);
    let pad = layer.padding;
    Geometry {
        is_depthwise: layer.kind == ConvKind::Depthwise,
        groups: if let ConvKind::Grouped { groups } = layer.kind { groups } else { 1 },
        c_in: nodes[layer.input].c,
        c_out: nodes[idx].c,
        h,
        w,
        h_out,
        w_out,
        kernel: layer.kernel,
        stride: layer.stride,
        top: pad.top.into(),
        left: pad.left.into(),
        h_padded: h + usize::from(pad.top) + usize::from(pad.bottom),
        w_padded: w + usize::from(pad.left) + usize::from(pad.right),
    }
}

/// The output of a node as its consumers see it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Output, before batch norm and activation.
    pub z: &'a [Real],
    /// Batch norm and activation.
    pub affine: Option<Affine<'a>>,
}

impl View<'_> {
    /// The values of `range`.
    pub fn read(&self, isa: Isa, range: Range<usize>, out: &mut [Real]) {
        match &self.affine {
            Some(affine) => affine.apply(isa, &self.z[range], out),
            None => out.copy_from_slice(&self.z[range]),
        }
    }

    /// Image `idx` of `n`, in a temporary.
    pub fn read_image<'t>(&self, isa: Isa, idx: usize, n: usize, xs: &'t mut Vec<Real>) -> &'t [Real] {
        let len = self.z.len() / n;
        let xs = buffer(xs, len);
        self.read(isa, idx * len..(idx + 1) * len, xs);
        xs
    }

    /// Image `idx` and a zero border around it.
    pub fn read_padded(&self, isa: Isa, g: &Geometry, idx: usize, padded: &mut [Real]) {
        let line = g.w * g.c_in;
        let first = g.top * g.padded_row() + g.left * g.c_in;
        fill_inside(padded, first, g.padded_row(), line, g.h, |y, inside| {
            let from = (idx * g.h + y) * line;
            self.read(isa, from..from + line, inside);
        });
    }
}

/// Lets `fill(y, line)` write `n_lines` of `line` values, `row` apart from `first` on, and zeros everything else.
pub fn fill_inside(
    padded: &mut [Real],
    first: usize,
    row: usize,
    line: usize,
    n_lines: usize,
    mut fill: impl FnMut(usize, &mut [Real]),
) {
    let mut end = 0;
    for y in 0..n_lines {
        let start = first + y * row;
        padded[end..start].fill(0.0);
        end = start + line;
        fill(y, &mut padded[start..end]);
    }
    padded[end..].fill(0.0);
}

/// The view of node `idx`.
pub fn view<'a>(graph: &Graph, nodes: &'a [NodeState], idx: usize) -> View<'a> {
    let state = &nodes[idx];
    let affine = match &graph.nodes[idx].op {
        NodeOp::Conv(Conv { activation, .. }) | NodeOp::Linear(Linear { activation, .. }) => {
            Some(affine(state, *activation))
        }
        NodeOp::Add { activation: Activation::None, .. } => None,
        NodeOp::Add { activation, .. } => Some(affine(state, *activation)),
        _ => None,
    };
    View { z: &state.z[..state.len], affine }
}

/// Batch norm and activation of a node.
pub fn affine(state: &NodeState, activation: Activation) -> Affine<'_> {
    let activation = super::unsupported::activation(activation).expect("CpuEngine::new refuses the others");
    Affine { scale: &state.norm.scale, shift: &state.norm.shift, activation }
}

/// Repeats one value per channel to one period.
pub fn expanded(isa: Isa, values: &[Real], out: &mut Vec<Real>) {
    expand(values, resized(out, period(isa, values.len())));
}

/// Chunk `idx` of `n_chunks` of `n` items.
pub fn chunk(n: usize, n_chunks: usize, idx: usize) -> Range<usize> {
    n * idx / n_chunks..n * (idx + 1) / n_chunks
}

/// `n` values of a buffer that only grows, their content unspecified.
pub fn buffer(buffer: &mut Vec<Real>, n: usize) -> &mut [Real] {
    if buffer.len() < n {
        buffer.reserve_exact(n - buffer.len());
        buffer.resize(n, 0.0);
    }
    &mut buffer[..n]
}

/// A buffer of exactly `n` values, their content unspecified.
pub fn resized(buffer: &mut Vec<Real>, n: usize) -> &mut [Real] {
    buffer.reserve_exact(n.saturating_sub(buffer.len()));
    buffer.resize(n, 0.0);
    buffer
}

/// Runs `task(item, thread's temporaries)` for every item.
pub fn for_each(
    pool: &mut Pool,
    scratch: &[Mutex<Scratch>],
    n_items: usize,
    task: impl Fn(usize, &mut Scratch) + Sync,
) {
    pool.run(n_items, &|idx, thread_idx| {
        task(idx, &mut scratch[thread_idx].lock().expect("a panic ends the engine"));
    });
}

/// What a consumer does to its source once its gradient is whole: gate it by the activation, and add up the sums that
/// the source's batch norm needs.
pub struct Finish<'a> {
    pub view: View<'a>,
    /// Mean of the source's batch norm, expanded, and the sums per chunk; `None` if it is no layer.
    pub norm: Option<(&'a [Real], &'a Disjoint<'a>)>,
}

impl Finish<'_> {
    /// The gradient from `start` on is whole.
    pub fn run(&self, isa: Isa, start: usize, grad: &mut [Real], chunk_idx: usize) {
        let z = &self.view.z[start..start + grad.len()];
        match (&self.view.affine, self.norm) {
            (Some(affine), Some((mean, sums))) => {
                let p = mean.len();
                // SAFETY: every chunk has its own sums, and this range ends with this call.
                let sums = unsafe { sums.range(chunk_idx * 2 * p, 2 * p) };
                affine.gate_and_sum(isa, z, grad, mean, sums);
            }
            (Some(affine), None) => affine.gate(isa, z, grad),
            (None, _) => {}
        }
    }
}
