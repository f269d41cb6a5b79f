//! EFM32GG11 (reference manual, CMU and MSC) on SLSTK3701A.

use super::chip::{Chip, Status, must, when};

pub const READCTRL: u32 = 0x4000_0004;
const CTRL: u32 = 0x400e_4000;
const HFXOCTRL: u32 = 0x400e_4024;
const STEADYSTATE: u32 = 0x400e_4030;
const OSCENCMD: u32 = 0x400e_4060;
const HFCLKSEL: u32 = 0x400e_4074;
const STATUS: u32 = 0x400e_4090;
const HFCLKSTATUS: u32 = 0x400e_4094;
const HFPRESC: u32 = 0x400e_4100;

const WSHFLE: u32 = 1 << 16;
const X2EN: u32 = 1 << 3;
const HFXOEN: u32 = 1 << 2;
const HFXORDY: u32 = 1 << 3;

const HFRCO_HZ: u32 = 19_000_000;
const HFXO_HZ: u32 = 50_000_000;
/// One wait state more for as much more.
const HZ_PER_WAIT_STATE: u32 = 18_000_000;
/// Load of the kit's crystal (Gecko SDK, BRD2204A).
const CTUNE: u32 = 132;

pub fn chips() -> Vec<Chip> {
    let reset = [
        (READCTRL, 0x0100_0100),
        (CTRL, 0x0010_0000),
        (HFXOCTRL, X2EN),
        (STEADYSTATE, 0x0800_0100),
        (OSCENCMD, 0),
        (HFCLKSEL, 0),
        (STATUS, 0x0001_0003),
        (HFCLKSTATUS, 1),
        (HFPRESC, 0),
    ];
    let statuses = vec![
        Status::new(STATUS, HFXORDY, |c| when(c.has(OSCENCMD, HFXOEN), HFXORDY)),
        Status::new(HFCLKSTATUS, 7, |c| c.get(HFCLKSEL).max(1)),
    ];
    vec![Chip::new(reset, statuses, may_write, core_hz)]
}

fn may_write(chip: &Chip, address: u32, value: u32) -> Result<(), String> {
    match address {
        OSCENCMD if value & HFXOEN != 0 => {
            must(!chip.has(HFXOCTRL, X2EN), "the doubler is for crystals of up to 25 MHz")?;
            must(chip.field(STEADYSTATE, 11, 9) == CTUNE, "the crystal starts without its load")
        }
        HFXOCTRL | STEADYSTATE => must(!chip.has(OSCENCMD, HFXOEN), "the crystal is on"),
        _ => Ok(()),
    }
}

fn core_hz(chip: &Chip) -> Result<u32, String> {
    let hz = match chip.get(HFCLKSEL).max(1) {
        1 => HFRCO_HZ,
        2 => {
            must(chip.has(STATUS, HFXORDY), "the crystal is not ready")?;
            HFXO_HZ
        }
        other => return Err(format!("HFCLKSEL = {other}")),
    };
    let wait_states = hz.div_ceil(HZ_PER_WAIT_STATE) - 1;
    must(chip.field(READCTRL, 24, 2) >= wait_states, format!("{hz} Hz need {wait_states} wait states"))?;
    let slow_enough = chip.has(CTRL, WSHFLE) && chip.field(HFPRESC, 24, 2) >= 1;
    must(hz <= 32_000_000 || slow_enough, "the low-energy peripherals are too fast")?;
    Ok(hz)
}
