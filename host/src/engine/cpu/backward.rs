//! Backward pass, explicit. Once two sums per channel are known, the backward of batch norm and ReLU is one affine
//! per channel: `dz = ka · g + kb · z + kc`, with `g` the gradient that the ReLU lets through.

use super::core::{
    CHUNKS, Core, Disjoint, Geometry, NodeState, View, chunk, clear_sums, fill_inside, floats, norm_sums,
    view, zeros,
};
use super::depthwise::{Depthwise, Inside};
use super::gemm::{Into, Pixels, gemm_nn, gemm_tn};
use super::norm::{expand, period};
use super::simd::Isa;
use super::weights::{fold, pack_backward};
use crate::network::{Activation, Conv, ConvKind, NodeId, NodeOp};

/// What the consumer at hand does to its source's gradient.
#[derive(Clone, Copy, PartialEq)]
struct Visit {
    into: Into,
    /// The gradient is whole afterwards, and the source has a batch norm that needs its sums.
    sums: bool,
}

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
            ConvKind::Dense => g.taps() * g.c_in * g.c_out,
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
                    ConvKind::Dense => pass.dense(image, scratch, dx.as_deref_mut(), weights),
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

/// One convolution's backward, shared by all chunks.
struct Pass<'a> {
    isa: Isa,
    g: Geometry,
    flipped: bool,
    visit: Option<Visit>,
    source: View<'a>,
    source_mean: &'a [f32],
    state: &'a NodeState,
    activation: Activation,
    k: [&'a [f32]; 3],
    packed: &'a [f32],
}

impl Pass<'_> {
    /// `dz` of `len` floats from `start`.
    fn dz(&self, start: usize, dz: &mut [f32]) {
        let range = start..start + dz.len();
        let affine = super::core::affine(self.state, self.activation);
        affine.backward(self.isa, &self.state.grad[range.clone()], &self.state.z[range], self.k, dz);
    }

    fn into(&self) -> Into {
        self.visit.map_or(Into::Replace, |visit| visit.into)
    }

    fn sums(&self, start: usize, dx: Option<&[f32]>, sums: &Disjoint, chunk_idx: usize) {
        if let Some(dx) = dx
            && self.visit.is_some_and(|visit| visit.sums)
        {
            norm_sums(self.isa, &self.source, start, dx, self.source_mean, sums, chunk_idx);
        }
    }

    /// `m` pixels from `start`; `weights` is `[c_out, c_in]`.
    fn pointwise(
        &self,
        start: usize,
        m: usize,
        scratch: &mut [Vec<f32>],
        dx: Option<&mut [f32]>,
        weights: &mut [f32],
    ) {
        let Geometry { c_in, c_out, .. } = self.g;
        let [xs, dz, ..] = scratch else { unreachable!("four temporaries") };
        let (xs, dz) = (floats(xs, m * c_in), floats(dz, m * c_out));
        self.source.read(self.isa, start * c_in..(start + m) * c_in, xs);
        self.dz(start * c_out, dz);
        if let Some(dx) = dx {
            gemm_nn(self.isa, (m, c_in, c_out), &[0], dz, c_out, self.packed, dx, self.into());
        }
        let (a, b) = (Pixels { data: dz, pixel: c_out, row: 0 }, Pixels { data: xs, pixel: c_in, row: 0 });
        gemm_tn(self.isa, (1, m), (c_out, c_in), a, b, weights);
    }

    /// `dz` of an image, in a border for the flipped convolution if there is one; with its first pixel and row.
    fn bordered_dz<'b>(&self, image: usize, buffer: &'b mut Vec<f32>) -> (&'b mut [f32], usize, usize) {
        let g = &self.g;
        let from = image * g.out_len();
        if !self.flipped {
            let dz = floats(buffer, g.out_len());
            self.dz(from, dz);
            return (dz, 0, g.w_out * g.c_out);
        }
        let row = (g.w + g.kernel - 1) * g.c_out;
        let dz = floats(buffer, row * (g.h + g.kernel - 1));
        let first = (g.kernel - 1 - g.top) * row + (g.kernel - 1 - g.left) * g.c_out;
        let line = g.w_out * g.c_out;
        fill_inside(dz, first, row, line, g.h_out, |y, inside| self.dz(from + y * line, inside));
        (dz, first, row)
    }

    /// One image; `weights` packed.
    fn depthwise(&self, image: usize, scratch: &mut [Vec<f32>], dx: Option<&mut [f32]>, weights: &mut [f32]) {
        let (isa, g, d) = (self.isa, &self.g, self.g.depthwise());
        let [padded, dz, term, ..] = scratch else { unreachable!("four temporaries") };
        let padded = floats(padded, g.padded_len());
        self.source.read_padded(isa, g, image, padded);
        let (dz, first, row) = self.bordered_dz(image, dz);
        d.weight_grad(isa, padded, &dz[first..], row, weights);
        let Some(dx) = dx else { return };
        let input_grad = |dx: &mut [f32]| {
            if self.flipped {
                let flip = Depthwise { stride: 1, h_out: g.h, w_out: g.w, padded_row: row, ..d };
                flip.forward(isa, dz, self.packed, dx);
            } else {
                let inside = Inside { h: g.h, w: g.w, top: g.top, left: g.left };
                d.input_grad(isa, dz, self.packed, inside, dx);
            }
        };
        if self.into() == Into::Replace {
            return input_grad(dx);
        }
        let term = floats(term, g.in_len());
        input_grad(term);
        dx.iter_mut().zip(&*term).for_each(|(o, d)| *o += d);
    }

    /// One image; `weights` is `[taps, c_in, c_out]`.
    fn dense(&self, image: usize, scratch: &mut [Vec<f32>], dx: Option<&mut [f32]>, weights: &mut [f32]) {
        let (isa, g) = (self.isa, &self.g);
        let [padded, dz, columns, dx_padded] = scratch else { unreachable!("four temporaries") };
        let padded = floats(padded, g.padded_len());
        self.source.read_padded(isa, g, image, padded);
        let (dz, first, row) = self.bordered_dz(image, dz);
        let (k, plane) = (g.taps() * g.c_in, (g.h_out, g.w_out));
        let b = Pixels { data: &dz[first..], pixel: g.c_out, row };
        if g.gathers() {
            let columns = floats(columns, g.h_out * g.w_out * k);
            g.gather(padded, columns);
            let a = Pixels { data: columns, pixel: k, row: g.w_out * k };
            gemm_tn(isa, plane, (k, g.c_out), a, b, weights);
        } else {
            let offsets = g.tap_offsets(g.padded_row(), g.c_in);
            for (offset, weights) in offsets.iter().zip(weights.chunks_exact_mut(g.c_in * g.c_out)) {
                let (pixel, row) = (g.stride * g.c_in, g.stride * g.padded_row());
                let a = Pixels { data: &padded[*offset..], pixel, row };
                gemm_tn(isa, plane, (g.c_in, g.c_out), a, b, weights);
            }
        }
        let Some(dx) = dx else { return };
        if self.flipped {
            let taps = g.tap_offsets(row, g.c_out);
            for (y, dx) in dx.chunks_exact_mut(g.w * g.c_in).enumerate() {
                let mnk = (g.w, g.c_in, g.c_out);
                gemm_nn(isa, mnk, &taps, &dz[y * row..], g.c_out, self.packed, dx, self.into());
            }
            return;
        }
        let m = g.h_out * g.w_out;
        let columns = floats(columns, m * k);
        gemm_nn(isa, (m, k, g.c_out), &[0], dz, g.c_out, self.packed, columns, Into::Replace);
        let dx_padded = zeros(dx_padded, g.padded_len());
        let run = g.kernel * g.c_in;
        for (idx, column) in columns.chunks_exact(k).enumerate() {
            let (y, x) = (idx / g.w_out * g.stride, idx % g.w_out * g.stride);
            for (ky, column) in column.chunks_exact(run).enumerate() {
                let to = &mut dx_padded[(y + ky) * g.padded_row() + x * g.c_in..][..run];
                to.iter_mut().zip(column).for_each(|(t, c)| *t += c);
            }
        }
        self.unpad(dx_padded, dx);
    }

    /// Takes the inside of a padded gradient.
    fn unpad(&self, padded: &[f32], dx: &mut [f32]) {
        let g = &self.g;
        for (y, dx) in dx.chunks_exact_mut(g.w * g.c_in).enumerate() {
            let from = (g.top + y) * g.padded_row() + g.left * g.c_in;
            let line = &padded[from..][..g.w * g.c_in];
            match self.into() {
                Into::Replace => dx.copy_from_slice(line),
                Into::Add => dx.iter_mut().zip(line).for_each(|(o, d)| *o += d),
            }
        }
    }
}

impl Geometry {
    /// Whether the input gradient is itself a stride-1 convolution, with the flipped kernel.
    fn flips(&self) -> bool {
        let fits =
            |n: usize, out: usize, before: usize| before < self.kernel && n + self.kernel > before + out;
        self.stride == 1
            && !self.is_pointwise()
            && fits(self.h, self.h_out, self.top)
            && fits(self.w, self.w_out, self.left)
            && self.h_padded - self.h - self.top < self.kernel
            && self.w_padded - self.w - self.left < self.kernel
    }
}
