use candle_core::{Device, Var};
use device_bench::Padding;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::network::Kernel;

fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn flat(xs: &Tensor) -> Vec<f64> {
    xs.flatten_all().unwrap().to_vec1().unwrap()
}

/// Calls `tap(output pixel, row and column of the kernel, input pixel)` for every tap on the plane.
fn each_tap(
    window: &Window,
    (h, w): (usize, usize),
    mut tap: impl FnMut((usize, usize), (usize, usize), (usize, usize)),
) {
    let (h_out, w_out) = window.positions((h, w)).unwrap();
    let (top, left) = (usize::from(window.padding.top), usize::from(window.padding.left));
    for (oy, ox) in (0..h_out).flat_map(|y| (0..w_out).map(move |x| (y, x))) {
        for (ky, kx) in (0..window.kernel.h).flat_map(|y| (0..window.kernel.w).map(move |x| (y, x))) {
            let (y, x) = (oy * window.stride + ky, ox * window.stride + kx);
            if (top..top + h).contains(&y) && (left..left + w).contains(&x) {
                tap((oy, ox), (ky, kx), (y - top, x - left));
            }
        }
    }
}

/// A grouped convolution by its definition.
fn conv_by_definition(xs: &Tensor, weight: &Tensor, window: &Window, groups: usize) -> Vec<f64> {
    let ((n, h, w, c_in), (c_out, c_group, kh, kw)) = (xs.dims4().unwrap(), weight.dims4().unwrap());
    let (h_out, w_out) = window.positions((h, w)).unwrap();
    let (xs, weight) = (flat(xs), flat(weight));
    let mut ys = vec![0.0; n * h_out * w_out * c_out];
    each_tap(window, (h, w), |(oy, ox), (ky, kx), (y, x)| {
        for image in 0..n {
            for o in 0..c_out {
                for i in 0..c_group {
                    let channel = o / (c_out / groups) * c_group + i;
                    let x = xs[((image * h + y) * w + x) * c_in + channel];
                    ys[((image * h_out + oy) * w_out + ox) * c_out + o] +=
                        x * weight[((o * c_group + i) * kh + ky) * kw + kx];
                }
            }
        }
    });
    ys
}

fn pool_by_definition(xs: &Tensor, kind: PoolKind, window: &Window) -> Vec<f64> {
    let (n, h, w, c) = xs.dims4().unwrap();
    let (h_out, w_out) = window.positions((h, w)).unwrap();
    let xs = flat(xs);
    let mut seen: Vec<Vec<f64>> = vec![Vec::new(); n * h_out * w_out * c];
    each_tap(window, (h, w), |(oy, ox), _, (y, x)| {
        for (image, k) in (0..n).flat_map(|image| (0..c).map(move |k| (image, k))) {
            let out = ((image * h_out + oy) * w_out + ox) * c + k;
            seen[out].push(xs[((image * h + y) * w + x) * c + k]);
        }
    });
    let finish = |values: &Vec<f64>| match kind {
        PoolKind::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        PoolKind::Average => values.iter().sum::<f64>() / values.len() as f64,
    };
    seen.iter().map(finish).collect()
}

fn close(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
}

/// The whole gradient of `run` for each input, against finite differences element by element.
fn check_gradients(inputs: &[Tensor], run: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<()> {
    let vars: Vec<Var> = inputs.iter().map(Var::from_tensor).collect::<Result<_>>()?;
    let loss = |inputs: &[Tensor]| -> Result<Tensor> {
        let ys = run(inputs)?;
        let direction = noise(ys.dims(), 99);
        (ys * direction)?.sum_all()
    };
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let grads = loss(&tensors)?.backward()?;
    for (idx, var) in vars.iter().enumerate() {
        let grad = flat(grads.get(var).expect("every input is read"));
        let values = flat(&inputs[idx]);
        for (i, grad) in grad.iter().enumerate() {
            let at = |delta: f64| -> Result<f64> {
                let mut moved = inputs.to_vec();
                let mut values = values.clone();
                values[i] += delta;
                moved[idx] = Tensor::from_vec(values, inputs[idx].shape(), &Device::Cpu)?;
                loss(&moved)?.to_scalar()
            };
            let difference = (at(1e-5)? - at(-1e-5)?) / 2e-5;
            assert!((difference - grad).abs() < 1e-7, "input {idx}, element {i}: {difference} {grad}");
        }
    }
    Ok(())
}

prop_compose! {
    /// A plane, and a window that fits it: any padding, strides to 3.
    fn plane_and_window()(
        (h, w) in (1..8usize, 1..7usize),
        (kh, kw, stride) in (1..5usize, 1..4usize, 1..4usize),
        pads in prop::array::uniform4(0..8usize),
    ) -> ((usize, usize), Window) {
        let kernel = Kernel { h: kh.min(h), w: kw.min(w) };
        let pad = |salt: usize, side: usize| (pads[salt] % side) as u8;
        let padding = Padding {
            top: pad(0, kernel.h),
            bottom: pad(1, kernel.h),
            left: pad(2, kernel.w),
            right: pad(3, kernel.w),
        };
        ((h, w), Window { kernel, stride, padding })
    }
}

proptest! {
    #[test]
    fn convolutions_equal_their_definition(
        ((h, w), window) in plane_and_window(),
        (groups, c_in, c_out) in (1..4usize, 1..3usize, 1..4usize),
    ) {
        let xs = noise(&[2, h, w, groups * c_in], 1);
        let Kernel { h: kh, w: kw } = window.kernel;
        let weight = noise(&[groups * c_out, c_in, kh, kw], 2);
        let ys = conv(&xs, &weight, &window, groups).unwrap();
        prop_assert!(close(&flat(&ys), &conv_by_definition(&xs, &weight, &window, groups)));
        let c = groups * c_in;
        let weight = noise(&[c, 1, kh, kw], 3);
        let ys = depthwise(&xs, &weight, &window).unwrap();
        prop_assert!(close(&flat(&ys), &conv_by_definition(&xs, &weight, &window, c)));
    }

    #[test]
    fn pools_equal_their_definition(((h, w), window) in plane_and_window(), c in 1..4usize) {
        let xs = noise(&[2, h, w, c], 1);
        for kind in [PoolKind::Max, PoolKind::Average] {
            let ys = pool(&xs, kind, &window).unwrap();
            prop_assert!(close(&flat(&ys), &pool_by_definition(&xs, kind, &window)), "{kind:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn gradients_of_windows_equal_finite_differences(((h, w), window) in plane_and_window(), groups in 1..3usize) {
        let Kernel { h: kh, w: kw } = window.kernel;
        let xs = noise(&[1, h, w, 2], 5);
        let dense = noise(&[2, 2 / groups, kh, kw], 6);
        check_gradients(&[xs.clone(), dense], |x| conv(&x[0], &x[1], &window, groups)).unwrap();
        let single = noise(&[2, 1, kh, kw], 7);
        check_gradients(&[xs.clone(), single], |x| depthwise(&x[0], &x[1], &window)).unwrap();
        for kind in [PoolKind::Max, PoolKind::Average] {
            check_gradients(std::slice::from_ref(&xs), |x| pool(&x[0], kind, &window)).unwrap();
        }
    }
}

#[test]
fn gradients_of_the_other_operators_equal_finite_differences() -> Result<()> {
    let xs = noise(&[2, 3, 2, 6], 8);
    let wide = (noise(&[2, 3, 2, 6], 9) * 8.0)?;
    for activation in Activation::ALL {
        check_gradients(std::slice::from_ref(&wide), |x| activate(&x[0], activation))?;
    }
    check_gradients(std::slice::from_ref(&xs), |x| shuffle(&x[0], 3))?;
    check_gradients(std::slice::from_ref(&xs), |x| global_average(&x[0], DType::F64))?;
    let gate = noise(&[2, 1, 1, 6], 10);
    check_gradients(&[xs.clone(), gate], |x| x[0].broadcast_mul(&x[1]))?;
    check_gradients(&[xs.clone(), noise(&[2, 3, 2, 2], 11)], |x| Tensor::cat(x, 3))
}

#[test]
fn activations_equal_their_scalar_form_and_are_flat_at_their_corners() -> Result<()> {
    let values = [-7.0f32, -3.0, -1.5, 0.0, 0.5, 3.0, 6.0, 9.0];
    let xs = Var::new(&values, &Device::Cpu)?;
    for activation in Activation::ALL {
        let ys = activate(&xs, activation)?.to_vec1::<f32>()?;
        for (y, x) in ys.iter().zip(values) {
            assert!((y - activation.apply(x)).abs() < 1e-6, "{activation:?} {x}: {y}");
        }
    }
    for (activation, corners) in [(Activation::Relu, &[3][..]), (Activation::Relu6, &[3, 6])] {
        let grads = activate(&xs, activation)?.sum_all()?.backward()?;
        let grad = grads.get(&xs).expect("a gradient").to_vec1::<f32>()?;
        assert!(corners.iter().all(|&i| grad[i] == 0.0), "{activation:?}: {grad:?}");
    }
    Ok(())
}

#[test]
fn a_shuffle_interleaves_the_groups() -> Result<()> {
    let xs = Tensor::arange(0f64, 6.0, &Device::Cpu)?.reshape((1, 1, 1, 6))?;
    assert_eq!(flat(&shuffle(&xs, 2)?), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    Ok(())
}

#[test]
fn the_gradient_of_a_maximum_goes_to_the_first_of_equals() -> Result<()> {
    let xs = Var::from_tensor(&Tensor::ones((1, 2, 2, 1), DType::F64, &Device::Cpu)?)?;
    let window = Window { kernel: Kernel::square(2), stride: 1, padding: Padding::NONE };
    let grads = pool(&xs, PoolKind::Max, &window)?.sum_all()?.backward()?;
    assert_eq!(flat(grads.get(&xs).expect("a gradient")), [1.0, 0.0, 0.0, 0.0]);
    Ok(())
}
