//! Convolutions with many weights.
//!
//! Their products are cut by columns too: few images a chunk would read all weights again and again. Parts of their
//! gradient per chunk would take more memory and time than the products, so both operands of the whole batch are kept and
//! each task adds up its own rows of the gradient.

use std::sync::Mutex;

use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::gemm::{End, Pixels, Product, Steps, outer_product_into};
use cpu_kernels::pool::Pool;
use cpu_kernels::winograd::Winograd;
use cpu_kernels::{Isa, Real};

use super::conv_backward::{Backward, add_transposed};
use super::core::{Scratch, buffer, chunk, for_each};

/// Rows of a weight gradient that one task adds up: a multiple of every tile's.
const ROWS: usize = 48;

/// Rows and columns of a pointwise product that one task computes: multiples of every tile's and panel's.
const TASK: (usize, usize) = (96, 64);

/// The product of `[m, k]` and the packed `[k, n]`, dense.
pub struct WideProduct {
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

impl WideProduct {
    /// Computes it with all threads.
    pub fn run(&self, isa: Isa, pool: &mut Pool, a: &[Real], b: &[Real], c: &mut [Real], end: End) {
        let (m, n, k) = (self.m, self.n, self.k);
        let n_row_tasks = m.div_ceil(TASK.0);
        assert_eq!(c.len(), m * n);
        let all = Disjoint::new(c);
        pool.run(n_row_tasks * n.div_ceil(TASK.1), &|task_idx, _| {
            let (row, column) = (task_idx % n_row_tasks * TASK.0, task_idx / n_row_tasks * TASK.1);
            let (rows, columns) = (TASK.0.min(m - row), TASK.1.min(n - column));
            let c = all.shared(row * n + column, (rows - 1) * n + columns);
            let steps = (Steps::dense(rows, k), Steps::dense(rows, n));
            let product = Product { plane: (1, rows), n: columns, k, taps: &[0], a: steps.0, c: steps.1 };
            // SAFETY: every row and column of `c` is in one task, and the last one is in bounds.
            unsafe { product.run_shared(isa, &a[row * k..], &b[column * k..], c, end) }
        });
    }
}

/// A batch in tiles, in blocks of a few images.
#[derive(Clone, Copy)]
pub struct WideTiles<'a> {
    pub winograd: &'a Winograd,
    pub n: usize,
}

impl WideTiles<'_> {
    /// Images of a block.
    fn batch(self) -> usize {
        self.winograd.images().min(self.n)
    }

    /// Values of the tiles of both operands.
    pub fn lens(self) -> [usize; 2] {
        self.winograd.tiles_len(self.batch()).map(|len| self.n.div_ceil(self.batch()) * len)
    }
}

impl Backward<'_> {
    /// Adds the weight gradient to `grad` and writes the input gradient.
    #[allow(clippy::too_many_arguments)]
    pub fn wide(
        &self,
        pool: &mut Pool,
        scratch: &[Mutex<Scratch>],
        n: usize,
        n_chunks: usize,
        whole: &mut [Vec<Real>; 3],
        sum: &mut Vec<Real>,
        grad: &mut [Real],
    ) {
        let [xs, dz, dz_tiles] = whole;
        let dz = buffer(dz, n * self.plan.border.len);
        if let Some(winograd) = &self.plan.weight_tiles {
            let tiles = WideTiles { winograd, n };
            let lens = tiles.lens();
            let (xs, dz_tiles) = (buffer(xs, lens[0]), buffer(dz_tiles, lens[1]));
            self.read_tiles(pool, scratch, tiles, xs, dz, dz_tiles);
            self.wide_input(pool, scratch, n, n_chunks, dz);
            let sum = buffer(sum, winograd.sums_len() + self.g.n_weights());
            let (sums, weights) = sum.split_at_mut(winograd.sums_len());
            self.tile_weights(pool, tiles, (xs, dz_tiles), sums, weights);
            return self.scatter(pool, weights, grad);
        }
        let xs = buffer(xs, n * self.g.padded_len());
        self.read_images(pool, scratch, n, n_chunks, xs, dz);
        self.wide_input(pool, scratch, n, n_chunks, dz);
        if self.g.is_pointwise() && self.plan.is_prefix() {
            self.pointwise_weights(pool, n, xs, dz, grad)
        } else {
            let sum = buffer(sum, self.g.n_weights());
            self.dense_weights(pool, n, xs, dz, sum);
            self.scatter(pool, sum, grad);
        }
    }

    /// Both operands of all images.
    fn read_images(
        &self,
        pool: &mut Pool,
        scratch: &[Mutex<Scratch>],
        n: usize,
        n_chunks: usize,
        xs: &mut [Real],
        dz: &mut [Real],
    ) {
        let (x_len, z_len) = (self.g.padded_len(), self.plan.border.len);
        let (all_xs, all_dz) = (Disjoint::new(xs), Disjoint::new(dz));
        for_each(pool, scratch, n_chunks, |chunk_idx, _| {
            for image in chunk(n, n_chunks, chunk_idx) {
                // SAFETY: every image is in one chunk.
                let (x, dz) =
                    unsafe { (all_xs.range(image * x_len, x_len), all_dz.range(image * z_len, z_len)) };
                self.source.read_padded(self.isa, &self.g, image, x);
                self.bordered_dz(image, dz);
            }
        });
    }

    /// The tiles of both operands of all images, and all output gradients in their borders.
    fn read_tiles(
        &self,
        pool: &mut Pool,
        scratch: &[Mutex<Scratch>],
        tiles: WideTiles,
        xs: &mut [Real],
        dz: &mut [Real],
        dz_tiles: &mut [Real],
    ) {
        let (g, plan, isa) = (&self.g, self.plan, self.isa);
        let (x_len, z_len, batch) = (g.padded_len(), plan.border.len, tiles.batch());
        let [xs_len, dz_tiles_len] = tiles.winograd.tiles_len(batch);
        let all = [xs, dz, dz_tiles].map(Disjoint::new);
        for_each(pool, scratch, tiles.n.div_ceil(batch), |block, [padded, _]| {
            let first = block * batch;
            let n = batch.min(tiles.n - first);
            let padded = buffer(padded, n * x_len);
            // SAFETY: every image is in one block.
            let (xs, dz, dz_tiles) = unsafe {
                let (xs, dz_tiles) = (block * xs_len, block * dz_tiles_len);
                (
                    all[0].range(xs, xs_len),
                    all[1].range(first * z_len, n * z_len),
                    all[2].range(dz_tiles, dz_tiles_len),
                )
            };
            for (i, (padded, dz)) in
                padded.chunks_exact_mut(x_len).zip(dz.chunks_exact_mut(z_len)).enumerate()
            {
                self.source.read_padded(isa, g, first + i, padded);
                self.bordered_dz(first + i, dz);
            }
            tiles.winograd.transform(isa, n, plan.operands(padded, dz), xs, dz_tiles);
        });
    }

    /// The weight gradient `[taps, c_in, c_out]`, by the places of tiles.
    fn tile_weights(
        &self,
        pool: &mut Pool,
        tiles: WideTiles,
        (xs, dz): (&[Real], &[Real]),
        sums: &mut [Real],
        weights: &mut [Real],
    ) {
        let (isa, WideTiles { winograd, n }) = (self.isa, tiles);
        let Winograd { c_in, c_out, .. } = *winograd;
        let n_places = sums.len() / (c_in * c_out);
        let (batch, n_tasks) = (tiles.batch(), c_in.div_ceil(ROWS));
        let (blocks, rest) = (n / batch, n % batch);
        let [xs_len, dz_len] = winograd.tiles_len(batch);
        let all = Disjoint::new(sums);
        pool.run(n_places * n_tasks, &|task_idx, _| {
            let (place, rows) = (task_idx / n_tasks, chunk(c_in, n_tasks, task_idx % n_tasks));
            let rows = (rows.start, rows.len());
            // SAFETY: every row of a place is in one task.
            let sums = unsafe { all.range((place * c_in + rows.0) * c_out, rows.1 * c_out) };
            sums.fill(0.0);
            winograd.add_place(isa, blocks, batch, (xs, dz), place, rows, sums);
            if rest > 0 {
                let last = (&xs[blocks * xs_len..], &dz[blocks * dz_len..]);
                winograd.add_place(isa, 1, rest, last, place, rows, sums);
            }
        });
        weights.fill(0.0);
        let all = Disjoint::new(weights);
        let (sums, n_tasks) = (&*sums, c_in.div_ceil(8));
        pool.run(n_tasks, &|task_idx, _| {
            let rows = chunk(c_in, n_tasks, task_idx);
            // SAFETY: every row is in one task.
            unsafe { winograd.fold_rows(isa, (rows.start, rows.len()), sums, &all) }
        });
    }

    /// The input gradient: of a pointwise convolution by rows and columns, of any other by images.
    fn wide_input(
        &self,
        pool: &mut Pool,
        scratch: &[Mutex<Scratch>],
        n: usize,
        n_chunks: usize,
        dz: &[Real],
    ) {
        let (g, z_len) = (&self.g, self.plan.border.len);
        let Some(input) = &self.input else { return };
        let end = if input.visit.is_first { End::Replace } else { End::Add };
        let pointwise = g.is_pointwise();
        if pointwise {
            let product = WideProduct { m: n * g.h * g.w, n: g.c_in, k: g.c_out };
            // SAFETY: no task is under way.
            let dx = unsafe { input.grad.range(0, n * g.in_len()) };
            product.run(self.isa, pool, dz, self.packed, dx, end);
        }
        for_each(pool, scratch, n_chunks, |chunk_idx, [tiles, _]| {
            let images = chunk(n, n_chunks, chunk_idx);
            let tiles = buffer(tiles, self.plan.scratch_lens()[1]);
            // SAFETY: every image is in one chunk.
            let dx = unsafe { input.grad.range(images.start * g.in_len(), images.len() * g.in_len()) };
            if !pointwise {
                let dz = &dz[images.start * z_len..images.end * z_len];
                self.dense_input(images.len(), dz, tiles, dx, end);
            }
            if input.visit.is_last {
                input.finish.run(self.isa, images.start * g.in_len(), dx, chunk_idx);
            }
        });
    }

    /// Rows of the gradient itself, whose active channels are the first ones.
    fn pointwise_weights(&self, pool: &mut Pool, n: usize, xs: &[Real], dz: &[Real], grad: &mut [Real]) {
        let (g, row) = (&self.g, self.plan.row);
        let m = n * g.h * g.w;
        let (x_steps, z_steps) = (Steps::dense(m, g.c_in), Steps::dense(m, g.c_out));
        let grad = Disjoint::new(grad);
        pool.run(g.c_out.div_ceil(ROWS), &|task_idx, _| {
            let outs = task_idx * ROWS..(task_idx * ROWS + ROWS).min(g.c_out);
            // SAFETY: every output channel is in one task.
            let rows = unsafe { grad.range(outs.start * row, outs.len() * row) };
            let a = Pixels { data: &dz[outs.start..], steps: z_steps };
            let b = Pixels { data: xs, steps: x_steps };
            outer_product_into(self.isa, (1, m), (outs.len(), g.c_in), a, b, rows, row);
        });
    }

    /// The weight gradient `[taps, c_in, c_out]`, by rows.
    fn dense_weights(&self, pool: &mut Pool, n: usize, xs: &[Real], dz: &[Real], sum: &mut [Real]) {
        let (g, plan) = (&self.g, self.plan);
        let (x_len, z_len, run) = (g.padded_len(), plan.border.len, plan.run);
        let all = Disjoint::new(sum);
        let tasks_a_run = run.div_ceil(ROWS);
        pool.run(plan.runs.len() * tasks_a_run, &|task_idx, _| {
            let (run_idx, first) = (task_idx / tasks_a_run, task_idx % tasks_a_run * ROWS);
            let rows = ROWS.min(run - first);
            // SAFETY: every row of the gradient is in one task.
            let weights = unsafe { all.range((run_idx * run + first) * g.c_out, rows * g.c_out) };
            weights.fill(0.0);
            for image in 0..n {
                let from = image * x_len + plan.runs[run_idx] + first;
                let a = Pixels { data: &xs[from..], steps: g.input_steps() };
                let steps = Steps { pixel: g.c_out, line: plan.border.line };
                let b = Pixels { data: &dz[image * z_len + plan.border.first..], steps };
                outer_product_into(self.isa, (g.h_out, g.w_out), (rows, g.c_out), a, b, weights, g.c_out);
            }
        });
    }

    /// Adds `[taps, c_in, c_out]` to the gradient.
    fn scatter(&self, pool: &mut Pool, sum: &[Real], grad: &mut [Real]) {
        let (g, plan) = (&self.g, self.plan);
        if !plan.is_prefix() {
            add_transposed(g.taps(), &plan.ins, &plan.outs, 0..g.c_out, sum, grad, 0);
            return;
        }
        let (row, n_tasks) = (plan.row, g.c_out.div_ceil(8));
        let grad = Disjoint::new(grad);
        pool.run(n_tasks, &|task_idx, _| {
            let outs = chunk(g.c_out, n_tasks, task_idx);
            // SAFETY: every output channel is in one task.
            let rows = unsafe { grad.range(outs.start * row, outs.len() * row) };
            let first = outs.start * row;
            add_transposed(g.taps(), &plan.ins, &plan.outs, outs, sum, rows, first);
        });
    }
}
