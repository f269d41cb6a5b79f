//! What a person types.

mod experiment;
mod network;
mod probe;

use clap::{Args, Parser, Subcommand, ValueEnum};
use edgeslim::board::RunFrom;
use edgeslim::engine::DeviceChoice;
pub use experiment::ExperimentArgs;
pub use network::{NetworkAction, Which};
pub use probe::ProbeArgs;
use std::path::PathBuf;

/// Fits a neural network onto a microcontroller by measurement.
#[derive(Debug, Parser)]
#[command(
    name = "edgeslim",
    version,
    after_help = "Examples:\n  edgeslim init runs/first && edgeslim run --run runs/first\n  \
                  edgeslim profile --layers layers.toml --board virtual-m4 --json\n  \
                  edgeslim search --run runs/first --latency 40% --latency 60%"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What every stage takes.
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every stage; they win over `edgeslim.toml`.
#[derive(Debug, Args)]
pub struct Common {
    /// The run's directory, with its edgeslim.toml.
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    pub run: PathBuf,
    /// A board by its name (`edgeslim boards`), or a board file.
    #[arg(long, global = true, value_name = "NAME|FILE")]
    pub board: Option<String>,
    /// Its debug probe.
    #[command(flatten)]
    pub probe: ProbeArgs,
    /// A cost table that was measured before; then nothing is profiled.
    #[arg(long, global = true, value_name = "FILE")]
    pub cost_table: Option<PathBuf>,
    /// `embedded`, or a directory of IDX files, CIFAR-10 binary files or image folders.
    #[arg(long, global = true, value_name = "PATH")]
    pub data: Option<String>,
    /// The seed of everything random.
    #[arg(long, global = true, value_name = "N")]
    pub seed: Option<u64>,
    /// Where networks are trained: a GPU if this build and machine have one, else the CPU.
    #[arg(long, global = true, value_enum, default_value_t = Device::Auto)]
    pub device: Device,
    /// Threads of the CPU engine; 0 is one a core. Results do not depend on it.
    #[arg(long, global = true, value_name = "N", default_value_t = 0)]
    pub threads: usize,
    /// Prints the result as JSON; progress goes to the error stream.
    #[arg(long, global = true)]
    pub json: bool,
}

/// A device on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// A GPU if there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The first NVIDIA GPU.
    Cuda,
    /// The same with activations and products in bf16: faster, less exact.
    CudaBf16,
}

impl From<Device> for DeviceChoice {
    fn from(device: Device) -> Self {
        match device {
            Device::Auto => DeviceChoice::Auto,
            Device::Cpu => DeviceChoice::Cpu,
            Device::Cuda => DeviceChoice::Cuda,
            Device::CudaBf16 => DeviceChoice::CudaBf16,
        }
    }
}

/// A stage, or something to look at.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Writes a commented edgeslim.toml into the run's directory.
    #[command(after_help = "Example:\n  edgeslim init runs/first")]
    Init {
        /// The directory; made if missing.
        dir: Option<PathBuf>,
    },
    /// Lists the boards, or shows one.
    #[command(
        after_help = "Examples:\n  edgeslim boards\n  edgeslim boards show virtual-m4\n  edgeslim boards build virtual-m4\n  \
                      edgeslim boards new --chip STM32L4R5ZITx"
    )]
    Boards {
        /// What to do with one.
        #[command(subcommand)]
        action: Option<BoardAction>,
    },
    /// Checks what a profile needs, a line each: toolchain, QEMU, debug probes and, with --board, that board.
    #[command(
        after_help = "Examples:\n  edgeslim doctor\n  edgeslim doctor --board virtual-m4\n  edgeslim doctor --board my-board.toml --json"
    )]
    Doctor,
    /// Lists the networks; shows, checks or draws one.
    #[command(
        after_help = "Examples:\n  edgeslim networks\n  edgeslim networks show resnet-8 > mine.toml\n  edgeslim networks check mine.toml\n  \
                      edgeslim networks draw mine.toml"
    )]
    Networks {
        /// What to do with one.
        #[command(subcommand)]
        action: Option<NetworkAction>,
    },
    /// Measures the network's layers on the board: cost-table.csv.
    #[command(
        after_help = "Examples:\n  edgeslim profile --run runs/first\n  edgeslim profile --time 60 --run runs/first\n  \
                            edgeslim profile --layers layers.toml --board virtual-m4 --json\n\nA list of layers:\n  \
                            [[layer]]\n  op = \"conv\"      # conv, depthwise, linear, avg_pool, max_pool, add,\n                   \
                            # grouped_conv, concat, select, scale, lookup\n  in_h = 28\n  in_w = 28\n  \
                            c_in = 16\n  c_out = 32\n  kernel = 3       # or [h, w]\n  stride = 1\n  padding = 1      # or [top, bottom, left, right]\n  \
                            groups = 1       # of a grouped_conv"
    )]
    Profile {
        /// Measures the layers of this TOML file instead of the network's.
        #[arg(long, value_name = "FILE")]
        layers: Option<PathBuf>,
        /// With `--layers`: writes the table to this CSV file instead of printing it.
        #[arg(long, value_name = "FILE", requires = "layers")]
        out: Option<PathBuf>,
        /// Stops after so many seconds, but not before the other layers can be interpolated. A later profile keeps
        /// that table; delete cost-table.csv to measure anew.
        #[arg(long, value_name = "SECONDS")]
        time: Option<f64>,
    },
    /// Trains a system of the slimmable family, the supernet of the search unless another is asked for: train.json.
    #[command(
        after_help = "Examples:\n  edgeslim train --run runs/first --threads 2\n  edgeslim train --system s-net --run runs/first\n\n\
                            Options of the systems are keys of [train] in edgeslim.toml: docs/systems.md."
    )]
    Train {
        /// `i-net`, `s-net`, `us-net` or `nonuniform`, instead of the file's.
        #[arg(long, value_name = "NAME")]
        system: Option<String>,
    },
    /// Chooses channels under budgets: search.json.
    #[command(
        after_help = "Examples:\n  edgeslim search --run runs/first\n  edgeslim search --run runs/first --latency 40% --ram 20kB\n  \
                            edgeslim search --run runs/first --strategy dp --strategy autoslim --latency 3.5M\n\n  \
                            edgeslim search --run runs/first --budget \"latency 40% and ram 20kB\"\n\nEach flag is a budget of its own: \
                            a network is found for each."
    )]
    Search(SearchArgs),
    /// Trains the chosen subnets from scratch.
    #[command(after_help = "Example:\n  edgeslim retrain --run runs/first")]
    Retrain,
    /// Makes the retrained subnets int8: a model file each.
    #[command(after_help = "Example:\n  edgeslim quantize --run runs/first")]
    Quantize,
    /// Writes a candidate's model to the board.
    #[command(after_help = "Example:\n  edgeslim deploy dp-latency-50% --run runs/first")]
    Deploy {
        /// The candidate's name in search.json.
        candidate: String,
    },
    /// Runs every candidate on the board and compares it with the host: verify.json.
    #[command(after_help = "Example:\n  edgeslim verify --run runs/first --json")]
    Verify,
    /// Draws the charts and the page from the records: report/.
    #[command(after_help = "Example:\n  edgeslim report --run runs/first")]
    Report,
    /// Makes experiments of the papers: a record and a figure each, and a page of all that are in the folder.
    #[command(
        after_help = "Examples:\n  edgeslim experiment switchable-bn --data /usr/share/datasets/fashion-mnist\n  \
                            edgeslim experiment all --out docs/experiments --data cifar-10-batches-bin --threads 2\n  \
                            edgeslim experiment all --smoke\n\n\
                            What was trained for one experiment of a folder is not trained again for another."
    )]
    Experiment(ExperimentArgs),
    /// All stages in order; what is unchanged is skipped.
    #[command(after_help = "Example:\n  edgeslim run --run runs/first")]
    Run,
}

/// What can be done with a board.
#[derive(Debug, Subcommand)]
pub enum BoardAction {
    /// Shows its file.
    Show {
        /// Its name, or a file.
        name: String,
    },
    /// Builds its firmware and prints the path; every stage that needs it does so too.
    Build {
        /// Its name, or a file.
        name: String,
    },
    /// Writes a first board file for a chip that probe-rs knows, at its clock after reset.
    #[command(
        after_help = "Examples:\n  edgeslim boards new --chip STM32L4R5ZITx\n  edgeslim boards new --chip nRF52840_xxAA --run-from flash \
                      --out my-board.toml\n  edgeslim profile --board my-board.toml --run runs/first"
    )]
    New {
        /// probe-rs's name of the chip.
        #[arg(long)]
        chip: String,
        /// Where the firmware runs: RAM where it fits there, so that nothing is flashed, else flash.
        #[arg(long, value_enum)]
        run_from: Option<Place>,
        /// The file; CHIP.toml in this directory.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Where firmware runs.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Place {
    /// RAM.
    Ram,
    /// Flash.
    Flash,
}

impl From<Place> for RunFrom {
    fn from(place: Place) -> RunFrom {
        match place {
            Place::Ram => RunFrom::Ram,
            Place::Flash => RunFrom::Flash,
        }
    }
}

/// Budgets and strategies; given ones replace those of `edgeslim.toml`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// A latency budget: `40%` of the full network, `3.5M` in the table's unit, `12ms` where the board has a clock.
    #[arg(long, value_name = "LIMIT")]
    pub latency: Vec<String>,
    /// A RAM budget: `20kB`, `50%`.
    #[arg(long, value_name = "LIMIT")]
    pub ram: Vec<String>,
    /// A flash budget: `60kB`, `50%`.
    #[arg(long, value_name = "LIMIT")]
    pub flash: Vec<String>,
    /// A budget of multiply-accumulates: `1.5M`, `50%`.
    #[arg(long, value_name = "LIMIT")]
    pub macs: Vec<String>,
    /// Budgets that must hold at once: `latency 40% and ram 20kB`.
    #[arg(long, value_name = "BUDGETS")]
    pub budget: Vec<String>,
    /// `dp`, `autoslim`, `uniform`, `random`, `flops`, `greedy-loss`, `greedy-kl`, `greedy-latency`, `evolution` or `macs-dp`.
    #[arg(long, value_name = "NAME")]
    pub strategy: Vec<String>,
}

impl SearchArgs {
    /// The budgets as `edgeslim.toml` writes them.
    pub fn budgets(&self) -> Vec<String> {
        let named =
            [("latency", &self.latency), ("ram", &self.ram), ("flash", &self.flash), ("macs", &self.macs)];
        let single = |(name, limits): (&'static str, &Vec<String>)| {
            limits.iter().map(|limit| format!("{name} {limit}")).collect::<Vec<_>>()
        };
        named.into_iter().flat_map(single).chain(self.budget.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use device_bench::{LayerSpec, Op, Padding};
    use edgeslim::profile::list;

    #[test]
    fn the_list_of_layers_in_the_help_is_read_and_names_every_operator() {
        let cli = Cli::command();
        let help = cli.find_subcommand("profile").unwrap().get_after_help().unwrap().to_string();
        let text = &help[help.find("[[layer]]").unwrap()..];
        let specs = list::parse(text, "layers.toml".as_ref()).unwrap();
        assert_eq!(specs, [LayerSpec::conv(28, 28, 16, 32, 3, 1, Padding::all(1))]);
        let words: Vec<&str> = text.split(|c: char| !c.is_alphabetic() && c != '_').collect();
        for name in Op::ALL.map(Op::name).into_iter().chain(["groups"]) {
            assert!(words.contains(&name), "{name} is missing in {text}");
        }
    }
}
