//! STM32L4R5 (RM0432) on NUCLEO-L4R5ZI.

use super::chip::{Chip, Status, ahb_divider, must, when};

const CR: u32 = 0x4002_1000;
const CFGR: u32 = 0x4002_1008;
const PLLCFGR: u32 = 0x4002_100c;
const APB1ENR1: u32 = 0x4002_1058;
const BDCR: u32 = 0x4002_1090;
const PWR_CR1: u32 = 0x4000_7000;
const PWR_CR5: u32 = 0x4000_7080;
pub const ACR: u32 = 0x4002_2000;

const MSIPLLEN: u32 = 1 << 2;
const PLLON: u32 = 1 << 24;
const PLLRDY: u32 = 1 << 25;
const PWREN: u32 = 1 << 28;
const DBP: u32 = 1 << 8;
const LSEON: u32 = 1;
const LSERDY: u32 = 1 << 1;
const R1MODE: u32 = 1 << 8;
const PLLREN: u32 = 1 << 24;

/// MSI of range 6, following the crystal of 32.768 kHz.
const MSI_HZ: u32 = 122 * 32_768;
/// MSI of range 6 alone, at the lower end of its tolerance.
const MSI_ALONE_HZ: u32 = 3_960_000;
/// Fastest AHB with 0 to 5 wait states in range 1, Hz; the last two in boost mode.
const WAIT_STATES: [u32; 6] = [20_000_000, 40_000_000, 60_000_000, 80_000_000, 100_000_000, 120_000_000];

/// After power-up; and after a later reset, which leaves the backup domain and its crystal as they are.
pub fn chips() -> Vec<Chip> {
    vec![chip(0), chip(LSEON | LSERDY)]
}

fn chip(backup_domain: u32) -> Chip {
    let reset = [
        (CR, 0x63),
        (CFGR, 0),
        (PLLCFGR, 0x1000),
        (APB1ENR1, 0x400),
        (BDCR, backup_domain),
        (PWR_CR1, 0x200),
        (PWR_CR5, R1MODE),
        (ACR, 0x600),
    ];
    let statuses = vec![
        Status::new(BDCR, LSERDY, |c| when(c.has(BDCR, LSEON), LSERDY)),
        Status::new(CR, PLLRDY, |c| when(c.has(CR, PLLON), PLLRDY)),
        Status::new(CFGR, 0xc, |c| c.field(CFGR, 0, 2) << 2),
        Status::new(ACR, 0xf, |c| c.written(ACR) & 0xf),
    ];
    Chip::new(reset, statuses, may_write, core_hz)
}

fn may_write(chip: &Chip, address: u32, value: u32) -> Result<(), String> {
    let changed = chip.get(address) ^ value;
    match address {
        PLLCFGR => must(!chip.has(CR, PLLON), "the PLL is on"),
        CR => must(changed & MSIPLLEN == 0 || chip.has(BDCR, LSERDY), "MSIPLLEN before LSE is ready"),
        PWR_CR1 | PWR_CR5 => must(chip.has(APB1ENR1, PWREN), "the power control has no clock"),
        BDCR => must(chip.has(PWR_CR1, DBP), "the backup domain is write-protected"),
        CFGR => {
            // Up to a fast clock only with AHB halved, and back to the full clock only when it runs.
            let fast = value & 3 == 3 && core_of(chip, value & 3)? > 80_000_000;
            let switches = changed & 3 != 0;
            must(
                !fast || !switches || value >> 4 & 0xf == 8,
                "a switch to more than 80 MHz without AHB halved",
            )?;
            must(
                !fast || switches || chip.field(CFGR, 2, 2) == 3,
                "AHB at the full clock before the switch is done",
            )
        }
        _ => Ok(()),
    }
}

fn core_hz(chip: &Chip) -> Result<u32, String> {
    let hclk = core_of(chip, chip.field(CFGR, 0, 2))? / ahb_divider(chip.field(CFGR, 4, 4));
    // Neither APB prescaler is written: both buses take the core's 120 MHz.
    let boost = !chip.has(PWR_CR5, R1MODE);
    must(hclk <= if boost { 120_000_000 } else { 80_000_000 }, format!("AHB at {hclk} Hz"))?;
    let wait_states = WAIT_STATES.iter().filter(|fastest| hclk > **fastest).count() as u32;
    must(chip.field(ACR, 0, 4) >= wait_states, format!("{hclk} Hz need {wait_states} wait states"))?;
    Ok(hclk)
}

/// System clock for a value of SW.
fn core_of(chip: &Chip, switch: u32) -> Result<u32, String> {
    let msi = if chip.has(CR, MSIPLLEN) { MSI_HZ } else { MSI_ALONE_HZ };
    match switch {
        0 => Ok(msi),
        3 => {
            must(
                chip.has(CR, PLLRDY) && chip.has(PLLCFGR, PLLREN),
                "the PLL is not locked or its output R off",
            )?;
            must(chip.field(PLLCFGR, 0, 2) == 1, "the PLL's source is not MSI")?;
            let (m, n, r) =
                (chip.field(PLLCFGR, 4, 4) + 1, chip.field(PLLCFGR, 8, 7), chip.field(PLLCFGR, 25, 2));
            let input = msi / m;
            must((2_660_000..=8_000_000).contains(&input), format!("PLL input {input} Hz"))?;
            must((64_000_000..=344_000_000).contains(&(input * n)), format!("VCO {} Hz", input * n))?;
            Ok(input * n / (2 * (r + 1)))
        }
        other => Err(format!("SW = {other}: an oscillator that this board has not")),
    }
}
