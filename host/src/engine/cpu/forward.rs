//! Forward pass: every node leaves its raw output; consumers apply its batch norm and activation when they read it.

use cpu_kernels::Real;
use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::elementwise::add_to;

use super::core::{Core, View, buffer, chunk, for_each, view};
use crate::engine::Mode;
use crate::network::{Channels, NodeId, NodeOp};

/// Chunks of a node that is too cheap to count its work.
pub const CHUNKS: usize = 16;

impl Core {
    /// Logits `[n, classes]` of `images` `[n, h, w, c]`; `params` are in the order of the graph.
    pub fn forward(
        &mut self,
        images: &[Real],
        n: usize,
        channels: &Channels,
        params: &[&[Real]],
        mode: Mode,
        logits: &mut Vec<Real>,
    ) {
        if mode == Mode::Evaluate {
            return self.evaluate(images, n, channels, params, logits);
        }
        self.frozen = mode == Mode::Frozen;
        self.prepare(n, channels);
        self.nodes[0].z[..images.len()].copy_from_slice(images);
        for idx in 1..self.nodes.len() {
            match self.graph.nodes[idx].op {
                NodeOp::Conv(_) | NodeOp::Linear(_) => self.layer_forward(idx, params),
                NodeOp::Add { a, b, .. } => self.add_forward(idx, a, b),
                NodeOp::Head { input } => self.head_forward(idx, input, params, logits),
                _ => self.image_forward(idx),
            }
        }
        if mode == Mode::Calibrate {
            let batch = self.batch_statistics();
            self.statistics[self.switch].average(batch);
        }
    }

    /// An operator that works image by image.
    fn image_forward(&mut self, idx: usize) {
        let op = self.image_op(idx).expect("all other operators have a forward of their own");
        let len = self.nodes[idx].len / self.n;
        let mut z = std::mem::take(&mut self.nodes[idx].z);
        let Core { graph, isa, pool, scratch, nodes, n, inputs, .. } = self;
        let inputs = inputs[idx].map(|input| view(graph, nodes, input));
        let out = Disjoint::new(&mut z);
        for_each(pool, scratch, CHUNKS, |chunk_idx, [a, b]| {
            for image in chunk(*n, CHUNKS, chunk_idx) {
                let [a, b] = [(&inputs[0], &mut *a), (&inputs[1], &mut *b)]
                    .map(|(view, xs)| view.read_image(*isa, image, *n, xs));
                // SAFETY: every image is in one chunk.
                op.forward(&[a, b], unsafe { out.range(image * len, len) });
            }
        });
        self.nodes[idx].z = z;
    }

    fn add_forward(&mut self, idx: usize, a: NodeId, b: NodeId) {
        let len = self.nodes[idx].len / self.n;
        let mut z = std::mem::take(&mut self.nodes[idx].z);
        let Core { graph, isa, pool, scratch, nodes, n, .. } = self;
        let (a, b) = (view(graph, nodes, a), view(graph, nodes, b));
        let out = Disjoint::new(&mut z);
        for_each(pool, scratch, CHUNKS, |chunk_idx, [term, _]| {
            for image in chunk(*n, CHUNKS, chunk_idx) {
                let range = image * len..(image + 1) * len;
                // SAFETY: every image is in one chunk.
                let z = unsafe { out.range(range.start, len) };
                match (a, b) {
                    (View { z: za, affine: Some(fa) }, View { z: zb, affine: Some(fb) }) => {
                        fa.apply_and_add(*isa, &za[range.clone()], &fb, &zb[range], z);
                    }
                    _ => {
                        let term = buffer(term, len);
                        a.read(*isa, range.clone(), z);
                        b.read(*isa, range, term);
                        add_to(*isa, term, z);
                    }
                }
            }
        });
        self.nodes[idx].z = z;
    }
}
