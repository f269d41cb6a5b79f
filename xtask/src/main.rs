//! What a person types in this repository: `cargo xtask demo`, `cargo xtask test` and others.

mod bench_kernels;
mod bench_training;
mod cmsis_nn;
mod compare_runtimes;
mod cuda;
mod demo;
mod firmware;
mod fuzz;
mod miri;
mod setup;
mod steps;
mod tables;
mod test_cuda;
mod test_neon;
mod venv;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of the edgeslim repository.
#[derive(Parser)]
#[command(after_help = "Examples:\n  cargo xtask demo\n  cargo xtask test")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compare the int8 kernels with CMSIS-NN's committed figures, in instructions and modelled cycles of the virtual boards.
    BenchKernels(bench_kernels::Options),
    /// Compare the speed of training with PyTorch's on the CPU: installs PyTorch, takes 50 minutes at most.
    BenchTraining(bench_training::Options),
    /// Build CMSIS-NN, count it as `bench-kernels` counts, and write its figures: device-bench/baselines/networks.csv.
    CmsisNn,
    /// Compare the int8 kernels, byte by byte, with LiteRT and onnxruntime: installs both from PyPI.
    CompareRuntimes(compare_runtimes::Options),
    /// Install what is missing, then run the whole pipeline on an emulated Cortex-M4: runs/demo.
    Demo {
        /// Start anew instead of skipping what an earlier demo did.
        #[arg(long)]
        fresh: bool,
    },
    /// Feed every parser mutated files and frames: 10^7 a target take an hour.
    Fuzz(fuzz::Options),
    /// Run the tests of the CPU engine's portable kernels and thread pool, and of the int8 kernels, under Miri: installs a nightly Rust, takes
    /// minutes; skipped, with the reason, where there is none.
    Miri,
    /// Install what is missing (QEMU, Rust targets), or print the command that does.
    Setup,
    /// Kill a small run, and let a board fail, at many random moments; the next one must end with the same bytes.
    Torture {
        /// How many runs are killed.
        #[arg(long, default_value_t = 200)]
        kills: usize,
        /// How many profiles have a board or probe that fails.
        #[arg(long, default_value_t = 50)]
        faults: usize,
    },
    /// Measure the committed cost tables of the virtual boards anew, in both units: cost-tables/virtual.
    Tables,
    /// Format, clippy (of the firmware too), all tests (of the CPU engine in f64 too), docs: what CI runs.
    Test,
    /// Compare training on a GPU with the CPU; skipped, with the reason, where there is none.
    TestCuda,
    /// Run the tests of the CPU engine's NEON kernels on an emulated aarch64: installs QEMU's user mode, takes minutes.
    TestNeon,
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::BenchKernels(options) => {
            setup::everything()?;
            bench_kernels::run(&options)
        }
        Task::BenchTraining(options) => bench_training::run(&options),
        Task::CmsisNn => {
            setup::everything()?;
            cmsis_nn::run()
        }
        Task::CompareRuntimes(options) => compare_runtimes::run(&options),
        Task::Demo { fresh } => {
            setup::everything()?;
            demo::demo(if fresh { demo::Start::Fresh } else { demo::Start::Resume })
        }
        Task::Fuzz(options) => fuzz::fuzz(&options),
        Task::Miri => miri::miri(),
        Task::Setup => setup::everything(),
        Task::Torture { kills, faults } => {
            setup::everything()?;
            steps::torture(kills, faults)
        }
        Task::Tables => {
            setup::everything()?;
            tables::tables()
        }
        Task::Test => {
            setup::everything()?;
            steps::test()
        }
        Task::TestCuda => test_cuda::test_cuda(),
        Task::TestNeon => test_neon::test_neon(),
    }
}
