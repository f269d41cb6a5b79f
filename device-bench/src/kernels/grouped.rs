//! Grouped convolution: for each group, its channels of a strip of rows are copied together and convolved as a layer of
//! their own. Source: TFLite `reference_integer_ops::ConvPerChannel`, whose groups are those of its filter.

use super::micro::Micro;
use super::pack as dense;
use super::runs::copy_runs;
use super::{KernelError, Layer, cast, conv};
use crate::layer::{LayerSpec, Op, Padding};

/// What a strip's input and output may take of the scratch; one row of a large plane takes more.
const STRIP_BYTES: usize = 4096;

/// The convolution of one group; of a shape without groups, a layer without channels.
const fn group_of(spec: &LayerSpec) -> LayerSpec {
    LayerSpec { op: Op::Conv, c_in: spec.c_in_of_group(), c_out: spec.c_out_of_group(), groups: 1, ..*spec }
}

/// Bytes of the packed weights: the groups' one behind the other.
pub(super) const fn packed_bytes(spec: &LayerSpec) -> usize {
    dense::packed_bytes(&group_of(spec)).saturating_mul(spec.groups as usize)
}

/// As [`dense::pack`], group by group.
pub(super) fn pack(spec: &LayerSpec, weights: &[i8], packed: &mut [u8]) -> Option<()> {
    let group = group_of(spec);
    let weights = weights.chunks_exact(group.weight_bytes().max(1));
    let packed = packed.chunks_exact_mut(dense::packed_bytes(&group).max(1));
    weights.zip(packed).try_for_each(|(weights, packed)| dense::pack(&group, weights, packed))
}

/// As [`dense::sums_fit`], for all groups.
pub(super) fn sums_fit(spec: &LayerSpec, weights: &[i8]) -> bool {
    let group = group_of(spec);
    weights.chunks_exact(group.weight_bytes().max(1)).all(|weights| dense::sums_fit(&group, weights))
}

/// Output rows of a strip.
const fn strip_rows(group: &LayerSpec) -> usize {
    let (in_row, out_row) = row_bytes(group);
    let (kernel_h, stride) = (group.kernel_h as usize, group.stride as usize);
    let first = kernel_h.saturating_sub(stride) * in_row;
    match STRIP_BYTES.saturating_sub(first).checked_div(stride * in_row + out_row) {
        None | Some(0) => 1,
        Some(rows) => rows,
    }
}

/// Bytes of a row of one group's input and output.
const fn row_bytes(group: &LayerSpec) -> (usize, usize) {
    (group.in_w as usize * group.c_in as usize, group.out_w() as usize * group.c_out as usize)
}

/// Bytes of the largest strip's input and output, each 4-aligned.
const fn strip_bytes(group: &LayerSpec) -> (usize, usize) {
    let (in_row, out_row) = row_bytes(group);
    let (rows, in_h, out_h) = (strip_rows(group), group.in_h as usize, group.out_h() as usize);
    let in_rows = (rows - 1) * group.stride as usize + group.kernel_h as usize;
    let in_rows = if in_rows < in_h { in_rows } else { in_h };
    let out_rows = if rows < out_h { rows } else { out_h };
    (aligned(in_row * in_rows), aligned(out_row * out_rows))
}

const fn aligned(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// A strip's input and output, and what its convolution takes, at the plane's edge or not.
pub(super) const fn scratch_bytes(spec: &LayerSpec) -> usize {
    let group = group_of(spec);
    let (input, output) = strip_bytes(&group);
    let edge = conv::scratch_bytes(&group);
    let inside = conv::scratch_bytes(&LayerSpec { padding: Padding::NONE, ..group });
    input.saturating_add(output).saturating_add(if edge > inside { edge } else { inside })
}

#[inline(never)]
pub(super) fn run<M: Micro>(
    layer: &Layer<'_>,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) -> Result<(), KernelError> {
    let (group, mut part) = (group_of(&layer.spec), *layer);
    let (in_bytes, out_bytes) = strip_bytes(&group);
    let (strip_input, scratch) = scratch.split_at_mut_checked(in_bytes).ok_or(KernelError::Scratch)?;
    let (strip_output, scratch) = scratch.split_at_mut_checked(out_bytes).ok_or(KernelError::Scratch)?;
    let [c_in, c_out, in_w, out_w] = [group.c_in, group.c_out, group.in_w, group.out_w()].map(usize::from);
    let [in_step, out_step] = [layer.spec.c_in, layer.spec.c_out].map(usize::from);
    let (mut weights, mut channels) = (layer.weights, layer.channels);
    for i in 0..usize::from(layer.spec.groups) {
        (part.weights, weights) =
            weights.split_at_checked(dense::packed_bytes(&group)).ok_or(KernelError::Shape)?;
        (part.channels, channels) = channels.split_at_checked(c_out).ok_or(KernelError::Shape)?;
        let mut row = 0;
        while row < usize::from(group.out_h()) {
            let strip = Strip::of(&group, row);
            part.spec = strip.spec;
            let strip_input = strip_input.get_mut(..strip.spec.input_bytes()).ok_or(KernelError::Scratch)?;
            let strip_output =
                strip_output.get_mut(..strip.spec.output_bytes()).ok_or(KernelError::Scratch)?;
            let (strip_input, strip_output) = (cast::as_i8_mut(strip_input), cast::as_i8_mut(strip_output));
            let scratch = scratch.get_mut(..conv::scratch_bytes(&strip.spec)).ok_or(KernelError::Scratch)?;
            let at = strip.in_row * in_w * in_step + i * c_in;
            copy_runs((input, at, in_step), (strip_input, 0, c_in), c_in);
            conv::run::<M>(&part, strip_input, strip_output, scratch)?;
            let at = row * out_w * out_step + i * c_out;
            copy_runs((strip_output, 0, c_out), (output, at, out_step), c_out);
            row += usize::from(strip.spec.out_h());
        }
    }
    Ok(())
}

/// Some output rows of one group.
struct Strip {
    /// They as a layer of their own.
    spec: LayerSpec,
    /// The first input row that they see.
    in_row: usize,
}

impl Strip {
    /// From output row `first` on.
    fn of(group: &LayerSpec, first: usize) -> Strip {
        let rows = strip_rows(group).min(usize::from(group.out_h()) - first);
        let (stride, top) = (usize::from(group.stride), usize::from(group.padding.top));
        // Rows are counted from the first one of the padding.
        let (begin, end) = (first * stride, (first + rows - 1) * stride + usize::from(group.kernel_h));
        let plane_end = top + usize::from(group.in_h);
        let padding = Padding {
            top: top.saturating_sub(begin) as u8,
            bottom: end.saturating_sub(plane_end) as u8,
            ..group.padding
        };
        let in_row = begin.max(top) - top;
        let in_h = (end.min(plane_end) - top - in_row) as u16;
        Strip { spec: LayerSpec { in_h, padding, ..*group }, in_row }
    }
}
