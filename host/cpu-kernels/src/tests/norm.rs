use super::{ACTIVATIONS, Guarded, Rng, Sum, activate, derivative, exact, for_cases, guarded, most};
use crate::norm::{Affine, backward, expand, period, shifted_sums};
use crate::{Activation, Isa, Real};

/// Channels and a number of values that need not be whole periods, nor whole pixels.
fn shape(rng: &mut Rng) -> (usize, usize) {
    let c = rng.channels();
    let n = match rng.size(0..=4) {
        0 => rng.size(0..=c),
        _ => c * rng.size(0..=most(60, 12)),
    };
    (c, n)
}

/// One value per channel, expanded.
fn coefficients(isa: Isa, rng: &mut Rng, c: usize, scale: Real) -> Guarded {
    let mut out = guarded(&vec![0.0; period(isa, c)]);
    expand(&rng.values(c, scale), &mut out);
    out
}

fn affine<'a>(scale: &'a [Real], shift: &'a [Real], activation: Activation) -> Affine<'a> {
    Affine { scale, shift, activation }
}

/// Whether rounding can move `v` over a jump of the derivative.
fn is_at_a_jump(v: f64, activation: Activation) -> bool {
    let jumps: &[f64] = match activation {
        Activation::None | Activation::Sigmoid => &[],
        Activation::Relu => &[0.0],
        Activation::Relu6 => &[0.0, 6.0],
        Activation::HardSwish | Activation::HardSigmoid => &[-3.0, 3.0],
    };
    jumps.iter().any(|jump| (v - jump).abs() < 1e-4)
}

#[test]
fn a_period_is_the_least_common_multiple_of_channels_and_two_vectors() {
    for isa in super::isas() {
        for c in 1..100 {
            let multiple = (1..).map(|k| k * c).find(|p| p % (2 * isa.lanes()) == 0);
            assert_eq!(Some(period(isa, c)), multiple);
        }
    }
}

#[test]
fn expanded_coefficients_repeat_to_the_end() {
    let mut out = [0.0; 8];
    expand(&[1.0, 2.0, 3.0], &mut out);
    assert_eq!(out, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0]);
}

#[test]
fn batch_norm_and_activation_keep_what_is_no_number() {
    for_cases(300, |isa, rng| {
        let ((c, n), activation, second) = (shape(rng), *rng.pick(&ACTIVATIONS), *rng.pick(&ACTIVATIONS));
        let (scale, shift) = (coefficients(isa, rng, c, 2.0), coefficients(isa, rng, c, 8.0));
        let (scale_2, shift_2) = (coefficients(isa, rng, c, 2.0), coefficients(isa, rng, c, 8.0));
        let (a, b) = (rng.buffer(n, 2.0), rng.buffer(n, 2.0));
        let (mut y, mut in_place, mut sum) = (guarded(&vec![9.0; n]), guarded(&a), guarded(&vec![9.0; n]));
        let (first, other) = (affine(&scale, &shift, activation), affine(&scale_2, &shift_2, second));
        first.apply(isa, &a, &mut y);
        first.apply_in_place(isa, &mut in_place);
        first.apply_and_add(isa, &a, &other, &b, &mut sum);
        for i in 0..n {
            let k = i % scale.len();
            let expected = Sum::new(a[i]).affine(scale[k], shift[k]).activated(activation);
            let second = Sum::new(b[i]).affine(scale_2[k], shift_2[k]).activated(second);
            expected.check(y[i], || format!("{activation:?} {c} channels, {n}: {i}"));
            expected.check(in_place[i], || format!("in place, {activation:?} {c} channels, {n}: {i}"));
            expected.and(second).check(sum[i], || format!("{first:?} and {other:?}, {n}: {i}"));
        }
    });
}

#[test]
fn a_gate_multiplies_by_the_derivative_and_adds_up_both_sums() {
    for_cases(400, |isa, rng| {
        let ((c, n), activation) = (shape(rng), *rng.pick(&ACTIVATIONS));
        let (scale, shift) = (coefficients(isa, rng, c, 2.0), coefficients(isa, rng, c, 4.0));
        let (mean, p) = (coefficients(isa, rng, c, 1.0), scale.len());
        let (z, g) = (guarded(&rng.values(n, 2.0)), guarded(&rng.values(n, 1.0)));
        let before = rng.values(2 * p, 1.0);
        let (mut gated, mut gated_too, mut sums) = (guarded(&g), guarded(&g), guarded(&before));
        let both = affine(&scale, &shift, activation);
        both.gate(isa, &z, &mut gated);
        both.gate_and_sum(isa, &z, &mut gated_too, &mean, &mut sums);
        assert_eq!(gated[..], gated_too[..]);
        for i in 0..n {
            let v = exact(z[i]) * exact(scale[i % p]) + exact(shift[i % p]);
            if !is_at_a_jump(v, activation) {
                let expected = Sum::new(0.0).plus(exact(g[i]) * derivative(v, activation));
                let tolerance = 32.0 * exact(Real::EPSILON) * (1.0 + v.abs());
                let difference = (exact(gated[i]) - expected.value).abs();
                assert!(difference <= tolerance, "{activation:?} of {v}: off by {difference:e}");
            }
        }
        for k in 0..p {
            let at = (k..n).step_by(p);
            let terms = at.clone().map(|i| (gated[i], 1.0));
            Sum::of_products(before[k], terms).check(sums[k], || format!("{both:?}, {n}: Σ g of {k}"));
            let terms = at.flat_map(|i| [(gated[i], z[i]), (gated[i], -mean[k])]);
            let expected = Sum::of_products(before[p + k], terms);
            expected.check(sums[p + k], || format!("{both:?}, {n}: Σ g (z - mean) of {k}"));
        }
    });
}

/// The derivative of a clamp is 0 at both ends, as everywhere outside.
#[test]
fn derivatives_jump_where_the_clamps_end() {
    for isa in super::isas() {
        let (ones, zeros) = (vec![1.0; period(isa, 1)], vec![0.0; period(isa, 1)]);
        for activation in ACTIVATIONS {
            let z = [-3.0, 0.0, 3.0, 6.0, -0.0, -4.0, 7.0, 1.0];
            let mut g = [2.0; 8];
            affine(&ones, &zeros, activation).gate(isa, &z, &mut g);
            for (z, g) in z.into_iter().zip(g) {
                let expected = 2.0 * derivative(exact(z), activation);
                assert!((exact(g) - expected).abs() < 1e-6, "{activation:?} of {z}: {g}, not {expected}");
            }
        }
    }
}

/// The clamps, whose bounds are exact, at and around them.
#[test]
fn activations_end_where_their_clamps_end() {
    for isa in super::isas() {
        let (ones, zeros) = (vec![1.0; period(isa, 1)], vec![0.0; period(isa, 1)]);
        for activation in ACTIVATIONS {
            let z = [-3.0, 0.0, 3.0, 6.0, Real::INFINITY, -Real::MAX, 7.0, Real::NAN];
            let mut y = [0.0; 8];
            affine(&ones, &zeros, activation).apply(isa, &z, &mut y);
            for (z, y) in z.into_iter().zip(y) {
                let expected = activate(exact(z), activation);
                let same = exact(y) == expected || (exact(y) - expected).abs() < 1e-6;
                assert!(same || (y.is_nan() && z.is_nan()), "{activation:?} of {z}: {y}, not {expected}");
            }
        }
    }
}

#[test]
fn the_backward_of_batch_norm_is_a_line_in_both() {
    for_cases(200, |isa, rng| {
        let (c, n) = shape(rng);
        let k = [(); 3].map(|()| coefficients(isa, rng, c, 1.0));
        let (g, z) = (rng.buffer(n, 1.0), rng.buffer(n, 1.0));
        let mut dz = guarded(&vec![9.0; n]);
        backward(isa, &g, &z, [&k[0], &k[1], &k[2]], &mut dz);
        for i in 0..n {
            let [ka, kb, kc] = [0, 1, 2].map(|idx| k[idx][i % k[idx].len()]);
            let expected = Sum::of_products(kc, [(ka, g[i]), (kb, z[i])]);
            expected.check(dz[i], || format!("{c} channels, {n}: {i}"));
        }
    });
}

#[test]
fn shifted_sums_add_up_differences_and_their_squares() {
    for_cases(300, |isa, rng| {
        let (c, n) = shape(rng);
        let (z, shift) = (rng.buffer(n, 1.0), coefficients(isa, rng, c, 1.0));
        let p = shift.len();
        let before = rng.values(2 * p, 1.0);
        let mut sums = guarded(&before);
        shifted_sums(isa, &z, &shift, &mut sums);
        for k in 0..p {
            let at = (k..n).step_by(p);
            let terms = at.clone().flat_map(|i| [(z[i], 1.0), (-shift[k], 1.0)]);
            Sum::of_products(before[k], terms).check(sums[k], || format!("{c} channels, {n}: Σ of {k}"));
            let squares = at.flat_map(|i| [(z[i], z[i]), (-2.0 * shift[k], z[i]), (shift[k], shift[k])]);
            let expected = Sum::of_products(before[p + k], squares);
            expected.check(sums[p + k], || format!("{c} channels, {n}: Σ² of {k}"));
        }
    });
}
