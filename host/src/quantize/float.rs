//! Runs a folded network in float, loop by loop: what calibration observes and what int8 is compared with.

use super::{FoldedLayer, FoldedNetwork, QuantizeError};
use device_bench::{LayerSpec, Op};

impl FoldedNetwork {
    /// Every tensor of one image `[h, w, c]`, as [`FoldedNetwork::tensor_lens`] numbers them.
    ///
    /// # Errors
    /// [`QuantizeError::Image`] if the image has another size.
    pub fn tensors(&self, image: &[f32]) -> Result<Vec<Vec<f32>>, QuantizeError> {
        if image.len() != self.tensor_lens[0] {
            return Err(QuantizeError::Image { found: image.len(), wanted: self.tensor_lens[0] });
        }
        let mut tensors = vec![Vec::new(); self.tensor_lens.len()];
        tensors[0] = image.to_vec();
        for layer in &self.layers {
            let inputs: Vec<&[f32]> = layer.lowered.inputs.iter().map(|&t| tensors[t].as_slice()).collect();
            let mut output = run(layer, &inputs);
            output.iter_mut().for_each(|x| *x = layer.activation.apply(*x));
            tensors[layer.lowered.output] = output;
        }
        Ok(tensors)
    }

    /// Logits of one image `[h, w, c]`.
    ///
    /// # Errors
    /// [`QuantizeError::Image`] if the image has another size.
    pub fn logits(&self, image: &[f32]) -> Result<Vec<f32>, QuantizeError> {
        Ok(self.tensors(image)?.pop().expect("a network has tensors"))
    }
}

fn run(layer: &FoldedLayer, inputs: &[&[f32]]) -> Vec<f32> {
    let spec = &layer.lowered.spec;
    match spec.op {
        Op::Add => inputs[0].iter().zip(inputs[1]).map(|(a, b)| a + b).collect(),
        Op::Conv | Op::Linear | Op::GroupedConv => conv(layer, inputs[0]),
        Op::Depthwise => depthwise(layer, inputs[0]),
        Op::AvgPool => pool(spec, inputs[0], |sum, x| sum + x, 0.0, |sum, n| sum / n as f32),
        Op::MaxPool => pool(spec, inputs[0], f32::max, f32::NEG_INFINITY, |max, _| max),
        Op::Concat => {
            let parts = [usize::from(spec.c_in), usize::from(spec.c_out - spec.c_in)];
            let pixels = inputs[0].chunks(parts[0]).zip(inputs[1].chunks(parts[1]));
            pixels.flat_map(|(a, b)| [a, b].concat()).collect()
        }
        Op::Select => {
            let pixels = inputs[0].chunks(usize::from(spec.c_in));
            pixels.flat_map(|pixel| layer.lowered.selected.iter().map(|&c| pixel[usize::from(c)])).collect()
        }
        Op::Scale => inputs[0].iter().zip(inputs[1].iter().cycle()).map(|(x, factor)| x * factor).collect(),
        // Its function is the layer's activation.
        Op::Lookup => inputs[0].to_vec(),
    }
}

/// Calls `tap(output pixel, kernel tap, input pixel)` for every tap on the plane.
fn taps(spec: &LayerSpec, mut tap: impl FnMut(usize, usize, usize)) {
    let [in_h, in_w] = [spec.in_h, spec.in_w].map(usize::from);
    let (stride, kernel_w) = (usize::from(spec.stride), usize::from(spec.kernel_w));
    let (top, left) = (usize::from(spec.padding.top), usize::from(spec.padding.left));
    for out_y in 0..usize::from(spec.out_h()) {
        for out_x in 0..usize::from(spec.out_w()) {
            for ky in 0..usize::from(spec.kernel_h) {
                for kx in 0..kernel_w {
                    let (y, x) = (out_y * stride + ky, out_x * stride + kx);
                    if (top..top + in_h).contains(&y) && (left..left + in_w).contains(&x) {
                        let out = out_y * usize::from(spec.out_w()) + out_x;
                        tap(out, ky * kernel_w + kx, (y - top) * in_w + x - left);
                    }
                }
            }
        }
    }
}

/// Also a linear layer: one pixel, one tap; and a grouped one, whose outputs see a run of the input's channels each.
fn conv(layer: &FoldedLayer, input: &[f32]) -> Vec<f32> {
    let spec = &layer.lowered.spec;
    let pixels = usize::from(spec.out_h()) * usize::from(spec.out_w());
    let (seen, c_out) = (spec.weight_bytes() / kernel_taps(spec) / layer.bias.len(), layer.bias.len());
    let groups = usize::from(spec.groups);
    let mut output = layer.bias.repeat(pixels);
    taps(spec, |out, tap, pixel| {
        for (o, y) in output[out * c_out..(out + 1) * c_out].iter_mut().enumerate() {
            let xs = &input[(pixel * groups + o * groups / c_out) * seen..][..seen];
            let start = (o * kernel_taps(spec) + tap) * seen;
            *y += layer.weights[start..start + seen].iter().zip(xs).map(|(w, x)| w * x).sum::<f32>();
        }
    });
    output
}

fn depthwise(layer: &FoldedLayer, input: &[f32]) -> Vec<f32> {
    let spec = &layer.lowered.spec;
    let c = layer.bias.len();
    let mut output = layer.bias.repeat(usize::from(spec.out_h()) * usize::from(spec.out_w()));
    taps(spec, |out, tap, pixel| {
        let weights = layer.weights[tap * c..].iter().zip(&input[pixel * c..]);
        output[out * c..(out + 1) * c].iter_mut().zip(weights).for_each(|(y, (w, x))| *y += w * x);
    });
    output
}

fn pool(
    spec: &LayerSpec,
    input: &[f32],
    merge: impl Fn(f32, f32) -> f32,
    start: f32,
    finish: impl Fn(f32, usize) -> f32,
) -> Vec<f32> {
    let c = usize::from(spec.c_in);
    let mut output = vec![start; spec.output_bytes()];
    let mut counts = vec![0; spec.output_bytes() / c];
    taps(spec, |out, _, pixel| {
        counts[out] += 1;
        let xs = &input[pixel * c..(pixel + 1) * c];
        output[out * c..(out + 1) * c].iter_mut().zip(xs).for_each(|(y, &x)| *y = merge(*y, x));
    });
    output.iter_mut().enumerate().for_each(|(i, y)| *y = finish(*y, counts[i / c]));
    output
}

fn kernel_taps(spec: &LayerSpec) -> usize {
    usize::from(spec.kernel_h) * usize::from(spec.kernel_w)
}
