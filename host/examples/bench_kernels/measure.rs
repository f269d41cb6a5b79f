//! Times layers on a virtual board, in instructions and, with the plugin, in modelled cycles.

use crate::Core;
use anyhow::{Context, Result, ensure};
use device_bench::LayerSpec;
use device_bench::bench::Plan;
use edgeslim::board::{Link, ProbeOptions, load};
use edgeslim::firmware;
use std::fs;
use std::path::{Path, PathBuf};
use virtual_board::cycles::{self, Executed, Model};

const SEED: u32 = 7;

/// A layer's figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub instructions: u64,
    /// Where the plugin is there.
    pub modelled_cycles: Option<u64>,
}

impl std::iter::Sum for Figures {
    fn sum<I: Iterator<Item = Figures>>(all: I) -> Figures {
        let none = Figures { instructions: 0, modelled_cycles: Some(0) };
        all.fold(none, |sum, f| Figures {
            instructions: sum.instructions + f.instructions,
            modelled_cycles: sum.modelled_cycles.zip(f.modelled_cycles).map(|(a, b)| a + b),
        })
    }
}

/// An open board.
pub struct Board {
    link: Link,
    core: Core,
    /// What the plugin writes.
    counts: Option<PathBuf>,
}

impl Board {
    /// Opens the core's board.
    ///
    /// # Errors
    /// If the firmware cannot be built or the board does not answer.
    pub fn open(core: Core) -> Result<Board> {
        let (name, target) = core.board();
        let mut board = load(name)?;
        if target != board.target {
            board.name = format!("{name}-{target}");
            board.target = target.to_owned();
        }
        let elf = firmware::build(&board, &board.memory()?)?;
        let plugin = std::env::var(virtual_board::PLUGIN).ok();
        let counts = plugin.and_then(|plugin| Some(PathBuf::from(plugin.split_once("out=")?.1)));
        let link = Link::open(&board, &elf, &ProbeOptions::default())?;
        Ok(Board { link, core, counts })
    }

    /// Times one layer.
    ///
    /// # Errors
    /// If the board refuses it, or the plugin's counts are not those of the board's timer.
    pub fn time(&mut self, spec: &LayerSpec) -> Result<Figures> {
        if let Some(counts) = &self.counts {
            fs::write(counts, "")?;
        }
        let plan = Plan { n_warmups: 1, n_samples: 1, min_sample_ticks: 0 };
        let timing = self.link.time_layer_by(spec, plan, SEED)?;
        let instructions = *timing.samples.first().context("no sample")?;
        let modelled_cycles = match &self.counts {
            Some(counts) => Some(modelled(counts, instructions, self.core.model())?),
            None => None,
        };
        Ok(Figures { instructions, modelled_cycles })
    }
}

/// The cycles of the last window, less those of the empty one before it.
fn modelled(counts: &Path, instructions: u64, model: Model) -> Result<u64> {
    let text = fs::read_to_string(counts)?;
    let windows = cycles::parse(&text).with_context(|| format!("{} cannot be read", counts.display()))?;
    let [.., empty, sample] = windows.as_slice() else { anyhow::bail!("the plugin saw no windows") };
    let counted = cycles::instructions(sample).saturating_sub(cycles::instructions(empty));
    // A timer of 24 bits that wraps is served in the window, and its rounding adds up.
    ensure!(
        counted.abs_diff(instructions) <= 8 + instructions / 1_000_000,
        "the plugin counts {counted} instructions, the board's timer {instructions}"
    );
    let cycles = |window: &[Executed]| model.cycles(window).context("the plugin saw what is no instruction");
    Ok(cycles(sample)?.saturating_sub(cycles(empty)?))
}
