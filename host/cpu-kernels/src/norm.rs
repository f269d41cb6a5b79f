//! Batch norm and activation over flat `[pixels, c]` buffers. Per-channel coefficients are repeated to a *period*, a
//! multiple of `c` and of two vectors, so that no channel count needs masks inside.

#![allow(unsafe_op_in_unsafe_fn)] // kernels are pointer arithmetic under the contract of their safe front

use crate::elementwise::{AHEAD, activate, activate_backward, for_activation};
use crate::simd::{MAX_LANES, Simd, kernel, load_some, prefetch, store_some};
use crate::{Activation, Isa, Real, product};

/// Values after which the pattern of `c` channels (at least 1) repeats at a boundary of two vectors.
pub fn period(isa: Isa, c: usize) -> usize {
    let whole = 2 * isa.lanes();
    let (mut a, mut b) = (c, whole);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    product(&[c / a, whole])
}

/// Repeats one value per channel (at least 1) to the whole of `out`.
pub fn expand(values: &[Real], out: &mut [Real]) {
    for out in out.chunks_mut(values.len()) {
        out.copy_from_slice(&values[..out.len()]);
    }
}

/// A raw output and what follows: `activation(z · scale + shift)`; scale and shift are one [`period`].
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Per channel, expanded.
    pub scale: &'a [Real],
    /// Per channel, expanded.
    pub shift: &'a [Real],
    /// What follows.
    pub activation: Activation,
}

impl Affine<'_> {
    fn period(&self, isa: Isa) -> usize {
        let period = self.scale.len();
        assert!(period > 0 && period == self.shift.len() && period.is_multiple_of(2 * isa.lanes()));
        period
    }

    /// `y = activation(z · scale + shift)`; both start at channel 0.
    pub fn apply(&self, isa: Isa, z: &[Real], y: &mut [Real]) {
        let period = self.period(isa);
        assert_eq!(z.len(), y.len());
        // SAFETY: `z` and `y` have one length, the coefficients one period of whole vectors.
        unsafe { apply(isa, self, z.len(), period, z.as_ptr(), y.as_mut_ptr()) }
    }

    /// `z ← activation(z · scale + shift)`; starts at channel 0.
    pub fn apply_in_place(&self, isa: Isa, z: &mut [Real]) {
        let period = self.period(isa);
        let (len, z) = (z.len(), z.as_mut_ptr());
        // SAFETY: as `apply`; both pointers are one, and every vector is read before it is written.
        unsafe { apply(isa, self, len, period, z, z) }
    }

    /// `y = activation_a(a · scale + shift) + activation_b(b · …)`, each term by its own affine.
    pub fn apply_and_add(&self, isa: Isa, a: &[Real], other: &Affine, b: &[Real], y: &mut [Real]) {
        let period = self.period(isa);
        assert!(other.period(isa) == period && a.len() == y.len() && b.len() == y.len());
        // SAFETY: the three buffers have one length, the coefficients one period of whole vectors.
        unsafe { apply_two(isa, [*self, *other], y.len(), period, a.as_ptr(), b.as_ptr(), y.as_mut_ptr()) }
    }

    /// `g ← g · activation'(z · scale + shift)`.
    pub fn gate(&self, isa: Isa, z: &[Real], g: &mut [Real]) {
        let period = self.period(isa);
        assert_eq!(z.len(), g.len());
        // SAFETY: `z` and `g` have one length, the coefficients one period of whole vectors.
        unsafe { gate(isa, self, z.len(), period, z.as_ptr(), g.as_mut_ptr()) }
    }

    /// [`gate`](Affine::gate), then adds `g` and `g · (z - mean)` to the two expanded sums.
    pub fn gate_and_sum(&self, isa: Isa, z: &[Real], g: &mut [Real], mean: &[Real], sums: &mut [Real]) {
        let period = self.period(isa);
        assert!(z.len() == g.len() && mean.len() == period && sums.len() == 2 * period);
        let (mean, sums) = (mean.as_ptr(), sums.as_mut_ptr());
        // SAFETY: the two buffers have one length, coefficients and sums one period of whole vectors.
        unsafe { gate_and_sum(isa, self, z.len(), period, z.as_ptr(), g.as_mut_ptr(), mean, sums) }
    }
}

/// `dz = ka · g + kb · z + kc`, the backward of batch norm once its two sums are known; `k` is expanded.
pub fn backward(isa: Isa, g: &[Real], z: &[Real], k: [&[Real]; 3], dz: &mut [Real]) {
    let period = k[0].len();
    assert!(g.len() == z.len() && dz.len() == z.len() && k.iter().all(|k| k.len() == period));
    assert!(period > 0 && period.is_multiple_of(2 * isa.lanes()));
    let k = k.map(<[Real]>::as_ptr);
    // SAFETY: the three buffers have one length, the coefficients one period of whole vectors.
    unsafe { backward_of(isa, z.len(), period, g.as_ptr(), z.as_ptr(), k, dz.as_mut_ptr()) }
}

/// Adds `z - shift` and its square to the two expanded sums; `shift` is expanded.
pub fn shifted_sums(isa: Isa, z: &[Real], shift: &[Real], sums: &mut [Real]) {
    let period = shift.len();
    assert!(sums.len() == 2 * period && period.is_multiple_of(2 * isa.lanes()) && period > 0);
    // SAFETY: shift and sums have one period of whole vectors.
    unsafe { sums_of(isa, z.len(), period, z.as_ptr(), shift.as_ptr(), sums.as_mut_ptr()) }
}

/// Runs the body for every vector: index, index in the period, values left. A macro, because a closure into a
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
unsafe fn apply_imp<S: Simd>(affine: &Affine, len: usize, period: usize, z: *const Real, y: *mut Real) {
    let (sc, sh) = (affine.scale.as_ptr(), affine.shift.as_ptr());
    for_activation!(affine.activation, |ACTIVATION| {
        each!(S, len, period, |i, p, n| {
            prefetch(z.wrapping_add(i + AHEAD));
            let v = load_some::<S>(z.add(i), n).fma(S::load(sc.add(p)), S::load(sh.add(p)));
            store_some(activate(v, ACTIVATION), y.add(i), n);
        })
    });
}
kernel!(apply, apply_imp, (affine: &Affine, len: usize, period: usize, z: *const Real, y: *mut Real));

#[inline(always)]
unsafe fn apply_two_imp<S: Simd>(
    [fa, fb]: [Affine; 2],
    len: usize,
    period: usize,
    a: *const Real,
    b: *const Real,
    y: *mut Real,
) {
    let [sca, scb] = [fa.scale.as_ptr(), fb.scale.as_ptr()];
    let [sha, shb] = [fa.shift.as_ptr(), fb.shift.as_ptr()];
    // Not compiled for each pair of activations: that would be more code than all other kernels together.
    each!(S, len, period, |i, p, n| {
        prefetch(a.wrapping_add(i + AHEAD));
        prefetch(b.wrapping_add(i + AHEAD));
        let va = load_some::<S>(a.add(i), n).fma(S::load(sca.add(p)), S::load(sha.add(p)));
        let vb = load_some::<S>(b.add(i), n).fma(S::load(scb.add(p)), S::load(shb.add(p)));
        store_some(activate(va, fa.activation).add(activate(vb, fb.activation)), y.add(i), n);
    });
}
kernel!(apply_two, apply_two_imp, (affines: [Affine; 2], len: usize, period: usize, a: *const Real, b: *const Real, y: *mut Real));

#[inline(always)]
unsafe fn gate_imp<S: Simd>(affine: &Affine, len: usize, period: usize, z: *const Real, g: *mut Real) {
    let (sc, sh) = (affine.scale.as_ptr(), affine.shift.as_ptr());
    for_activation!(affine.activation, |ACTIVATION| {
        each!(S, len, period, |i, p, n| {
            prefetch(z.wrapping_add(i + AHEAD));
            let v = load_some::<S>(z.add(i), n).fma(S::load(sc.add(p)), S::load(sh.add(p)));
            store_some(activate_backward(load_some::<S>(g.add(i), n), v, ACTIVATION), g.add(i), n);
        })
    });
}
kernel!(gate, gate_imp, (affine: &Affine, len: usize, period: usize, z: *const Real, g: *mut Real));

#[inline(always)]
unsafe fn backward_of_imp<S: Simd>(
    len: usize,
    period: usize,
    g: *const Real,
    z: *const Real,
    [ka, kb, kc]: [*const Real; 3],
    dz: *mut Real,
) {
    each!(S, len, period, |i, p, n| {
        prefetch(z.wrapping_add(i + AHEAD));
        prefetch(g.wrapping_add(i + AHEAD));
        let rest = load_some::<S>(z.add(i), n).fma(S::load(kb.add(p)), S::load(kc.add(p)));
        store_some(load_some::<S>(g.add(i), n).fma(S::load(ka.add(p)), rest), dz.add(i), n);
    });
}
kernel!(backward_of, backward_of_imp, (len: usize, period: usize, g: *const Real, z: *const Real, k: [*const Real; 3], dz: *mut Real));

/// For every two vectors of the period, sums the two terms over the periods in independent accumulators: lines of the
/// cache are read once.
macro_rules! per_channel {
    ($S:ident, $len:expr, $period:expr, $sums:expr, |$v:ident, $i:ident, $n:ident| $term:block) => {{
        let whole = $len / $period;
        let mut first = 0usize;
        while first < $period {
            let (mut a, mut b) = ([[$S::zero(); 2]; 2], [[$S::zero(); 2]; 2]);
            let mut block = 0usize;
            while block + 2 <= whole {
                for u in 0..2 {
                    for j in 0..2 {
                        let $v = first + j * $S::N;
                        let ($i, $n) = ((block + u) * $period + $v, $S::N);
                        let (g, x): ($S, $S) = $term;
                        a[u][j] = a[u][j].add(g);
                        b[u][j] = g.fma(x, b[u][j]);
                    }
                }
                block += 2;
            }
            for j in 0..2 {
                let $v = first + j * $S::N;
                for block in block..whole {
                    let ($i, $n) = (block * $period + $v, $S::N);
                    let (g, x): ($S, $S) = $term;
                    a[0][j] = a[0][j].add(g);
                    b[0][j] = g.fma(x, b[0][j]);
                }
                let $i = whole * $period + $v;
                if $i < $len {
                    let $n = $len - $i;
                    let (g, x): ($S, $S) = $term;
                    a[1][j] = a[1][j].add(g);
                    b[1][j] = g.fma(x, b[1][j]);
                }
                let (s1, s2) = ($sums.add($v), $sums.add($period + $v));
                a[0][j].add(a[1][j]).add($S::load(s1)).store(s1);
                b[0][j].add(b[1][j]).add($S::load(s2)).store(s2);
            }
            first += 2 * $S::N;
        }
    }};
}

#[inline(always)]
#[allow(clippy::too_many_arguments, clippy::needless_range_loop)]
unsafe fn gate_and_sum_imp<S: Simd>(
    affine: &Affine,
    len: usize,
    period: usize,
    z: *const Real,
    g: *mut Real,
    mean: *const Real,
    sums: *mut Real,
) {
    let (sc, sh) = (affine.scale.as_ptr(), affine.shift.as_ptr());
    for_activation!(affine.activation, |ACTIVATION| {
        per_channel!(S, len, period, sums, |v, i, n| {
            let zv = load_some::<S>(z.add(i), n);
            let mut gv = load_some::<S>(g.add(i), n);
            if ACTIVATION as u8 != Activation::None as u8 {
                let a = zv.fma(S::load(sc.add(v)), S::load(sh.add(v)));
                gv = activate_backward(gv, a, ACTIVATION);
                store_some(gv, g.add(i), n);
            }
            (gv, zv.sub(S::load(mean.add(v))))
        })
    });
}
kernel!(gate_and_sum, gate_and_sum_imp, (affine: &Affine, len: usize, period: usize, z: *const Real, g: *mut Real, mean: *const Real, sums: *mut Real));

#[inline(always)]
#[allow(clippy::needless_range_loop)]
unsafe fn sums_of_imp<S: Simd>(
    len: usize,
    period: usize,
    z: *const Real,
    shift: *const Real,
    sums: *mut Real,
) {
    per_channel!(S, len, period, sums, |v, i, n| {
        let mut x = load_some::<S>(z.add(i), n).sub(S::load(shift.add(v)));
        if n < S::N {
            // Lanes beyond the end hold 0 - shift: drop them.
            let mut lanes = [0.0; MAX_LANES];
            x.store(lanes.as_mut_ptr());
            x = S::load_n(lanes.as_ptr(), n);
        }
        (x, x)
    });
}
kernel!(sums_of, sums_of_imp, (len: usize, period: usize, z: *const Real, shift: *const Real, sums: *mut Real));
