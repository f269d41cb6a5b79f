//! The shape of one convolution at the active channels.

use super::depthwise::Depthwise;
use crate::network::ConvKind;

/// One convolution at the active channels.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    pub kind: ConvKind,
    pub c_in: usize,
    /// Input channels that the weights are stored at.
    pub c_in_max: usize,
    pub c_out: usize,
    pub h: usize,
    pub w: usize,
    pub h_out: usize,
    pub w_out: usize,
    pub kernel: usize,
    pub stride: usize,
    pub top: usize,
    pub left: usize,
    pub h_padded: usize,
    pub w_padded: usize,
}

impl Geometry {
    /// Whether the image itself is the operand of one matrix product.
    pub fn is_pointwise(&self) -> bool {
        let padded = self.h_padded * self.w_padded != self.h * self.w;
        self.kind == ConvKind::Dense && self.kernel == 1 && self.stride == 1 && !padded
    }

    /// Few input channels make the taps' products too short: gather them first.
    pub fn gathers(&self) -> bool {
        self.c_in < 8 && self.kernel > 1
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Floats of a row of the padded image.
    pub fn padded_row(&self) -> usize {
        self.w_padded * self.c_in
    }

    /// Floats of the padded image.
    pub fn padded_len(&self) -> usize {
        self.h_padded * self.padded_row()
    }

    /// Floats of an output image.
    pub fn out_len(&self) -> usize {
        self.h_out * self.w_out * self.c_out
    }

    /// Floats of an input image.
    pub fn in_len(&self) -> usize {
        self.h * self.w * self.c_in
    }

    /// Copies the taps of every output pixel: `[h_out · w_out, taps, c_in]`.
    pub fn gather(&self, padded: &[f32], columns: &mut [f32]) {
        let (run, k) = (self.kernel * self.c_in, self.taps() * self.c_in);
        for (y, columns) in columns.chunks_exact_mut(self.w_out * k).enumerate() {
            for tap in 0..k {
                let from = (y * self.stride + tap / run) * self.padded_row() + tap % run;
                let values = padded[from..].iter().step_by(self.stride * self.c_in);
                columns[tap..].iter_mut().step_by(k).zip(values).for_each(|(to, value)| *to = *value);
            }
        }
    }

    /// Whether the input gradient is itself a stride-1 convolution, with the flipped kernel.
    pub fn flips(&self) -> bool {
        let fits =
            |n: usize, out: usize, before: usize| before < self.kernel && n + self.kernel > before + out;
        self.stride == 1
            && !self.is_pointwise()
            && fits(self.h, self.h_out, self.top)
            && fits(self.w, self.w_out, self.left)
            && self.h_padded - self.h - self.top < self.kernel
            && self.w_padded - self.w - self.left < self.kernel
    }

    /// The same for the depthwise kernels.
    pub fn depthwise(&self) -> Depthwise {
        Depthwise {
            c: self.c_out,
            kernel: self.kernel,
            stride: self.stride,
            h_out: self.h_out,
            w_out: self.w_out,
            padded_row: self.w_padded * self.c_out,
        }
    }

    /// Offsets of the taps in an image with rows of `row` and pixels of `pixel` floats.
    pub fn tap_offsets(&self, row: usize, pixel: usize) -> Vec<usize> {
        (0..self.taps()).map(|t| t / self.kernel * row + t % self.kernel * pixel).collect()
    }
}
