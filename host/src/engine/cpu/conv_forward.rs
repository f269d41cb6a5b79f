//! The forward of a convolution: reads its producer through batch norm and activation, and adds up the statistics of
//! its own.

use std::ops::Range;

use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::gemm::{self, End, Product, Steps};
use cpu_kernels::norm::{period, shifted_sums};
use cpu_kernels::pool::Pool;
use cpu_kernels::winograd::Images;
use cpu_kernels::{Isa, Real};

use super::conv_backward::is_wide;
use super::conv_wide::WideProduct;
use super::core::{Core, Scratch, View, buffer, chunk, for_each, view};
use super::geometry::Geometry;
use super::norm::Split;
use super::plan::Plan;

/// Values of both operands of a pointwise product that are computed at once: they stay in a core's second cache.
const BLOCK: usize = 12288;

/// Pixels of one step of a pointwise convolution.
pub fn block_pixels(g: &Geometry) -> usize {
    (BLOCK / (g.c_in + g.c_out)).max(48) / 12 * 12
}

/// One layer's forward, shared by all chunks.
struct Forward<'a> {
    isa: Isa,
    g: Geometry,
    plan: &'a Plan,
    source: View<'a>,
    packed: &'a [Real],
    out: Disjoint<'a>,
}

impl Core {
    /// Runs the layer `idx`.
    pub fn layer_forward(&mut self, idx: usize, params: &[&[Real]]) {
        let layer = self.layer(idx);
        let (g, input) = (self.geometry(idx, &layer), layer.input);
        let of_batch = layer.has_norm && !self.frozen;
        self.pack_forward(0, idx, &g, params);
        let by_pixels = g.is_pointwise();
        let (n_items, pixels) = if by_pixels { (self.n * g.h * g.w, 1) } else { (self.n, g.h_out * g.w_out) };
        let split = Split { n_chunks: self.n_chunks(g.macs(), g.n_weights()), n_items, pixels };
        let p = period(self.isa, g.c_out);
        let mut z = std::mem::take(&mut self.nodes[idx].z);
        let Core { graph, isa, pool, scratch, nodes, packed, parts, plans, whole, n, .. } = self;
        let (isa, source) = (*isa, view(graph, nodes, input));
        let is_done = by_pixels && is_wide(&g);
        if is_done {
            wide_pixels(isa, pool, source, &g, *n * g.h * g.w, packed, &mut whole[0], &mut z);
        }
        let out = Disjoint::new(&mut z);
        let forward = Forward { isa, g, plan: &plans[idx], source, packed, out };
        let sums = Disjoint::new(buffer(parts, split.n_chunks * 3 * p));
        for_each(pool, scratch, split.n_chunks, |chunk_idx, scratch| {
            // SAFETY: every chunk has its own sums.
            let (shift, sums) = unsafe { sums.range(chunk_idx * 3 * p, 3 * p) }.split_at_mut(p);
            sums.fill(0.0);
            let mut is_first = true;
            let mut add_up = |z: &[Real]| {
                if !of_batch {
                    return;
                }
                if std::mem::take(&mut is_first) {
                    cpu_kernels::norm::expand(&z[..g.c_out], shift);
                }
                shifted_sums(forward.isa, z, shift, sums);
            };
            let items = chunk(n_items, split.n_chunks, chunk_idx);
            if is_done {
                // SAFETY: every pixel is in one chunk.
                add_up(unsafe { forward.out.range(items.start * g.c_out, items.len() * g.c_out) })
            } else if by_pixels {
                forward.pixels(items, scratch, add_up)
            } else {
                forward.images(items, scratch, add_up)
            }
        });
        self.nodes[idx].z = z;
        if of_batch { self.norm_of_batch(idx, params, split) } else { self.norm_of_running(idx, params) }
    }

    /// Packs the active weights for the forward product, from `start` of `packed` on; returns where they end.
    pub fn pack_forward(&mut self, start: usize, idx: usize, g: &Geometry, params: &[&[Real]]) -> usize {
        let weight = params[self.layout[idx].weight.expect("a layer has weights")];
        let plan = std::mem::take(&mut self.plans[idx]);
        let mut end = start;
        if g.is_depthwise {
            let d = g.depthwise();
            end += d.packed_len();
            d.pack(weight, &plan.outs, |t| t, &mut buffer(&mut self.packed, end)[start..end]);
        } else if let Some(tiles) = &plan.tiles {
            end += tiles.packed_len(self.isa);
            let value = |o: usize, i: usize, tap| weight[plan.outs[o] + plan.ins[i] + tap];
            tiles.pack(self.isa, &mut self.pool, value, &mut buffer(&mut self.packed, end)[start..end]);
        } else if plan.span > 1 {
            let (columns, rows) = plan.operand(g);
            end += gemm::packed_len(self.isa, columns, rows);
            let value = |row, column| plan.spanned(g, weight, row, column);
            gemm::pack_values(
                self.isa,
                (rows, columns),
                value,
                &mut buffer(&mut self.packed, end)[start..end],
            );
        } else {
            let (ins, c_in) = (&plan.ins, g.group_in());
            for outs in plan.outs.chunks(g.group_out()) {
                let rows = (0..g.taps() * c_in).map(|row| ins[row % c_in] + row / c_in);
                end = self.pack_dense(end, rows, outs, weight);
            }
        }
        self.plans[idx] = plan;
        end
    }

    /// Packs an operand from `start` of `packed` on, with all threads if it is large; returns where it ends.
    ///
    /// - `rows`, `columns`: where each begins in `weight`
    pub fn pack_dense(
        &mut self,
        start: usize,
        rows: impl ExactSizeIterator<Item = usize> + Clone + Sync,
        columns: &[usize],
        weight: &[Real],
    ) -> usize {
        const PANELS_A_TASK: usize = 4;
        let (isa, k) = (self.isa, rows.len());
        let width = 2 * isa.lanes() * PANELS_A_TASK;
        let len = gemm::packed_len(isa, columns.len(), k);
        let all = Disjoint::new(&mut buffer(&mut self.packed, start + len)[start..]);
        let task = |idx: usize| {
            let columns = &columns[idx * width..columns.len().min((idx + 1) * width)];
            // SAFETY: every task has its own panels.
            let out = unsafe { all.range(idx * width * k, gemm::packed_len(isa, columns.len(), k)) };
            gemm::pack(isa, rows.clone(), columns, weight, out);
        };
        let n_tasks = columns.len().div_ceil(width);
        if len < 16384 {
            (0..n_tasks).for_each(task)
        } else {
            self.pool.run(n_tasks, &|idx, _| task(idx))
        }
        start + len
    }
}

impl Forward<'_> {
    /// A pointwise convolution of some pixels.
    fn pixels(&self, pixels: Range<usize>, [xs, _]: &mut Scratch, mut done: impl FnMut(&[Real])) {
        let Geometry { c_in, c_out, .. } = self.g;
        let block = block_pixels(&self.g);
        for start in pixels.clone().step_by(block) {
            let m = block.min(pixels.end - start);
            let xs = buffer(xs, m * c_in);
            self.source.read(self.isa, start * c_in..(start + m) * c_in, xs);
            // SAFETY: every pixel is in one chunk.
            let z = unsafe { self.out.range(start * c_out, m * c_out) };
            let (a, c) = (Steps::dense(m, c_in), Steps::dense(m, c_out));
            let product = Product { plane: (1, m), n: c_out, k: c_in, taps: &[0], a, c };
            product.run(self.isa, xs, self.packed, z, End::Replace);
            done(z);
        }
    }

    /// Any convolution of some images.
    fn images(&self, images: Range<usize>, [padded, tiles]: &mut Scratch, mut done: impl FnMut(&[Real])) {
        let (g, batch) = (&self.g, self.plan.images()[0]);
        let padded = buffer(padded, batch * g.padded_len());
        let tiles = buffer(tiles, self.plan.scratch_lens()[0]);
        for first in images.clone().step_by(batch) {
            let n = batch.min(images.end - first);
            for (i, padded) in padded.chunks_exact_mut(g.padded_len()).take(n).enumerate() {
                self.source.read_padded(self.isa, g, first + i, padded);
            }
            // SAFETY: every image is in one chunk.
            let z = unsafe { self.out.range(first * g.out_len(), n * g.out_len()) };
            if g.is_depthwise {
                g.depthwise().forward(self.isa, padded, self.packed, z, End::Replace);
            } else {
                let images = Images::dense((g.h_out, g.w_out), g.c_out);
                let dense = DenseForward { isa: self.isa, g, plan: self.plan, packed: self.packed, images };
                dense.run(n, padded, tiles, z, End::Replace);
            }
            done(z);
        }
    }
}

/// All `m` pixels of a pointwise convolution with many weights.
///
/// - `xs`: buffer for what it reads
#[allow(clippy::too_many_arguments)]
fn wide_pixels(
    isa: Isa,
    pool: &mut Pool,
    source: View,
    g: &Geometry,
    m: usize,
    packed: &[Real],
    xs: &mut Vec<Real>,
    z: &mut [Real],
) {
    let xs = buffer(xs, m * g.c_in);
    let all = Disjoint::new(xs);
    let block = block_pixels(g);
    pool.run(m.div_ceil(block), &|idx, _| {
        let range = idx * block * g.c_in..m.min((idx + 1) * block) * g.c_in;
        // SAFETY: every pixel is in one task.
        source.read(isa, range.clone(), unsafe { all.range(range.start, range.len()) });
    });
    let product = WideProduct { m, n: g.c_out, k: g.c_in };
    product.run(isa, pool, xs, packed, &mut z[..m * g.c_out], End::Replace);
}

/// A dense or grouped convolution of padded images.
pub struct DenseForward<'a> {
    pub isa: Isa,
    pub g: &'a Geometry,
    pub plan: &'a Plan,
    pub packed: &'a [Real],
    /// How the outputs lie.
    pub images: Images,
}

impl DenseForward<'_> {
    /// The outputs of `n` images, ended by `end`, which has no coefficients where there are groups.
    ///
    /// - `padded`: from the first tap of the first pixel on; images lie as far apart as padded ones
    /// - `tiles`: temporaries, the first of [`Plan::scratch_lens`]
    pub fn run(&self, n: usize, padded: &[Real], tiles: &mut [Real], z: &mut [Real], end: End) {
        let &DenseForward { isa, g, plan, packed, images } = self;
        if let Some(winograd) = &plan.tiles {
            return winograd.run(isa, n, padded, packed, tiles, z, images, end);
        }
        let product = plan.product(g, images.line);
        let (columns, rows) = plan.operand(g);
        let len = gemm::packed_len(isa, columns, rows);
        for image in 0..n {
            let (a, c) = (&padded[image * g.padded_len()..], &mut z[image * images.image..]);
            for group in 0..g.groups {
                let (a, c) = (&a[group * g.group_in()..], &mut c[group * g.group_out()..]);
                product.run(isa, a, &packed[group * len..][..len], c, end);
            }
        }
    }
}
