//! int8 operators in TFLite semantics, one a file, on planes in NHWC with one image.
//!
//! An operator is written once, over the inner loops in `micro`; a [`KernelSet`] chooses those. Sums wrap
//! at 32 bits in every set, so that all sets agree on every byte, whatever the data.

mod add;
mod avg_pool;
pub(crate) mod cast;
mod concat;
mod conv;
mod depthwise;
#[cfg(not(any(thumb2, thumb1)))]
mod dsp;
mod gather;
mod grouped;
mod linear;
mod lookup;
mod max_pool;
mod micro;
mod one_by_one;
mod pack;
mod planes;
#[cfg(any(dsp, thumb2))]
mod products;
mod runs;
mod scale;
mod select;
#[cfg(thumb1)]
mod thumb1;
#[cfg(thumb2)]
mod thumb2;
#[cfg(any(dsp, thumb2))]
mod window;

/// What assembly is to know of the core: whether it has the DSP extension, and whether it issues two instructions in a
/// cycle, as a Cortex-M7 does.
#[cfg(thumb2)]
macro_rules! assembly {
    () => {
        ".equ EDGESLIM_DSP, 0\n.equ EDGESLIM_DUAL_ISSUE, 0"
    };
}
#[cfg(all(dsp, not(dual_issue)))]
macro_rules! assembly {
    () => {
        ".equ EDGESLIM_DSP, 1\n.equ EDGESLIM_DUAL_ISSUE, 0"
    };
}
#[cfg(all(dsp, dual_issue))]
macro_rules! assembly {
    () => {
        ".equ EDGESLIM_DSP, 1\n.equ EDGESLIM_DUAL_ISSUE, 1"
    };
}
#[cfg(any(dsp, thumb2))]
use assembly;

pub use pack::packed_bytes;
pub(crate) use pack::{pack, sums_fit};

use crate::layer::{LayerSpec, Op};
use crate::quant::{Channel, Clamp, Requant};
use serde::{Deserialize, Serialize};

/// A digest of the kernels' sources, so that it changes when any kernel's speed, scratch or weight layout does: a cost
/// table or blob of another revision is refused.
pub const KERNEL_REVISION: u32 = match u32::from_str_radix(env!("EDGESLIM_KERNELS"), 16) {
    Ok(digest) => digest,
    Err(_) => panic!("build.rs writes eight hexadecimal digits"),
};

/// Which inner loops run a layer. A board has one set; elsewhere plain Rust takes the place of assembly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelSet {
    /// Plain Rust.
    Portable,
    /// The DSP extension of Armv7E-M and Armv8-M.
    Dsp,
    /// Armv7-M and Armv8-M without it.
    Thumb2,
    /// Armv6-M and Armv8-M baseline.
    Thumb1,
}

impl KernelSet {
    /// The fastest set of the machine that this is compiled for.
    pub const NATIVE: KernelSet = if cfg!(dsp) {
        KernelSet::Dsp
    } else if cfg!(thumb2) {
        KernelSet::Thumb2
    } else if cfg!(thumb1) {
        KernelSet::Thumb1
    } else {
        KernelSet::Portable
    };

    /// The name in tables and files.
    pub const fn name(self) -> &'static str {
        match self {
            KernelSet::Portable => "portable",
            KernelSet::Dsp => "dsp",
            KernelSet::Thumb2 => "thumb2",
            KernelSet::Thumb1 => "thumb1",
        }
    }
}

/// One layer with its parameters, ready to run: made of checked ones only, as its kernels rely on them.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// The shape; it passes [`LayerSpec::check`].
    pub(crate) spec: LayerSpec,
    /// Zero points of the inputs; only a sum and a scaling read the second.
    pub(crate) input_zero: [i8; 2],
    /// Zero point of the output; operators that keep their input's scale, and a lookup, ignore it.
    pub(crate) output_zero: i8,
    /// The activation function.
    pub(crate) clamp: Clamp,
    /// [`packed_bytes`] of weights or a table, 4-aligned; empty for layers without.
    pub(crate) weights: &'a [u8],
    /// `[c_out]`, the input's zero point folded in by [`fold_bias`]; empty for layers without weights.
    pub(crate) channels: &'a [Channel],
    /// The scales of an add's two inputs and of its output, or of a scaling's output; empty for other layers.
    pub(crate) scales: &'a [Requant],
    /// Whether two channels can share their sums over a whole patch, see [`pack`]: not where many weights are large.
    pub(crate) sums_fit: bool,
    /// Whether [`Channel::is_fast`] holds for every channel.
    pub(crate) scales_fast: bool,
}

impl Layer<'_> {
    /// The shape.
    pub const fn spec(&self) -> LayerSpec {
        self.spec
    }
}

/// Why a layer did not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum KernelError {
    /// A slice disagrees with the shape.
    #[error("a tensor's length disagrees with the layer's shape")]
    Shape,
    /// The scratch is smaller than [`scratch_bytes`] or not 4-aligned.
    #[error("the scratch is too small or not aligned to 4 bytes")]
    Scratch,
}

/// Bytes of 4-aligned scratch for a layer: the same for every set, so that one memory plan serves all.
pub const fn scratch_bytes(spec: &LayerSpec) -> usize {
    match spec.op {
        Op::Conv => conv::scratch_bytes(spec),
        Op::Linear => linear::scratch_bytes(spec),
        Op::Add => add::scratch_bytes(spec),
        Op::Depthwise => depthwise::scratch_bytes(spec),
        Op::GroupedConv => grouped::scratch_bytes(spec),
        Op::AvgPool | Op::MaxPool | Op::Concat | Op::Select | Op::Scale | Op::Lookup => 0,
    }
}

/// Entries of [`Layer::channels`].
pub(crate) const fn n_channels(spec: &LayerSpec) -> usize {
    n_bias(spec)
}

/// Entries of [`Layer::scales`].
pub(crate) const fn n_scales(spec: &LayerSpec) -> usize {
    match spec.op {
        Op::Add => 3,
        Op::Scale => 1,
        _ => 0,
    }
}

/// Scales of a layer in TFLite semantics: one an output channel, three for an add, one for a scaling.
pub const fn n_requant(spec: &LayerSpec) -> usize {
    n_bias(spec) + n_scales(spec)
}

/// Biases of a layer in TFLite semantics: one an output channel.
pub const fn n_bias(spec: &LayerSpec) -> usize {
    match spec.op {
        Op::Conv | Op::Depthwise | Op::Linear | Op::GroupedConv => spec.c_out as usize,
        _ => 0,
    }
}

/// The bias of output channel `c` for inputs whose zero point is not subtracted: `bias - zero * sum(weights)`.
///
/// `weights` are the whole layer's; a `c` outside of it gives `bias` back.
pub fn fold_bias(spec: &LayerSpec, weights: &[i8], c: usize, bias: i32, input_zero: i8) -> i32 {
    let sum = |weight: i32, w: &i8| weight.wrapping_add(i32::from(*w));
    let total = match spec.op {
        Op::Depthwise => weights.iter().skip(c).step_by(usize::from(spec.c_in).max(1)).fold(0, sum),
        _ => {
            let per_channel = (weights.len() / usize::from(spec.c_out).max(1)).max(1);
            weights.chunks_exact(per_channel).nth(c).unwrap_or(&[]).iter().fold(0, sum)
        }
    };
    bias.wrapping_sub(total.wrapping_mul(i32::from(input_zero)))
}

/// Runs one layer; on a board always with [`KernelSet::NATIVE`], which gives the same bytes.
///
/// - `inputs`: `[in_h, in_w, c_in]`, and [`LayerSpec::second_input_bytes`], none for operators of one
/// - `output`: `[out_h, out_w, c_out]`
/// - `scratch`: at least [`scratch_bytes`], 4-aligned; its contents do not matter
///
/// # Errors
/// [`KernelError`] if a slice disagrees with the shape; nothing was written then.
pub fn run(
    #[cfg_attr(any(thumb1, thumb2), expect(unused, reason = "there is one set"))] set: KernelSet,
    layer: &Layer<'_>,
    inputs: [&[i8]; 2],
    output: &mut [i8],
    scratch: &mut [u8],
) -> Result<(), KernelError> {
    let spec = &layer.spec;
    debug_assert_eq!(spec.check(), Ok(()));
    let fits = inputs[0].len() == spec.input_bytes()
        && inputs[1].len() == spec.second_input_bytes()
        && output.len() == spec.output_bytes();
    debug_assert_eq!(layer.weights.len(), packed_bytes(spec));
    debug_assert_eq!((layer.channels.len(), layer.scales.len()), (n_channels(spec), n_scales(spec)));
    if !fits {
        return Err(KernelError::Shape);
    }
    let scratch = scratch.get_mut(..scratch_bytes(spec)).ok_or(KernelError::Scratch)?;
    #[cfg(thumb2)]
    return dispatch::<thumb2::Thumb2>(layer, inputs, output, scratch);
    #[cfg(thumb1)]
    return dispatch::<thumb1::Thumb1>(layer, inputs, output, scratch);
    #[cfg(not(any(thumb1, thumb2)))]
    match set {
        _ if cfg!(dsp) => dispatch::<dsp::Dsp>(layer, inputs, output, scratch),
        // Boards have one set; others would only take code.
        KernelSet::Dsp if !cfg!(target_os = "none") => dispatch::<dsp::Dsp>(layer, inputs, output, scratch),
        _ => dispatch::<micro::Portable>(layer, inputs, output, scratch),
    }
}

fn dispatch<M: micro::Micro>(
    layer: &Layer<'_>,
    inputs: [&[i8]; 2],
    output: &mut [i8],
    scratch: &mut [u8],
) -> Result<(), KernelError> {
    match layer.spec.op {
        Op::Conv => return conv::run::<M>(layer, inputs[0], output, scratch),
        Op::Depthwise => return depthwise::run::<M>(layer, inputs[0], output, scratch),
        Op::Linear => return linear::run::<M>(layer, inputs[0], output, scratch),
        Op::AvgPool => avg_pool::run::<M>(layer, inputs[0], output),
        Op::MaxPool => max_pool::run::<M>(layer, inputs[0], output),
        Op::Add => return add::run::<M>(layer, inputs, output, scratch),
        Op::GroupedConv => return grouped::run::<M>(layer, inputs[0], output, scratch),
        Op::Concat | Op::Select | Op::Scale | Op::Lookup => {
            return one_by_one::run::<M>(layer, inputs, output);
        }
    }
    Ok(())
}

/// The part of a window that lies on the plane, along one axis.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// First tap on the plane.
    begin: usize,
    /// One after the last tap on the plane; more than `begin` for every checked shape.
    end: usize,
    /// Where the first tap on the plane reads.
    input: usize,
}

impl Span {
    /// Of output position `out`; `before` is the padding there, `size` the plane.
    #[inline(always)]
    fn new(out: usize, stride: u8, before: u8, kernel: u8, size: u16) -> Span {
        let start = out * usize::from(stride);
        let before = usize::from(before);
        let begin = before.saturating_sub(start);
        let end = (usize::from(size) + before).saturating_sub(start).min(usize::from(kernel));
        Span { begin, end, input: (start + begin).saturating_sub(before) }
    }

    fn rows(spec: &LayerSpec, out_y: usize) -> Span {
        Span::new(out_y, spec.stride, spec.padding.top, spec.kernel_h, spec.in_h)
    }

    fn columns(spec: &LayerSpec, out_x: usize) -> Span {
        Span::new(out_x, spec.stride, spec.padding.left, spec.kernel_w, spec.in_w)
    }

    fn len(self) -> usize {
        self.end - self.begin
    }
}
