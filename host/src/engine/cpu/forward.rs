//! Forward pass: every node leaves its raw output; consumers apply its batch norm and activation when they read it.

use cpu_kernels::Real;
use cpu_kernels::elementwise::add_pixels;

use super::core::{Core, View, buffer, chunk, for_each, view};
use super::disjoint::Disjoint;
use crate::engine::Mode;
use crate::network::{Channels, NodeId, NodeOp};

/// Chunks of a layer that is too cheap to count its work.
const CHUNKS: usize = 16;

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
        self.prepare(n, channels);
        self.nodes[0].z[..images.len()].copy_from_slice(images);
        for idx in 1..self.nodes.len() {
            match self.graph.nodes[idx].op {
                NodeOp::Conv(_) => self.conv_forward(idx, params),
                NodeOp::Add { a, b, .. } => self.add_forward(idx, a, b),
                NodeOp::Head { input } => self.head_forward(idx, input, params, logits),
                _ => {}
            }
        }
        if mode == Mode::Calibrate {
            let batch = self.batch_statistics();
            self.statistics.average(batch);
        }
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
                        cpu_kernels::elementwise::add_to(*isa, term, z);
                    }
                }
            }
        });
        self.nodes[idx].z = z;
    }

    fn head_forward(&mut self, idx: usize, input: NodeId, params: &[&[Real]], logits: &mut Vec<Real>) {
        let (c, c_max, classes) = (self.nodes[input].c, self.widest[input], self.graph.classes);
        let (h, w) = self.planes[input];
        let len = h * w * c;
        let (weight, bias) = (params[self.first_param[idx]], params[self.first_param[idx] + 1]);
        let Core { graph, isa, pool, scratch, nodes, n, pooled, .. } = self;
        let source = view(graph, nodes, input);
        logits.clear();
        logits.resize(*n * classes, 0.0);
        let (pooled, logits) = (Disjoint::new(buffer(pooled, *n * c)), Disjoint::new(logits));
        for_each(pool, scratch, CHUNKS, |chunk_idx, [xs, _]| {
            let xs = buffer(xs, len);
            for image in chunk(*n, CHUNKS, chunk_idx) {
                source.read(*isa, image * len..(image + 1) * len, xs);
                // SAFETY: every image is in one chunk.
                let mean = unsafe { pooled.range(image * c, c) };
                mean.fill(0.0);
                add_pixels(*isa, xs, mean);
                mean.iter_mut().for_each(|s| *s /= (h * w) as Real);
                // SAFETY: as above.
                let logits = unsafe { logits.range(image * classes, classes) };
                let rows = weight.chunks_exact(c_max).zip(bias);
                logits.iter_mut().zip(rows).for_each(|(y, (row, b))| *y = b + dot(&row[..c], mean));
            }
        });
    }
}

/// Sum of products.
pub fn dot(a: &[Real], b: &[Real]) -> Real {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (a, b))| *s += a * b);
    }
    sums.iter().sum()
}
