//! `cargo xtask bench-training`: training steps of edgeslim's engine against PyTorch's on the CPU.
//!
//! docs/training-bench.md says what is measured and how.

mod agreement;
mod cases;
mod loading;
mod measure;
mod processes;
mod report;
mod rounds;
mod scaling;
mod side;
mod widths;

use crate::venv::{self, Packages};
use anyhow::{Context, Result, bail};
use cases::{Net, Simd, What};
use measure::Bench;
use processes::{Ours, Start};
use rounds::Rounds;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TORCH_SIDE: &str = include_str!("torch_side.py");
const TORCH: Packages = Packages {
    names: &["torch"],
    check: "import torch",
    told: "PyTorch from PyPI; on Linux its packages take several gigabytes",
};

/// What is measured.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench-training --quick --net mb28\n  cargo xtask bench-training --json > bench.json"
)]
pub struct Options {
    /// Print one JSON array instead of the table.
    #[arg(long)]
    json: bool,
    /// Batches of 64, all threads, few rounds, no torch.compile: three minutes once all is installed.
    #[arg(long)]
    quick: bool,
    /// Time of narrower subnets over the widest's, ours alone: docs/training-widths.json and .png.
    #[arg(long, conflicts_with_all = ["json", "quick", "net", "what", "simd", "scaling"])]
    widths: bool,
    /// What 8 to 64 threads would do, from the tasks of steps on one thread, ours alone.
    #[arg(long, conflicts_with_all = ["json", "quick", "what", "simd", "threads"])]
    scaling: bool,
    /// Only these networks.
    #[arg(long, value_enum)]
    net: Vec<Net>,
    /// Only these.
    #[arg(long, value_enum)]
    what: Vec<What>,
    /// Threads of either side [default: 2 and 1].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Vec<u32>,
    /// Instruction sets of our engine [default: the best, and AVX2 where that is not it].
    #[arg(long, value_enum)]
    simd: Vec<Simd>,
    /// A Python environment with PyTorch; made where it is missing.
    #[arg(long, default_value = "target/bench-training/venv")]
    venv: PathBuf,
    /// When all is to be done, compilation and installation included.
    #[arg(long, default_value_t = 38)]
    minutes: u64,
}

/// Measures, prints, and leaves everything in `target/bench-training/details.json`.
///
/// # Errors
/// What cannot be set up, or where the two sides disagree about a step.
pub fn run(options: &Options) -> Result<()> {
    let started = Instant::now();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?;
    let dir = root.join("target/bench-training");
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let load = load();
    let ours = build(root)?;
    if options.scaling {
        return scaling::run(Ours::start(&ours, None, &dir)?, &all_or(&options.net), &dir);
    }
    if options.widths {
        let threads = options.threads.first().map_or(n_cores().min(2), |&n| n as usize);
        return widths::run(root, Ours::start(&ours, None, &dir)?, threads);
    }
    let script = dir.join("torch_side.py");
    std::fs::write(&script, TORCH_SIDE).with_context(|| script.display().to_string())?;
    let python = venv::python(&root.join(&options.venv), &TORCH)?;
    let threads = match &options.threads[..] {
        [] if options.quick => vec![n_cores().min(2)],
        [] => (1..=n_cores().min(2)).rev().collect(),
        given => given.iter().map(|&n| n as usize).collect(),
    };
    if let Some(load) = load.filter(|&load| load > 0.5) {
        eprintln!(
            "other programs keep {load:.1} cores busy; PyTorch suffers from that more than edgeslim does"
        );
    }
    let mut bench = Bench {
        start: Start { ours, python, script, dir: dir.clone() },
        nets: all_or(&options.net),
        whats: all_or(&options.what),
        threads,
        simds: options.simd.clone(),
        compares_avx2: false,
        is_quick: options.quick,
        rounds: if options.quick { Rounds { least: 3, most: 3 } } else { Rounds { least: 5, most: 21 } },
        deadline: started + Duration::from_secs(60 * options.minutes),
    };
    let results = bench.run(|line| if options.json { eprintln!("{line}") } else { println!("{line}") })?;
    if results.rows.is_empty() {
        bail!("nothing was measured: no case is of these networks and kinds");
    }
    let details = dir.join("details.json");
    std::fs::write(&details, serde_json::to_string_pretty(&results)?)
        .with_context(|| details.display().to_string())?;
    if options.json {
        let rows: Vec<_> = results.rows.iter().map(|detailed| &detailed.row).collect();
        println!("{}", json!(rows));
    } else {
        print!("\n{}", report::memory_lines(&results.memory));
        println!("\n{:.0} minutes; {}", started.elapsed().as_secs_f64() / 60.0, details.display());
    }
    Ok(())
}

/// Our side's binary.
fn build(root: &Path) -> Result<PathBuf> {
    let args = ["build", "--release", "--package", "edgeslim", "--example", "training_side"];
    let command = format!("cargo {}", args.join(" "));
    eprintln!("{command}");
    let status = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(root)
        .env("CARGO_TARGET_DIR", root.join("target"))
        .stdout(Stdio::null())
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("edgeslim's side is not built; `{command}` tells why");
    }
    Ok(root.join("target/release/examples/training_side"))
}

/// Programs that ran or waited for a core in the last minute, on average.
fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

fn n_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn all_or<T: clap::ValueEnum + Clone>(given: &[T]) -> Vec<T> {
    if given.is_empty() { T::value_variants().to_vec() } else { given.to_vec() }
}
