//! nRF52840 and the application core of nRF5340 (product specifications, CLOCK): one crystal, one divider.

use super::chip::{Chip, Status, must, when};

const CLOCK_52: u32 = 0x4000_0000;
const CLOCK_53: u32 = 0x5000_5000;
const HFCLKSTAT: u32 = 0x40c;
const HFCLKCTRL: u32 = CLOCK_53 + 0x558;
pub const ICACHECNF: u32 = 0x4001_e540;
pub const CACHE_ENABLE: u32 = 0x5000_1500;

/// SRC is HFXO, STATE is running.
const CRYSTAL: u32 = 0x0001_0001;
/// STATE is running, SRC is HFINT.
const RC: u32 = 0x0001_0000;

/// HFINT at the lower end of its tolerance, 1.5 %, for 64 MHz.
const RC_HZ: u32 = 63_040_000;

pub fn nrf52840() -> Vec<Chip> {
    let reset = [(CLOCK_52, 0), (CLOCK_52 + HFCLKSTAT, RC), (ICACHECNF, 0)];
    let statuses =
        vec![Status::new(CLOCK_52 + HFCLKSTAT, CRYSTAL, |c| RC | when(c.has(CLOCK_52, 1), CRYSTAL))];
    vec![Chip::new(reset, statuses, may_write, |c| {
        Ok(if c.has(CLOCK_52 + HFCLKSTAT, CRYSTAL) { 64_000_000 } else { RC_HZ })
    })]
}

pub fn nrf5340() -> Vec<Chip> {
    let reset = [(CLOCK_53, 0), (CLOCK_53 + HFCLKSTAT, RC), (HFCLKCTRL, 1), (CACHE_ENABLE, 0)];
    let statuses =
        vec![Status::new(CLOCK_53 + HFCLKSTAT, CRYSTAL, |c| RC | when(c.has(CLOCK_53, 1), CRYSTAL))];
    vec![Chip::new(reset, statuses, may_write, |c| {
        let undivided = if c.has(CLOCK_53 + HFCLKSTAT, CRYSTAL) { 128_000_000 } else { 2 * RC_HZ };
        Ok(undivided >> c.get(HFCLKCTRL))
    })]
}

fn may_write(_: &Chip, address: u32, value: u32) -> Result<(), String> {
    must(address & 0xfff != HFCLKSTAT, "HFCLKSTAT is read-only")?;
    must(value <= 1, "no register here has more than its lowest bit set")
}
