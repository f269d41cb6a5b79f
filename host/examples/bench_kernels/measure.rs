//! Times layers on a virtual board, in instructions and modelled cycles.

use crate::{Core, size};
use anyhow::{Context, Result};
use device_bench::LayerSpec;
use device_bench::bench::Plan;
use edgeslim::board::{Link, ProbeOptions, load};
use edgeslim::firmware;
use std::path::PathBuf;

const SEED: u32 = 7;

/// A layer's figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub instructions: u64,
    /// Where the core has a model.
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
    elf: PathBuf,
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
        let link = Link::open(&board, &elf, &ProbeOptions::default())?;
        Ok(Board { link, core, elf })
    }

    /// The kernels' code.
    ///
    /// # Errors
    /// If the firmware cannot be read.
    pub fn code(&self) -> Result<size::Code> {
        size::of_kernels(&self.elf)
    }

    /// Times one layer.
    ///
    /// # Errors
    /// If the board refuses it.
    pub fn time(&mut self, spec: &LayerSpec) -> Result<Figures> {
        let plan = Plan { n_warmups: 1, n_samples: 1, min_sample_ticks: 0 };
        let timing = self.link.time_layer_by(spec, plan, SEED)?;
        let first = |samples: &[u64]| samples.first().copied().context("no sample");
        let modelled_cycles = match self.core.model() {
            Some(_) => Some(first(&timing.samples)?),
            None => None,
        };
        Ok(Figures { instructions: first(&timing.instructions)?, modelled_cycles })
    }
}
