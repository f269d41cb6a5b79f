//! The int8 kernels beside CMSIS-NN's committed figures, on the virtual boards: `cargo xtask bench-kernels`.

mod baseline;
mod figure;
mod measure;
mod networks;
mod size;

use anyhow::{Context, Result};
use baseline::Baseline;
use clap::{Parser, ValueEnum};
use measure::{Board, Figures};
use serde::Serialize;
use std::path::PathBuf;
use virtual_board::cycles::{self, Model};

#[derive(Parser)]
struct Arguments {
    /// Print one JSON array instead of the table.
    #[arg(long)]
    json: bool,
    /// Only these cores.
    #[arg(long, value_enum)]
    core: Vec<Core>,
    /// Draw the Cortex-M4's instructions a multiply-accumulate.
    #[arg(long)]
    figure: Option<PathBuf>,
    /// Print instructions and the core's modelled cycles (0 without a model) of each window of a file of the plugin's, and measure
    /// nothing.
    #[arg(long, requires = "core", conflicts_with_all = ["json", "figure"])]
    counts: Option<PathBuf>,
    /// Print the layers as `bench.c` of the baselines wants them, behind their names, and measure nothing.
    #[arg(long, conflicts_with_all = ["json", "core", "figure", "counts"])]
    shapes: bool,
}

/// A core with figures of CMSIS-NN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Core {
    /// Cortex-M4.
    M4,
    /// Cortex-M7.
    M7,
    /// Cortex-M33.
    M33,
    /// Cortex-M3.
    M3,
    /// Cortex-M0 and M0+.
    M0,
}

impl Core {
    /// A virtual board, and the target to build for. The micro:bit has too little memory: a Cortex-M3 runs Armv6-M too.
    fn board(self) -> (&'static str, &'static str) {
        match self {
            Core::M4 => ("virtual-m4-modelled", "thumbv7em-none-eabihf"),
            Core::M7 => ("virtual-m7-modelled", "thumbv7em-none-eabihf"),
            Core::M33 => ("virtual-m33-modelled", "thumbv8m.main-none-eabihf"),
            Core::M3 => ("virtual-m3-modelled", "thumbv7m-none-eabi"),
            Core::M0 => ("virtual-m3", "thumbv6m-none-eabi"),
        }
    }

    /// What its cycles are priced by; nothing where another core runs its instructions.
    fn model(self) -> Option<Model> {
        match self {
            Core::M4 => Some(Model::M4),
            Core::M7 => Some(Model::M7),
            Core::M33 => Some(Model::M33),
            Core::M3 => Some(Model::M3),
            Core::M0 => None,
        }
    }

    fn column(self, unit: Unit) -> String {
        let core = format!("{self:?}").to_lowercase();
        match unit {
            Unit::Instructions => format!("{core}_instr"),
            Unit::ModelledCycles => format!("{core}_model_cycles"),
        }
    }

    /// What the ratio of a network, and of a layer, is to be at least.
    fn goals(self, unit: Unit) -> (Option<f64>, Option<f64>) {
        match (self, unit) {
            (Core::M4 | Core::M33, Unit::Instructions) => (Some(2.4), Some(1.3)),
            (Core::M4 | Core::M33, Unit::ModelledCycles) => (Some(2.0), None),
            (Core::M7, Unit::Instructions) => (None, Some(1.1)),
            (Core::M7, Unit::ModelledCycles) => (Some(1.5), None),
            (Core::M3 | Core::M0, Unit::Instructions) => (Some(1.3), Some(1.0)),
            (Core::M3 | Core::M0, Unit::ModelledCycles) => (None, None),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Unit {
    Instructions,
    ModelledCycles,
}

/// A line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    core: Core,
    unit: Unit,
    what: &'static str,
    ours: u64,
    cmsis_nn: u64,
    ratio: f64,
    #[serde(skip)]
    macs: u64,
    #[serde(skip)]
    goal: Option<f64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let (Some(path), [core]) = (&arguments.counts, arguments.core.as_slice()) {
        let windows = cycles::parse(&std::fs::read_to_string(path)?).context("the file is cut or damaged")?;
        for window in &windows {
            let price = |model: Model| model.cycles(window).context("the file has what is no instruction");
            let modelled = core.model().map_or(Ok(0), price)?;
            println!("{},{modelled}", cycles::instructions(window));
        }
        return Ok(());
    }
    if arguments.shapes {
        return print_shapes();
    }
    let cores = match arguments.core.as_slice() {
        [] => Core::value_variants(),
        cores => cores,
    };
    let mut rows = Vec::new();
    for &core in cores {
        rows.extend(compare(core)?);
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print(&rows);
    }
    if let Some(path) = arguments.figure {
        figure::draw(&figure::series(&rows)?, &path)?;
    }
    Ok(())
}

/// Every network and layer that has a figure of CMSIS-NN on the core.
fn compare(core: Core) -> Result<Vec<Row>> {
    let mut board = Board::open(core).with_context(|| format!("{core:?}"))?;
    let size::Code { compared, others } = board.code()?;
    let goal = if core == Core::M4 { format!(" of at most {}", size::MOST) } else { String::new() };
    eprintln!(
        "{core:?}: the kernels' code takes {compared} bytes{goal}, and that of other operators {others}"
    );
    let mut rows = Vec::new();
    // The autoencoder has no goal.
    let has_goal = |name: &str| !name.starts_with("ad_");
    for (name, layers) in networks::networks() {
        let layers = layers.iter().map(|spec| board.time(spec)).collect::<Result<Vec<_>>>()?;
        let macs = Baseline::networks().figure(name, "macs").unwrap_or(0);
        let sum: Figures = layers.into_iter().sum();
        rows.extend(against(core, name, &Baseline::networks(), (sum, macs), |unit| {
            core.goals(unit).0.filter(|_| has_goal(name))
        }));
    }
    let baseline = Baseline::layers();
    for name in baseline.names() {
        let spec = baseline.spec(name)?;
        let figures = board.time(&spec)?;
        rows.extend(against(core, name, &baseline, (figures, spec.macs()), |unit| core.goals(unit).1));
    }
    Ok(rows)
}

/// The lines of one network or layer: one for each unit that both sides have.
fn against(
    core: Core,
    what: &'static str,
    baseline: &Baseline,
    (ours, macs): (Figures, u64),
    goal: impl Fn(Unit) -> Option<f64>,
) -> impl Iterator<Item = Row> {
    let ours = [(Unit::Instructions, Some(ours.instructions)), (Unit::ModelledCycles, ours.modelled_cycles)];
    let row = |(unit, ours): (Unit, Option<u64>)| {
        let (ours, cmsis_nn) = (ours?, baseline.figure(what, &core.column(unit))?);
        let ratio = cmsis_nn as f64 / ours as f64;
        Some(Row { core, unit, what, ours, cmsis_nn, ratio, macs, goal: goal(unit) })
    };
    ours.map(row).into_iter().flatten()
}

/// `NAME {OP, h, w, c_in, c_out, kh, kw, stride, top, left, out_h, out_w},`; those of networks as `NETWORK/LAYER`.
fn print_shapes() -> Result<()> {
    let of_networks = networks::networks().into_iter().flat_map(|(name, layers)| {
        layers.into_iter().enumerate().map(move |(i, spec)| (format!("{name}/{i}"), spec))
    });
    let baseline = Baseline::layers();
    let of_list = baseline.names().map(|name| Ok((name.to_owned(), baseline.spec(name)?)));
    for (name, spec) in of_networks.map(Ok).chain(of_list).collect::<Result<Vec<_>>>()? {
        let (op, padding) = (spec.op.name().to_uppercase(), spec.padding);
        let numbers = [
            spec.in_h.into(),
            spec.in_w.into(),
            spec.c_in.into(),
            spec.c_out.into(),
            u32::from(spec.kernel_h),
            spec.kernel_w.into(),
            spec.stride.into(),
            padding.top.into(),
            padding.left.into(),
            spec.out_h().into(),
            spec.out_w().into(),
        ];
        println!("{name} {{{op}, {}}},", numbers.map(|n| n.to_string()).join(", "));
    }
    Ok(())
}

fn print(rows: &[Row]) {
    let models = Model::ALL.map(Model::name).join(", ");
    println!("emulated: instructions, and cycles by the models {models}; never milliseconds");
    println!(
        "{:5}{:16}{:26}{:>10}{:>10}{:>7}{:>6}  a MAC",
        "core", "unit", "what", "ours", "CMSIS-NN", "ratio", "goal"
    );
    for row in rows {
        let unit = match row.unit {
            Unit::Instructions => "instructions",
            Unit::ModelledCycles => "modelled cycles",
        };
        let goal = row.goal.map_or("–".to_owned(), |goal| format!("{goal:.1}"));
        let missed = if row.goal.is_some_and(|goal| row.ratio < goal) { "  missed" } else { "" };
        println!(
            "{:5}{unit:16}{:26}{:>10}{:>10}{:>7.3}{goal:>6}  {:.3}{missed}",
            format!("{:?}", row.core).to_lowercase(),
            row.what,
            row.ours,
            row.cmsis_nn,
            row.ratio,
            row.ours as f64 / row.macs.max(1) as f64,
        );
    }
}
