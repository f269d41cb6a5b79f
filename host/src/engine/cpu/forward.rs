//! Forward pass: a convolution reads its producer's raw output through batch norm and ReLU, and adds up the
//! statistics of its own.

use super::core::{CHUNKS, Core, Disjoint, chunk, floats, view};
use super::gemm::{Into, gemm_nn};
use super::geometry::Geometry;
use super::norm::{expand, period, shifted_sums};
use super::weights::pack_forward;
use crate::engine::{BN_EPSILON, Mode, NodeStatistics};
use crate::network::{Activation, Channels, Conv, ConvKind, NodeId, NodeOp};

impl Core {
    /// Logits `[n, classes]` of `images` `[n, h, w, c]`; `params` are in the order of the graph.
    pub fn forward(
        &mut self,
        images: &[f32],
        n: usize,
        channels: &Channels,
        params: &[&[f32]],
        mode: Mode,
    ) -> Vec<f32> {
        self.prepare(n, channels);
        self.nodes[0].z[..images.len()].copy_from_slice(images);
        let mut batch = vec![None; self.nodes.len()];
        let mut logits = Vec::new();
        for (idx, node) in self.graph.nodes.clone().iter().enumerate() {
            match node.op.clone() {
                NodeOp::Input => {}
                NodeOp::Conv(conv) => batch[idx] = self.conv_forward(idx, &conv, params, mode),
                NodeOp::Add { a, b, activation } => self.add_forward(idx, a, b, activation),
                NodeOp::Head { input } => logits = self.head_forward(idx, input, params),
                _ => unreachable!("CpuEngine::new refuses it"),
            }
        }
        if mode == Mode::Calibrate {
            self.statistics.average(batch);
        }
        logits
    }

    fn conv_forward(
        &mut self,
        idx: usize,
        conv: &Conv,
        params: &[&[f32]],
        mode: Mode,
    ) -> Option<NodeStatistics> {
        let g = self.geometry(idx, conv);
        let first = self.first_param[idx];
        pack_forward(&g, params[first], &mut self.packed);
        let p = period(g.c_out);
        let mut z = std::mem::take(&mut self.nodes[idx].z);
        self.parts.clear();
        self.parts.resize(CHUNKS * 3 * p, 0.0);
        let Core { graph, isa, pool, scratch, nodes, packed, parts, n, .. } = self;
        let (isa, n) = (*isa, *n);
        let source = view(graph, nodes, conv.input);
        let (out, sums) = (Disjoint::new(&mut z), Disjoint::new(parts));
        let depthwise = g.depthwise();
        pool.run(CHUNKS, &|chunk_idx, thread_idx| {
            let scratch = &mut *scratch[thread_idx].lock().expect("a panic ends the engine");
            let images = chunk(n, CHUNKS, chunk_idx);
            // SAFETY: every chunk has its own sums.
            let (shift, sums) = unsafe { sums.range(chunk_idx * 3 * p, 3 * p) }.split_at_mut(p);
            let mut is_first = true;
            let mut add_up = |z: &[f32]| {
                if mode == Mode::Evaluate {
                    return;
                }
                if std::mem::take(&mut is_first) {
                    shift.iter_mut().zip(z[..g.c_out].iter().cycle()).for_each(|(s, z)| *s = *z);
                }
                shifted_sums(isa, z, shift, sums);
            };
            if g.is_pointwise() {
                let block = (24576 / (g.c_in + g.c_out)).max(48) / 12 * 12;
                let pixels = images.start * g.h * g.w..images.end * g.h * g.w;
                for start in pixels.clone().step_by(block) {
                    let m = block.min(pixels.end - start);
                    let xs = floats(&mut scratch[0], m * g.c_in);
                    source.read(isa, start * g.c_in..(start + m) * g.c_in, xs);
                    // SAFETY: every pixel is written by the one chunk that its image is in.
                    let z = unsafe { out.range(start * g.c_out, m * g.c_out) };
                    gemm_nn(isa, (m, g.c_out, g.c_in), &[0], xs, g.c_in, packed, z, Into::Replace);
                    add_up(z);
                }
                return;
            }
            let [padded, columns, ..] = scratch;
            let padded = floats(padded, g.padded_len());
            for image in images {
                source.read_padded(isa, &g, image, padded);
                // SAFETY: every image is in one chunk.
                let z = unsafe { out.range(image * g.out_len(), g.out_len()) };
                match g.kind {
                    ConvKind::Depthwise => depthwise.forward(isa, padded, packed, z),
                    ConvKind::Dense if g.gathers() => {
                        let k = g.taps() * g.c_in;
                        let columns = floats(columns, g.h_out * g.w_out * k);
                        g.gather(padded, columns);
                        let m = g.h_out * g.w_out;
                        gemm_nn(isa, (m, g.c_out, k), &[0], columns, k, packed, z, Into::Replace);
                    }
                    _ => {
                        let taps = g.tap_offsets(g.padded_row(), g.c_in);
                        for (oy, z) in z.chunks_exact_mut(g.w_out * g.c_out).enumerate() {
                            let xs = &padded[oy * g.stride * g.padded_row()..];
                            let mnk = (g.w_out, g.c_out, g.c_in);
                            gemm_nn(isa, mnk, &taps, xs, g.stride * g.c_in, packed, z, Into::Replace);
                        }
                    }
                }
                add_up(z);
            }
        });
        self.nodes[idx].z = z;
        self.finish_norm(idx, &g, params[first + 1], params[first + 2], mode)
    }

    /// Turns the chunks' sums, or the running statistics, into the affine of batch norm; returns the batch's
    /// statistics in [`Mode::Calibrate`].
    fn finish_norm(
        &mut self,
        idx: usize,
        g: &Geometry,
        gamma: &[f32],
        beta: &[f32],
        mode: Mode,
    ) -> Option<NodeStatistics> {
        let pixels = g.h_out * g.w_out;
        let (mut means, mut variances) = (Vec::new(), Vec::new());
        for k in 0..g.c_out {
            let (mean, variance) = match mode {
                Mode::Evaluate | Mode::Frozen => {
                    let running = self.statistics.nodes[idx].as_ref().expect("checked before the pass");
                    (running.mean[k].into(), running.variance[k].into())
                }
                Mode::Train | Mode::Calibrate => combine(&self.parts, self.n, pixels, g.c_out, k),
            };
            means.push(mean);
            variances.push(variance);
        }
        let state = &mut self.nodes[idx];
        state.inv_std = variances.iter().map(|v| (1.0 / (v + BN_EPSILON).sqrt()) as f32).collect();
        let scale: Vec<f32> = state.inv_std.iter().zip(gamma).map(|(s, g)| s * g).collect();
        let shift = |k: usize| (f64::from(beta[k]) - means[k] * f64::from(scale[k])) as f32;
        let shift: Vec<f32> = (0..g.c_out).map(shift).collect();
        let mean: Vec<f32> = means.iter().map(|&m| m as f32).collect();
        expand(&scale, &mut state.scale);
        expand(&shift, &mut state.shift);
        expand(&mean, &mut state.mean);
        let m = (self.n * pixels) as f64;
        let variance = variances.iter().map(|v| (v * m / (m - 1.0).max(1.0)) as f32).collect();
        (mode == Mode::Calibrate).then_some(NodeStatistics { mean, variance })
    }

    fn add_forward(&mut self, idx: usize, a: NodeId, b: NodeId, activation: Activation) {
        let len = self.nodes[idx].len / self.n;
        let mut z = std::mem::take(&mut self.nodes[idx].z);
        let Core { graph, isa, pool, scratch, nodes, n, .. } = self;
        let (a, b) = (view(graph, nodes, a), view(graph, nodes, b));
        let out = Disjoint::new(&mut z);
        pool.run(CHUNKS, &|chunk_idx, thread_idx| {
            let scratch = &mut *scratch[thread_idx].lock().expect("a panic ends the engine");
            let term = floats(&mut scratch[0], len);
            for image in chunk(*n, CHUNKS, chunk_idx) {
                let range = image * len..(image + 1) * len;
                // SAFETY: every image is in one chunk.
                let z = unsafe { out.range(range.start, len) };
                a.read(*isa, range.clone(), z);
                b.read(*isa, range, term);
                let low = if activation == Activation::Relu { 0.0 } else { f32::NEG_INFINITY };
                z.iter_mut().zip(&*term).for_each(|(z, t)| *z = (*z + t).max(low));
            }
        });
        self.nodes[idx].z = z;
    }

    fn head_forward(&mut self, idx: usize, input: NodeId, params: &[&[f32]]) -> Vec<f32> {
        let (c, c_max, classes) = (self.nodes[input].c, self.widest[input], self.graph.classes);
        let (h, w) = self.planes[input];
        let len = h * w * c;
        self.pooled.clear();
        self.pooled.resize(self.n * c, 0.0);
        let Core { graph, isa, pool, scratch, nodes, n, pooled, .. } = self;
        let source = view(graph, nodes, input);
        let out = Disjoint::new(pooled);
        pool.run(CHUNKS, &|chunk_idx, thread_idx| {
            let scratch = &mut *scratch[thread_idx].lock().expect("a panic ends the engine");
            let xs = floats(&mut scratch[0], len);
            for image in chunk(*n, CHUNKS, chunk_idx) {
                source.read(*isa, image * len..(image + 1) * len, xs);
                // SAFETY: every image is in one chunk.
                let sum = unsafe { out.range(image * c, c) };
                for pixel in xs.chunks_exact(c) {
                    sum.iter_mut().zip(pixel).for_each(|(s, x)| *s += x);
                }
                sum.iter_mut().for_each(|s| *s /= (h * w) as f32);
            }
        });
        let (weight, bias) = (params[self.first_param[idx]], params[self.first_param[idx] + 1]);
        let mut logits = Vec::with_capacity(self.n * classes);
        for xs in self.pooled.chunks_exact(c) {
            let rows = weight.chunks_exact(c_max).zip(bias);
            logits.extend(rows.map(|(row, b)| b + dot(&row[..c], xs)));
        }
        logits
    }
}

/// Mean and biased variance of channel `k` of `c`, from the chunks' shifted sums (Chan, Golub and LeVeque 1983).
fn combine(parts: &[f32], n: usize, pixels: usize, c: usize, k: usize) -> (f64, f64) {
    let p = period(c);
    let (mut count, mut mean, mut squares) = (0.0f64, 0.0f64, 0.0f64);
    for (idx, part) in parts.chunks_exact(3 * p).enumerate() {
        let m = (chunk(n, CHUNKS, idx).len() * pixels) as f64;
        if m == 0.0 {
            continue;
        }
        let sum =
            |from: usize| part[from..from + p].iter().skip(k).step_by(c).map(|&v| f64::from(v)).sum::<f64>();
        let (s1, s2) = (sum(p), sum(2 * p));
        let delta = f64::from(part[k]) + s1 / m - mean;
        squares += s2 - s1 * s1 / m + delta * delta * count * m / (count + m);
        mean += delta * m / (count + m);
        count += m;
    }
    (mean, (squares / count).max(0.0))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (a, b))| *s += a * b);
    }
    sums.iter().sum()
}
