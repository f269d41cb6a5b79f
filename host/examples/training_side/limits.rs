//! What the processor can do at most: fused multiply-adds and memory traffic, measured.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Bytes of three arrays together: some lie in a shared cache of this size, some in no cache.
const TRIAD_MIB: [usize; 2] = [12, 384];
const FMA_ROUNDS: usize = 400_000;
/// Independent chains of multiply-adds: latency 4, two a cycle, and some slack.
const CHAINS: usize = 12;

/// GFLOP/s of every instruction set and GB/s of a triad (two reads and a write, counted as three), with `threads`.
pub fn measure(threads: usize) -> Value {
    let peaks: serde_json::Map<String, Value> = instruction_sets()
        .into_iter()
        .map(|(name, fma)| (name.to_owned(), json!(gflops(threads, fma))))
        .collect();
    let [cache, memory] = TRIAD_MIB.map(|mib| triad_gbs(threads, mib << 20));
    json!({ "gflops": peaks, "cache_gbs": cache, "memory_gbs": memory })
}

/// Runs [`FMA_ROUNDS`] and returns how many operations they are.
type Fma = fn() -> f64;

fn instruction_sets() -> Vec<(&'static str, Fma)> {
    let mut sets: Vec<(&'static str, Fma)> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the feature.
            sets.push(("avx512", || unsafe { x86::avx512() }));
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has both features.
            sets.push(("avx2", || unsafe { x86::avx2() }));
        }
    }
    sets.push((if cfg!(target_arch = "aarch64") { "neon" } else { "portable" }, four_lanes));
    sets
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{CHAINS, FMA_ROUNDS};
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx512f")]
    pub fn avx512() -> f64 {
        let (scale, shift) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(1.0)));
        let mut chains = [_mm512_setzero_ps(); CHAINS];
        for _ in 0..FMA_ROUNDS {
            for chain in &mut chains {
                *chain = _mm512_fmadd_ps(*chain, scale, shift);
            }
        }
        black_box(chains);
        (2 * 16 * CHAINS * FMA_ROUNDS) as f64
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2() -> f64 {
        let (scale, shift) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(1.0)));
        let mut chains = [_mm256_setzero_ps(); CHAINS];
        for _ in 0..FMA_ROUNDS {
            for chain in &mut chains {
                *chain = _mm256_fmadd_ps(*chain, scale, shift);
            }
        }
        black_box(chains);
        (2 * 8 * CHAINS * FMA_ROUNDS) as f64
    }
}

/// Four lanes as the compiler makes them of plain Rust: fused where the target always has that (aarch64).
fn four_lanes() -> f64 {
    let (scale, shift) = (black_box(0.5f32), black_box(1.0f32));
    let mut chains = [[0.0f32; 4]; CHAINS];
    for _ in 0..FMA_ROUNDS {
        for chain in &mut chains {
            *chain = chain.map(|lane| {
                if cfg!(target_arch = "aarch64") { lane.mul_add(scale, shift) } else { lane * scale + shift }
            });
        }
    }
    black_box(chains);
    (2 * 4 * CHAINS * FMA_ROUNDS) as f64
}

fn gflops(threads: usize, fma: Fma) -> f64 {
    let mut best = 0.0f64;
    for _ in 0..15 {
        let start = Instant::now();
        let flops: f64 = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(fma)).collect();
            fma() + others.into_iter().map(|t| t.join().expect("no chain panics")).sum::<f64>()
        });
        best = best.max(flops / start.elapsed().as_secs_f64() / 1e9);
    }
    best
}

/// `z = x + s·y` over arrays of `bytes` together; each thread has its own part and keeps it.
fn triad_gbs(threads: usize, bytes: usize) -> f64 {
    let n = bytes / 12 / threads;
    let passes = (64 << 20) / bytes + 1;
    let best = |_| {
        let (x, y, mut z) = (vec![1.0f32; n], vec![2.0f32; n], vec![0.0f32; n]);
        let (mut best, started) = (Duration::MAX, Instant::now());
        while started.elapsed() < Duration::from_millis(500) {
            let start = Instant::now();
            for _ in 0..passes {
                let (x, y) = (black_box(&x), black_box(&y));
                z.iter_mut().zip(x.iter().zip(y)).for_each(|(z, (x, y))| *z = x + 0.5 * y);
                black_box(&mut z);
            }
            best = best.min(start.elapsed());
        }
        (12 * n * passes) as f64 / best.as_secs_f64() / 1e9
    };
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..threads).map(|i| scope.spawn(move || best(i))).collect();
        runs.into_iter().map(|run| run.join().expect("no triad panics")).sum()
    })
}
