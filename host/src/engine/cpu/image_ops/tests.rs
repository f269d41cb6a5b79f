use candle_core::{Device, Result, Tensor, Var, WithDType};
use device_bench::Padding;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::engine::candle::ops;
use crate::network::{Kernel, Pool, PoolKind, Window};

type Shape = (usize, usize, usize);

/// An operator, and the shapes of its inputs and output.
#[derive(Debug)]
struct Case {
    op: NodeOp,
    inputs: Vec<Shape>,
    output: Shape,
}

fn len((h, w, c): Shape) -> usize {
    h * w * c
}

impl Case {
    fn image_op(&self) -> ImageOp {
        ImageOp::new(&self.op, &self.inputs).expect("an image operator")
    }

    fn forward(&self, inputs: &[Vec<Real>]) -> Vec<Real> {
        let inputs: Vec<&[Real]> = inputs.iter().map(Vec::as_slice).collect();
        let mut out = vec![Real::NAN; len(self.output)];
        self.image_op().forward(&inputs, &mut out);
        out
    }

    fn backward(&self, which: usize, inputs: &[Vec<Real>], d_out: &[Real]) -> Vec<Real> {
        let inputs: Vec<&[Real]> = inputs.iter().map(Vec::as_slice).collect();
        let mut d_in = vec![Real::NAN; len(self.inputs[which])];
        self.image_op().backward(which, &inputs, d_out, &mut d_in);
        d_in
    }

    /// The same by Candle's operators; tensors are `(1, h, w, c)`.
    fn candle(&self, xs: &[Tensor]) -> Result<Tensor> {
        match &self.op {
            NodeOp::Concat { .. } => Tensor::cat(xs, 3),
            NodeOp::Shuffle { groups, .. } => ops::shuffle(&xs[0], *groups),
            NodeOp::Split { part, .. } => xs[0].narrow(3, part * self.output.2, self.output.2),
            NodeOp::Pool(pool) => ops::pool(&xs[0], pool.kind, &self.op.window().expect("a pool has one")),
            NodeOp::GlobalAverage { .. } => ops::global_average(&xs[0], Real::DTYPE),
            NodeOp::Scale { .. } => xs[0].broadcast_mul(&xs[1]),
            op => panic!("{} is not tested here", op.name()),
        }
    }
}

prop_compose! {
    /// Any padding that the kernel allows, strides to 3.
    fn pools()(
        (h, w) in (1..9usize, 1..8usize),
        (kh, kw, stride) in (1..5usize, 1..5usize, 1..4usize),
        pads in prop::array::uniform4(0..8usize),
        is_max: bool,
    ) -> (usize, usize, Pool) {
        let kernel = Kernel { h: kh.min(h), w: kw.min(w) };
        let pad = |salt: usize, side: usize| (pads[salt] % side) as u8;
        let padding = Padding {
            top: pad(0, kernel.h),
            bottom: pad(1, kernel.h),
            left: pad(2, kernel.w),
            right: pad(3, kernel.w),
        };
        let kind = if is_max { PoolKind::Max } else { PoolKind::Average };
        (h, w, Pool { input: 0, kind, kernel, stride, padding })
    }
}

prop_compose! {
    fn cases()(
        kind in 0..8usize,
        (h, w, pool) in pools(),
        (a, b) in (1..40usize, 1..20usize),
        groups in 2..5usize,
    ) -> Case {
        let c = a * groups;
        let (op, inputs, output) = match kind {
            0 => (NodeOp::Concat { a: 0, b: 1 }, vec![(h, w, a), (h, w, b)], (h, w, a + b)),
            1 => (NodeOp::Shuffle { input: 0, groups }, vec![(h, w, c)], (h, w, c)),
            2 => {
                (NodeOp::Split { input: 0, part: b % groups, parts: groups }, vec![(h, w, c)], (h, w, a))
            }
            3 => (NodeOp::GlobalAverage { input: 0 }, vec![(h, w, a)], (1, 1, a)),
            4 => (NodeOp::Scale { input: 0, gate: 1 }, vec![(h, w, a), (1, 1, a)], (h, w, a)),
            _ => {
                let op = NodeOp::Pool(pool);
                let window: Window = op.window().expect("a pool has one");
                let (h_out, w_out) = window.positions((h, w)).expect("no kernel is larger than the plane");
                (op, vec![(h, w, a)], (h_out, w_out, a))
            }
        };
        Case { op, inputs, output }
    }
}

fn noise(n: usize, rng: &mut ChaCha8Rng) -> Vec<Real> {
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Few values: windows have several largest pixels.
fn equals(n: usize, rng: &mut ChaCha8Rng) -> Vec<Real> {
    (0..n).map(|_| rng.random_range(-1..=1i8).into()).collect()
}

/// Integers in any order.
fn distinct(n: usize, rng: &mut ChaCha8Rng) -> Vec<Real> {
    let mut values: Vec<Real> = (0..n).map(|i| i as Real).collect();
    (1..n).for_each(|i| values.swap(i, rng.random_range(0..=i)));
    values
}

fn close(a: &[Real], b: &[Real]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

fn dot(a: &[Real], b: &[Real]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn flat(xs: &Tensor) -> Result<Vec<Real>> {
    xs.flatten_all()?.to_vec1()
}

/// Output and the gradient of every input, by Candle's autograd.
fn by_candle(case: &Case, inputs: &[Vec<Real>], d_out: &[Real]) -> Result<(Vec<Real>, Vec<Vec<Real>>)> {
    let var = |(xs, &(h, w, c)): (&Vec<Real>, &Shape)| {
        Var::from_tensor(&Tensor::from_slice(xs, (1, h, w, c), &Device::Cpu)?)
    };
    let vars: Vec<Var> = inputs.iter().zip(&case.inputs).map(var).collect::<Result<_>>()?;
    let xs: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let ys = case.candle(&xs)?;
    let d_out = Tensor::from_slice(d_out, ys.shape(), &Device::Cpu)?;
    let grads = (&ys * d_out)?.sum_all()?.backward()?;
    let grad = |var: &Var| flat(grads.get(var).expect("every input is read"));
    Ok((flat(&ys)?, vars.iter().map(grad).collect::<Result<_>>()?))
}

proptest! {
    #[test]
    fn image_operators_equal_candles(case in cases(), seed: u64, has_equals: bool) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let values = if has_equals { equals } else { noise };
        let inputs: Vec<Vec<Real>> = case.inputs.iter().map(|&shape| values(len(shape), rng)).collect();
        let d_out = noise(len(case.output), rng);
        let (ys, grads) = by_candle(&case, &inputs, &d_out).unwrap();
        prop_assert!(close(&case.forward(&inputs), &ys));
        for (which, grad) in grads.iter().enumerate() {
            prop_assert!(close(&case.backward(which, &inputs, &d_out), grad), "input {which}");
        }
    }

    /// All of them are linear in each input, a maximum as long as the order of the values stays.
    #[test]
    fn gradients_equal_differences_along_a_direction(case in cases(), seed: u64) {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let inputs: Vec<Vec<Real>> = case
            .inputs
            .iter()
            .map(|&shape| if matches!(case.op, NodeOp::Pool(_)) { distinct(len(shape), rng) } else { noise(len(shape), rng) })
            .collect();
        let d_out = noise(len(case.output), rng);
        for which in 0..inputs.len() {
            let direction = noise(inputs[which].len(), rng);
            let along = |step: Real| {
                let mut moved = inputs.clone();
                moved[which].iter_mut().zip(&direction).for_each(|(x, d)| *x += step * d);
                dot(&d_out, &case.forward(&moved))
            };
            let difference = (along(0.25) - along(-0.25)) / 0.5;
            let derivative = dot(&case.backward(which, &inputs, &d_out), &direction);
            let size = len(case.inputs[which]).max(len(case.output)) as f64;
            prop_assert!((difference - derivative).abs() < 1e-4 * size, "input {which}: {difference} {derivative}");
        }
    }
}

#[test]
fn channels_move_as_the_operators_say() {
    let pixels = [(1, 2, 6)];
    let xs: Vec<Real> = (0..12u8).map(Real::from).collect();
    let of = |op: NodeOp, c: usize| Case { op, inputs: pixels.to_vec(), output: (1, 2, c) };
    let shuffled = of(NodeOp::Shuffle { input: 0, groups: 2 }, 6).forward(std::slice::from_ref(&xs));
    assert_eq!(shuffled, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]);
    let last = of(NodeOp::Split { input: 0, part: 2, parts: 3 }, 2).forward(&[xs]);
    assert_eq!(last, [4.0, 5.0, 10.0, 11.0]);
}

#[test]
fn a_maximum_of_what_is_no_number_is_none_and_has_one_gradient() {
    let pool =
        Pool { input: 0, kind: PoolKind::Max, kernel: Kernel::square(2), stride: 1, padding: Padding::NONE };
    let case = Case { op: NodeOp::Pool(pool), inputs: vec![(2, 2, 1)], output: (1, 1, 1) };
    for at in 0..4 {
        let mut xs = vec![1.0, 2.0, 3.0, 0.0];
        xs[at] = Real::NAN;
        assert!(case.forward(&[xs.clone()])[0].is_nan());
        assert_eq!(case.backward(0, &[xs], &[5.0]).iter().sum::<Real>(), 5.0);
    }
}

#[test]
fn operators_with_parameters_are_none_of_these() {
    assert!(ImageOp::new(&NodeOp::Head { input: 0 }, &[(2, 2, 3)]).is_none());
    assert!(ImageOp::new(&NodeOp::Input, &[]).is_none());
}
