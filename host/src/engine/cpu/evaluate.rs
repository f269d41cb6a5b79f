//! Inference with running statistics: nothing is kept for a backward, so a few images go through the whole network
//! before the next, in buffers that stay in a core's cache, and batch norm and activation end each product.

use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::elementwise::add_activate;
use cpu_kernels::gemm::{End, Product, Steps, packed_len};
use cpu_kernels::{Isa, Real};

use super::conv_forward::dense_groups;
use super::core::{Core, NodeState, View, affine, buffer, chunk, resized};
use super::geometry::{Geometry, Layer};
use super::head::{Classifier, average, head_params};
use super::image_ops::ImageOp;
use super::plan::Plan;
use super::unsupported::activation;
use crate::network::{Activation, Channels, Conv, Graph, Linear, NodeId, NodeOp};

/// Pixels that make the packed weights of a wide layer worth reading.
const PIXELS: usize = 48;

/// Weights that stay in a core's second cache from image to image.
const RESIDENT: usize = 16384;

/// Outputs of the nodes for a few images, and a padded image.
pub type Slots = Vec<Vec<Real>>;

/// Lists that evaluations fill anew without allocating.
#[derive(Default)]
pub struct Kept {
    /// Per node, where its packed weights begin.
    starts: Vec<usize>,
    geometries: Vec<Option<Geometry>>,
    image_ops: Vec<Option<ImageOp>>,
    /// See [`assign_slots`].
    slots: Vec<usize>,
}

impl Kept {
    /// For this graph.
    pub fn new(graph: &Graph) -> Kept {
        Kept { slots: assign_slots(graph), ..Kept::default() }
    }
}

/// What all images share.
struct Evaluate<'a> {
    isa: Isa,
    graph: &'a Graph,
    nodes: &'a [NodeState],
    planes: &'a [(usize, usize)],
    plans: &'a [Plan],
    geometries: &'a [Option<Geometry>],
    image_ops: &'a [Option<ImageOp>],
    inputs: &'a [[NodeId; 2]],
    /// Per node, its output's slot.
    slots: &'a [usize],
    packed: &'a [Real],
    /// Per node, where its packed weights begin.
    starts: &'a [usize],
    classifier: Classifier<'a>,
}

impl Core {
    /// Logits `[n, classes]` of `images` `[n, h, w, c]` with the running statistics of `channels`.
    pub fn evaluate(
        &mut self,
        images: &[Real],
        n: usize,
        channels: &Channels,
        params: &[&[Real]],
        logits: &mut Vec<Real>,
    ) {
        self.prepare_shapes(n, channels);
        let mut kept = std::mem::take(&mut self.kept);
        let Kept { starts, geometries, image_ops, slots } = &mut kept;
        starts.clear();
        geometries.clear();
        image_ops.clear();
        let mut end = 0;
        for idx in 0..self.nodes.len() {
            starts.push(end);
            image_ops.push(self.image_op(idx));
            geometries.push(Layer::of(&self.graph.nodes[idx].op).map(|layer| self.geometry(idx, &layer)));
            if let Some(g) = &geometries[idx] {
                end = self.pack_forward(end, idx, g, params);
                self.norm_of_running(idx, params);
            }
        }
        let last = self.graph.nodes.len() - 1;
        let (weight, bias) = head_params(&self.layout[last]);
        let group = images_a_group(n, geometries, &self.plans);
        let Core { graph, isa, pool, nodes, plans, planes, packed, slots: all_slots, inputs, .. } = self;
        let evaluate = Evaluate {
            isa: *isa,
            graph,
            nodes,
            planes,
            plans,
            geometries,
            image_ops,
            inputs,
            slots,
            packed,
            starts,
            classifier: Classifier { plan: &plans[last], weight: params[weight], bias: params[bias] },
        };
        let (image_len, classes) = (images.len() / n, graph.classes);
        resized(logits, n * classes);
        let out = Disjoint::new(logits);
        let n_groups = n.div_ceil(group);
        pool.run(n_groups, &|group_idx, thread_idx| {
            let range = chunk(n, n_groups, group_idx);
            let mut slots = all_slots[thread_idx].lock().expect("a panic ends the engine");
            // SAFETY: every image is in one group.
            let logits = unsafe { out.range(range.start * classes, range.len() * classes) };
            evaluate.run(
                &images[range.start * image_len..range.end * image_len],
                range.len(),
                &mut slots,
                logits,
            );
        });
        self.kept = kept;
    }
}

/// Few images stay in the cache; wide layers on small maps need more pixels than one image has.
fn images_a_group(n: usize, geometries: &[Option<Geometry>], plans: &[Plan]) -> usize {
    let wanted = |(g, plan): (&Option<Geometry>, &Plan)| match g {
        Some(g) if g.n_weights() > RESIDENT => match plan.tiles {
            Some(tiles) => tiles.images(),
            None => PIXELS.div_ceil(g.h_out * g.w_out),
        },
        _ => 1,
    };
    geometries.iter().zip(plans).map(wanted).max().unwrap_or(1).min(n.div_ceil(8)).max(1)
}

/// A slot for every node's output, free again after its last consumer; slot 0 is for a padded image.
fn assign_slots(graph: &Graph) -> Vec<usize> {
    let mut last_use = vec![0; graph.nodes.len()];
    for (idx, node) in graph.nodes.iter().enumerate() {
        node.op.inputs().iter().for_each(|&input| last_use[input] = idx);
    }
    let (mut free, mut n_slots) = (Vec::new(), 1);
    let mut slots = Vec::with_capacity(graph.nodes.len());
    for (idx, node) in graph.nodes.iter().enumerate() {
        slots.push(free.pop().unwrap_or_else(|| {
            n_slots += 1;
            n_slots - 1
        }));
        let mut inputs = node.op.inputs();
        inputs.sort_unstable();
        inputs.dedup();
        free.extend(inputs.iter().filter(|&&input| last_use[input] == idx).map(|&input| slots[input]));
    }
    slots
}

impl Evaluate<'_> {
    fn run(&self, images: &[Real], n: usize, slots: &mut Slots, logits: &mut [Real]) {
        slots.resize_with(slots.len().max(self.slots.iter().max().map_or(0, |m| m + 1)), Vec::new);
        buffer(&mut slots[self.slots[0]], images.len()).copy_from_slice(images);
        for (idx, node) in self.graph.nodes.iter().enumerate().skip(1) {
            let (h, w) = self.planes[idx];
            let mut out = std::mem::take(&mut slots[self.slots[idx]]);
            let mut padded = std::mem::take(&mut slots[0]);
            let y = buffer(&mut out, n * h * w * self.nodes[idx].c);
            let input = |input: usize| {
                let (h, w) = self.planes[input];
                &slots[self.slots[input]][..n * h * w * self.nodes[input].c]
            };
            match &node.op {
                NodeOp::Conv(Conv { input: from, activation, .. })
                | NodeOp::Linear(Linear { input: from, activation, .. }) => {
                    self.layer(idx, *activation, n, input(*from), &mut padded, y);
                }
                NodeOp::Add { a, b, activation: name } => {
                    let activation = activation(*name).expect("CpuEngine::new refuses the others");
                    add_activate(self.isa, input(*a), input(*b), activation, y);
                }
                NodeOp::Head { input: from } => self.head(*from, input(*from), n, &mut padded, logits),
                _ => {
                    let op = self.image_ops[idx].as_ref().expect("all other operators are above");
                    let [a, b] = self.inputs[idx].map(input);
                    for (image, y) in y.chunks_exact_mut(h * w * self.nodes[idx].c).enumerate() {
                        let of = |xs: &'_ [Real]| xs.len() / n * image..xs.len() / n * (image + 1);
                        op.forward(&[&a[of(a)], &b[of(b)]], y);
                    }
                }
            }
            slots[0] = padded;
            slots[self.slots[idx]] = out;
        }
    }

    fn layer(
        &self,
        idx: usize,
        activation: Activation,
        n: usize,
        xs: &[Real],
        padded: &mut Vec<Real>,
        y: &mut [Real],
    ) {
        let g = self.geometries[idx].as_ref().expect("every convolution has a geometry");
        let affine = affine(&self.nodes[idx], activation);
        let end = End::Affine { scale: affine.scale, shift: affine.shift, activation: affine.activation };
        if g.is_pointwise() {
            let m = n * g.h * g.w;
            let (a, c) = (Steps::dense(m, g.c_in), Steps::dense(m, g.c_out));
            let weights = self.packed_from(idx, packed_len(self.isa, g.c_out, g.c_in));
            let product = Product { plane: (1, m), n: g.c_out, k: g.c_in, taps: &[0], a, c };
            product.run(self.isa, xs, weights, y, end);
            return;
        }
        let source = View { z: xs, affine: None };
        let plan = &self.plans[idx];
        let batch = plan.images()[0].min(n);
        let padded = buffer(padded, batch * g.padded_len() + plan.scratch_lens()[0]);
        let (padded, tiles) = padded.split_at_mut(batch * g.padded_len());
        for (first, y) in (0..n).step_by(batch).zip(y.chunks_mut(batch * g.out_len())) {
            let n = batch.min(n - first);
            for (i, padded) in padded.chunks_exact_mut(g.padded_len()).take(n).enumerate() {
                source.read_padded(self.isa, g, first + i, padded);
            }
            if g.is_depthwise {
                let d = g.depthwise();
                d.forward(self.isa, padded, self.packed_from(idx, d.packed_len()), y);
            } else {
                let weights = &self.packed[self.starts[idx]..];
                let end = |_| if g.groups == 1 { end } else { End::Replace };
                dense_groups(self.isa, g, plan, n, padded, weights, tiles, y, end);
            }
            if g.is_depthwise || g.groups > 1 {
                affine.apply_in_place(self.isa, y);
            }
        }
    }

    fn packed_from(&self, idx: usize, len: usize) -> &[Real] {
        &self.packed[self.starts[idx]..][..len]
    }

    fn head(&self, from: usize, xs: &[Real], n: usize, mean: &mut Vec<Real>, logits: &mut [Real]) {
        let c = self.nodes[from].c;
        let pixels = self.planes[from].0 * self.planes[from].1;
        let mean = buffer(mean, c);
        let images = xs.chunks_exact(pixels * c).zip(logits.chunks_exact_mut(self.graph.classes));
        for (xs, logits) in images.take(n) {
            average(self.isa, xs, mean);
            self.classifier.run(mean, logits);
        }
    }
}
