//! The backward of one convolution, image by image or pixel block by pixel block.

use super::core::{Disjoint, NodeState, View, affine, fill_inside, floats, norm_sums, zeros};
use super::depthwise::{Depthwise, Inside};
use super::gemm::{Into, Pixels, gemm_nn, gemm_tn};
use super::geometry::Geometry;
use super::simd::Isa;
use crate::network::Activation;

/// What the consumer at hand does to its source's gradient.
#[derive(Clone, Copy, PartialEq)]
pub struct Visit {
    /// Whether it is the first to write the gradient.
    pub into: Into,
    /// The gradient is whole afterwards, and the source has a batch norm that needs its sums.
    pub sums: bool,
}

/// One convolution's backward, shared by all chunks.
pub struct Pass<'a> {
    pub isa: Isa,
    pub g: Geometry,
    pub flipped: bool,
    pub visit: Option<Visit>,
    pub source: View<'a>,
    pub source_mean: &'a [f32],
    pub state: &'a NodeState,
    pub activation: Activation,
    pub k: [&'a [f32]; 3],
    pub packed: &'a [f32],
}

impl Pass<'_> {
    /// `dz` of `len` floats from `start`.
    fn dz(&self, start: usize, dz: &mut [f32]) {
        let range = start..start + dz.len();
        let affine = affine(self.state, self.activation);
        affine.backward(self.isa, &self.state.grad[range.clone()], &self.state.z[range], self.k, dz);
    }

    fn into(&self) -> Into {
        self.visit.map_or(Into::Replace, |visit| visit.into)
    }

    pub fn sums(&self, start: usize, dx: Option<&[f32]>, sums: &Disjoint, chunk_idx: usize) {
        if let Some(dx) = dx
            && self.visit.is_some_and(|visit| visit.sums)
        {
            norm_sums(self.isa, &self.source, start, dx, self.source_mean, sums, chunk_idx);
        }
    }

    /// `m` pixels from `start`; `weights` is `[c_out, c_in]`.
    pub fn pointwise(
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
    pub fn depthwise(
        &self,
        image: usize,
        scratch: &mut [Vec<f32>],
        dx: Option<&mut [f32]>,
        weights: &mut [f32],
    ) {
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
    pub fn dense(&self, image: usize, scratch: &mut [Vec<f32>], dx: Option<&mut [f32]>, weights: &mut [f32]) {
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
