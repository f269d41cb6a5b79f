//! STM32F446 (RM0390) and STM32F746 (RM0385): the same clock tree with other limits.

use super::chip::{Chip, Status, ahb_divider, apb_divider, must, when};

const CR: u32 = 0x4002_3800;
const PLLCFGR: u32 = 0x4002_3804;
const CFGR: u32 = 0x4002_3808;
const APB1ENR: u32 = 0x4002_3840;
const PWR_CR: u32 = 0x4000_7000;
const PWR_CSR: u32 = 0x4000_7004;
pub const ACR: u32 = 0x4002_3c00;

const HSEON: u32 = 1 << 16;
const HSERDY: u32 = 1 << 17;
const HSEBYP: u32 = 1 << 18;
const PLLON: u32 = 1 << 24;
const PLLRDY: u32 = 1 << 25;
const PWREN: u32 = 1 << 28;
const FROM_HSE: u32 = 1 << 22;
const OD: u32 = 1 << 16;
const ODSW: u32 = 1 << 17;
const VOSRDY: u32 = 1 << 14;
const SCALE_1: u32 = 0xc000;

const HSI_HZ: u32 = 16_000_000;
/// Of the latency 0 at 2.7 to 3.6 V; one wait state more for as much more.
const HZ_PER_WAIT_STATE: u32 = 30_000_000;

/// What the data sheets allow, Hz.
struct Limits {
    hse: u32,
    hclk: u32,
    hclk_over_drive: u32,
    apb1: u32,
    apb2: u32,
}

static F446: Limits = Limits {
    hse: 8_000_000,
    hclk: 168_000_000,
    hclk_over_drive: 180_000_000,
    apb1: 45_000_000,
    apb2: 90_000_000,
};
static F746: Limits = Limits {
    hse: 25_000_000,
    hclk: 180_000_000,
    hclk_over_drive: 216_000_000,
    apb1: 54_000_000,
    apb2: 108_000_000,
};

/// On NUCLEO-F446RE: the ST-LINK drives OSC_IN.
pub fn f446() -> Vec<Chip> {
    vec![chip(&F446, |c| when(c.has(CR, HSEON | HSEBYP), HSERDY))]
}

/// On STM32F746G-DISCO: a crystal.
pub fn f746() -> Vec<Chip> {
    vec![chip(&F746, |c| when(c.has(CR, HSEON) && !c.has(CR, HSEBYP), HSERDY))]
}

fn chip(limits: &'static Limits, hse_ready: fn(&Chip) -> u32) -> Chip {
    let reset = [
        (CR, 0x83),
        (PLLCFGR, 0x2400_3010),
        (CFGR, 0),
        (APB1ENR, 0),
        (PWR_CR, SCALE_1),
        (PWR_CSR, 0),
        (ACR, 0),
    ];
    let statuses = vec![
        Status::new(CR, HSERDY, hse_ready),
        Status::new(CR, PLLRDY, |c| when(c.has(CR, PLLON) && source_runs(c), PLLRDY)),
        Status::new(CFGR, 0xc, |c| c.field(CFGR, 0, 2) << 2),
        Status::new(PWR_CSR, VOSRDY, |c| when(c.has(CR, PLLON), VOSRDY)),
        Status::new(PWR_CSR, OD, |c| when(c.has(PWR_CR, OD), OD)),
        Status::new(PWR_CSR, ODSW, |c| when(c.has(PWR_CR, ODSW) && c.has(PWR_CSR, OD), ODSW)),
        Status::new(ACR, 0xf, |c| c.written(ACR) & 0xf),
    ];
    Chip::new(reset, statuses, may_write, move |chip| core_hz(chip, limits))
}

fn source_runs(chip: &Chip) -> bool {
    !chip.has(PLLCFGR, FROM_HSE) || chip.has(CR, HSERDY)
}

fn may_write(chip: &Chip, address: u32, value: u32) -> Result<(), String> {
    let changed = chip.get(address) ^ value;
    match address {
        PLLCFGR => must(!chip.has(CR, PLLON), "the PLL is on"),
        CR => {
            must(changed & HSEBYP == 0 || !chip.has(CR, HSEON), "HSEBYP while HSE is on")?;
            must(changed & PLLON == 0 || source_runs(chip), "the PLL's source does not run")
        }
        PWR_CR => {
            must(chip.has(APB1ENR, PWREN), "the power control has no clock")?;
            must(
                changed & OD == 0 || chip.has(PWR_CSR, VOSRDY),
                "over-drive before the voltage is at scale 1",
            )?;
            must(changed & ODSW == 0 || chip.has(PWR_CSR, OD), "over-drive is not ready")
        }
        _ => Ok(()),
    }
}

fn core_hz(chip: &Chip, limits: &Limits) -> Result<u32, String> {
    let system = match chip.field(CFGR, 0, 2) {
        0 => HSI_HZ,
        1 => {
            must(chip.has(CR, HSERDY), "HSE is not ready")?;
            limits.hse
        }
        _ => {
            must(chip.has(CR, PLLRDY), "the PLL is not locked")?;
            pll(chip, limits.hse)?
        }
    };
    let hclk = system / ahb_divider(chip.field(CFGR, 4, 4));
    let apb = |shift| hclk / apb_divider(chip.field(CFGR, shift, 3));
    let over_drive = chip.has(PWR_CSR, ODSW);
    must(hclk <= if over_drive { limits.hclk_over_drive } else { limits.hclk }, format!("AHB at {hclk} Hz"))?;
    must(apb(10) <= limits.apb1, format!("APB1 at {} Hz", apb(10)))?;
    must(apb(13) <= limits.apb2, format!("APB2 at {} Hz", apb(13)))?;
    let wait_states = hclk.div_ceil(HZ_PER_WAIT_STATE) - 1;
    must(chip.field(ACR, 0, 4) >= wait_states, format!("{hclk} Hz need {wait_states} wait states"))?;
    Ok(hclk)
}

fn pll(chip: &Chip, hse: u32) -> Result<u32, String> {
    let source = if chip.has(PLLCFGR, FROM_HSE) { hse } else { HSI_HZ };
    let (m, n, p) = (chip.field(PLLCFGR, 0, 6), chip.field(PLLCFGR, 6, 9), chip.field(PLLCFGR, 16, 2));
    let input = source / m.max(1);
    must(m >= 2 && (1_000_000..=2_000_000).contains(&input), format!("PLL input {input} Hz"))?;
    let vco = u64::from(input) * u64::from(n);
    must((100_000_000..=432_000_000).contains(&vco), format!("VCO {vco} Hz"))?;
    let usb = vco / u64::from(chip.field(PLLCFGR, 24, 4).max(2));
    must(usb <= 48_000_000, format!("PLL output Q {usb} Hz"))?;
    Ok(vco as u32 / (2 * (p + 1)))
}
