//! The backward of a convolution with many weights: parts of their gradient per chunk would take more memory and time
//! than the products, so both operands of the whole batch are kept and each task adds up its own rows of the gradient.

use std::sync::Mutex;

use cpu_kernels::Real;
use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::gemm::{End, Pixels, Product, Steps, outer_product_into};
use cpu_kernels::pool::Pool;

use super::conv_backward::{Backward, add_transposed};
use super::core::{Scratch, buffer, chunk, for_each};

/// Rows of a weight gradient that one task adds up: a multiple of every tile's.
const ROWS: usize = 48;

impl Backward<'_> {
    /// Adds the weight gradient to `grad` and writes the input gradient.
    #[allow(clippy::too_many_arguments)]
    pub fn wide(
        &self,
        pool: &mut Pool,
        scratch: &[Mutex<Scratch>],
        n: usize,
        n_chunks: usize,
        whole: &mut [Vec<Real>; 2],
        sum: &mut Vec<Real>,
        grad: &mut [Real],
    ) {
        let g = &self.g;
        let (x_len, z_len) = (g.padded_len(), self.plan.border.len);
        let [xs, dz] = whole;
        let (xs, dz) = (buffer(xs, n * x_len), buffer(dz, n * z_len));
        let (all_xs, all_dz) = (Disjoint::new(xs), Disjoint::new(dz));
        for_each(pool, scratch, n_chunks, |chunk_idx, _| {
            for image in chunk(n, n_chunks, chunk_idx) {
                // SAFETY: every image is in one chunk.
                let (x, dz) =
                    unsafe { (all_xs.range(image * x_len, x_len), all_dz.range(image * z_len, z_len)) };
                self.source.read_padded(self.isa, g, image, x);
                self.bordered_dz(image, dz);
            }
        });
        let (xs, dz) = (&*xs, &*dz);
        self.wide_input(pool, scratch, n, n_chunks, dz);
        if g.is_pointwise() && self.plan.is_prefix() {
            self.pointwise_weights(pool, n, xs, dz, grad)
        } else {
            self.dense_weights(pool, n, xs, dz, sum, grad)
        }
    }

    /// The input gradient, by images.
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
        for_each(pool, scratch, n_chunks, |chunk_idx, _| {
            let images = chunk(n, n_chunks, chunk_idx);
            if images.is_empty() {
                return;
            }
            // SAFETY: every image is in one chunk.
            let dx = unsafe { input.grad.range(images.start * g.in_len(), images.len() * g.in_len()) };
            if pointwise {
                let m = images.len() * g.h * g.w;
                let (a, c) = (Steps::dense(m, g.c_out), Steps::dense(m, g.c_in));
                let product = Product { plane: (1, m), n: g.c_in, k: g.c_out, taps: &[0], a, c };
                product.run(self.isa, &dz[images.start * z_len..images.end * z_len], self.packed, dx, end);
            } else {
                for (image, dx) in images.clone().zip(dx.chunks_exact_mut(g.in_len())) {
                    self.dense_input(&dz[image * z_len..(image + 1) * z_len], dx, end);
                }
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

    /// Rows of `[taps, c_in, c_out]`, then transposed into the gradient.
    fn dense_weights(
        &self,
        pool: &mut Pool,
        n: usize,
        xs: &[Real],
        dz: &[Real],
        sum: &mut Vec<Real>,
        grad: &mut [Real],
    ) {
        let (g, plan) = (&self.g, self.plan);
        let (x_len, z_len, run) = (g.padded_len(), plan.border.len, plan.run);
        let sum = buffer(sum, g.n_weights());
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
        let sum = &*sum;
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
