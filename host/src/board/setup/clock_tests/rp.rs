//! RP2040 and RP2350 (data sheets: Clocks, PLL, XOSC, Subsystem Resets): the same blocks at other addresses.

use super::chip::{Chip, Status, must, when};

/// Where the blocks of a chip are, and what it may do.
struct Blocks {
    clk_sys_ctrl: u32,
    clk_sys_selected: u32,
    resets: u32,
    pll_bit: u32,
    xosc: u32,
    pll: u32,
    most_hz: u32,
}

static RP2040: Blocks = Blocks {
    clk_sys_ctrl: 0x4000_803c,
    clk_sys_selected: 0x4000_8044,
    resets: 0x4000_c000,
    pll_bit: 1 << 12,
    xosc: 0x4002_4000,
    pll: 0x4002_8000,
    most_hz: 133_000_000,
};
static RP2350: Blocks = Blocks {
    clk_sys_ctrl: 0x4001_003c,
    clk_sys_selected: 0x4001_0044,
    resets: 0x4002_0000,
    pll_bit: 1 << 14,
    xosc: 0x4004_8000,
    pll: 0x4005_0000,
    most_hz: 150_000_000,
};

const XOSC_CTRL: u32 = 0;
const XOSC_STATUS: u32 = 4;
const XOSC_STARTUP: u32 = 0xc;
const STABLE: u32 = 1 << 31;
/// Enabled, for 1 to 15 MHz.
const XOSC_ON: u32 = 0x00fa_baa0;
const RESET_DONE: u32 = 8;
const PLL_CS: u32 = 0;
const PLL_PWR: u32 = 4;
const PLL_FBDIV: u32 = 8;
const PLL_PRIM: u32 = 0xc;
const LOCK: u32 = 1 << 31;
const PD: u32 = 1;
const POSTDIVPD: u32 = 1 << 3;
const VCOPD: u32 = 1 << 5;

const XOSC_HZ: u32 = 12_000_000;
/// Nominal; it is different on each chip.
const ROSC_HZ: u32 = 6_500_000;
const PLL_USB_HZ: u32 = 48_000_000;
/// Cycles of the crystal that it needs to start, 1 ms.
const STARTUP_CYCLES: u32 = XOSC_HZ / 1000;

/// After probe-rs's reset: from the ring oscillator.
pub fn rp2040() -> Vec<Chip> {
    vec![chip(&RP2040, 0, 0)]
}

/// After reset, from the ring oscillator; and after the boot ROM, from PLL_USB and with the crystal on.
pub fn rp2350() -> Vec<Chip> {
    vec![chip(&RP2350, 0x41, 0), chip(&RP2350, 0x21, XOSC_ON)]
}

fn chip(blocks: &'static Blocks, clk_sys_ctrl: u32, xosc_ctrl: u32) -> Chip {
    let Blocks { clk_sys_ctrl: sys, clk_sys_selected: selected, resets, pll_bit, xosc, pll, .. } = *blocks;
    let crystal_on = xosc_ctrl == XOSC_ON;
    let reset = [
        (sys, clk_sys_ctrl),
        (selected, 1 << (clk_sys_ctrl & 1)),
        (resets, 0x01ff_ffff),
        (resets + RESET_DONE, 0),
        (xosc + XOSC_CTRL, xosc_ctrl),
        (xosc + XOSC_STATUS, when(crystal_on, STABLE)),
        (xosc + XOSC_STARTUP, when(crystal_on, STARTUP_CYCLES.div_ceil(256))),
        (pll + PLL_CS, 1),
        (pll + PLL_PWR, 0x2d),
        (pll + PLL_FBDIV, 0),
        (pll + PLL_PRIM, 0x0007_7000),
    ];
    let starts_well = move |c: &Chip| {
        c.get(xosc + XOSC_CTRL) == XOSC_ON && c.get(xosc + XOSC_STARTUP) * 256 >= STARTUP_CYCLES
    };
    let locks = move |c: &Chip| c.get(pll + PLL_PWR) & (PD | VCOPD) == 0 && c.has(xosc + XOSC_STATUS, STABLE);
    let statuses = vec![
        Status::new(selected, 3, move |c| 1 << (c.get(sys) & 1)),
        Status::new(resets + RESET_DONE, pll_bit, move |c| when(!c.has(resets, pll_bit), pll_bit)),
        Status::new(xosc + XOSC_STATUS, STABLE, move |c| when(starts_well(c), STABLE)),
        Status::new(pll + PLL_CS, LOCK, move |c| when(locks(c), LOCK)),
    ];
    Chip::new(
        reset,
        statuses,
        |c, address, value| may_write(c, blocks, address, value),
        |c| core_hz(c, blocks),
    )
}

fn may_write(chip: &Chip, blocks: &Blocks, address: u32, value: u32) -> Result<(), String> {
    let pll = blocks.pll;
    if (pll..pll + 0x1000).contains(&address) {
        must(chip.has(blocks.resets + RESET_DONE, blocks.pll_bit), "the PLL is in reset")?;
    }
    let changed = chip.get(address) ^ value;
    let is = |register| address == pll + register;
    if is(PLL_FBDIV) {
        must(chip.has(pll + PLL_PWR, PD), "FBDIV while the PLL is on")?;
    }
    if is(PLL_PRIM) {
        must(chip.has(pll + PLL_PWR, POSTDIVPD), "PRIM while the post dividers are on")?;
    }
    if is(PLL_PWR) && value & PD == 0 {
        must(chip.has(blocks.xosc + XOSC_STATUS, STABLE), "the PLL's crystal is not stable")?;
        must((16..=320).contains(&chip.get(pll + PLL_FBDIV)), "FBDIV of the PLL is not 16 to 320")?;
        let locked = chip.has(pll + PLL_CS, LOCK);
        must(value & POSTDIVPD != 0 || locked, "the post dividers are on before the PLL is locked")?;
    }
    if address == blocks.clk_sys_ctrl {
        let from_aux = chip.has(blocks.clk_sys_selected, 2);
        must(changed & 0xe0 == 0 || !from_aux, "AUXSRC changes while it is in use")?;
    }
    Ok(())
}

fn core_hz(chip: &Chip, blocks: &Blocks) -> Result<u32, String> {
    let pll = blocks.pll;
    let hz = match (chip.field(blocks.clk_sys_ctrl, 0, 1), chip.field(blocks.clk_sys_ctrl, 5, 3)) {
        (0, _) | (1, 2) => ROSC_HZ,
        (1, 1) => PLL_USB_HZ,
        (1, 0) => {
            must(chip.has(pll + PLL_CS, LOCK), "the PLL is not locked")?;
            must(!chip.has(pll + PLL_PWR, POSTDIVPD), "the PLL's post dividers are off")?;
            let vco = XOSC_HZ * chip.get(pll + PLL_FBDIV);
            must((750_000_000..=1_600_000_000).contains(&vco), format!("VCO {vco} Hz"))?;
            vco / (chip.field(pll + PLL_PRIM, 16, 3) * chip.field(pll + PLL_PRIM, 12, 3))
        }
        other => return Err(format!("clk_sys from {other:?}")),
    };
    must(hz <= blocks.most_hz, format!("core at {hz} Hz"))?;
    Ok(hz)
}
