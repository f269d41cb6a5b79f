//! Backward pass, explicit. The last consumer of a node gates its gradient by the activation and adds up two sums per
//! channel; with them the backward of batch norm is one affine per channel: `dz = ka · g + kb · z + kc`.

use cpu_kernels::Real;
use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::elementwise::add_to;
use cpu_kernels::gemm::{Pixels, Steps, outer_product_into};
use cpu_kernels::norm::period;

use super::core::{Core, Finish, NodeState, Scratch, View, buffer, chunk, for_each, resized, view};
use super::forward::CHUNKS;
use super::head::{drop_features, head_params};
use crate::network::{Graph, NodeId, NodeOp};

/// What a consumer does to the gradient of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Whether it is the first, which writes instead of adding.
    pub is_first: bool,
    /// Whether it is the last, which leaves a gated gradient and the sums of batch norm.
    pub is_last: bool,
}

impl Core {
    /// Adds the gradients of all parameters to `grads`; `d_logits` is `[n, classes]`.
    pub fn backward(&mut self, d_logits: &[Real], params: &[&[Real]]) {
        self.size_gradients();
        for idx in (1..self.nodes.len()).rev() {
            match self.graph.nodes[idx].op {
                NodeOp::Input => {}
                NodeOp::Conv(_) | NodeOp::Linear(_) if self.nodes[idx].has_grad => {
                    self.layer_backward(idx, params);
                }
                NodeOp::Add { a, b, .. } if self.nodes[idx].has_grad => {
                    self.add_backward(idx, a);
                    self.add_backward(idx, b);
                }
                NodeOp::Head { input } => self.head_backward(idx, input, d_logits, params),
                _ if self.nodes[idx].has_grad => self.image_backward(idx),
                _ => {}
            }
            let state = &mut self.nodes[idx];
            if std::mem::take(&mut state.has_grad) {
                self.grad_buffers[self.grad_slots[idx]] = std::mem::take(&mut state.grad);
            }
        }
    }

    /// Gives every gradient buffer its final size at once: gradients grow towards the input, and each growth would leave
    /// the former buffer behind.
    fn size_gradients(&mut self) {
        for (slot, state) in self.grad_slots.iter().zip(&self.nodes).skip(1) {
            let buffer = &mut self.grad_buffers[*slot];
            buffer.reserve_exact(state.len.saturating_sub(buffer.len()));
        }
    }

    /// Notes that a consumer of `source`, cut into `n_chunks`, is about to run its backward.
    pub fn visit(&mut self, source: NodeId, n_chunks: usize) -> Visit {
        let has_sums = is_layer(&self.graph.nodes[source].op);
        let state = &mut self.nodes[source];
        let is_first = !state.has_grad;
        if is_first {
            state.grad = std::mem::take(&mut self.grad_buffers[self.grad_slots[source]]);
            buffer(&mut state.grad, state.len);
            state.has_grad = true;
        }
        state.consumers_left -= 1;
        let is_last = state.consumers_left == 0;
        if is_last && has_sums {
            resized(&mut state.norm.sums, n_chunks * 2 * period(self.isa, state.c)).fill(0.0);
        }
        Visit { is_first, is_last }
    }

    fn head_backward(&mut self, idx: usize, input: NodeId, d_logits: &[Real], params: &[&[Real]]) {
        let (c, classes) = (self.nodes[input].c, self.graph.classes);
        let (weight, bias) = head_params(&self.layout[idx]);
        let plan = std::mem::take(&mut self.plans[idx]);
        for d in d_logits.chunks_exact(classes) {
            self.grads[bias].iter_mut().zip(d).for_each(|(sum, d)| *sum += d);
        }
        let is_prefix = plan.is_prefix();
        if is_prefix {
            let a = Pixels { data: d_logits, steps: Steps::dense(self.n, classes) };
            let b = Pixels { data: &self.pooled, steps: Steps::dense(self.n, c) };
            let grad = &mut self.grads[weight];
            outer_product_into(self.isa, (1, self.n), (classes, c), a, b, grad, plan.row);
        } else {
            for (d, xs) in d_logits.chunks_exact(classes).zip(self.pooled.chunks_exact(c)) {
                for (row, d) in self.grads[weight].chunks_exact_mut(plan.row).zip(d) {
                    plan.ins.iter().zip(xs).for_each(|(i, x)| row[*i] += d * x);
                }
            }
        }
        if input != 0 {
            let visit = self.visit(input, CHUNKS);
            let pixels = self.planes[input].0 * self.planes[input].1;
            let (weight, dropout, ins) = (params[weight], self.dropout, &plan.ins);
            self.write_grad(input, visit, [input; 2], |image, _, [pixel, _], out| {
                let pixel = buffer(pixel, c);
                pixel.fill(0.0);
                for (o, d) in d_logits[image * classes..][..classes].iter().enumerate() {
                    let (d, row) = (d / pixels as Real, &weight[o * plan.row..][..plan.row]);
                    match is_prefix {
                        true => pixel.iter_mut().zip(row).for_each(|(p, w)| *p += d * w),
                        false => pixel.iter_mut().zip(ins).for_each(|(p, i)| *p += d * row[*i]),
                    }
                }
                drop_features(dropout, image, ins, pixel);
                for out in out.chunks_exact_mut(c) {
                    match visit.is_first {
                        true => out.copy_from_slice(pixel),
                        false => out.iter_mut().zip(&*pixel).for_each(|(o, p)| *o += p),
                    }
                }
            });
        }
        self.plans[idx] = plan;
    }

    /// A sum's gradient is that of each term.
    fn add_backward(&mut self, idx: usize, source: NodeId) {
        if source == 0 {
            return;
        }
        let visit = self.visit(source, CHUNKS);
        let grad = std::mem::take(&mut self.nodes[idx].grad);
        let (len, isa) = (self.nodes[idx].len / self.n, self.isa);
        self.write_grad(source, visit, [source; 2], |image, _, _, out| {
            let d = &grad[image * len..(image + 1) * len];
            if visit.is_first { out.copy_from_slice(d) } else { add_to(isa, d, out) }
        });
        self.nodes[idx].grad = grad;
    }

    /// An operator that works image by image.
    fn image_backward(&mut self, idx: usize) {
        let op = self.image_op(idx).expect("all other operators have a backward of their own");
        let (len, isa, n) = (self.nodes[idx].len / self.n, self.isa, self.n);
        let grad = std::mem::take(&mut self.nodes[idx].grad);
        let sources = self.inputs[idx];
        for (which, &source) in sources.iter().enumerate().take(op.n_inputs()) {
            if source == 0 {
                continue;
            }
            let visit = self.visit(source, CHUNKS);
            self.write_grad(source, visit, sources, |image, views, [a, b], out| {
                let d_out = &grad[image * len..(image + 1) * len];
                let first = views[0].read_image(isa, image, n, a);
                let len = views[1].z.len() / n;
                let (second, term) = buffer(b, len + out.len()).split_at_mut(len);
                views[1].read(isa, image * len..(image + 1) * len, second);
                let inputs = [first, &*second];
                if visit.is_first {
                    return op.backward(which, &inputs, d_out, out);
                }
                op.backward(which, &inputs, d_out, term);
                add_to(isa, term, out);
            });
        }
        self.nodes[idx].grad = grad;
    }

    /// Lets `write(image, views of reads, temporaries, gradient of the image)` fill the gradient of `source`, and
    /// finishes it if this is the last visit.
    fn write_grad(
        &mut self,
        source: NodeId,
        visit: Visit,
        reads: [NodeId; 2],
        write: impl Fn(usize, [View; 2], &mut Scratch, &mut [Real]) + Sync,
    ) {
        let (mut grad, mut sums) = self.take_grad(source);
        let len = self.nodes[source].len / self.n;
        let Core { graph, isa, pool, scratch, nodes, n, .. } = self;
        let (out, sums_of_chunks) = (Disjoint::new(&mut grad), Disjoint::new(&mut sums));
        let finish = finish(graph, nodes, source, &sums_of_chunks);
        let views = reads.map(|idx| view(graph, nodes, idx));
        for_each(pool, scratch, CHUNKS, |chunk_idx, scratch| {
            for image in chunk(*n, CHUNKS, chunk_idx) {
                // SAFETY: every image is in one chunk.
                let out = unsafe { out.range(image * len, len) };
                write(image, views, scratch, out);
                if visit.is_last {
                    finish.run(*isa, image * len, out, chunk_idx);
                }
            }
        });
        self.put_grad(source, grad, sums);
    }

    /// Takes a node's gradient and the sums of its batch norm out, to write them while the rest is read.
    pub fn take_grad(&mut self, idx: NodeId) -> (Vec<Real>, Vec<Real>) {
        let state = &mut self.nodes[idx];
        (std::mem::take(&mut state.grad), std::mem::take(&mut state.norm.sums))
    }

    /// Puts back what [`Core::take_grad`] took.
    pub fn put_grad(&mut self, idx: NodeId, grad: Vec<Real>, sums: Vec<Real>) {
        let state = &mut self.nodes[idx];
        (state.grad, state.norm.sums) = (grad, sums);
    }
}

/// Whether batch norm or a bias follows, whose gradients need sums.
pub fn is_layer(op: &NodeOp) -> bool {
    matches!(op, NodeOp::Conv(_) | NodeOp::Linear(_))
}

/// What the last visitor of `source` has to do.
pub fn finish<'a>(
    graph: &Graph,
    nodes: &'a [NodeState],
    source: NodeId,
    sums: &'a Disjoint<'a>,
) -> Finish<'a> {
    let has_sums = is_layer(&graph.nodes[source].op);
    let norm = has_sums.then(|| (&*nodes[source].norm.mean, sums));
    Finish { view: view(graph, nodes, source), norm }
}
