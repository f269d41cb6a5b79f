//! Operators without parameters, one image at a time: images are `[h, w, c]` of the active channels.

mod pool;

use cpu_kernels::Real;

use self::pool::WindowPool;
use crate::network::NodeOp;

/// One operator at the active channels of its inputs.
#[derive(Debug, Clone, Copy)]
pub enum ImageOp {
    /// The channels of two images, one after the other.
    Concat { c: [usize; 2] },
    /// Channel `group · (c / groups) + i` becomes channel `i · groups + group`.
    Shuffle { c: usize, groups: usize },
    /// The `c` channels from `first` of `c_in`.
    Split { c_in: usize, first: usize, c: usize },
    /// Pooling over windows.
    Pool(WindowPool),
    /// The mean of the plane.
    GlobalAverage { c: usize },
    /// An image times its gate, `[c]`.
    Scale { c: usize },
}

impl ImageOp {
    /// `op` for inputs of shape `(h, w, c)`; `None` if it is no operator of this kind. The graph has passed
    /// `Graph::check`.
    pub fn new(op: &NodeOp, inputs: &[(usize, usize, usize)]) -> Option<ImageOp> {
        let &(h, w, c) = inputs.first()?;
        Some(match op {
            NodeOp::Concat { .. } => ImageOp::Concat { c: [c, inputs[1].2] },
            NodeOp::Shuffle { groups, .. } => ImageOp::Shuffle { c, groups: *groups },
            NodeOp::Split { part, parts, .. } => {
                ImageOp::Split { c_in: c, first: part * (c / parts), c: c / parts }
            }
            NodeOp::Pool(pool) => ImageOp::Pool(WindowPool::new(pool.kind, op.window()?, (h, w), c)),
            NodeOp::GlobalAverage { .. } => ImageOp::GlobalAverage { c },
            NodeOp::Scale { .. } => ImageOp::Scale { c },
            _ => return None,
        })
    }

    /// How many nodes it reads.
    pub fn n_inputs(&self) -> usize {
        if matches!(self, ImageOp::Concat { .. } | ImageOp::Scale { .. }) { 2 } else { 1 }
    }

    /// Writes the output of one image.
    ///
    /// - `inputs`: what the node reads, after batch norm and activation
    pub fn forward(&self, inputs: &[&[Real]], out: &mut [Real]) {
        let xs = inputs[0];
        match *self {
            ImageOp::Concat { c: [a, b] } => {
                let parts = xs.chunks_exact(a).zip(inputs[1].chunks_exact(b));
                for (out, (xs_a, xs_b)) in out.chunks_exact_mut(a + b).zip(parts) {
                    out[..a].copy_from_slice(xs_a);
                    out[a..].copy_from_slice(xs_b);
                }
            }
            ImageOp::Shuffle { c, groups } => transpose(xs, c, groups, out),
            ImageOp::Split { c_in, first, c } => {
                for (out, xs) in out.chunks_exact_mut(c).zip(xs.chunks_exact(c_in)) {
                    out.copy_from_slice(&xs[first..first + c]);
                }
            }
            ImageOp::Pool(pool) => pool.forward(xs, out),
            ImageOp::GlobalAverage { c } => {
                out.fill(0.0);
                xs.chunks_exact(c).for_each(|xs| out.iter_mut().zip(xs).for_each(|(sum, x)| *sum += x));
                let n_pixels = (xs.len() / c) as Real;
                out.iter_mut().for_each(|sum| *sum /= n_pixels);
            }
            ImageOp::Scale { c } => scale(xs, inputs[1], c, out),
        }
    }

    /// Writes the gradient of input `which` of one image.
    ///
    /// - `inputs`: as in the forward
    /// - `d_out`: of the output
    /// - `d_in`: of `inputs[which]`; what it holds is replaced
    pub fn backward(&self, which: usize, inputs: &[&[Real]], d_out: &[Real], d_in: &mut [Real]) {
        match *self {
            ImageOp::Concat { c } => {
                let first = c[..which].iter().sum::<usize>();
                for (d_in, d) in d_in.chunks_exact_mut(c[which]).zip(d_out.chunks_exact(c[0] + c[1])) {
                    d_in.copy_from_slice(&d[first..first + c[which]]);
                }
            }
            ImageOp::Shuffle { c, groups } => transpose(d_out, c, c / groups, d_in),
            ImageOp::Split { c_in, first, c } => {
                for (d_in, d) in d_in.chunks_exact_mut(c_in).zip(d_out.chunks_exact(c)) {
                    d_in.fill(0.0);
                    d_in[first..first + c].copy_from_slice(d);
                }
            }
            ImageOp::Pool(pool) => pool.backward(inputs[0], d_out, d_in),
            ImageOp::GlobalAverage { c } => {
                let n_pixels = (d_in.len() / c) as Real;
                for d_in in d_in.chunks_exact_mut(c) {
                    d_in.iter_mut().zip(d_out).for_each(|(d_in, d)| *d_in = d / n_pixels);
                }
            }
            ImageOp::Scale { c } if which == 0 => scale(d_out, inputs[1], c, d_in),
            ImageOp::Scale { c } => {
                d_in.fill(0.0);
                for (d, xs) in d_out.chunks_exact(c).zip(inputs[0].chunks_exact(c)) {
                    let products = d.iter().zip(xs).map(|(d, x)| d * x);
                    d_in.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
                }
            }
        }
    }
}

/// Every pixel's `[rows, c / rows]` channels as `[c / rows, rows]`.
fn transpose(xs: &[Real], c: usize, rows: usize, out: &mut [Real]) {
    let columns = c / rows;
    for (out, xs) in out.chunks_exact_mut(c).zip(xs.chunks_exact(c)) {
        // Pairs are what networks have most, and what compiles to vectors.
        if rows == 2 {
            let (first, second) = xs.split_at(columns);
            let pairs = first.iter().zip(second);
            out.as_chunks_mut().0.iter_mut().zip(pairs).for_each(|(out, (a, b))| *out = [*a, *b]);
        } else if columns == 2 {
            let (first, second) = out.split_at_mut(rows);
            let pairs = xs.as_chunks().0.iter();
            first.iter_mut().zip(second).zip(pairs).for_each(|((a, b), pair)| [*a, *b] = *pair);
        } else {
            for (row, xs) in xs.chunks_exact(columns).enumerate() {
                out[row..].iter_mut().step_by(rows).zip(xs).for_each(|(out, x)| *out = *x);
            }
        }
    }
}

/// Every pixel times `gate`.
fn scale(xs: &[Real], gate: &[Real], c: usize, out: &mut [Real]) {
    for (out, xs) in out.chunks_exact_mut(c).zip(xs.chunks_exact(c)) {
        let products = xs.iter().zip(gate).map(|(x, gate)| x * gate);
        out.iter_mut().zip(products).for_each(|(out, product)| *out = product);
    }
}

#[cfg(test)]
mod tests;
