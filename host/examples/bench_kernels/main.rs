//! The int8 kernels beside CMSIS-NN's committed figures, on the virtual boards.

mod networks;

use anyhow::{Context, Result};
use device_bench::bench::Plan;
use device_bench::{LayerSpec, Op};
use edgeslim::board::{Link, ProbeOptions, load};
use edgeslim::firmware;

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or("virtual-m4".into());
    let column = std::env::args().nth(2).unwrap_or("m4_instr".into());
    let mut board = load(&name)?;
    if let Some(target) = std::env::args().nth(3) {
        board.target = target;
    }
    let elf = firmware::build(&board, &board.memory()?)?;
    let mut link = Link::open(&board, &elf, &ProbeOptions::default())?;
    let mut time = |spec: &LayerSpec| -> Result<u64> {
        let plan = Plan { n_warmups: 1, n_samples: 1, min_sample_ticks: 0 };
        Ok(link.time_layer_by(spec, plan, 7)?.samples[0])
    };
    for (name, layers) in networks::networks() {
        let mut total = 0;
        for layer in &layers {
            let t = time(layer)?;
            println!("   {layer}: {t} {:.3}", t as f64 / layer.macs() as f64);
            total += t;
        }
        let base = include_str!("../../../device-bench/baselines/networks.csv")
            .lines()
            .find(|l| l.starts_with(name))
            .and_then(|l| l.split(',').nth(2))
            .context("x")?;
        println!("{name}: {total} {:.3}", base.parse::<f64>()? / total as f64);
    }
    let text = include_str!("../../../device-bench/baselines/cmsis-nn-layers.csv");
    let mut lines = text.lines().filter(|l| !l.starts_with('#'));
    let header: Vec<&str> = lines.next().context("h")?.split(',').collect();
    let at = header.iter().position(|h| *h == column).context("col")?;
    for line in lines {
        let f: Vec<&str> = line.split(',').collect();
        let n = |i: usize| f[i].parse::<u16>().unwrap();
        let spec = match f[1] {
            "conv" => {
                networks::same(Op::Conv, (n(2), n(3)), (n(4), n(5)), (n(6) as u8, n(6) as u8), n(7) as u8)
            }
            "depthwise" => networks::same(
                Op::Depthwise,
                (n(2), n(3)),
                (n(4), n(5)),
                (n(6) as u8, n(6) as u8),
                n(7) as u8,
            ),
            "linear" => LayerSpec::linear(n(4), n(5)),
            "avg_pool" => LayerSpec::global_avg_pool(n(2), n(3), n(4)),
            _ => LayerSpec::add(n(2), n(3), n(4)),
        };
        let t = time(&spec)?;
        let base: f64 = f[at].parse()?;
        println!("{:24} {t:9} {:.3}/MAC  ratio {:.3}", f[0], t as f64 / spec.macs() as f64, base / t as f64);
    }
    Ok(())
}
