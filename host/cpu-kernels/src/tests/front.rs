//! The safe fronts refuse whatever would let a kernel out of bounds, in every build.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::isas;
use crate::depthwise::{Depthwise, Inside};
use crate::elementwise::{NesterovStep, add_activate, add_pixels, add_to};
use crate::gemm::{End, Pixels, Product, Steps, outer_product_into, packed_len};
use crate::norm::{Affine, backward, period, shifted_sums};
use crate::{Activation, Isa, Real};

/// Calls `run` with buffers of `lens` and then with each of them one value shorter, which must be refused.
fn needs(lens: &[usize], run: impl Fn(&mut [Vec<Real>])) {
    let buffers = |lens: &[usize]| lens.iter().map(|n| vec![0.0; *n]).collect::<Vec<Vec<Real>>>();
    run(&mut buffers(lens));
    for short in 0..lens.len() {
        let mut lens = lens.to_vec();
        lens[short] -= 1;
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut buffers(&lens))));
        assert!(outcome.is_err(), "buffer {short} may be too short");
    }
}

fn refuses(run: impl FnOnce()) {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("a length that wraps around");
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    // Not the check of arithmetic that a release build lacks.
    assert!(!message.contains("overflow"), "{message}");
}

#[test]
fn a_slice_that_is_one_value_short_is_refused() {
    for isa in isas() {
        let (steps, plane, n, k) = (Steps { pixel: 5, line: 17 }, (2, 3), 3, 2);
        let product = Product { plane, n, k, taps: &[0, 7], a: steps, c: steps };
        let coefficients = n.next_multiple_of(isa.lanes());
        needs(&[36, packed_len(isa, n, 2 * k), 30, coefficients, coefficients], |b| {
            let [a, packed, c, scale, shift] = b else { unreachable!() };
            product.run(isa, a, packed, c, End::Affine { scale, shift, activation: Activation::Relu });
        });
        needs(&[29, 30, 9], |b| {
            let [a, b, c] = b else { unreachable!() };
            let (a, b) = (Pixels { data: a, steps }, Pixels { data: b, steps });
            outer_product_into(isa, plane, (2, 3), a, b, c, 6);
        });

        let g = Depthwise { c: 3, kernel: 3, stride: 2, h_out: 2, w_out: 2, padded_row: 20 };
        needs(&[95, g.packed_len(), 12], |b| {
            g.forward(isa, &b[0].clone(), &b[1].clone(), &mut b[2], End::Replace)
        });
        needs(&[95, 14, g.packed_len()], |b| {
            g.weight_grad(isa, &b[0].clone(), &b[1].clone(), 8, &mut b[2]);
        });
        let inside = Inside { h: 4, w: 3, top: 1, left: 1 };
        needs(&[12, g.packed_len(), 36], |b| {
            g.input_grad(isa, &b[0].clone(), &b[1].clone(), inside, &mut b[2])
        });
    }
}

#[test]
fn buffers_and_coefficients_of_different_lengths_are_refused() {
    for isa in isas() {
        let (p, activation) = (period(isa, 3), Activation::Relu);
        fn of<'a>(b: &'a [Vec<Real>], i: usize, activation: Activation) -> Affine<'a> {
            Affine { scale: &b[i], shift: &b[i + 1], activation }
        }
        needs(&[p, p, 7, 7], |b| of(b, 0, activation).apply(isa, &b[2], &mut b[3].clone()));
        needs(&[p, p, 7, 7], |b| of(b, 0, activation).gate(isa, &b[2], &mut b[3].clone()));
        needs(&[p, p], |b| of(b, 0, activation).apply_in_place(isa, &mut [0.0; 7]));
        needs(&[p, p, p, p, 7, 7, 7], |b| {
            of(b, 0, activation).apply_and_add(isa, &b[4], &of(b, 2, activation), &b[5], &mut b[6].clone());
        });
        needs(&[p, p, 7, 7, p, 2 * p], |b| {
            let (mut g, mut sums) = (b[3].clone(), b[5].clone());
            of(b, 0, activation).gate_and_sum(isa, &b[2], &mut g, &b[4], &mut sums);
        });
        needs(&[7, 7, p, p, p, 7], |b| backward(isa, &b[0], &b[1], [&b[2], &b[3], &b[4]], &mut b[5].clone()));
        needs(&[p, 2 * p], |b| shifted_sums(isa, &[0.0; 7], &b[0], &mut b[1].clone()));
        needs(&[7, 7], |b| add_to(isa, &b[0], &mut b[1].clone()));
        needs(&[7, 7, 7], |b| add_activate(isa, &b[0], &b[1], activation, &mut b[2].clone()));
        needs(&[8, 4], |b| add_pixels(isa, &b[0], &mut b[1].clone()));
        let step = NesterovStep { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        needs(&[7, 7, 7], |b| step.run(isa, &mut b[0].clone(), &mut b[1].clone(), &b[2]));
    }
}

#[test]
fn lengths_that_wrap_around_are_refused() {
    let (isa, half) = (Isa::PORTABLE, usize::MAX / 2 + 1);
    let dense = Steps { pixel: 1, line: 3 };
    let wraps = Steps { pixel: 1, line: half };
    let (a, b, mut c) = ([0.0; 64], [0.0; 64], [0.0; 64]);
    let product = Product { plane: (3, 3), n: 1, k: 1, taps: &[0], a: dense, c: dense };
    let mut run = |product: Product| refuses(|| product.run(isa, &a, &b, &mut c, End::Replace));
    run(Product { a: wraps, ..product });
    run(Product { c: wraps, ..product });
    run(Product { taps: &[usize::MAX], ..product });
    run(Product { k: half, taps: &[0, 0], ..product });
    run(Product { n: usize::MAX, ..product });
    let nowhere = Steps { pixel: 0, line: 0 };
    run(Product { plane: (half, 2), a: nowhere, c: nowhere, ..product });
    run(Product { taps: &[], ..product });

    let pixels = |steps| Pixels { data: &a, steps };
    let mut run =
        |plane, mn, a, b, c_row| refuses(|| outer_product_into(isa, plane, mn, a, b, &mut c, c_row));
    run((3, 3), (1, 1), pixels(wraps), pixels(dense), 1);
    run((3, 3), (1, 1), pixels(dense), pixels(wraps), 1);
    run((3, 3), (3, 1), pixels(dense), pixels(dense), half);
    run((half, 2), (1, 1), pixels(nowhere), pixels(nowhere), 1);

    let g = Depthwise { c: 1, kernel: 1, stride: 1, h_out: 3, w_out: 3, padded_row: 3 };
    let bad = [
        Depthwise { padded_row: half, ..g },
        Depthwise { stride: half, ..g },
        Depthwise { stride: 0, ..g },
        Depthwise { kernel: 0, ..g },
        Depthwise { kernel: 1 << (usize::BITS / 2), ..g },
        Depthwise { c: usize::MAX, ..g },
        Depthwise { h_out: half, w_out: 2, ..g },
    ];
    for g in bad {
        refuses(|| g.forward(isa, &a, &b, &mut c, End::Replace));
        refuses(|| g.weight_grad(isa, &a, &b, 3, &mut c));
    }
    refuses(|| g.weight_grad(isa, &a, &b, half, &mut c));
    for (h, w, top, left) in [(half, 2, 0, 0), (1, 1, usize::MAX, 0), (1, 1, 0, usize::MAX)] {
        refuses(|| g.input_grad(isa, &a, &b, Inside { h, w, top, left }, &mut c));
    }
}

#[test]
fn nothing_is_read_or_written_where_there_is_no_pixel() {
    for isa in isas() {
        let steps = Steps { pixel: 1, line: 1 };
        for (plane, n) in [((0, 5), 3), ((5, 0), 3), ((2, 2), 0)] {
            let product = Product { plane, n, k: 2, taps: &[0], a: steps, c: steps };
            product.run(isa, &[], &[], &mut [], End::Replace);
            let none = Pixels { data: &[], steps };
            outer_product_into(isa, plane, (2, n), none, none, &mut [], 0);
        }
        for (c, h_out, w_out) in [(0, 2, 2), (2, 0, 2), (2, 2, 0)] {
            let g = Depthwise { c, kernel: 3, stride: 2, h_out, w_out, padded_row: 6 };
            let (weights, mut grad) = (vec![0.0; g.packed_len()], vec![0.0; g.packed_len()]);
            g.forward(isa, &[], &weights, &mut [], End::Replace);
            g.weight_grad(isa, &[], &[], 0, &mut grad);
            let mut dx = vec![9.0; 4 * c];
            g.input_grad(isa, &[], &weights, Inside { h: 2, w: 2, top: 0, left: 0 }, &mut dx);
            assert!(dx.iter().all(|x| *x == 0.0), "no output reads these pixels");
        }
    }
}
