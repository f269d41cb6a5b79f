//! Batch norm and ReLU over flat `[pixels, c]` buffers. Per-channel coefficients are repeated to a *period*, a
//! multiple of `c` and of the vector length, so that no channel count needs masks inside.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use super::simd::{Isa, LANES, Simd, kernel, prefetch};
use crate::network::Activation;

/// Floats after which the pattern of `c` channels repeats at a vector boundary.
pub fn period(c: usize) -> usize {
    let (mut a, mut b) = (c, LANES);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    c / a * LANES
}

/// Repeats one value per channel to a whole period.
pub fn expand(values: &[f32], out: &mut Vec<f32>) {
    out.clear();
    out.extend(values.iter().cycle().take(period(values.len())));
}

/// A raw convolution output and what follows: `activation(z · scale + shift)`; scale and shift are expanded.
#[derive(Clone, Copy)]
pub struct Affine<'a> {
    /// Per channel.
    pub scale: &'a [f32],
    /// Per channel.
    pub shift: &'a [f32],
    /// What follows.
    pub activation: Activation,
}

impl Affine<'_> {
    fn check(&self) -> (usize, bool) {
        assert!(self.scale.len() == self.shift.len() && self.scale.len().is_multiple_of(LANES));
        assert!(!self.scale.is_empty());
        (self.scale.len(), self.activation == Activation::Relu)
    }

    /// `y = activation(z · scale + shift)`.
    pub fn apply(&self, isa: Isa, z: &[f32], y: &mut [f32]) {
        let (period, relu) = self.check();
        assert_eq!(z.len(), y.len());
        let (sc, sh) = (self.scale.as_ptr(), self.shift.as_ptr());
        // SAFETY: `z` and `y` have one length, the coefficients one period of whole vectors.
        unsafe { apply(isa, z.len(), period, z.as_ptr(), sc, sh, relu, y.as_mut_ptr()) }
    }

    /// `dz = ka · g + kb · z + kc`, where `g` is `d` where the activation lets it through.
    pub fn backward(&self, isa: Isa, d: &[f32], z: &[f32], k: [&[f32]; 3], dz: &mut [f32]) {
        let (period, relu) = self.check();
        assert!(d.len() == z.len() && dz.len() == z.len() && k.iter().all(|k| k.len() == period));
        let (sc, sh) = (self.scale.as_ptr(), self.shift.as_ptr());
        let [ka, kb, kc] = k.map(<[f32]>::as_ptr);
        // SAFETY: the three buffers have one length, the five coefficients one period of whole vectors.
        unsafe {
            let (d, dz, zp) = (d.as_ptr(), dz.as_mut_ptr(), z.as_ptr());
            backward(isa, z.len(), period, d, zp, sc, sh, relu, ka, kb, kc, dz);
        }
    }

    /// Adds `g` and `g · (z - mean)` to the two expanded sums; `g` as in [`Affine::backward`].
    pub fn backward_sums(&self, isa: Isa, d: &[f32], z: &[f32], mean: &[f32], sums: &mut [f32]) {
        let (period, relu) = self.check();
        assert!(d.len() == z.len() && mean.len() == period && sums.len() == 2 * period);
        let (s1, s2) = sums.split_at_mut(period);
        let (sc, sh) = (self.scale.as_ptr(), self.shift.as_ptr());
        // SAFETY: the two buffers have one length, coefficients and sums one period of whole vectors.
        unsafe {
            let (s1, s2, d, zp) = (s1.as_mut_ptr(), s2.as_mut_ptr(), d.as_ptr(), z.as_ptr());
            backward_sums(isa, z.len(), period, d, zp, sc, sh, relu, mean.as_ptr(), s1, s2);
        }
    }
}

/// Adds `z - shift` and its square to the two expanded sums; `shift` is expanded.
pub fn shifted_sums(isa: Isa, z: &[f32], shift: &[f32], sums: &mut [f32]) {
    let period = shift.len();
    assert!(sums.len() == 2 * period && period.is_multiple_of(LANES) && period > 0);
    let (s1, s2) = sums.split_at_mut(period);
    // SAFETY: shift and sums have one period of whole vectors.
    unsafe {
        sums_of(isa, z.len(), period, z.as_ptr(), shift.as_ptr(), s1.as_mut_ptr(), s2.as_mut_ptr());
    }
}

#[inline(always)]
unsafe fn load<S: Simd>(p: *const f32, n: usize) -> S {
    if n >= S::N { S::load(p) } else { S::load_n(p, n) }
}

#[inline(always)]
unsafe fn store<S: Simd>(v: S, p: *mut f32, n: usize) {
    if n >= S::N { v.store(p) } else { v.store_n(p, n) }
}

/// How many floats ahead the passes over activations fetch them: the processor's own prefetching stops at the end of
/// every page.
const AHEAD: usize = 512;

/// Runs the body for every vector: index, index in the period, floats left. A macro, because a closure into a
/// `#[target_feature]` function is not always inlined, and then every intrinsic is a call.
macro_rules! each {
    ($S:ident, $len:expr, $period:expr, |$i:ident, $p:ident, $n:ident| $body:block) => {{
        let mut start = 0usize;
        while start + $period <= $len {
            let mut $p = 0usize;
            while $p < $period {
                let ($i, $n) = (start + $p, $S::N);
                $body
                $p += $S::N;
            }
            start += $period;
        }
        let mut $p = 0usize;
        while start + $p < $len {
            let $i = start + $p;
            let $n = $len - $i;
            $body
            $p += $S::N;
        }
    }};
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn apply_imp<S: Simd>(
    len: usize,
    period: usize,
    z: *const f32,
    sc: *const f32,
    sh: *const f32,
    relu: bool,
    y: *mut f32,
) {
    let low = S::splat(if relu { 0.0 } else { f32::NEG_INFINITY });
    each!(S, len, period, |i, p, n| {
        prefetch(z.wrapping_add(i + AHEAD));
        let v = load::<S>(z.add(i), n).fma(S::load(sc.add(p)), S::load(sh.add(p)));
        store(v.max(low), y.add(i), n);
    });
}
kernel!(apply, apply_imp, (len: usize, period: usize, z: *const f32, sc: *const f32, sh: *const f32, relu: bool, y: *mut f32));

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn backward_imp<S: Simd>(
    len: usize,
    period: usize,
    d: *const f32,
    z: *const f32,
    sc: *const f32,
    sh: *const f32,
    relu: bool,
    ka: *const f32,
    kb: *const f32,
    kc: *const f32,
    dz: *mut f32,
) {
    each!(S, len, period, |i, p, n| {
        prefetch(z.wrapping_add(i + AHEAD));
        prefetch(d.wrapping_add(i + AHEAD));
        let zv = load::<S>(z.add(i), n);
        let mut g = load::<S>(d.add(i), n);
        if relu {
            g = g.keep_positive(zv.fma(S::load(sc.add(p)), S::load(sh.add(p))));
        }
        let rest = zv.fma(S::load(kb.add(p)), S::load(kc.add(p)));
        store(g.fma(S::load(ka.add(p)), rest), dz.add(i), n);
    });
}
kernel!(backward, backward_imp, (len: usize, period: usize, d: *const f32, z: *const f32, sc: *const f32, sh: *const f32, relu: bool, ka: *const f32, kb: *const f32, kc: *const f32, dz: *mut f32));

/// For every vector of the period, sums `term` over the periods in four independent accumulators.
macro_rules! per_channel {
    ($S:ident, $len:expr, $period:expr, $s1:expr, $s2:expr, |$v:ident, $i:ident, $n:ident| $pre:block $term:block) => {{
        let whole = $len / $period;
        let mut $v = 0usize;
        while $v < $period {
            $pre
            let (mut a, mut b) = ([$S::zero(); 4], [$S::zero(); 4]);
            let mut block = 0usize;
            while block + 4 <= whole {
                for u in 0..4 {
                    let ($i, $n) = ((block + u) * $period + $v, $S::N);
                    let (g, x): ($S, $S) = $term;
                    a[u] = a[u].add(g);
                    b[u] = g.fma(x, b[u]);
                }
                block += 4;
            }
            while block < whole {
                let ($i, $n) = (block * $period + $v, $S::N);
                let (g, x): ($S, $S) = $term;
                a[0] = a[0].add(g);
                b[0] = g.fma(x, b[0]);
                block += 1;
            }
            let $i = whole * $period + $v;
            if $i < $len {
                let $n = $len - $i;
                let (g, x): ($S, $S) = $term;
                a[1] = a[1].add(g);
                b[1] = g.fma(x, b[1]);
            }
            a[0].add(a[1]).add(a[2].add(a[3])).add($S::load($s1.add($v))).store($s1.add($v));
            b[0].add(b[1]).add(b[2].add(b[3])).add($S::load($s2.add($v))).store($s2.add($v));
            $v += $S::N;
        }
    }};
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn backward_sums_imp<S: Simd>(
    len: usize,
    period: usize,
    d: *const f32,
    z: *const f32,
    sc: *const f32,
    sh: *const f32,
    relu: bool,
    mean: *const f32,
    s1: *mut f32,
    s2: *mut f32,
) {
    per_channel!(S, len, period, s1, s2, |v, i, n| {} {
        let zv = load::<S>(z.add(i), n);
        let mut g = load::<S>(d.add(i), n);
        if relu {
            g = g.keep_positive(zv.fma(S::load(sc.add(v)), S::load(sh.add(v))));
        }
        (g, zv.sub(S::load(mean.add(v))))
    });
}
kernel!(backward_sums, backward_sums_imp, (len: usize, period: usize, d: *const f32, z: *const f32, sc: *const f32, sh: *const f32, relu: bool, mean: *const f32, s1: *mut f32, s2: *mut f32));

#[inline(always)]
unsafe fn sums_of_imp<S: Simd>(
    len: usize,
    period: usize,
    z: *const f32,
    shift: *const f32,
    s1: *mut f32,
    s2: *mut f32,
) {
    per_channel!(S, len, period, s1, s2, |v, i, n| {} {
        let x = load::<S>(z.add(i), n).sub(S::load(shift.add(v)));
        // Lanes beyond the end hold 0 - shift: drop them.
        let x = if n >= S::N { x } else { let mut t = [0.0f32; LANES]; x.store_n(t.as_mut_ptr(), n); S::load(t.as_ptr()) };
        (x, x)
    });
}
kernel!(sums_of, sums_of_imp, (len: usize, period: usize, z: *const f32, shift: *const f32, s1: *mut f32, s2: *mut f32));
