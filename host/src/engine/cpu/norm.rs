//! Batch norm of a whole batch: its statistics from the chunks' sums, its affine, and its backward's coefficients.

use cpu_kernels::norm::period;
use cpu_kernels::{Isa, Real};

use super::core::{Core, chunk, expanded};
use crate::engine::{BN_EPSILON, NodeStatistics};
use crate::network::NodeOp;

/// Batch norm as one affine per channel. Expanded coefficients are one period.
#[derive(Default)]
pub struct Norm {
    /// Expanded.
    pub scale: Vec<Real>,
    /// Expanded.
    pub shift: Vec<Real>,
    /// Expanded.
    pub mean: Vec<Real>,
    /// Per channel.
    pub moments: Moments,
    /// `1 / sqrt(variance + epsilon)` per channel.
    pub inv_std: Vec<Real>,
    /// Sums for the backward, `[chunks of the last consumer][2 · period]`.
    pub sums: Vec<Real>,
    /// Coefficients of the backward, expanded.
    pub backward: [Vec<Real>; 3],
}

/// Mean and biased variance of every channel.
#[derive(Default)]
pub struct Moments {
    /// Per channel.
    pub mean: Vec<f64>,
    /// Per channel.
    pub variance: Vec<f64>,
}

/// How a layer's pixels were cut into chunks.
#[derive(Debug, Clone, Copy)]
pub struct Split {
    /// Chunks.
    pub n_chunks: usize,
    /// What was cut: images or pixels.
    pub n_items: usize,
    /// Pixels of an item.
    pub pixels: usize,
}

impl Moments {
    /// Of `c` channels, from the chunks' shifted sums `[n_chunks][shift, Σ, Σ²][period]` (Chan, Golub and LeVeque
    /// 1983).
    fn combine(&mut self, isa: Isa, c: usize, parts: &[Real], split: Split) {
        let p = period(isa, c);
        for values in [&mut self.mean, &mut self.variance] {
            values.clear();
            values.resize(c, 0.0);
        }
        let mut count = 0.0;
        for (idx, part) in parts.chunks_exact(3 * p).take(split.n_chunks).enumerate() {
            let m = (chunk(split.n_items, split.n_chunks, idx).len() * split.pixels) as f64;
            if m == 0.0 {
                continue;
            }
            let (shift, sums) = part.split_at(p);
            let (s1, s2) = sums.split_at(p);
            for (k, (mean, squares)) in self.mean.iter_mut().zip(&mut self.variance).enumerate() {
                let sum = |s: &[Real]| s[k..].iter().step_by(c).map(|&v| f64::from(v)).sum::<f64>();
                let (s1, s2) = (sum(s1), sum(s2));
                let delta = f64::from(shift[k]) + s1 / m - *mean;
                *squares += s2 - s1 * s1 / m + delta * delta * count * m / (count + m);
                *mean += delta * m / (count + m);
            }
            count += m;
        }
        self.variance.iter_mut().for_each(|squares| *squares = (*squares / count).max(0.0));
    }
}

impl Core {
    /// The batch norm of node `idx`, from the sums that its chunks left in `parts`.
    pub fn norm_of_batch(&mut self, idx: usize, params: &[&[Real]], split: Split) {
        let (c, norm) = (self.nodes[idx].c, &mut self.nodes[idx].norm);
        norm.moments.combine(self.isa, c, &self.parts, split);
        self.norm_forward(idx, params);
    }

    /// The batch norm of node `idx`, from its running statistics; for a linear layer, its bias.
    pub fn norm_of_running(&mut self, idx: usize, params: &[&[Real]]) {
        let Moments { mean, variance } = &mut self.nodes[idx].norm.moments;
        mean.clear();
        variance.clear();
        if let Some(running) = self.statistics[self.switch].nodes.get(idx).and_then(Option::as_ref) {
            mean.extend(running.mean.iter().map(|&v| f64::from(v)));
            variance.extend(running.variance.iter().map(|&v| f64::from(v)));
        }
        self.norm_forward(idx, params);
    }

    /// Affine from moments; of a linear layer, scale 1 and the bias.
    fn norm_forward(&mut self, idx: usize, params: &[&[Real]]) {
        let Core { nodes, plans, layout, switch, isa, coefficients, .. } = self;
        let channels = &plans[idx].channels;
        let Norm { scale, shift, mean, moments, inv_std, .. } = &mut nodes[idx].norm;
        let mut expand = |values: &mut dyn Iterator<Item = Real>, out: &mut Vec<Real>| {
            coefficients.clear();
            coefficients.extend(values);
            expanded(*isa, coefficients, out);
        };
        inv_std.clear();
        let Some(norm) = layout[idx].norms.get(*switch) else {
            let bias = params[layout[idx].bias.expect("a layer without batch norm has a bias")];
            inv_std.resize(channels.len(), 1.0);
            expand(&mut channels.iter().map(|_| 1.0), scale);
            expand(&mut channels.iter().map(|&o| bias[o]), shift);
            expand(&mut channels.iter().map(|_| 0.0), mean);
            return;
        };
        let (gamma, beta) = (params[norm.gamma], params[norm.beta]);
        inv_std.extend(moments.variance.iter().map(|v| (1.0 / (v + BN_EPSILON).sqrt()) as Real));
        expand(&mut inv_std.iter().zip(channels).map(|(s, &o)| s * gamma[o]), scale);
        let shifts = moments.mean.iter().zip(channels).zip(&*scale);
        expand(&mut shifts.map(|((m, &o), s)| (f64::from(beta[o]) - m * f64::from(*s)) as Real), shift);
        expand(&mut moments.mean.iter().map(|&m| m as Real), mean);
    }

    /// Adds the gradients of gamma and beta, or of the bias, and finds the coefficients of
    /// `dz = ka · g + kb · z + kc`.
    ///
    /// - `pixels`: of all images
    pub fn norm_backward(&mut self, idx: usize, params: &[&[Real]], pixels: usize) {
        let Core { nodes, plans, layout, switch, frozen, isa, coefficients, sums: [s1, s2], grads, .. } =
            self;
        let (c, norm, channels) = (nodes[idx].c, &mut nodes[idx].norm, &plans[idx].channels);
        let p = period(*isa, c);
        for s in [&mut *s1, &mut *s2] {
            s.clear();
            s.resize(c, 0.0);
        }
        for part in norm.sums.chunks_exact(2 * p) {
            for (k, (s1, s2)) in s1.iter_mut().zip(&mut *s2).enumerate() {
                let sum = |s: &[Real]| s[k..].iter().step_by(c).map(|&v| f64::from(v)).sum::<f64>();
                *s1 += sum(&part[..p]);
                *s2 += sum(&part[p..]);
            }
        }
        let mut expand = |of: &dyn Fn(usize) -> f64, out: &mut Vec<Real>| {
            coefficients.clear();
            coefficients.extend((0..c).map(|k| of(k) as Real));
            expanded(*isa, coefficients, out);
        };
        let [a, b, constant] = &mut norm.backward;
        let Some(place) = layout[idx].norms.get(*switch) else {
            let bias = &mut grads[layout[idx].bias.expect("a layer without batch norm has a bias")];
            channels.iter().zip(&*s1).for_each(|(&o, s1)| bias[o] += *s1 as Real);
            expand(&|_| 1.0, a);
            expand(&|_| 0.0, b);
            expand(&|_| 0.0, constant);
            return;
        };
        let (gamma, m) = (params[place.gamma], pixels as f64);
        for (k, &o) in channels.iter().enumerate() {
            grads[place.gamma][o] += (s2[k] * f64::from(norm.inv_std[k])) as Real;
            grads[place.beta][o] += s1[k] as Real;
        }
        // Constant statistics pass nothing on.
        let passed = if *frozen { 0.0 } else { 1.0 / m };
        let ka = |k: usize| f64::from(gamma[channels[k]]) * f64::from(norm.inv_std[k]);
        let kb = |k: usize| -ka(k) * f64::from(norm.inv_std[k]).powi(2) * s2[k] * passed;
        let kc = |k: usize| -ka(k) * s1[k] * passed - kb(k) * norm.moments.mean[k];
        expand(&ka, a);
        expand(&kb, b);
        expand(&kc, constant);
    }

    /// The statistics of the batch that the last forward saw, per node.
    pub fn batch_statistics(&self) -> Vec<Option<NodeStatistics>> {
        let of = |(idx, node): (usize, &crate::network::Node)| {
            let NodeOp::Conv(_) = node.op else { return None };
            let ((h, w), moments) = (self.planes[idx], &self.nodes[idx].norm.moments);
            let m = (self.n * h * w) as f64;
            let unbiased = |v: &f64| (v * m / (m - 1.0).max(1.0)) as f32;
            Some(NodeStatistics {
                mean: moments.mean.iter().map(|&v| v as f32).collect(),
                variance: moments.variance.iter().map(unbiased).collect(),
            })
        };
        self.graph.nodes.iter().enumerate().map(of).collect()
    }
}
