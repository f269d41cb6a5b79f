//! Operators on `(n, h, w, c)` tensors, composed of Candle's.
//!
//! A GPU is fast where one launch does much: a 1 × 1 convolution is one matrix product without copies, a larger one
//! is one over gathered columns, a depthwise one adds up shifted images. Candle's own convolutions would launch one
//! kernel per group, and the backward of its conv2d mistakes the shape of an input with columns that a strided
//! window never reaches.

use candle_core::{DType, Result, Tensor};

use crate::network::{Activation, ChannelMap, PoolKind, Window};

/// The active channels along `dim`.
pub fn select(xs: &Tensor, dim: usize, map: &ChannelMap) -> Result<Tensor> {
    if map.is_prefix() {
        return xs.narrow(dim, 0, map.len());
    }
    let indices: Vec<u32> = map.indices().map(|i| i as u32).collect();
    xs.contiguous()?.index_select(&Tensor::new(indices, xs.device())?, dim)
}

/// What the window sees at each of its pixels, row by row.
///
/// - `xs`: `(n, h, w, c)`
/// - results: `(n, h_out, w_out, c)`; `outside` where the window lies on padding
fn taps(xs: &Tensor, window: &Window, outside: f64) -> Result<Vec<Tensor>> {
    let (n, h, w, c) = xs.dims4()?;
    let Some((h_out, w_out)) = window.positions((h, w)) else {
        candle_core::bail!("a window of {:?} does not fit a plane of {h}x{w}", window.kernel);
    };
    let (stride, kernel, p) = (window.stride, window.kernel, window.padding);
    let [rows, columns] = [(h_out, kernel.h), (w_out, kernel.w)]
        .map(|(out, side)| ((out - 1) * stride + side).next_multiple_of(stride));
    let ys = cut_or_pad(&cut_or_pad(xs, 1, p.top.into(), rows)?, 2, p.left.into(), columns)?;
    let ys =
        if outside == 0.0 { ys } else { ys.broadcast_add(&border(xs, window, (rows, columns), outside)?)? };
    // Phases of the stride are dimensions of their own: every tap is a view.
    let phases = ys.reshape((n * rows / stride, stride, columns / stride, stride * c))?;
    let mut taps = Vec::with_capacity(kernel.taps());
    for y in 0..kernel.h {
        let lines =
            phases.narrow(1, y % stride, 1)?.reshape((n, rows / stride, columns / stride, stride * c))?;
        let lines = lines.narrow(1, y / stride, h_out)?;
        for x in 0..kernel.w {
            taps.push(lines.narrow(2, x / stride, w_out)?.narrow(3, x % stride * c, c)?);
        }
    }
    Ok(taps)
}

/// `before` zeros along `dim`, then `xs`, cut or padded with zeros to `len`.
fn cut_or_pad(xs: &Tensor, dim: usize, before: usize, len: usize) -> Result<Tensor> {
    let after = len.saturating_sub(before + xs.dim(dim)?);
    let ys = if before + after == 0 { xs.clone() } else { xs.pad_with_zeros(dim, before, after)? };
    if ys.dim(dim)? == len { Ok(ys) } else { ys.narrow(dim, 0, len) }
}

/// `(1, rows, columns, 1)`: 0 on the plane of `xs`, `outside` around it.
fn border(xs: &Tensor, window: &Window, (rows, columns): (usize, usize), outside: f64) -> Result<Tensor> {
    let (_, h, w, _) = xs.dims4()?;
    let (top, left) = (usize::from(window.padding.top), usize::from(window.padding.left));
    let inside = |y, x| (top..top + h).contains(&y) && (left..left + w).contains(&x);
    let at = |y| (0..columns).map(move |x| if inside(y, x) { 0.0 } else { outside });
    let values: Vec<f64> = (0..rows).flat_map(at).collect();
    Tensor::from_vec(values, (1, rows, columns, 1), xs.device())?.to_dtype(xs.dtype())
}

/// A convolution of `groups`, 1 for a dense one.
///
/// - `weight`: `(c_out, c_in / groups, kh, kw)`
pub fn conv(xs: &Tensor, weight: &Tensor, window: &Window, groups: usize) -> Result<Tensor> {
    let taps = taps(xs, window, 0.0)?;
    let (n, h, w, c_in) = taps[0].dims4()?;
    let (m, k, c_out) = (n * h * w, taps.len(), weight.dim(0)?);
    let columns = match &taps[..] {
        [only] => only.contiguous()?,
        taps => Tensor::cat(taps, 3)?,
    }; // (n, h, w, k · c_in)
    let (group_in, group_out) = (c_in / groups, c_out / groups);
    let weight = weight.reshape((groups, group_out, group_in, k))?.permute((0, 3, 2, 1))?.contiguous()?;
    let weight = weight.reshape((groups, k * group_in, group_out))?;
    if groups == 1 {
        let product = columns.reshape((m, k * c_in))?.matmul(&weight.squeeze(0)?)?;
        return product.reshape((n, h, w, c_out));
    }
    let columns = columns.reshape((m, k, groups, group_in))?.permute((2, 0, 1, 3))?.contiguous()?;
    let product = columns.reshape((groups, m, k * group_in))?.matmul(&weight)?; // (groups, m, group_out)
    product.transpose(0, 1)?.contiguous()?.reshape((n, h, w, c_out))
}

/// A sum of shifted images, each times one weight per channel.
///
/// - `weight`: `(c, 1, kh, kw)`
pub fn depthwise(xs: &Tensor, weight: &Tensor, window: &Window) -> Result<Tensor> {
    let (taps, c) = (taps(xs, window, 0.0)?, weight.dim(0)?);
    let weight = weight.reshape((c, taps.len()))?.t()?.contiguous()?; // (k, c)
    let term = |(k, tap): (usize, &Tensor)| tap.broadcast_mul(&weight.narrow(0, k, 1)?);
    sum(taps.iter().enumerate().map(term))
}

/// Pooling over windows.
pub fn pool(xs: &Tensor, kind: PoolKind, window: &Window) -> Result<Tensor> {
    match kind {
        PoolKind::Average => {
            let count = sum(taps(&xs.narrow(0, 0, 1)?.narrow(3, 0, 1)?.detach().ones_like()?, window, 0.0)?
                .into_iter()
                .map(Ok))?;
            sum(taps(xs, window, 0.0)?.into_iter().map(Ok))?.broadcast_div(&count)
        }
        PoolKind::Max => {
            let mut taps = taps(xs, window, f64::NEG_INFINITY)?.into_iter();
            let first = taps.next().expect("a window has at least one pixel").contiguous()?;
            // Not Candle's maximum: that halves the gradient between equal ones.
            taps.try_fold(first, |max, tap| max.ge(&tap)?.where_cond(&max, &tap.contiguous()?))
        }
    }
}

fn sum(terms: impl IntoIterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let mut terms = terms.into_iter();
    let first = terms.next().expect("a window has at least one pixel")?;
    terms.try_fold(first, |sum, term| sum + term?)
}

/// The mean of the plane, `(n, 1, 1, c)`; summed in `exact`.
pub fn global_average(xs: &Tensor, exact: DType) -> Result<Tensor> {
    xs.to_dtype(exact)?.mean_keepdim((1, 2))?.to_dtype(xs.dtype())
}

/// Channel `group · (c / groups) + i` becomes channel `i · groups + group`.
pub fn shuffle(xs: &Tensor, groups: usize) -> Result<Tensor> {
    let (n, h, w, c) = xs.dims4()?;
    xs.reshape((n * h * w, groups, c / groups))?.transpose(1, 2)?.contiguous()?.reshape((n, h, w, c))
}

/// The activation function; its derivative at a corner is 0, as in PyTorch (Candle's relu has 1).
pub fn activate(xs: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(xs.clone()),
        Activation::Relu => xs * above(xs, 0.0)?,
        Activation::Relu6 => relu6(xs),
        Activation::HardSwish => xs * relu6(&(xs + 3.0)?)?.affine(1.0 / 6.0, 0.0)?,
        Activation::HardSigmoid => relu6(&(xs + 3.0)?)?.affine(1.0 / 6.0, 0.0),
        Activation::Sigmoid => (xs.neg()?.exp()? + 1.0)?.recip(),
    }
}

fn relu6(xs: &Tensor) -> Result<Tensor> {
    let high = xs.detach().ge(6.0)?.to_dtype(xs.dtype())?;
    let inside = (above(xs, 0.0)? - &high)?;
    (xs * inside)? + high.affine(6.0, 0.0)?
}

/// 1 where `x > low`, else 0.
fn above(xs: &Tensor, low: f64) -> Result<Tensor> {
    xs.detach().gt(low)?.to_dtype(xs.dtype())
}

#[cfg(test)]
mod tests;
