//! How a 3 × 3 depthwise convolution is laid out for the DSP extension: four channels at a time, each a plane of words that hold
//! two neighbouring pixels, so that one SMLAD multiplies two taps; in strips of rows that fit the scratch.

use crate::layer::{LayerSpec, Op};

/// What the planes may take of scratch, and room to align them.
const SCRATCH_BYTES: usize = 8192;

/// Distances between rows of words, bytes; powers of two, so that an address tells where a row ends.
const PITCHES: [usize; 4] = [32, 64, 128, 256];

/// Channels at a time: a word of the input.
pub(super) const PLANES: usize = 4;

/// The layout for a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planes {
    /// Bytes from row to row of a plane.
    pub pitch: usize,
    /// Output rows of a strip, but for the last.
    pub strip: usize,
    /// Words that the pairs of outputs of a row go over.
    pub words: usize,
    /// Pairs of outputs in a row.
    pub pairs: usize,
    /// Whether a single output is behind them.
    pub single: usize,
}

impl Planes {
    /// `None` where the assembly does not fit: other kernels and strides, wide padding or planes, or less than a word from a
    /// row's last pixel to the next row's end.
    pub const fn of(spec: &LayerSpec) -> Option<Planes> {
        let is_plain = matches!(spec.op, Op::Depthwise)
            && spec.kernel_h == 3
            && spec.kernel_w == 3
            && spec.stride <= 2
            && spec.padding.left <= 1
            && (spec.in_w as usize + 1) * spec.c_in as usize >= PLANES;
        if !is_plain {
            return None;
        }
        let (out_h, out_w) = (spec.out_h() as usize, spec.out_w() as usize);
        let (pairs, single) = (out_w / 2, out_w % 2);
        let words = pairs * spec.stride as usize;
        // A row's last words lie behind the next multiple of the pitch, before the next row's first.
        let needed = (words + 3) * 4;
        let mut i = 0;
        while i < PITCHES.len() && PITCHES[i] < needed {
            i += 1;
        }
        if i == PITCHES.len() {
            return None;
        }
        let pitch = PITCHES[i];
        let most_rows = (SCRATCH_BYTES - pitch) / (PLANES * pitch) - 1;
        let most = (most_rows - 3) / spec.stride as usize + 1;
        Some(Planes { pitch, strip: if most < out_h { most } else { out_h }, words, pairs, single })
    }

    /// Rows of words of a strip of `strip` output rows.
    pub const fn rows(&self, stride: usize, strip: usize) -> usize {
        (strip - 1) * stride + 3
    }

    /// Bytes of a plane of the largest strip: a row more, for the words behind the last.
    pub const fn plane_bytes(&self, stride: usize) -> usize {
        (self.rows(stride, self.strip) + 1) * self.pitch
    }

    /// Bytes of scratch, wherever it starts.
    pub const fn scratch_bytes(&self, stride: usize) -> usize {
        PLANES * self.plane_bytes(stride) + self.pitch
    }

    /// Words of a row.
    #[cfg_attr(not(dsp), allow(dead_code))]
    pub const fn row_words(&self) -> usize {
        self.words + 1 + self.single
    }

    /// Bytes from a multiple of the pitch to a row's first word.
    #[cfg_attr(not(dsp), allow(dead_code))]
    pub const fn row_offset(&self) -> usize {
        self.pitch - 4 * self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Padding;

    #[test]
    fn strips_fit_the_scratch_and_rows_their_pitch() {
        for stride in [1, 2] {
            for size in 1..130 {
                let spec = LayerSpec::depthwise(size, size, 8, 3, stride, Padding::all(1));
                let Some(planes) = Planes::of(&spec) else {
                    assert!(size > 120, "{spec}");
                    continue;
                };
                assert!(planes.scratch_bytes(stride.into()) <= SCRATCH_BYTES, "{spec}");
                assert!(planes.row_offset() + 4 * planes.row_words() <= planes.pitch + planes.row_offset());
                assert!(4 * (planes.row_words() - planes.words) <= planes.row_offset(), "{spec}: rows meet");
                assert!(planes.strip >= 1 && planes.pairs * 2 + planes.single == usize::from(spec.out_w()));
            }
        }
    }
}
