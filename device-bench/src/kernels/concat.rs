//! Two tensors of one scale, channel behind channel. Source: TFLite `reference_ops::Concatenation`.

use super::Layer;
use super::runs::copy_runs;

pub(super) fn run(layer: &Layer<'_>, inputs: [&[i8]; 2], output: &mut [i8]) {
    let (first, channels) = (usize::from(layer.spec.c_in), usize::from(layer.spec.c_out));
    for (input, at, len) in [(inputs[0], 0, first), (inputs[1], first, channels.saturating_sub(first))] {
        copy_runs((input, 0, len), (output, at, channels), len);
    }
}
