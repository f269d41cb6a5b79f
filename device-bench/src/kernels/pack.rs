//! How the weights of dense layers lie in a blob: two output channels to a halfword.
//!
//! A halfword is `256 * b + a`, the weights of an even channel `a` and the next odd one `b` for one input element. The
//! product with an input is split afterwards: the low bytes alone give the sum of `a`, what is left of the whole
//! halfwords is 256 times the sum of `b`. That is exact while the sum of `b` stays within 24 bits ([`sums_fit`]), and one
//! instruction widens four weights, at one byte a weight.
//!
//! A patch is made of runs of elements that lie together in the input: a kernel row over all channels. A run of four
//! elements is two words, in the order `0 2 1 3` in which SXTB16 leaves four bytes; a run's last one to three elements are
//! padded to whole words. A pair of channels that lacks its odd one has zeros for it.

use super::grouped;
use crate::layer::{LayerSpec, Op};

/// Channels of a linear layer that share each input.
pub(super) const LINEAR_BLOCK: usize = 8;

/// Elements that may be added up whatever the weights: 127 · 128 times this stays within 24 bits.
pub(super) const SAFE_ELEMENTS: usize = 508;

/// The runs of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Runs {
    /// Runs.
    pub n: usize,
    /// Elements of each.
    pub len: usize,
}

impl Runs {
    /// Of a convolution or linear layer.
    pub const fn of(spec: &LayerSpec) -> Runs {
        match spec.op {
            Op::Linear => Runs { n: 1, len: spec.input_bytes() },
            _ => Runs {
                n: spec.kernel_h as usize,
                len: (spec.kernel_w as usize).saturating_mul(spec.c_in as usize),
            },
        }
    }

    /// Words of a patch, for one pixel or one pair of channels.
    pub const fn words(&self) -> usize {
        self.n.saturating_mul(run_words(self.len))
    }

    /// Elements of a patch.
    const fn elements(&self) -> usize {
        self.n * self.len
    }
}

/// Words of a run of `len` elements.
pub(super) const fn run_words(len: usize) -> usize {
    len.div_ceil(2)
}

/// The element in a run's halfword `slot`; `None` is padding.
pub(super) const fn element(len: usize, slot: usize) -> Option<usize> {
    let quad = slot & !3;
    let element = match (len - quad, slot & 3) {
        (1, 1) | (3, 3) => return None,
        (2, at) => quad + at,
        (_, 1) => quad + 2,
        (_, 2) => quad + 1,
        (_, at) => quad + at,
    };
    Some(element)
}

/// Bytes of a layer's weights in a blob.
pub const fn packed_bytes(spec: &LayerSpec) -> usize {
    match spec.op {
        Op::Conv | Op::Linear => (spec.c_out as usize).div_ceil(2).saturating_mul(Runs::of(spec).words() * 4),
        Op::GroupedConv => grouped::packed_bytes(spec),
        _ => spec.weight_bytes(),
    }
}

/// Where the first word of channel pair `pair` lies, and how far its words are apart.
const fn place(spec: &LayerSpec, pair: usize) -> (usize, usize) {
    let words = Runs::of(spec).words();
    const PAIRS: usize = LINEAR_BLOCK / 2;
    let block = pair / PAIRS;
    if matches!(spec.op, Op::Linear) && block < spec.c_out as usize / LINEAR_BLOCK {
        return (block * PAIRS * words + pair % PAIRS, PAIRS);
    }
    (pair * words, 1)
}

/// Writes a layer's `weights`, which lie as [`Op`] says, to `packed`, of [`packed_bytes`].
///
/// `None` if a slice has another length or a weight of a dense layer is -128: TFLite's weights are symmetric.
pub(crate) fn pack(spec: &LayerSpec, weights: &[i8], packed: &mut [u8]) -> Option<()> {
    if weights.len() != spec.weight_bytes() || packed.len() != packed_bytes(spec) {
        return None;
    }
    if spec.op == Op::GroupedConv {
        return grouped::pack(spec, weights, packed);
    }
    if !matches!(spec.op, Op::Conv | Op::Linear) {
        packed.copy_from_slice(super::cast::as_u8(weights));
        return Some(());
    }
    if weights.contains(&i8::MIN) {
        return None;
    }
    let runs = Runs::of(spec);
    let (halfwords, _) = packed.as_chunks_mut::<2>();
    for pair in 0..usize::from(spec.c_out).div_ceil(2) {
        let (first, step) = place(spec, pair);
        let mut channels = weights.chunks_exact(runs.elements()).skip(2 * pair);
        let (a, b) = (channels.next()?, channels.next().unwrap_or(&[]));
        for run in 0..runs.n {
            for slot in 0..2 * run_words(runs.len) {
                let weight = |channel: &[i8]| match element(runs.len, slot) {
                    Some(element) => channel.get(run * runs.len + element).map_or(0, |&w| i16::from(w)),
                    None => 0,
                };
                let word = first + step * (run * run_words(runs.len) + slot / 2);
                *halfwords.get_mut(2 * word + slot % 2)? = (256 * weight(b) + weight(a)).to_le_bytes();
            }
        }
    }
    Some(())
}

/// Whether the sums of every odd channel stay within 24 bits, whatever the input.
pub(crate) fn sums_fit(spec: &LayerSpec, weights: &[i8]) -> bool {
    if spec.op == Op::GroupedConv {
        return grouped::sums_fit(spec, weights);
    }
    let channels = weights.chunks_exact(Runs::of(spec).elements().max(1));
    !matches!(spec.op, Op::Conv | Op::Linear)
        || channels.skip(1).step_by(2).all(|channel| {
            let largest: u64 = channel.iter().map(|w| u64::from(w.unsigned_abs())).sum();
            largest < 1 << 16
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Padding;

    /// The weight of channel `c` and element `at` of run `run`, out of a blob.
    fn unpacked(spec: &LayerSpec, packed: &[u8], c: usize, run: usize, at: usize) -> i32 {
        let runs = Runs::of(spec);
        let slot = (0..).find(|&slot| element(runs.len, slot) == Some(at)).unwrap();
        let (first, step) = place(spec, c / 2);
        let halfword = 2 * (first + step * (run * run_words(runs.len) + slot / 2)) + slot % 2;
        let both = i32::from(i16::from_le_bytes(packed.as_chunks().0[halfword]));
        let a = i32::from(both as i8);
        if c.is_multiple_of(2) { a } else { (both - a) >> 8 }
    }

    #[test]
    fn every_weight_is_found_again() {
        for (c_in, c_out) in [(1, 1), (2, 2), (3, 9), (4, 8), (5, 7), (7, 16), (6, 19)] {
            let conv = LayerSpec::conv(9, 9, c_in, c_out, 3, 1, Padding::NONE);
            for spec in [conv, LayerSpec { kernel_w: 1, ..conv }, LayerSpec::linear(c_in, c_out)] {
                let mut weights = [0i8; 3000];
                let weights = &mut weights[..spec.weight_bytes()];
                for (i, w) in weights.iter_mut().enumerate() {
                    *w = (i * 91 % 255) as i32 as u8 as i8;
                    *w = (*w).max(-127);
                }
                let mut packed = [0x55; 4000];
                let packed = &mut packed[..packed_bytes(&spec)];
                pack(&spec, weights, packed).unwrap();
                let runs = Runs::of(&spec);
                for (i, &w) in weights.iter().enumerate() {
                    let (c, at) = (i / runs.elements(), i % runs.elements());
                    let found = unpacked(&spec, packed, c, at / runs.len, at % runs.len);
                    assert_eq!(found, i32::from(w), "{spec}: channel {c}, element {at}");
                }
            }
        }
    }

    #[test]
    fn whole_groups_of_channels_take_a_byte_a_weight() {
        for spec in [LayerSpec::conv(9, 9, 32, 48, 3, 1, Padding::NONE), LayerSpec::linear(256, 10)] {
            assert_eq!(packed_bytes(&spec), spec.weight_bytes(), "{spec}");
        }
    }

    #[test]
    fn a_weight_of_minus_128_is_refused() {
        let spec = LayerSpec::linear(4, 2);
        let mut packed = [0; 8];
        assert_eq!(pack(&spec, &[1, 2, 3, 4, 5, 6, 7, -128], &mut packed), None);
    }

    #[test]
    fn sums_of_many_large_weights_do_not_fit() {
        let spec = LayerSpec::linear(600, 2);
        let mut weights = [127; 1200];
        assert!(!sums_fit(&spec, &weights));
        weights[600..].fill(109);
        assert!(sums_fit(&spec, &weights), "even channels do not matter");
    }
}
