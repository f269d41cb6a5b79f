//! Backward pass, explicit. Once two sums per channel are known, the backward of batch norm and ReLU is one affine
//! per channel: `dz = ka · g + kb · z + kc`, with `g` the gradient that the ReLU lets through.

use super::core::{CHUNKS, Core, Disjoint, chunk, clear_sums, floats, norm_sums, view};
use super::gemm::Into;
use super::geometry::Geometry;
use super::norm::{expand, period};
use super::pass::{Pass, Visit};
use super::weights::{fold, pack_backward};
use crate::network::{Activation, Conv, ConvKind, NodeId, NodeOp};

impl Core {
    /// Adds the gradients of all parameters to `grads`; `d_logits` is `[n, classes]`.
    pub fn backward(&mut self, d_logits: &[f32], params: &[&[f32]]) {
        for idx in (1..self.nodes.len()).rev() {
            match self.graph.nodes[idx].op.clone() {
                NodeOp::Input => {}
                NodeOp::Conv(conv) if self.nodes[idx].has_grad => self.conv_backward(idx, &conv, params),
                NodeOp::Add { a, b, activation } if self.nodes[idx].has_grad => {
                    self.add_backward(idx, a, activation);
                    self.add_backward(idx, b, activation);
                }
                NodeOp::Conv(_) | NodeOp::Add { .. } => {}
                NodeOp::Head { input } => self.head_backward(idx, input, d_logits, params),
                _ => unreachable!("CpuEngine::new refuses it"),
            }
            let state = &mut self.nodes[idx];
            if std::mem::take(&mut state.has_grad) {
                self.free.push(std::mem::take(&mut state.grad));
            }
        }
    }

    /// Notes that a consumer of `source` is about to run its backward.
    fn visit(&mut self, source: NodeId) -> Visit {
        let has_norm = matches!(self.graph.nodes[source].op, NodeOp::Conv(_));
        let state = &mut self.nodes[source];
        let into = if state.has_grad { Into::Add } else { Into::Replace };
        if !state.has_grad {
            state.grad = self.free.pop().unwrap_or_default();
            floats(&mut state.grad, state.len);
            state.has_grad = true;
        }
        state.consumers_left -= 1;
        let sums = state.consumers_left == 0 && has_norm;
        if sums {
            clear_sums(state);
        }
        Visit { into, sums }
    }

    fn head_backward(&mut self, idx: usize, input: NodeId, d_logits: &[f32], params: &[&[f32]]) {
        let (c, c_max, classes) = (self.nodes[input].c, self.widest[input], self.graph.classes);
        let first = self.first_param[idx];
        for (d, xs) in d_logits.chunks_exact(classes).zip(self.pooled.chunks_exact(c)) {
            for (o, &d) in d.iter().enumerate() {
                let row = &mut self.grads[first][o * c_max..][..c];
                row.iter_mut().zip(xs).for_each(|(g, x)| *g += d * x);
                self.grads[first + 1][o] += d;
            }
        }
        if input == 0 {
            return;
        }
        let visit = self.visit(input);
        let (h, w) = self.planes[input];
        let weight = params[first];
        self.write_grad(input, visit, &|image, out| {
            let mut pixel = vec![0.0f32; c];
            for (o, d) in d_logits[image * classes..][..classes].iter().enumerate() {
                let d = d / (h * w) as f32;
                pixel.iter_mut().zip(&weight[o * c_max..][..c]).for_each(|(p, w)| *p += d * w);
            }
            for out in out.chunks_exact_mut(c) {
                match visit.into {
                    Into::Replace => out.copy_from_slice(&pixel),
                    Into::Add => out.iter_mut().zip(&pixel).for_each(|(o, p)| *o += p),
                }
            }
        });
    }

    fn add_backward(&mut self, idx: usize, source: NodeId, activation: Activation) {
        if source == 0 {
            return;
        }
        let visit = self.visit(source);
        let state = std::mem::take(&mut self.nodes[idx]);
        let len = state.len / self.n;
        self.write_grad(source, visit, &|image, out| {
            let range = image * len..(image + 1) * len;
            let pairs = state.grad[range.clone()].iter().zip(&state.z[range]);
            for (out, (d, z)) in out.iter_mut().zip(pairs) {
                let d = if activation == Activation::None || *z > 0.0 { *d } else { 0.0 };
                *out = if visit.into == Into::Add { *out + d } else { d };
            }
        });
        self.nodes[idx] = state;
    }

    /// Lets `write(image, gradient of the image)` fill the gradient of `source`, and adds up the
    /// sums of its batch norm.
    fn write_grad(&mut self, source: NodeId, visit: Visit, write: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        let mut grad = std::mem::take(&mut self.nodes[source].grad);
        let mut sums = std::mem::take(&mut self.nodes[source].sums);
        let len = self.nodes[source].len / self.n;
        let Core { graph, isa, pool, nodes, n, .. } = self;
        let mean = &nodes[source].mean;
        let source_view = view(graph, nodes, source);
        let (out, all_sums) = (Disjoint::new(&mut grad), Disjoint::new(&mut sums));
        pool.run(CHUNKS, &|chunk_idx, _| {
            for image in chunk(*n, CHUNKS, chunk_idx) {
                // SAFETY: every image is in one chunk.
                let out = unsafe { out.range(image * len, len) };
                write(image, out);
                if visit.sums {
                    norm_sums(*isa, &source_view, image * len, out, mean, &all_sums, chunk_idx);
                }
            }
        });
        self.nodes[source].grad = grad;
        self.nodes[source].sums = sums;
    }

    fn conv_backward(&mut self, idx: usize, conv: &Conv, params: &[&[f32]]) {
        let g = self.geometry(idx, conv);
        let first = self.first_param[idx];
        let k = self.norm_backward(idx, &g, params[first + 1]);
        let wants_input = conv.input != 0;
        let flipped = g.flips();
        if wants_input {
            pack_backward(&g, flipped, params[first], &mut self.packed);
        }
        let n_weights = match g.kind {
            ConvKind::Depthwise => g.depthwise().packed_len(),
            _ => g.taps() * g.c_in * g.c_out,
        };
        let n_chunks = if n_weights > 65536 { CHUNKS / 4 } else { CHUNKS };
        let visit = wants_input.then(|| self.visit(conv.input));
        let mut grad = std::mem::take(&mut self.nodes[conv.input].grad);
        let mut sums = std::mem::take(&mut self.nodes[conv.input].sums);
        self.parts.clear();
        self.parts.resize(n_chunks * n_weights, 0.0);
        let Core { graph, isa, pool, scratch, nodes, packed, parts, n, .. } = self;
        let pass = Pass {
            isa: *isa,
            g,
            flipped,
            visit,
            source: view(graph, nodes, conv.input),
            source_mean: &nodes[conv.input].mean,
            state: &nodes[idx],
            activation: conv.activation,
            k: [&k[0], &k[1], &k[2]],
            packed,
        };
        let (out, all_sums, weights) =
            (Disjoint::new(&mut grad), Disjoint::new(&mut sums), Disjoint::new(parts));
        pool.run(n_chunks, &|chunk_idx, thread_idx| {
            let scratch = &mut *scratch[thread_idx].lock().expect("a panic ends the engine");
            // SAFETY: every chunk has its own partial weight gradient.
            let weights = unsafe { weights.range(chunk_idx * n_weights, n_weights) };
            let images = chunk(*n, n_chunks, chunk_idx);
            if g.is_pointwise() {
                let block = (16384 / (g.c_in + g.c_out)).max(48) / 12 * 12;
                let pixels = images.start * g.h * g.w..images.end * g.h * g.w;
                for start in pixels.clone().step_by(block) {
                    let m = block.min(pixels.end - start);
                    // SAFETY: every pixel is in the one chunk that its image is in.
                    let mut dx = visit.map(|_| unsafe { out.range(start * g.c_in, m * g.c_in) });
                    pass.pointwise(start, m, scratch, dx.as_deref_mut(), weights);
                    pass.sums(start * g.c_in, dx.as_deref(), &all_sums, chunk_idx);
                }
                return;
            }
            for image in images {
                // SAFETY: every image is in one chunk.
                let mut dx = visit.map(|_| unsafe { out.range(image * g.in_len(), g.in_len()) });
                match g.kind {
                    ConvKind::Depthwise => pass.depthwise(image, scratch, dx.as_deref_mut(), weights),
                    _ => pass.dense(image, scratch, dx.as_deref_mut(), weights),
                }
                pass.sums(image * g.in_len(), dx.as_deref(), &all_sums, chunk_idx);
            }
        });
        self.nodes[conv.input].grad = grad;
        self.nodes[conv.input].sums = sums;
        fold(&g, &self.parts, n_weights, &mut self.grads[first]);
    }

    /// Adds the gradients of gamma and beta; returns `ka`, `kb`, `kc`, expanded.
    fn norm_backward(&mut self, idx: usize, g: &Geometry, gamma: &[f32]) -> [Vec<f32>; 3] {
        let first = self.first_param[idx];
        let state = &self.nodes[idx];
        let (c, p, m) = (g.c_out, period(g.c_out), (self.n * g.h_out * g.w_out) as f64);
        let mut k = [vec![0.0; c], vec![0.0; c], vec![0.0; c]];
        for o in 0..c {
            let (mut s1, mut s2) = (0.0f64, 0.0f64);
            for sums in state.sums.chunks_exact(2 * p) {
                s1 += sums[..p].iter().skip(o).step_by(c).map(|&v| f64::from(v)).sum::<f64>();
                s2 += sums[p..].iter().skip(o).step_by(c).map(|&v| f64::from(v)).sum::<f64>();
            }
            let inv_std = f64::from(state.inv_std[o]);
            self.grads[first + 1][o] += (s2 * inv_std) as f32;
            self.grads[first + 2][o] += s1 as f32;
            let ka = f64::from(gamma[o]) * inv_std;
            let kb = -ka * inv_std * inv_std * s2 / m;
            k[0][o] = ka as f32;
            k[1][o] = kb as f32;
            k[2][o] = (-ka * s1 / m - kb * f64::from(state.mean[o])) as f32;
        }
        k.map(|k| {
            let mut expanded = Vec::new();
            expand(&k, &mut expanded);
            expanded
        })
    }
}
