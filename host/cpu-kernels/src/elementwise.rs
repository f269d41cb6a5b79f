//! Activations, sums and the optimiser, element by element.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use crate::simd::{Simd, kernel, load_some, prefetch, store_some};
use crate::{Activation, Isa, Real};

/// How many values ahead a pass over activations fetches them: the processor's own prefetching stops at the end of
/// every page.
pub(crate) const AHEAD: usize = 512;

/// `activation(v)`; what is no number stays none.
#[inline(always)]
pub(crate) unsafe fn activate<S: Simd>(v: S, activation: Activation) -> S {
    match activation {
        Activation::None => v,
        Activation::Relu => S::zero().max(v),
        Activation::Relu6 => S::splat(6.0).min(S::zero().max(v)),
        Activation::HardSwish => {
            let gate = S::splat(6.0).min(S::zero().max(v.add(S::splat(3.0))));
            v.mul(gate).mul(S::splat(1.0 / 6.0))
        }
        Activation::HardSigmoid => {
            S::splat(6.0).min(S::zero().max(v.add(S::splat(3.0)))).mul(S::splat(1.0 / 6.0))
        }
        Activation::Sigmoid => v.map(sigmoid),
    }
}

/// `d · activation'(v)`; 0 where a clamp's derivative jumps.
#[inline(always)]
pub(crate) unsafe fn activate_backward<S: Simd>(d: S, v: S, activation: Activation) -> S {
    match activation {
        Activation::None => d,
        Activation::Relu => d.keep_if_less(S::zero(), v),
        Activation::Relu6 => d.keep_if_less(S::zero(), v).keep_if_less(v, S::splat(6.0)),
        Activation::HardSwish => {
            let slope = v.fma(S::splat(1.0 / 3.0), S::splat(0.5)).keep_if_less(S::splat(-3.0), v);
            let inside = d.keep_if_less(v, S::splat(3.0));
            inside.mul(slope).add(d.sub(inside))
        }
        Activation::HardSigmoid => {
            let inside = d.keep_if_less(S::splat(-3.0), v).keep_if_less(v, S::splat(3.0));
            inside.mul(S::splat(1.0 / 6.0))
        }
        Activation::Sigmoid => {
            let y = v.map(sigmoid);
            d.mul(y.sub(y.mul(y)))
        }
    }
}

/// Gates have few values: one after the other is fast enough.
fn sigmoid(x: Real) -> Real {
    1.0 / (1.0 + (-x).exp())
}

/// Compiles `$body` for each activation, so that no vector asks which one it is.
macro_rules! for_activation {
    ($activation:expr, |$a:ident| $body:expr) => {
        match $activation {
            Activation::None => {
                const $a: Activation = Activation::None;
                $body
            }
            Activation::Relu => {
                const $a: Activation = Activation::Relu;
                $body
            }
            Activation::Relu6 => {
                const $a: Activation = Activation::Relu6;
                $body
            }
            Activation::HardSwish => {
                const $a: Activation = Activation::HardSwish;
                $body
            }
            Activation::HardSigmoid => {
                const $a: Activation = Activation::HardSigmoid;
                $body
            }
            Activation::Sigmoid => {
                const $a: Activation = Activation::Sigmoid;
                $body
            }
        }
    };
}
pub(crate) use for_activation;

/// `to += from`.
pub fn add_to(isa: Isa, from: &[Real], to: &mut [Real]) {
    assert_eq!(from.len(), to.len());
    // SAFETY: both have one length.
    unsafe { add(isa, to.len(), from.as_ptr(), to.as_mut_ptr()) }
}

#[inline(always)]
unsafe fn add_imp<S: Simd>(len: usize, from: *const Real, to: *mut Real) {
    for i in (0..len).step_by(S::N) {
        prefetch(from.wrapping_add(i + AHEAD));
        prefetch(to.wrapping_add(i + AHEAD));
        let n = len - i;
        store_some(load_some::<S>(to.add(i), n).add(load_some(from.add(i), n)), to.add(i), n);
    }
}
kernel!(add, add_imp, (len: usize, from: *const Real, to: *mut Real));

/// `y = activation(a + b)`.
pub fn add_activate(isa: Isa, a: &[Real], b: &[Real], activation: Activation, y: &mut [Real]) {
    assert!(a.len() == y.len() && b.len() == y.len());
    // SAFETY: the three have one length.
    unsafe { add_act(isa, y.len(), a.as_ptr(), b.as_ptr(), activation, y.as_mut_ptr()) }
}

#[inline(always)]
unsafe fn add_act_imp<S: Simd>(
    len: usize,
    a: *const Real,
    b: *const Real,
    activation: Activation,
    y: *mut Real,
) {
    for_activation!(activation, |ACTIVATION| {
        for i in (0..len).step_by(S::N) {
            let n = len - i;
            let sum = load_some::<S>(a.add(i), n).add(load_some(b.add(i), n));
            store_some(activate(sum, ACTIVATION), y.add(i), n);
        }
    });
}
kernel!(add_act, add_act_imp, (len: usize, a: *const Real, b: *const Real, activation: Activation, y: *mut Real));

/// Adds up the pixels `[n, c]` of an image: `sums[k] += Σ_pixel xs[pixel][k]`.
pub fn add_pixels(isa: Isa, xs: &[Real], sums: &mut [Real]) {
    assert!(!sums.is_empty() && xs.len().is_multiple_of(sums.len()));
    // SAFETY: every pixel has as many values as there are sums.
    unsafe { pixels(isa, xs.len() / sums.len(), sums.len(), xs.as_ptr(), sums.as_mut_ptr()) }
}

#[inline(always)]
unsafe fn pixels_imp<S: Simd>(n_pixels: usize, c: usize, xs: *const Real, sums: *mut Real) {
    for k in (0..c).step_by(S::N) {
        let n = c - k;
        let mut sum = load_some::<S>(sums.add(k), n);
        for pixel in 0..n_pixels {
            sum = sum.add(load_some(xs.add(pixel * c + k), n));
        }
        store_some(sum, sums.add(k), n);
    }
}
kernel!(pixels, pixels_imp, (n_pixels: usize, c: usize, xs: *const Real, sums: *mut Real));

/// A step of SGD with Nesterov's momentum (PyTorch's `SGD(nesterov=True)`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NesterovStep {
    /// Step size.
    pub learning_rate: Real,
    /// Share of the velocity that stays.
    pub momentum: Real,
    /// L2.
    pub weight_decay: Real,
}

impl NesterovStep {
    /// `v ← µ · v + g`, `w ← w − lr · (g + µ · v)`, where `g` is `grad + decay · w`.
    pub fn run(&self, isa: Isa, weights: &mut [Real], velocity: &mut [Real], grad: &[Real]) {
        let len = weights.len();
        assert!(velocity.len() == len && grad.len() == len);
        // SAFETY: the three have one length.
        unsafe { nesterov(isa, self, len, weights.as_mut_ptr(), velocity.as_mut_ptr(), grad.as_ptr()) }
    }
}

#[inline(always)]
unsafe fn nesterov_imp<S: Simd>(
    step: &NesterovStep,
    len: usize,
    weights: *mut Real,
    velocity: *mut Real,
    grad: *const Real,
) {
    let (rate, momentum) = (S::splat(-step.learning_rate), S::splat(step.momentum));
    let decay = S::splat(step.weight_decay);
    for i in (0..len).step_by(S::N) {
        let n = len - i;
        let w = load_some::<S>(weights.add(i), n);
        let g = w.fma(decay, load_some(grad.add(i), n));
        let v = load_some::<S>(velocity.add(i), n).fma(momentum, g);
        store_some(v, velocity.add(i), n);
        store_some(v.fma(momentum, g).fma(rate, w), weights.add(i), n);
    }
}
kernel!(nesterov, nesterov_imp, (step: &NesterovStep, len: usize, weights: *mut Real, velocity: *mut Real, grad: *const Real));
