//! Modelled cycles: what a core would take for the instructions that were executed, from its manual's table. A model, at
//! zero wait states and without anything that depends on data; never a measurement.

mod decode;
mod m33;
mod m7;
mod pipeline;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

/// Cycles of a division: 2 to 12 in the manuals, by the quotient.
const DIVIDE: u64 = 7;

/// A core's model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Of the Cortex-M0.
    M0,
    /// Of the Cortex-M3.
    M3,
    /// Of the Cortex-M4.
    M4,
    /// Of the Cortex-M7.
    M7,
    /// Of the Cortex-M33.
    M33,
}

impl Model {
    /// All of them.
    pub const ALL: [Model; 5] = [Model::M0, Model::M3, Model::M4, Model::M7, Model::M33];

    /// Its name and version, which changes with every price, so that figures of two models are never compared.
    pub const fn name(self) -> &'static str {
        match self {
            Model::M0 => "m0-trm-1",
            Model::M3 => "m3-trm-1",
            Model::M4 => "m4-trm-1",
            Model::M7 => "m7-dual-issue-1",
            Model::M33 => "m33-pipeline-1",
        }
    }

    /// Cycles of a window; `None` where it has what is no instruction.
    pub fn cycles(self, window: &[Executed]) -> Option<u64> {
        let instructions = decode::decode(window)?;
        Some(match self {
            Model::M0 => table::cortex_m0(&instructions),
            Model::M3 => table::cortex_m3_m4(&instructions, true),
            Model::M4 => table::cortex_m3_m4(&instructions, false),
            Model::M7 => pipeline::cycles::<m7::CortexM7>(&instructions),
            Model::M33 => pipeline::cycles::<m33::CortexM33>(&instructions),
        })
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often an instruction was executed in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executed {
    /// Where it lies.
    pub address: u32,
    /// Its first and second halfword; the second is 0 for a short one.
    pub halfwords: [u16; 2],
    /// Executions.
    pub n: u64,
    /// How often the next one was not the one behind it.
    pub n_jumps: u64,
    /// How often that, or that it was, was not what a branch predictor of two bits expected.
    pub n_missed: u64,
}

impl Executed {
    /// Whether it has one halfword only.
    fn is_short(&self) -> bool {
        self.halfwords[0] < 0xE800
    }

    /// The address behind it.
    fn end(&self) -> u32 {
        self.address + if self.is_short() { 2 } else { 4 }
    }

    /// As they lie in memory.
    fn bytes(&self) -> impl Iterator<Item = u8> {
        let n = if self.is_short() { 1 } else { 2 };
        self.halfwords.into_iter().take(n).flat_map(u16::to_le_bytes)
    }
}

/// The windows that the plugin `window-counts` wrote; `None` where a line cannot be read or the last window is cut.
pub fn parse(text: &str) -> Option<Vec<Vec<Executed>>> {
    let mut windows = Vec::new();
    let mut window = Vec::new();
    for line in text.lines() {
        if line.is_empty() {
            windows.push(core::mem::take(&mut window));
            continue;
        }
        let mut fields = line.split(' ');
        let address = u32::from_str_radix(fields.next()?, 16).ok()?;
        let bytes = fields.next()?;
        let byte = |i: usize| u16::from_str_radix(bytes.get(2 * i..2 * i + 2)?, 16).ok();
        let halfword = |i: usize| Some(byte(i)? | byte(i + 1)? << 8);
        let second = if bytes.len() == 8 { halfword(2)? } else { 0 };
        let mut number = || fields.next()?.parse().ok();
        let [n, n_jumps, n_missed] = [number()?, number()?, number()?];
        window.push(Executed { address, halfwords: [halfword(0)?, second], n, n_jumps, n_missed });
    }
    window.is_empty().then_some(windows)
}

/// Instructions of a window.
pub fn instructions(window: &[Executed]) -> u64 {
    window.iter().map(|executed| executed.n).sum()
}
