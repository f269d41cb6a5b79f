//! Batch norm and ReLU by our trait of vectors and by the crate `pulp`, the same loop in both: GB/s on one thread.

use std::hint::black_box;

use cpu_kernels::norm::{Affine, expand, period};
use cpu_kernels::{Activation, Isa};
use pulp::{Arch, Simd, WithSimd};

use crate::best;

/// Channels, and values: in a core's first cache, and in its second.
const SHAPES: [(usize, usize); 3] = [(16, 4096), (24, 4096), (64, 131072)];

/// Prints a line for every shape.
pub fn print(isa: Isa) {
    println!("\nbatch norm and ReLU, {isa}, one thread, GB/s read and written; pulp relative to ours");
    for (c, len) in SHAPES {
        let p = period(isa, c);
        let (mut scale, mut shift) = (vec![0.0; p], vec![0.0; p]);
        expand(&(0..c).map(|k| 1.0 + k as f32 / 64.0).collect::<Vec<_>>(), &mut scale);
        expand(&(0..c).map(|k| k as f32 / 64.0 - 0.5).collect::<Vec<_>>(), &mut shift);
        let len = len / p * p;
        let z: Vec<f32> = (0..len).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect();
        let (mut y, mut peer) = (vec![0.0; len], vec![0.0; len]);
        let affine = Affine { scale: &scale, shift: &shift, activation: Activation::Relu };
        let ours = best(|| {
            affine.apply(isa, &z, &mut y);
            black_box(&y);
        });
        let arch = Arch::new();
        let pulp = best(|| {
            arch.dispatch(AffineRelu { z: &z, scale: &scale, shift: &shift, y: &mut peer });
            black_box(&peer);
        });
        assert_eq!(y, peer, "the two disagree");
        let gbs = |seconds: f64| 8e-9 * len as f64 / seconds;
        println!("{c:>4} channels, {len:>7} values {:>8.0} {:>8.0} ({:.2})", gbs(ours), gbs(pulp), ours / pulp);
    }
}

/// `y = max(z · scale + shift, 0)`, the coefficients repeated to a period of whole vectors.
struct AffineRelu<'a> {
    z: &'a [f32],
    scale: &'a [f32],
    shift: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for AffineRelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zero = simd.splat_f32s(0.0);
        let [(z, _), (scale, _), (shift, _)] = [self.z, self.scale, self.shift].map(S::as_simd_f32s);
        let (y, _) = S::as_mut_simd_f32s(self.y);
        for (y, z) in y.chunks_exact_mut(scale.len()).zip(z.chunks_exact(scale.len())) {
            for (((y, z), scale), shift) in y.iter_mut().zip(z).zip(scale).zip(shift) {
                *y = simd.max_f32s(simd.mul_add_f32s(*z, *scale, *shift), zero);
            }
        }
    }
}
