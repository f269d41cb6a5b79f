//! The head: global average pooling, dropout and a linear classifier.

use cpu_kernels::disjoint::Disjoint;
use cpu_kernels::elementwise::add_pixels;
use cpu_kernels::{Isa, Real};

use super::core::{Core, buffer, chunk, for_each, view};
use super::forward::CHUNKS;
use super::plan::Plan;
use crate::engine::{Dropout, NodeParams};
use crate::network::NodeId;

impl Core {
    /// Writes the logits `[n, classes]`; keeps the pooled features.
    pub fn head_forward(&mut self, idx: usize, input: NodeId, params: &[&[Real]], logits: &mut Vec<Real>) {
        let (c, classes) = (self.nodes[input].c, self.graph.classes);
        let (h, w) = self.planes[input];
        let len = h * w * c;
        let (weight, bias) = head_params(&self.layout[idx]);
        let Core { graph, isa, pool, scratch, nodes, plans, n, pooled, dropout, .. } = self;
        let (source, plan) = (view(graph, nodes, input), &plans[idx]);
        let linear = Classifier { plan, weight: params[weight], bias: params[bias] };
        logits.clear();
        logits.resize(*n * classes, 0.0);
        let (pooled, logits) = (Disjoint::new(buffer(pooled, *n * c)), Disjoint::new(logits));
        for_each(pool, scratch, CHUNKS, |chunk_idx, [xs, _]| {
            let xs = buffer(xs, len);
            for image in chunk(*n, CHUNKS, chunk_idx) {
                source.read(*isa, image * len..(image + 1) * len, xs);
                // SAFETY: every image is in one chunk.
                let (mean, logits) =
                    unsafe { (pooled.range(image * c, c), logits.range(image * classes, classes)) };
                average(*isa, xs, mean);
                drop_features(*dropout, image, &plan.ins, mean);
                linear.run(mean, logits);
            }
        });
    }
}

/// The head's linear layer at the active channels.
pub struct Classifier<'a> {
    pub plan: &'a Plan,
    pub weight: &'a [Real],
    pub bias: &'a [Real],
}

impl Classifier<'_> {
    /// Logits of one image's features.
    pub fn run(&self, features: &[Real], logits: &mut [Real]) {
        let (row, ins) = (self.plan.row, &self.plan.ins);
        let is_prefix = ins.iter().enumerate().all(|(k, i)| k == *i);
        for ((y, weight), b) in logits.iter_mut().zip(self.weight.chunks_exact(row)).zip(self.bias) {
            *y = b + match is_prefix {
                true => dot(&weight[..features.len()], features),
                false => ins.iter().zip(features).map(|(i, x)| weight[*i] * x).sum(),
            };
        }
    }
}

/// Indices of the parameters weight and bias.
pub fn head_params(layout: &NodeParams) -> (usize, usize) {
    let place = |idx: Option<usize>| idx.expect("a head has weight and bias");
    (place(layout.weight), place(layout.bias))
}

/// The mean of the pixels `[n, c]` per channel.
pub fn average(isa: Isa, xs: &[Real], mean: &mut [Real]) {
    mean.fill(0.0);
    add_pixels(isa, xs, mean);
    let pixels = (xs.len() / mean.len()) as Real;
    mean.iter_mut().for_each(|sum| *sum /= pixels);
}

/// Multiplies an image's features by their dropout factors; `ins` are their stored channels.
pub fn drop_features(dropout: Option<Dropout>, image: usize, ins: &[usize], features: &mut [Real]) {
    let Some(dropout) = dropout else { return };
    features.iter_mut().zip(ins).for_each(|(x, channel)| *x *= Real::from(dropout.factor(image, *channel)));
}

/// Sum of products.
fn dot(a: &[Real], b: &[Real]) -> Real {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(s, (a, b))| *s += a * b);
    }
    sums.iter().sum()
}
