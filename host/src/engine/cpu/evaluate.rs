//! Inference with running statistics: nothing is kept for a backward, so a few images go through the whole network
//! before the next, in buffers that stay in a core's cache, and batch norm and activation end each product.

use std::ops::Range;

use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::elementwise::add_activate;
use cpu_kernels::gemm::{End, Product, Steps, packed_len};
use cpu_kernels::{Isa, Real};

use super::conv_forward::DenseForward;
use super::core::{Core, NodeState, View, affine, buffer, chunk, fill_inside, resized};
use super::evaluate_layout::{Layout, Sharing, assign_slots, margins};
use super::evaluate_parts::{Part, cut_parts, cuts};
use super::geometry::{Geometry, Layer, Margins};
use super::head::{Classifier, average, head_params};
use super::image_ops::ImageOp;
use super::plan::Plan;
use super::unsupported::activation;
use crate::network::{Activation, Channels, Conv, Graph, Linear, NodeId, NodeOp};

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
    /// See [`margins`].
    margins: Vec<Option<Margins>>,
    layouts: Vec<Layout>,
    sharing: Sharing,
    /// See [`cuts`].
    cuts: Vec<NodeId>,
    /// See [`cut_parts`].
    pub parts: Vec<Part>,
}

impl Kept {
    /// For this graph.
    pub fn new(graph: &Graph) -> Kept {
        let sharing = Sharing::new(graph);
        let (slots, margins) = (assign_slots(graph, &sharing), margins(graph, &sharing));
        Kept { slots, margins, sharing, cuts: cuts(graph), ..Kept::default() }
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
    layouts: &'a [Layout],
    /// Of the nodes whose output is read where it lies.
    margins: &'a [Option<Margins>],
    sharing: &'a Sharing,
    parts: &'a [Part],
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
        let Kept { starts, geometries, image_ops, slots, margins, layouts, sharing, cuts, parts } = &mut kept;
        starts.clear();
        geometries.clear();
        image_ops.clear();
        layouts.clear();
        let mut end = 0;
        for idx in 0..self.nodes.len() {
            starts.push(end);
            image_ops.push(self.image_op(idx));
            layouts.push(Layout::new(self.planes[idx], self.nodes[idx].c, margins[idx].unwrap_or_default()));
            geometries.push(Layer::of(&self.graph.nodes[idx].op).map(|layer| {
                let g = self.geometry(idx, &layer);
                match margins[layer.input] {
                    Some(margins) if !g.is_pointwise() => {
                        let g = g.within(margins);
                        self.plans[idx].update(&g, self.isa);
                        g
                    }
                    _ => g,
                }
            }));
            if let Some(g) = &geometries[idx] {
                end = self.pack_forward(end, idx, g, params);
                self.norm_of_running(idx, params);
            }
        }
        let last = self.graph.nodes.len() - 1;
        let (weight, bias) = head_params(&self.layout[last]);
        cut_parts(n, geometries, &self.plans, cuts, parts);
        let Core { graph, isa, pool, nodes, plans, planes, packed, slots: all_slots, inputs, .. } = self;
        let evaluate = Evaluate {
            isa: *isa,
            graph,
            nodes,
            planes,
            plans,
            geometries,
            image_ops,
            layouts,
            margins,
            sharing,
            parts,
            inputs,
            slots,
            packed,
            starts,
            classifier: Classifier { plan: &plans[last], weight: params[weight], bias: params[bias] },
        };
        let (image_len, classes) = (images.len() / n, graph.classes);
        resized(logits, n * classes);
        let out = Disjoint::new(logits);
        let n_groups = n.div_ceil(parts.last().map_or(1, |part| part.images));
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

fn kernel_activation(name: Activation) -> cpu_kernels::Activation {
    activation(name).expect("CpuEngine::new refuses the others")
}

impl Evaluate<'_> {
    /// All nodes of a group of images.
    fn run(&self, images: &[Real], n: usize, slots: &mut Slots, logits: &mut [Real]) {
        // One more for every cut, for what is collected there.
        let n_slots = self.slots.iter().max().map_or(0, |most| most + 1);
        slots.resize_with(slots.len().max(n_slots + self.parts.len()), Vec::new);
        self.parts(self.parts.len() - 1, n_slots, images, n, slots, logits);
    }

    /// All parts up to the one of this number; slots are free from `n_slots` on.
    fn parts(
        &self,
        number: usize,
        n_slots: usize,
        images: &[Real],
        n: usize,
        slots: &mut Slots,
        logits: &mut [Real],
    ) {
        let end = self.parts[number].end + 1;
        let Some(before) = number.checked_sub(1) else {
            self.read(images, n, slots);
            return self.nodes(1..end, n, slots, logits);
        };
        let Part { end: cut, images: few } = self.parts[before];
        let (image_len, out_len) = (images.len() / n, self.layouts[cut].images.image);
        let mut collected = std::mem::take(&mut slots[n_slots + before]);
        let outputs = buffer(&mut collected, n * out_len).chunks_mut(few * out_len);
        for (images, outputs) in images.chunks(few * image_len).zip(outputs) {
            self.parts(before, n_slots, images, images.len() / image_len, slots, &mut []);
            outputs.copy_from_slice(&slots[self.slots[cut]][..outputs.len()]);
        }
        slots[n_slots + before] = std::mem::replace(&mut slots[self.slots[cut]], collected);
        self.nodes(cut + 1..end, n, slots, logits);
    }

    /// The nodes of `range` for `n` images.
    fn nodes(&self, range: Range<NodeId>, n: usize, slots: &mut Slots, logits: &mut [Real]) {
        for idx in range {
            let node = &self.graph.nodes[idx];
            if self.sharing.is_done(idx) {
                continue;
            }
            let mut out = std::mem::take(&mut slots[self.slots[idx]]);
            let mut temporary = std::mem::take(&mut slots[0]);
            let y = buffer(&mut out, n * self.layouts[idx].images.image);
            let input = |input: usize| &slots[self.slots[input]][..n * self.layouts[input].images.image];
            match &node.op {
                NodeOp::Conv(Conv { input: from, activation, .. })
                | NodeOp::Linear(Linear { input: from, activation, .. }) => {
                    if self.sharing.sums[idx].is_none() {
                        self.layouts[idx].clear_margins(y);
                    }
                    self.layer(idx, *from, *activation, n, input(*from), &mut temporary, y);
                }
                NodeOp::Add { a, b, activation: name } => {
                    let activation = kernel_activation(*name);
                    let [a, b] = [a, b].map(|from| (input(*from), &self.layouts[*from]));
                    self.add(n, a, b, activation, (y, &self.layouts[idx]));
                }
                NodeOp::Head { input: from } => self.head(*from, input(*from), n, &mut temporary, logits),
                _ => {
                    let op = self.image_ops[idx].as_ref().expect("all other operators are above");
                    let [a, b] = self.inputs[idx].map(input);
                    for (image, y) in y.chunks_exact_mut(self.layouts[idx].images.image).enumerate() {
                        let of = |xs: &'_ [Real]| xs.len() / n * image..xs.len() / n * (image + 1);
                        op.forward(&[&a[of(a)], &b[of(b)]], y);
                    }
                }
            }
            slots[0] = temporary;
            slots[self.slots[idx]] = out;
        }
    }

    /// Images as the network's first node has them.
    fn read(&self, images: &[Real], n: usize, slots: &mut Slots) {
        let layout = &self.layouts[0];
        let slot = buffer(&mut slots[self.slots[0]], n * layout.images.image);
        for (image, slot) in
            images.chunks_exact(images.len() / n).zip(slot.chunks_exact_mut(layout.images.image))
        {
            fill_inside(slot, layout.first, layout.images.line, layout.inside, layout.h, |y, inside| {
                inside.copy_from_slice(&image[y * layout.inside..][..layout.inside]);
            });
        }
    }

    /// A sum, line by line where lines lie apart.
    fn add(
        &self,
        n: usize,
        (a, of_a): (&[Real], &Layout),
        (b, of_b): (&[Real], &Layout),
        activation: cpu_kernels::Activation,
        (y, of_y): (&mut [Real], &Layout),
    ) {
        if [of_a, of_b, of_y].iter().all(|layout| layout.is_dense()) {
            return add_activate(self.isa, a, b, activation, y);
        }
        for (image, y) in y.chunks_exact_mut(of_y.images.image).take(n).enumerate() {
            fill_inside(y, of_y.first, of_y.images.line, of_y.inside, of_y.h, |line, inside| {
                let [a, b] =
                    [(a, of_a), (b, of_b)].map(|(xs, of)| &xs[of.line(image, line)..][..inside.len()]);
                add_activate(self.isa, a, b, activation, inside);
            });
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn layer(
        &self,
        idx: usize,
        from: NodeId,
        activation: Activation,
        n: usize,
        xs: &[Real],
        temporary: &mut Vec<Real>,
        y: &mut [Real],
    ) {
        let g = self.geometries[idx].as_ref().expect("every convolution has a geometry");
        let (of_xs, of_y) = (&self.layouts[from], &self.layouts[idx]);
        let affine = affine(&self.nodes[idx], activation);
        let (scale, shift) = (affine.scale, affine.shift);
        let end = match self.sharing.sums[idx].map(|sum| &self.graph.nodes[sum].op) {
            Some(NodeOp::Add { activation: name, .. }) => {
                End::Residual { scale, shift, activation: kernel_activation(*name) }
            }
            _ => End::Affine { scale, shift, activation: affine.activation },
        };
        if g.is_pointwise() {
            return self.pointwise(idx, n, (xs, of_xs), end, (y, of_y));
        }
        let plan = &self.plans[idx];
        let run = |n: usize, padded: &[Real], tiles: &mut [Real], y: &mut [Real]| {
            let packed = &self.packed[self.starts[idx]..];
            let dense = DenseForward { isa: self.isa, g, plan, packed, images: of_y.images };
            if g.is_depthwise {
                let d = g.depthwise();
                for (image, y) in y.chunks_exact_mut(g.out_len()).take(n).enumerate() {
                    let padded = &padded[image * g.padded_len()..];
                    d.forward(self.isa, padded, &packed[..d.packed_len()], y, end);
                }
            } else if g.groups > 1 {
                dense.run(n, padded, tiles, y, End::Replace);
                affine.apply_in_place(self.isa, y);
            } else {
                dense.run(n, padded, tiles, &mut y[of_y.first..], end);
            }
        };
        if self.margins[from].is_some() {
            let tiles = buffer(temporary, plan.scratch_lens()[0]);
            return run(n, &xs[of_xs.first_tap(g)..], tiles, y);
        }
        let source = View { z: xs, affine: None };
        let batch = plan.images()[0].min(n);
        let temporary = buffer(temporary, batch * g.padded_len() + plan.scratch_lens()[0]);
        let (padded, tiles) = temporary.split_at_mut(batch * g.padded_len());
        for (first, y) in (0..n).step_by(batch).zip(y.chunks_mut(batch * of_y.images.image)) {
            let n = batch.min(n - first);
            for (i, padded) in padded.chunks_exact_mut(g.padded_len()).take(n).enumerate() {
                source.read_padded(self.isa, g, first + i, padded);
            }
            run(n, padded, tiles, y);
        }
    }

    /// A pointwise convolution: one product of all images, or one of each where lines lie apart.
    fn pointwise(
        &self,
        idx: usize,
        n: usize,
        (xs, of_xs): (&[Real], &Layout),
        end: End,
        (y, of_y): (&mut [Real], &Layout),
    ) {
        let g = self.geometries[idx].as_ref().expect("every convolution has a geometry");
        let weights = &self.packed[self.starts[idx]..][..packed_len(self.isa, g.c_out, g.c_in)];
        let product = |plane, a, c| Product { plane, n: g.c_out, k: g.c_in, taps: &[0], a, c };
        if of_xs.is_dense() && of_y.is_dense() {
            let m = n * g.h * g.w;
            let (a, c) = (Steps::dense(m, g.c_in), Steps::dense(m, g.c_out));
            return product((1, m), a, c).run(self.isa, xs, weights, y, end);
        }
        let a = Steps { pixel: g.c_in, line: of_xs.images.line };
        let c = Steps { pixel: g.c_out, line: of_y.images.line };
        for image in 0..n {
            let (xs, y) = (&xs[of_xs.line(image, 0)..], &mut y[of_y.line(image, 0)..]);
            product((g.h, g.w), a, c).run(self.isa, xs, weights, y, end);
        }
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
