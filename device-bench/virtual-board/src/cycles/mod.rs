//! Modelled cycles: what a core would take for the instructions that were executed, from its manual's table. A model, at
//! zero wait states and without anything that depends on data; never a measurement.

mod thumb;

use thumb::Class;

/// Changes with every price below, so that figures of two models are never compared.
pub const MODEL: &str = "m4-trm-1";

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
}

impl Executed {
    /// The address behind it.
    fn end(&self) -> u32 {
        self.address + if thumb::is_long(self.halfwords[0]) { 4 } else { 2 }
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
        let [n, n_jumps] = [fields.next()?.parse().ok()?, fields.next()?.parse().ok()?];
        window.push(Executed { address, halfwords: [halfword(0)?, second], n, n_jumps });
    }
    window.is_empty().then_some(windows)
}

/// Instructions of a window.
pub fn instructions(window: &[Executed]) -> u64 {
    window.iter().map(|executed| executed.n).sum()
}

/// Cycles of a window on a Cortex-M4: table 3-1 of its Technical Reference Manual (100166), with three cycles for a branch
/// that is taken.
///
/// A single load takes two cycles, or one where another one lies right before it: their phases overlap. Stores are taken by
/// the store buffer. Priced so, CMSIS-NN takes what was counted by others for `device-bench/baselines`, within 0.5 %.
pub fn cortex_m4(window: &[Executed]) -> u64 {
    let mut sorted: Vec<&Executed> = window.iter().collect();
    sorted.sort_by_key(|executed| executed.address);
    let mut total = 0;
    for (i, executed) in sorted.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| sorted[i]).filter(|before| before.end() == executed.address);
        let follows_load = before.is_some_and(|before| thumb::class(before.halfwords) == Class::Load);
        let each = match thumb::class(executed.halfwords) {
            Class::Load if !follows_load => 2,
            Class::Load | Class::Store | Class::Other => 1,
            Class::Multiple { registers } => 1 + u64::from(registers),
            Class::Divide => DIVIDE,
        };
        total += executed.n * each + executed.n_jumps * REFILL;
    }
    total
}

/// Cycles of a branch that is taken, beyond its own: the pipeline is filled again; 1 to 3 in the manual.
const REFILL: u64 = 2;

/// Cycles of a division: 2 to 12 in the manual.
const DIVIDE: u64 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
20000000 0268 10 0
20000002 4368 10 0
20000004 02fb03f0 10 0
20000008 fad1 10 9

20000000 0268 1 0

";

    #[test]
    fn windows_are_read_and_priced() {
        let windows = parse(TEXT).unwrap();
        assert_eq!(windows.len(), 2);
        assert_eq!(instructions(&windows[0]), 40);
        // Two loads, the second behind the first, a product, and a branch that is taken nine times in ten.
        assert_eq!(cortex_m4(&windows[0]), 10 * (2 + 1 + 1 + 1) + 9 * REFILL);
        assert_eq!(cortex_m4(&windows[1]), 2);
    }

    #[test]
    fn a_file_that_is_cut_is_not_read() {
        assert_eq!(parse("20000000 0268 10 0\n"), None);
        assert_eq!(parse("20000000 026 10 0\n\n"), None);
        assert_eq!(parse("20000000 0268 ten 0\n\n"), None);
    }
}
