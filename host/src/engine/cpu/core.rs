//! What the CPU engine keeps between passes: one arena of activations, and the running sums.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Mutex;

use super::geometry::Geometry;
use super::norm::{Affine, period};
use super::pool::Pool;
use super::simd::Isa;
use crate::engine::Statistics;
use crate::network::{Activation, Channels, Conv, Graph, NodeOp};

/// A batch is cut into this many chunks, whose sums are added in order: results do not depend on the number of
/// threads.
pub const CHUNKS: usize = 8;

/// One thread's temporaries.
pub type Scratch = [Vec<f32>; 4];

/// State of one node in the current pass.
#[derive(Default)]
pub struct NodeState {
    /// Active channels.
    pub c: usize,
    /// Floats of the output, `n · h · w · c`; buffers keep the length of the largest subnet so far.
    pub len: usize,
    /// Output `[n, h, w, c]`; a convolution's before batch norm.
    pub z: Vec<f32>,
    /// Gradient of the output (a convolution's after its activation), `[n, h, w, c]`.
    pub grad: Vec<f32>,
    /// Whether `grad` holds something.
    pub has_grad: bool,
    /// Consumers whose backward is still to come.
    pub consumers_left: usize,
    /// Batch norm as one affine per channel, expanded.
    pub scale: Vec<f32>,
    /// See `scale`.
    pub shift: Vec<f32>,
    /// Mean per channel, expanded.
    pub mean: Vec<f32>,
    /// `1 / sqrt(variance + epsilon)` per channel.
    pub inv_std: Vec<f32>,
    /// Sums for the backward of batch norm, `[CHUNKS][2 · period]`.
    pub sums: Vec<f32>,
}

/// The state of one engine.
pub struct Core {
    pub graph: Graph,
    pub isa: Isa,
    pub pool: Pool,
    pub scratch: Vec<Mutex<Scratch>>,
    pub nodes: Vec<NodeState>,
    /// Height and width per node.
    pub planes: Vec<(usize, usize)>,
    /// Widest channels per node.
    pub widest: Vec<usize>,
    /// Per node, the index of its first parameter.
    pub first_param: Vec<usize>,
    /// Images of the current pass.
    pub n: usize,
    /// Gradient buffers that no node uses now.
    pub free: Vec<Vec<f32>>,
    /// Counts forward passes; a backward must carry the last one's.
    pub generation: u64,
    /// A packed operand.
    pub packed: Vec<f32>,
    /// Partial sums per chunk.
    pub parts: Vec<f32>,
    /// Head input `[n, c]`.
    pub pooled: Vec<f32>,
    /// Gradient sums, one per parameter.
    pub grads: Vec<Vec<f32>>,
    pub statistics: Statistics,
}

impl Core {
    /// State for `graph`, whose parameters have `param_lens` elements.
    pub fn new(graph: Graph, param_lens: &[usize], n_threads: usize, isa: Isa) -> Core {
        let mut first_param = Vec::new();
        let mut next = 0;
        for node in &graph.nodes {
            first_param.push(next);
            next += match node.op {
                NodeOp::Conv(_) => 3,
                NodeOp::Head { .. } => 2,
                _ => 0,
            };
        }
        Core {
            isa,
            scratch: (0..n_threads).map(|_| Mutex::default()).collect(),
            pool: Pool::new(n_threads),
            nodes: graph.nodes.iter().map(|_| NodeState::default()).collect(),
            planes: graph.node_planes(),
            widest: graph.node_channels(&graph.widest()),
            first_param,
            n: 0,
            free: Vec::new(),
            generation: 0,
            packed: Vec::new(),
            parts: Vec::new(),
            pooled: Vec::new(),
            grads: param_lens.iter().map(|&n| vec![0.0; n]).collect(),
            statistics: Statistics::default(),
            graph,
        }
    }

    /// Sizes every buffer for `n` images of the subnet `channels` and forgets the last pass.
    pub fn prepare(&mut self, n: usize, channels: &Channels) {
        self.n = n;
        self.generation += 1;
        let counts = self.graph.node_channels(channels);
        for (idx, state) in self.nodes.iter_mut().enumerate() {
            let (h, w) = self.planes[idx];
            state.c = counts[idx];
            state.len = n * h * w * state.c;
            floats(&mut state.z, state.len);
            state.consumers_left = 0;
        }
        for node in &self.graph.nodes {
            let inputs = match node.op {
                NodeOp::Input => [None, None],
                NodeOp::Conv(Conv { input, .. }) | NodeOp::Head { input } => [Some(input), None],
                NodeOp::Add { a, b, .. } => [Some(a), Some(b)],
                _ => unreachable!("CpuEngine::new refuses it"),
            };
            inputs.into_iter().flatten().for_each(|input| self.nodes[input].consumers_left += 1);
        }
    }

    /// Geometry of the convolution `idx` in the current pass.
    pub fn geometry(&self, idx: usize, conv: &Conv) -> Geometry {
        let ((h, w), (h_out, w_out)) = (self.planes[conv.input], self.planes[idx]);
        let pad = conv.padding;
        Geometry {
            kind: conv.kind,
            c_in: self.nodes[conv.input].c,
            c_in_max: self.widest[conv.input],
            c_out: self.nodes[idx].c,
            h,
            w,
            h_out,
            w_out,
            kernel: conv.kernel.h,
            stride: conv.stride,
            top: pad.top.into(),
            left: pad.left.into(),
            h_padded: h + usize::from(pad.top) + usize::from(pad.bottom),
            w_padded: w + usize::from(pad.left) + usize::from(pad.right),
        }
    }
}

/// The output of a node as its consumers see it.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Output, a convolution's before batch norm.
    pub z: &'a [f32],
    /// Batch norm and activation of a convolution.
    pub affine: Option<Affine<'a>>,
}

impl View<'_> {
    /// The values of `range`.
    pub fn read(&self, isa: Isa, range: Range<usize>, out: &mut [f32]) {
        match &self.affine {
            Some(affine) => affine.apply(isa, &self.z[range], out),
            None => out.copy_from_slice(&self.z[range]),
        }
    }

    /// Image `idx` and a zero border around it.
    pub fn read_padded(&self, isa: Isa, g: &Geometry, idx: usize, padded: &mut [f32]) {
        let line = g.w * g.c_in;
        let first = g.top * g.padded_row() + g.left * g.c_in;
        fill_inside(padded, first, g.padded_row(), line, g.h, |y, inside| {
            let from = (idx * g.h + y) * line;
            self.read(isa, from..from + line, inside);
        });
    }
}

/// Lets `fill(y, line)` write `n_lines` of `line` floats, `row` apart from `first` on, and zeros everything else.
pub fn fill_inside(
    padded: &mut [f32],
    first: usize,
    row: usize,
    line: usize,
    n_lines: usize,
    fill: impl Fn(usize, &mut [f32]),
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
        NodeOp::Conv(conv) => Some(affine(state, conv.activation)),
        _ => None,
    };
    View { z: &state.z[..state.len], affine }
}

/// Batch norm and activation of a convolution.
pub fn affine(state: &NodeState, activation: Activation) -> Affine<'_> {
    Affine { scale: &state.scale, shift: &state.shift, activation }
}

/// Chunk `idx` of `n_chunks` of `n` items.
pub fn chunk(n: usize, n_chunks: usize, idx: usize) -> Range<usize> {
    n * idx / n_chunks..n * (idx + 1) / n_chunks
}

/// At least `n` floats of a temporary, their content unspecified.
pub fn floats(buffer: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if buffer.len() < n {
        buffer.resize(n, 0.0);
    }
    &mut buffer[..n]
}

/// `n` zeros.
pub fn zeros(buffer: &mut Vec<f32>, n: usize) -> &mut [f32] {
    let floats = floats(buffer, n);
    floats.fill(0.0);
    floats
}

/// Empty sums for the batch norm backward of `c` channels.
pub fn clear_sums(state: &mut NodeState) {
    state.sums.clear();
    state.sums.resize(CHUNKS * 2 * period(state.c), 0.0);
}

/// A buffer whose disjoint ranges are written by several threads.
pub struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    _buffer: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `range`, whose contract keeps ranges of different threads apart.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    /// Borrows `buffer`.
    pub fn new(buffer: &'a mut [f32]) -> Disjoint<'a> {
        Disjoint { start: buffer.as_mut_ptr(), len: buffer.len(), _buffer: PhantomData }
    }

    /// A range of the buffer.
    ///
    /// # Safety
    /// No two ranges that overlap may be alive at one time.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn range(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start + len <= self.len);
        // SAFETY: in bounds, and exclusive by the contract above.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}

/// Adds the two sums of the batch norm of `source` for its gradient `grad` from `start`.
pub fn norm_sums(
    isa: Isa,
    source: &View,
    start: usize,
    grad: &[f32],
    mean: &[f32],
    sums: &Disjoint,
    chunk_idx: usize,
) {
    let Some(affine) = &source.affine else { return };
    let p = mean.len();
    // SAFETY: every chunk has its own sums, and this range ends with this call.
    let sums = unsafe { sums.range(chunk_idx * 2 * p, 2 * p) };
    affine.backward_sums(isa, grad, &source.z[start..start + grad.len()], mean, sums);
}
