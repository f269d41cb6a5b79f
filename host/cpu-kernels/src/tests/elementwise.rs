use super::{ACTIVATIONS, Sum, exact, for_cases, guarded};
use crate::elementwise::{NesterovStep, add_activate, add_pixels, add_to};

#[test]
fn sums_of_two_buffers_keep_what_is_no_number() {
    for_cases(200, |isa, rng| {
        let (n, activation) = (rng.size(0..=100), *rng.pick(&ACTIVATIONS));
        let (a, b) = (rng.buffer(n, 8.0), rng.buffer(n, 8.0));
        let (mut to, mut y) = (guarded(&b), guarded(&vec![9.0; n]));
        add_to(isa, &a, &mut to);
        add_activate(isa, &a, &b, activation, &mut y);
        for i in 0..n {
            let sum = Sum::new(a[i]).plus(exact(b[i]));
            sum.check(to[i], || format!("{n}: {i}"));
            sum.activated(activation).check(y[i], || format!("{activation:?}, {n}: {i}"));
        }
    });
}

#[test]
fn pixels_are_added_up_by_channel() {
    for_cases(200, |isa, rng| {
        let (n_pixels, c) = (rng.size(0..=20), rng.channels());
        let (xs, before) = (rng.buffer(n_pixels * c, 1.0), rng.values(c, 1.0));
        let mut sums = guarded(&before);
        add_pixels(isa, &xs, &mut sums);
        for k in 0..c {
            let terms = (0..n_pixels).map(|pixel| (xs[pixel * c + k], 1.0));
            Sum::of_products(before[k], terms).check(sums[k], || format!("{n_pixels} pixels: {k} of {c}"));
        }
    });
}

#[test]
fn a_step_of_sgd_is_that_of_pytorch() {
    for_cases(200, |isa, rng| {
        let n = rng.size(0..=70);
        let step = NesterovStep {
            learning_rate: rng.value().abs(),
            momentum: rng.value().abs(),
            weight_decay: rng.value().abs(),
        };
        let (grad, w, v) = (rng.buffer(n, 1.0), rng.buffer(n, 1.0), rng.buffer(n, 1.0));
        let (mut new_v, mut new_w) = (guarded(&v), guarded(&w));
        step.run(isa, &mut new_w, &mut new_v, &grad);
        for i in 0..n {
            let decayed = Sum::of_products(grad[i], [(step.weight_decay, w[i])]);
            let expected = decayed.plus(exact(step.momentum) * exact(v[i]));
            expected.check(new_v[i], || format!("velocity {i} of {n}"));
            let direction = decayed.plus(exact(step.momentum) * exact(new_v[i]));
            let expected = direction.affine(-step.learning_rate, w[i]);
            expected.check(new_w[i], || format!("weight {i} of {n}"));
        }
    });
}
