//! What a person types in this repository: `cargo xtask test`, `cargo xtask setup`, `cargo xtask firmware`.

mod cuda;
mod setup;
mod steps;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of the edgeslim repository.
#[derive(Parser)]
#[command(after_help = "Examples:\n  cargo xtask setup\n  cargo xtask test")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing (QEMU, thumb targets), or print the command that does.
    Setup,
    /// Format, clippy, all tests, the thumb check of device-bench, docs: what CI runs.
    Test,
}

fn main() -> Result<()> {
    match Cli::parse().task {
        Task::Setup => setup::everything(),
        Task::Test => {
            setup::everything()?;
            steps::test()
        }
    }
}
