//! 3 × 3 convolutions in tiles beside their plain product, by our kernels on one thread.

use std::hint::black_box;

use cpu_kernels::Isa;
use cpu_kernels::gemm::{End, Product, Steps, packed_len};
use cpu_kernels::pool::Pool;
use cpu_kernels::winograd::{Images, Tile, Winograd};

use crate::best;

/// Channels in and out, and the side of the output.
const SHAPES: [(usize, usize, usize); 8] =
    [(16, 16, 32), (16, 32, 16), (32, 32, 16), (24, 40, 16), (8, 24, 32), (64, 64, 8), (64, 64, 16), (128, 128, 8)];

/// Prints a line for every shape: GFLOP/s of the plain product, and how often it takes the time of each tile.
pub fn print(isa: Isa) {
    println!("\n3 × 3 convolutions: GFLOP/s of the plain product, its time over that in tiles (and as the costs say)");
    println!("{:>20} {:>6} {:>14} {:>14}", "c_in × c_out @ side", "plain", "2 × 2", "4 × 4");
    for (c_in, c_out, side) in SHAPES {
        let plain = plain(isa, c_in, c_out, side);
        let tiles = [Tile::Two, Tile::Four].map(|tile| {
            let (seconds, cost) = in_tiles(isa, tile, c_in, c_out, side);
            let direct = 16 * 9 * c_in * c_out.div_ceil(isa.lanes());
            format!("{:.2} ({:.2})", plain / seconds, direct as f64 / cost as f64)
        });
        let flops = 2e-9 * (9 * c_in * c_out * side * side) as f64;
        let shape = format!("{c_in} × {c_out} @ {side}");
        println!("{shape:>20} {:>6.0} {:>14} {:>14}", flops / plain, tiles[0], tiles[1]);
    }
}

/// Seconds an image.
fn plain(isa: Isa, c_in: usize, c_out: usize, side: usize) -> f64 {
    let row = (side + 2) * c_in;
    let padded = vec![0.5; (side + 2) * row];
    let weights = vec![0.25; packed_len(isa, c_out, 9 * c_in)];
    let mut y = vec![0.0; side * side * c_out];
    let (a, c) = (Steps { pixel: c_in, line: row }, Steps::dense(side, c_out));
    let product = Product { plane: (side, side), n: c_out, k: 3 * c_in, taps: &[0, row, 2 * row], a, c };
    best(|| {
        product.run(isa, &padded, &weights, &mut y, End::Replace);
        black_box(&y);
    })
}

/// Seconds an image, and the cost that the choice of a tile goes by.
fn in_tiles(isa: Isa, tile: Tile, c_in: usize, c_out: usize, side: usize) -> (f64, usize) {
    let padded_row = (side + 2) * c_in;
    let padded_image = (side + 2) * padded_row;
    let g = Winograd { tile, c_in, c_out, h_out: side, w_out: side, padded_row, padded_image };
    let (n, images) = (g.images(), Images::dense((side, side), c_out));
    let padded = vec![0.5; n * padded_image];
    let mut weights = vec![0.0; g.packed_len(isa)];
    g.pack(isa, &mut Pool::new(1), |_, _, _| 0.25, &mut weights);
    let (mut scratch, mut y) = (vec![0.0; g.scratch_len()], vec![0.0; n * side * side * c_out]);
    let seconds = best(|| {
        g.run(isa, n, &padded, &weights, &mut scratch, &mut y, images, End::Replace);
        black_box(&y);
    });
    (seconds / n as f64, g.cost(isa))
}
