//! Products of `[m, k]` activations and `[k, n]` weights on one thread: our kernel and those of crates, GFLOP/s, the best
//! of many calls. Ours reads weights that were packed before, once a layer and step; the crates pack in every call.

mod tiles;
mod vectors;

use std::hint::black_box;
use std::time::{Duration, Instant};

use cpu_kernels::Isa;
use cpu_kernels::gemm::{End, Product, Steps, pack, packed_len};

/// Pixels and channels of pointwise layers.
const SHAPES: [(usize, usize, usize); 8] = [
    (3136, 16, 16),
    (3136, 16, 32),
    (3136, 32, 32),
    (3136, 32, 64),
    (784, 64, 64),
    (784, 64, 128),
    (196, 128, 128),
    (256, 512, 512),
];
const LIMIT: Duration = Duration::from_millis(300);

fn main() {
    let isa = Isa::detect();
    println!("{isa}, one thread, GFLOP/s; relative to ours in brackets");
    println!("{:>18} {:>8} {:>14} {:>14} {:>14}", "m × k × n", "ours", "gemm", "faer", "matrixmultiply");
    for (m, k, n) in SHAPES {
        let flops = 2e-9 * (m * k * n) as f64;
        let [ours, gemm, faer, matrixmultiply] =
            [ours(isa, m, k, n), gemm(m, k, n), faer(m, k, n), matrixmultiply(m, k, n)].map(|s| flops / s);
        let beside = |peer: f64| format!("{peer:.0} ({:.2})", peer / ours);
        let (shape, peers) = (format!("{m} × {k} × {n}"), [gemm, faer, matrixmultiply].map(beside));
        println!("{shape:>18} {ours:>8.0} {:>14} {:>14} {:>14}", peers[0], peers[1], peers[2]);
    }
    Isa::available().into_iter().for_each(tiles::print);
    vectors::print(isa);
}

/// Seconds of the fastest call.
fn best(mut call: impl FnMut()) -> f64 {
    let (mut best, started) = (f64::INFINITY, Instant::now());
    while started.elapsed() < LIMIT {
        let start = Instant::now();
        call();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// Activations, weights and room for the product.
fn operands(m: usize, k: usize, n: usize) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let values = |len: usize| (0..len).map(|i| (i % 17) as f32 / 17.0 - 0.5).collect();
    (values(m * k), values(k * n), vec![0.0; m * n])
}

fn ours(isa: Isa, m: usize, k: usize, n: usize) -> f64 {
    let (a, b, mut c) = operands(m, k, n);
    let mut packed = vec![0.0; packed_len(isa, n, k)];
    pack(isa, (0..k).map(|row| row * n), &(0..n).collect::<Vec<_>>(), &b, &mut packed);
    let (a_steps, c_steps) = (Steps::dense(m, k), Steps::dense(m, n));
    let product = Product { plane: (1, m), n, k, taps: &[0], a: a_steps, c: c_steps };
    best(|| {
        product.run(isa, &a, &packed, &mut c, End::Replace);
        black_box(&c);
    })
}

fn gemm(m: usize, k: usize, n: usize) -> f64 {
    let (a, b, mut c) = operands(m, k, n);
    best(|| {
        // SAFETY: the three are row-major of these sizes.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                c.as_mut_ptr(),
                1,
                n as isize,
                false,
                a.as_ptr(),
                1,
                k as isize,
                b.as_ptr(),
                1,
                n as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
        black_box(&c);
    })
}

fn faer(m: usize, k: usize, n: usize) -> f64 {
    let (a, b, mut c) = operands(m, k, n);
    best(|| {
        let (a, b) =
            (faer::MatRef::from_row_major_slice(&a, m, k), faer::MatRef::from_row_major_slice(&b, k, n));
        let c_out = faer::MatMut::from_row_major_slice_mut(&mut c, m, n);
        faer::linalg::matmul::matmul(c_out, faer::Accum::Replace, a, b, 1.0, faer::Par::Seq);
        black_box(&c);
    })
}

fn matrixmultiply(m: usize, k: usize, n: usize) -> f64 {
    let (a, b, mut c) = operands(m, k, n);
    best(|| {
        // SAFETY: the three are row-major of these sizes.
        unsafe {
            matrixmultiply::sgemm(
                m,
                k,
                n,
                1.0,
                a.as_ptr(),
                k as isize,
                1,
                b.as_ptr(),
                n as isize,
                1,
                0.0,
                c.as_mut_ptr(),
                n as isize,
                1,
            );
        }
        black_box(&c);
    })
}
