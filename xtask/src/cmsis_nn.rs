//! `cargo xtask cmsis-nn`: builds CMSIS-NN, counts it on QEMU with the plugin of `bench-kernels`, and writes
//! `device-bench/baselines/networks.csv` and the modelled cycles of `cmsis-nn-layers.csv`. Only figures are kept.

use crate::bench_kernels::{example, plugin, root};
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const REPOSITORY: &str = "https://github.com/ARM-software/CMSIS-NN";
/// Of July 2026.
const COMMIT: &str = "99f736a63036613032f9b70de36b493bcd7802d4";
/// How far a committed figure of a layer may be off, and a call's overhead, which the committed figures have too.
const TOLERANCE: f64 = 0.005;
const CALL: u64 = 130;

/// A core, and what CMSIS-NN is fastest with on it.
struct Target {
    /// Column of the tables.
    column: &'static str,
    machine: &'static str,
    code: &'static str,
    ram: &'static str,
    flags: &'static [&'static str],
}

const REQUANTIZE: &str = "-DCMSIS_NN_USE_REQUANTIZE_INLINE_ASSEMBLY";
const RESTRICT: &str = "-DOPTIONAL_RESTRICT_KEYWORD=__restrict";

const TARGETS: [Target; 5] = [
    Target {
        column: "m4",
        machine: "mps2-an386",
        code: "0",
        ram: "0x20000000",
        flags: &["-Ofast", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard", REQUANTIZE, RESTRICT],
    },
    Target {
        column: "m7",
        machine: "mps2-an500",
        code: "0",
        ram: "0x20000000",
        flags: &["-Ofast", "-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard", REQUANTIZE, RESTRICT],
    },
    Target {
        column: "m33",
        machine: "mps2-an505",
        code: "0x10000000",
        ram: "0x38000000",
        flags: &["-Ofast", "-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", REQUANTIZE, RESTRICT],
    },
    Target {
        column: "m3",
        machine: "mps2-an385",
        code: "0",
        ram: "0x20000000",
        flags: &["-Ofast", "-mcpu=cortex-m3", REQUANTIZE, RESTRICT],
    },
    // A Cortex-M3 runs Armv6-M too.
    Target {
        column: "m0",
        machine: "mps2-an385",
        code: "0",
        ram: "0x20000000",
        flags: &["-O3", "-mcpu=cortex-m0"],
    },
];

/// Instructions and, by the core's model, cycles of a call.
type Figures = (u64, u64);

/// Builds, counts, compares the layers with the committed figures, and writes the networks'.
///
/// # Errors
/// If a tool is missing, the repository is not there, something does not build or run, or a layer's figure is not the
/// committed one.
pub fn run() -> Result<()> {
    let dir = root().join("target/cmsis-nn");
    fs::create_dir_all(&dir)?;
    checkout(&dir.join("src"))?;
    let shapes = output(example()?.arg("--shapes"))?;
    let names: Vec<&str> =
        shapes.lines().filter_map(|line| line.split_once(' ')).map(|(name, _)| name).collect();
    let rows = shapes.lines().filter_map(|line| line.split_once(' ')).map(|(_, row)| format!("{row}\n"));
    fs::write(dir.join("layers.h"), rows.collect::<String>())?;
    let plugin = plugin()?;
    let mut columns = Vec::new();
    for target in &TARGETS {
        println!("== CMSIS-NN for {}: {}", target.column, target.flags.join(" "));
        let elf = build(&dir, target)?;
        let figures = count(&dir, target, &elf, &plugin)?;
        ensure!(figures.len() == names.len(), "{} layers were counted of {}", figures.len(), names.len());
        check(target, &names, &figures)?;
        columns.push(figures);
    }
    for (file, table) in [("networks.csv", networks as Table), ("cmsis-nn-layers.csv", layers)] {
        let path = root().join("device-bench/baselines").join(file);
        fs::write(&path, table(&fs::read_to_string(&path)?, &names, &columns)?)?;
        println!("written: {}", path.display());
    }
    Ok(())
}

fn checkout(dir: &Path) -> Result<()> {
    if !dir.join(".git").exists() {
        output(Command::new("git").args(["clone", "--quiet", REPOSITORY]).arg(dir))?;
    }
    output(Command::new("git").arg("-C").arg(dir).args(["checkout", "--quiet", COMMIT]))?;
    Ok(())
}

/// What a command prints.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| {
        format!(
            "{program} does not start; on Debian: apt install gcc-arm-none-eabi libnewlib-arm-none-eabi git"
        )
    })?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The kernels of int8 and what they share, with the bench.
fn build(dir: &Path, target: &Target) -> Result<PathBuf> {
    let (source, bench) = (dir.join("src"), root().join("device-bench/baselines/cmsis-nn"));
    let objects = dir.join(target.column);
    fs::create_dir_all(&objects)?;
    let mut files = vec![bench.join("bench.c")];
    find(&source.join("Source"), &mut files)?;
    let gcc = || {
        let mut gcc = Command::new("arm-none-eabi-gcc");
        gcc.arg("-mthumb").args(target.flags).args(["-ffunction-sections", "-fdata-sections"]);
        gcc.arg("-I").arg(source.join("Include")).arg("-I").arg(dir);
        gcc
    };
    let mut linked = Vec::new();
    for file in files {
        let object = objects.join(file.with_extension("o").file_name().context("a file has a name")?);
        output(gcc().arg("-c").arg(&file).arg("-o").arg(&object))?;
        linked.push(object);
    }
    let elf = objects.join("bench.elf");
    let mut link = gcc();
    link.args(["-nostartfiles", "-specs=nano.specs", "-specs=nosys.specs", "-Wl,--gc-sections"]);
    link.arg(format!("-Wl,--defsym=CODE={},--defsym=RAM={}", target.code, target.ram));
    link.arg("-T").arg(bench.join("link.ld")).args(&linked).arg("-o").arg(&elf);
    output(&mut link)?;
    Ok(elf)
}

fn find(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            find(&path, files)?;
        } else if name.ends_with(".c") && is_int8(&path, &name) {
            files.push(path);
        }
    }
    Ok(())
}

/// Kernels of int8, and what they call.
fn is_int8(path: &Path, name: &str) -> bool {
    let is_shared = path.to_string_lossy().contains("NNSupport");
    let is_other = ["_f32", "_f16", "lstm", "svdf"].iter().any(|other| name.contains(other));
    (name.contains("_s8") || is_shared) && !is_other
}

fn count(dir: &Path, target: &Target, elf: &Path, plugin: &Path) -> Result<Vec<Figures>> {
    let counts = dir.join(target.column).join("counts");
    let _ = fs::remove_file(&counts);
    let mut qemu = Command::new("qemu-system-arm");
    qemu.args([
        "-M",
        target.machine,
        "-icount",
        "shift=7",
        "-nodefaults",
        "-display",
        "none",
        "-serial",
        "none",
    ]);
    qemu.args(["-monitor", "none", "-semihosting", "-kernel"]).arg(elf);
    qemu.arg("-plugin").arg(format!("{},out={}", plugin.display(), counts.display()));
    output(&mut qemu)?;
    let priced = output(example()?.args(["--core", target.column, "--counts"]).arg(&counts))?;
    let figures = priced.lines().map(|line| {
        let (instructions, cycles) = line.split_once(',')?;
        Some((instructions.parse().ok()?, cycles.parse().ok()?))
    });
    figures.collect::<Option<Vec<_>>>().context("the example printed no figures")
}

/// Whether the layers take what `cmsis-nn-layers.csv` says.
fn check(target: &Target, names: &[&str], figures: &[Figures]) -> Result<()> {
    let text = fs::read_to_string(root().join("device-bench/baselines/cmsis-nn-layers.csv"))?;
    let mut lines =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().context("the table is empty")?;
    let column = format!("{}_instr", target.column);
    let at = header.iter().position(|&name| name == column).with_context(|| format!("no column {column}"))?;
    let mut worst = (0.0, "");
    for line in lines {
        let (name, committed) = (line[0], line[at].parse::<u64>()?);
        let i = names.iter().position(|&n| n == name).with_context(|| format!("{name} was not counted"))?;
        let found = figures[i].0;
        let off = found.abs_diff(committed).saturating_sub(CALL) as f64 / committed as f64;
        if off > worst.0 {
            worst = (off, name);
        }
        if off > TOLERANCE {
            println!("{name}: {found} instructions, {committed} are committed ({:.2} %)", 100.0 * off);
        }
    }
    println!("largest difference to the committed layers: {:.2} % ({})", 100.0 * worst.0, worst.1);
    Ok(())
}

/// A table's text with new figures in it, from its text before, names and each core's figures of them.
type Table = fn(&str, &[&str], &[Vec<Figures>]) -> Result<String>;

/// The layers' table with the modelled cycles that are not there already: the Cortex-M4's are older than the model here.
fn layers(before: &str, names: &[&str], columns: &[Vec<Figures>]) -> Result<String> {
    let mut text = String::new();
    for line in before.lines() {
        // Columns that were added before are taken off: they are the last ones.
        let n = before
            .lines()
            .find(|line| !line.starts_with('#'))
            .map_or(0, |header| header.split(',').take_while(|name| !MODELLED.contains(name)).count());
        if line.starts_with('#') {
            writeln!(text, "{line}")?;
            continue;
        }
        let fields: Vec<&str> = line.split(',').take(n).collect();
        write!(text, "{}", fields.join(","))?;
        match names.iter().position(|name| *name == fields[0]) {
            None => writeln!(text, ",{}", MODELLED.join(","))?,
            Some(i) => {
                columns[1..=MODELLED.len()]
                    .iter()
                    .try_for_each(|figures| write!(text, ",{}", figures[i].1))?;
                text.push('\n');
            }
        }
    }
    Ok(text)
}

/// Columns of all targets but the first, and the last, whose instructions another core runs.
const MODELLED: [&str; 3] = ["m7_model_cycles", "m33_model_cycles", "m3_model_cycles"];

/// The networks' table; the committed figures of the Cortex-M4 stay, as goals are set by them.
fn networks(before: &str, names: &[&str], columns: &[Vec<Figures>]) -> Result<String> {
    let mut text = format!(
        "# Whole networks of MLPerf Tiny (sums of layers, random weights), CMSIS-NN at its best flags; same method as\n\
         # cmsis-nn-layers.csv. Written by `cargo xtask cmsis-nn` from {REPOSITORY}\n\
         # at {COMMIT}; the layers are those of host/examples/bench_kernels/networks.rs.\n\
         # m4_instr and m4_model_cycles are older figures of whole networks, which the sums agree with within 0.5 %.\n\
         # The other cycles are of the models of device-bench/virtual-board/src/cycles.\n\
         network,macs,m4_instr,m4_model_cycles,m7_instr,m33_instr,m3_instr,m0_instr,{}\n",
        MODELLED.join(",")
    );
    for line in before.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [name, macs, m4, cycles, ..] = fields.as_slice() else { bail!("{line}: fields are missing") };
        let sum = |figures: &[Figures]| -> Figures {
            let parts = names
                .iter()
                .zip(figures)
                .filter(|(n, _)| n.strip_prefix(name).is_some_and(|n| n.starts_with('/')));
            parts.fold((0, 0), |sum, (_, f)| (sum.0 + f.0, sum.1 + f.1))
        };
        let sums: Vec<Figures> = columns.iter().map(|figures| sum(figures)).collect();
        for (committed, found) in [(m4, sums[0].0), (cycles, sums[0].1)] {
            let off = found as f64 / committed.parse::<f64>()? - 1.0;
            println!("{name}, m4: {found}, {committed} committed ({:+.2} %)", 100.0 * off);
        }
        write!(text, "{name},{macs},{m4},{cycles}")?;
        sums[1..].iter().try_for_each(|(instructions, _)| write!(text, ",{instructions}"))?;
        sums[1..=MODELLED.len()].iter().try_for_each(|(_, cycles)| write!(text, ",{cycles}"))?;
        text.push('\n');
    }
    Ok(text)
}
