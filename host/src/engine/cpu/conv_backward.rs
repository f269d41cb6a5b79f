//! The backward of a convolution, image by image or pixel block by pixel block: the gradients of its weights, in parts
//! per chunk, and of its input.

use std::ops::Range;

use cpu_kernels::depthwise::{Depthwise, Inside};
use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::elementwise::add_to;
use cpu_kernels::gemm::{End, Pixels, Product, Steps, outer_product, packed_len};
use cpu_kernels::norm::backward;
use cpu_kernels::winograd::Images;
use cpu_kernels::{Isa, Real};

use super::backward::{Visit, finish};
use super::conv_forward::block_pixels;
use super::core::{Core, Finish, NodeState, Scratch, View, buffer, chunk, fill_inside, for_each, view};
use super::geometry::Geometry;
use super::plan::Plan;

/// More weights than this have no parts per chunk.
pub const WIDE: usize = 32768;

/// Values of the operands of one outer product: they stay in a core's first cache.
const OUTER_BLOCK: usize = 4096;

/// One layer's backward, shared by all chunks.
pub struct Backward<'a> {
    pub isa: Isa,
    pub g: Geometry,
    pub plan: &'a Plan,
    pub source: View<'a>,
    pub state: &'a NodeState,
    /// Where in `packed` each class's operand begins.
    pub packed: &'a [Real],
    /// The source's gradient; `None` for the image, which needs none.
    pub input: Option<InputGrad<'a>>,
}

/// The gradient that a convolution writes.
pub struct InputGrad<'a> {
    pub visit: Visit,
    pub grad: Disjoint<'a>,
    pub finish: Finish<'a>,
}

impl Core {
    /// Adds the gradients of the layer `idx`, and writes or adds that of its input.
    pub fn layer_backward(&mut self, idx: usize, params: &[&[Real]]) {
        let layer = self.layer(idx);
        let (g, input) = (self.geometry(idx, &layer), layer.input);
        let place = self.layout[idx].weight.expect("a layer has weights");
        self.norm_backward(idx, params, self.n * g.h_out * g.w_out);
        if input != 0 {
            self.pack_backward(idx, &g, params[place]);
        }
        let n_weights = g.n_weights();
        let is_wide = is_wide(&g);
        let n_chunks = self.n_chunks(2 * g.macs(), if is_wide { 0 } else { n_weights });
        let visit = (input != 0).then(|| self.visit(input, n_chunks));
        let (mut grad, mut sums) = self.take_grad(input);
        let Core { graph, isa, pool, scratch, nodes, packed, parts, whole, plans, grads, n, .. } = self;
        let sums_of_chunks = Disjoint::new(&mut sums);
        let backward = Backward {
            isa: *isa,
            g,
            plan: &plans[idx],
            source: view(graph, nodes, input),
            state: &nodes[idx],
            packed,
            input: visit.map(|visit| InputGrad {
                visit,
                grad: Disjoint::new(&mut grad),
                finish: finish(graph, nodes, input, &sums_of_chunks),
            }),
        };
        if is_wide {
            backward.wide(pool, scratch, *n, n_chunks, whole, parts, &mut grads[place]);
        } else {
            let parts = buffer(parts, n_chunks * n_weights);
            let all_weights = Disjoint::new(parts);
            for_each(pool, scratch, n_chunks, |chunk_idx, scratch| {
                // SAFETY: every chunk has its own partial weight gradient.
                let weights = unsafe { all_weights.range(chunk_idx * n_weights, n_weights) };
                weights.fill(0.0);
                if g.is_pointwise() {
                    let pixels = chunk(*n * g.h * g.w, n_chunks, chunk_idx);
                    backward.pixels(pixels, scratch, weights, chunk_idx);
                } else {
                    backward.images(chunk(*n, n_chunks, chunk_idx), scratch, weights, chunk_idx);
                }
            });
            fold(*isa, &g, &plans[idx], parts, n_weights, &mut grads[place]);
        }
        self.put_grad(input, grad, sums);
    }

    /// Packs the active weights for the input gradient.
    fn pack_backward(&mut self, idx: usize, g: &Geometry, weight: &[Real]) {
        let plan = std::mem::take(&mut self.plans[idx]);
        let taps = g.taps();
        if g.is_depthwise {
            let (d, flips) = (g.depthwise(), g.flips());
            let tap = |t| if flips { taps - 1 - t } else { t };
            d.pack(weight, &plan.outs, tap, buffer(&mut self.packed, d.packed_len()));
        } else if let Some(tiles) = &plan.input_tiles {
            let value = |i: usize, o: usize, tap: usize| weight[plan.outs[o] + plan.ins[i] + taps - 1 - tap];
            tiles.pack(self.isa, &mut self.pool, value, buffer(&mut self.packed, tiles.packed_len(self.isa)));
        } else {
            let mut end = 0;
            for outs in plan.outs.chunks(g.group_out()) {
                for class in plan.classes.iter() {
                    let class_taps = &class.taps;
                    let rows = (0..class_taps.len() * outs.len())
                        .map(move |row| outs[row % outs.len()] + class_taps[row / outs.len()]);
                    end = self.pack_dense(end, rows, &plan.ins, weight);
                }
            }
        }
        self.plans[idx] = plan;
    }
}

impl Backward<'_> {
    /// `dz` of as many values as it holds, from `start`.
    pub fn dz(&self, start: usize, dz: &mut [Real]) {
        let (range, [ka, kb, kc]) = (start..start + dz.len(), &self.state.norm.backward);
        let (grad, z) = (&self.state.grad[range.clone()], &self.state.z[range]);
        backward(self.isa, grad, z, [ka, kb, kc], dz);
    }

    /// `dz` of an image in a border of zeros.
    pub fn bordered_dz(&self, image: usize, dz: &mut [Real]) {
        let (from, line) = (image * self.g.out_len(), self.g.w_out * self.g.c_out);
        let border = &self.plan.border;
        fill_inside(dz, border.first, border.line, line, self.g.h_out, |y, inside| {
            self.dz(from + y * line, inside);
        });
    }

    /// The input gradient of `len` values from `start`, written by `write` and finished.
    fn write_input(&self, start: usize, len: usize, chunk_idx: usize, write: impl FnOnce(&mut [Real], End)) {
        let Some(input) = &self.input else { return };
        // SAFETY: every pixel is in one chunk.
        let dx = unsafe { input.grad.range(start, len) };
        write(dx, if input.visit.is_first { End::Replace } else { End::Add });
        if input.visit.is_last {
            input.finish.run(self.isa, start, dx, chunk_idx);
        }
    }

    /// Some pixels of a pointwise convolution; `weights` is `[c_out, c_in]`.
    fn pixels(&self, pixels: Range<usize>, [xs, dz]: &mut Scratch, weights: &mut [Real], chunk_idx: usize) {
        let Geometry { c_in, c_out, .. } = self.g;
        let block = block_pixels(&self.g);
        for start in pixels.clone().step_by(block) {
            let m = block.min(pixels.end - start);
            let (xs, dz) = (buffer(xs, m * c_in), buffer(dz, m * c_out));
            self.dz(start * c_out, dz);
            self.source.read(self.isa, start * c_in..(start + m) * c_in, xs);
            let (x_steps, z_steps) = (Steps::dense(m, c_in), Steps::dense(m, c_out));
            let (a, b) = (Pixels { data: dz, steps: z_steps }, Pixels { data: xs, steps: x_steps });
            outer_product(self.isa, (1, m), (c_out, c_in), a, b, weights);
            self.write_input(start * c_in, m * c_in, chunk_idx, |dx, end| {
                let product =
                    Product { plane: (1, m), n: c_in, k: c_out, taps: &[0], a: z_steps, c: x_steps };
                product.run(self.isa, dz, self.packed, dx, end);
            });
        }
    }

    /// Some images; `weights` is `[taps, c_in, c_out]`, a depthwise convolution's packed.
    fn images(
        &self,
        images: Range<usize>,
        [padded, dz]: &mut Scratch,
        weights: &mut [Real],
        chunk_idx: usize,
    ) {
        let (g, plan, isa) = (&self.g, self.plan, self.isa);
        let (x_len, z_len, batch) = (g.padded_len(), plan.border.len, plan.images()[1]);
        if g.is_depthwise {
            let padded = buffer(padded, x_len);
            for image in images {
                self.source.read_padded(isa, g, image, padded);
                self.depthwise(image, padded, dz, weights, chunk_idx);
            }
            return;
        }
        let [tiles_len, sums_len] = plan.weight_lens();
        let [padded, sums] = split(padded, [batch * x_len, sums_len]);
        let [dz, tiles] = split(dz, [batch * z_len, tiles_len.max(plan.scratch_lens()[1])]);
        sums.fill(0.0);
        for first in images.clone().step_by(batch) {
            let n = batch.min(images.end - first);
            let both = padded.chunks_exact_mut(x_len).zip(dz.chunks_exact_mut(z_len));
            for (i, (padded, dz)) in both.take(n).enumerate() {
                self.source.read_padded(isa, g, first + i, padded);
                self.bordered_dz(first + i, dz);
                if plan.weight_tiles.is_none() {
                    self.outer_products(padded, dz, weights);
                }
            }
            if let Some(winograd) = &plan.weight_tiles {
                winograd.add_tiles(isa, n, plan.operands(padded, dz), tiles, sums);
            }
            self.write_input(first * g.in_len(), n * g.in_len(), chunk_idx, |dx, end| {
                self.dense_input(n, dz, tiles, dx, end);
            });
        }
        if let Some(winograd) = &plan.weight_tiles {
            // SAFETY: the weights are borrowed.
            unsafe { winograd.fold_rows(isa, (0, g.c_in), sums, &Disjoint::new(weights)) }
        }
    }

    /// Adds the part of an image to the weight gradient `[groups, runs, run, c_out of a group]`.
    fn outer_products(&self, padded: &[Real], dz: &[Real], weights: &mut [Real]) {
        let (g, plan) = (&self.g, self.plan);
        let (a_steps, b_steps) = (g.input_steps(), Steps { pixel: g.c_out, line: plan.border.line });
        let lines = (OUTER_BLOCK / (a_steps.line + b_steps.line)).max(1);
        let (run, n) = (plan.run, g.group_out());
        for y in (0..g.h_out).step_by(lines) {
            let plane = (lines.min(g.h_out - y), g.w_out);
            for (group, weights) in weights.chunks_exact_mut(plan.runs.len() * run * n).enumerate() {
                let from = plan.border.first + y * plan.border.line + group * n;
                let b = Pixels { data: &dz[from..], steps: b_steps };
                for (offset, weights) in plan.runs.iter().zip(weights.chunks_exact_mut(run * n)) {
                    let from = offset + y * a_steps.line + group * g.group_in();
                    let a = Pixels { data: &padded[from..], steps: a_steps };
                    outer_product(self.isa, plane, (run, n), a, b, weights);
                }
            }
        }
    }

    /// The input gradient of `n` images of a dense or grouped convolution.
    ///
    /// - `dz`: each in its border
    /// - `tiles`: temporaries, the second of [`Plan::scratch_lens`]
    pub fn dense_input(&self, n: usize, dz: &[Real], tiles: &mut [Real], dx: &mut [Real], end: End) {
        let (g, plan) = (&self.g, self.plan);
        if let Some(winograd) = &plan.input_tiles {
            let (dz, images) = (&dz[plan.classes[0].from..], Images::dense((g.h, g.w), g.c_in));
            return winograd.run(self.isa, n, dz, self.packed, tiles, dx, images, end);
        }
        let images = dz.chunks_exact(plan.border.len).zip(dx.chunks_exact_mut(g.in_len()));
        images.take(n).for_each(|(dz, dx)| self.input_classes(dz, dx, end));
    }

    /// The input gradient of an image, class by class of its pixels.
    fn input_classes(&self, dz: &[Real], dx: &mut [Real], end: End) {
        let (g, plan) = (&self.g, self.plan);
        let (n, k) = (g.group_in(), g.group_out());
        let mut packed = self.packed;
        for group in 0..g.groups {
            for class in &plan.classes {
                let (operand, rest) = packed.split_at(packed_len(self.isa, n, k * class.taps.len()));
                packed = rest;
                if class.plane.0 * class.plane.1 == 0 {
                    continue;
                }
                let dx = &mut dx[class.first + group * n..];
                if !class.taps.is_empty() {
                    let (a, c) = (Steps { pixel: g.c_out, line: plan.border.line }, plan.class_steps);
                    let product = Product { plane: class.plane, n, k, taps: &class.offsets, a, c };
                    product.run(self.isa, &dz[class.from + group * k..], operand, dx, end);
                } else if matches!(end, End::Replace) {
                    clear(class.plane, plan.class_steps, n, dx);
                }
            }
        }
    }

    /// One image of a depthwise convolution.
    fn depthwise(
        &self,
        image: usize,
        padded: &[Real],
        dz: &mut Vec<Real>,
        weights: &mut [Real],
        chunk_idx: usize,
    ) {
        let (isa, g, d, border) = (self.isa, &self.g, self.g.depthwise(), &self.plan.border);
        let flips = g.flips();
        let (dz_len, line, first) = match flips {
            true => (border.len, border.line, border.first),
            false => (g.out_len(), g.w_out * g.c_out, 0),
        };
        let [dz, term] = split(dz, [dz_len, g.in_len()]);
        if flips {
            self.bordered_dz(image, dz)
        } else {
            self.dz(image * g.out_len(), dz)
        }
        d.weight_grad(isa, padded, &dz[first..], line, weights);
        self.write_input(image * g.in_len(), g.in_len(), chunk_idx, |dx, end| {
            let inside = Inside { h: g.h, w: g.w, top: g.top, left: g.left };
            if flips {
                let from = self.plan.classes[0].from;
                let flip = Depthwise { stride: 1, h_out: g.h, w_out: g.w, padded_row: line, ..d };
                flip.forward(isa, &dz[from..], self.packed, dx, end);
            } else if matches!(end, End::Add) {
                d.input_grad(isa, dz, self.packed, inside, term);
                add_to(isa, term, dx);
            } else {
                d.input_grad(isa, dz, self.packed, inside, dx);
            }
        });
    }
}

/// Whether the weight gradient has no parts per chunk.
pub fn is_wide(g: &Geometry) -> bool {
    !g.is_depthwise && g.groups == 1 && g.n_weights() > WIDE
}

/// Two temporaries in one buffer.
fn split(values: &mut Vec<Real>, [a, b]: [usize; 2]) -> [&mut [Real]; 2] {
    buffer(values, a + b).split_at_mut(a).into()
}

/// Zeros for `n` values of every pixel.
fn clear((h, w): (usize, usize), steps: Steps, n: usize, values: &mut [Real]) {
    for y in 0..h {
        for x in 0..w {
            values[y * steps.line + x * steps.pixel..][..n].fill(0.0);
        }
    }
}

/// Adds the chunks' weight gradients, in order, to the active part of the whole gradient.
fn fold(isa: Isa, g: &Geometry, plan: &Plan, parts: &mut [Real], n_weights: usize, grad: &mut [Real]) {
    let (sum, parts) = parts.split_at_mut(n_weights);
    for part in parts.chunks_exact(n_weights) {
        add_to(isa, part, sum);
    }
    let taps = g.taps();
    if g.is_depthwise {
        let c_padded = n_weights / taps;
        for (o, row) in plan.outs.iter().enumerate() {
            grad[*row..][..taps].iter_mut().enumerate().for_each(|(t, to)| *to += sum[t * c_padded + o]);
        }
    } else if g.is_pointwise() {
        for (row, from) in plan.outs.iter().zip(sum.chunks_exact(g.c_in)) {
            let to = &mut grad[*row..][..plan.row];
            plan.ins.iter().zip(from).for_each(|(i, from)| to[*i] += from);
        }
    } else {
        let group = taps * g.group_in() * g.group_out();
        for (outs, sum) in plan.outs.chunks(g.group_out()).zip(sum.chunks_exact(group)) {
            add_transposed(taps, &plan.ins, outs, 0..outs.len(), sum, grad, 0);
        }
    }
}

/// Adds columns `which` of `[taps, ins, outs]` to their place among the weights, of which `grad` begins at `first`.
pub fn add_transposed(
    taps: usize,
    ins: &[usize],
    outs: &[usize],
    which: Range<usize>,
    sum: &[Real],
    grad: &mut [Real],
    first: usize,
) {
    for o in which {
        for (i, place) in ins.iter().enumerate() {
            let to = &mut grad[outs[o] + place - first..][..taps];
            to.iter_mut().enumerate().for_each(|(t, to)| *to += sum[(t * ins.len() + i) * outs.len() + o]);
        }
    }
}
