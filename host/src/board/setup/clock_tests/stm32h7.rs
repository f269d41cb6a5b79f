//! STM32H743 (RM0433) of any revision on NUCLEO-H743ZI.

use super::chip::{Chip, Status, ahb_divider, apb_divider, must, when};

const CR: u32 = 0x5802_4400;
const CFGR: u32 = 0x5802_4410;
const D1CFGR: u32 = 0x5802_4418;
const D2CFGR: u32 = 0x5802_441c;
const D3CFGR: u32 = 0x5802_4420;
const PLLCKSELR: u32 = 0x5802_4428;
const PLLCFGR: u32 = 0x5802_442c;
const PLL1DIVR: u32 = 0x5802_4430;
const CSR1: u32 = 0x5802_4804;
const CR3: u32 = 0x5802_480c;
const D3CR: u32 = 0x5802_4818;
pub const ACR: u32 = 0x5200_2000;

const HSEON: u32 = 1 << 16;
const HSERDY: u32 = 1 << 17;
const HSEBYP: u32 = 1 << 18;
const PLL1ON: u32 = 1 << 24;
const PLL1RDY: u32 = 1 << 25;
const SCUEN: u32 = 1 << 2;
const ACTVOSRDY: u32 = 1 << 13;
const VOSRDY: u32 = 1 << 13;
const SCALE_1: u32 = 0xc000;
const VCO_MEDIUM: u32 = 1 << 1;

const HSI_HZ: u32 = 64_000_000;
/// The ST-LINK's clock.
const HSE_HZ: u32 = 8_000_000;
/// At scale 1: fastest AXI, Hz, wait states, programming delay (RM0433 Rev 7, table 17).
const WAIT_STATES: [(u32, u32, u32); 5] =
    [(70_000_000, 0, 0), (140_000_000, 1, 1), (185_000_000, 2, 1), (210_000_000, 2, 2), (225_000_000, 3, 2)];

pub fn chips() -> Vec<Chip> {
    let reset = [
        (CR, 0x25),
        (CFGR, 0),
        (D1CFGR, 0),
        (D2CFGR, 0),
        (D3CFGR, 0),
        (PLLCKSELR, 0x0202_0200),
        (PLLCFGR, 0x01ff_0000),
        (PLL1DIVR, 0x0101_0280),
        (CSR1, 0x4000),
        (CR3, 0x46),
        (D3CR, 0x4000),
        (ACR, 0x37),
    ];
    let statuses = vec![
        Status::new(CR, HSERDY, |c| when(c.has(CR, HSEON | HSEBYP), HSERDY)),
        Status::new(CR, PLL1RDY, |c| when(c.has(CR, PLL1ON) && source_runs(c), PLL1RDY)),
        Status::new(CFGR, 0x38, |c| c.field(CFGR, 0, 3) << 3),
        Status::new(CSR1, ACTVOSRDY, |c| when(!c.has(CR3, SCUEN), ACTVOSRDY)),
        // Ready is said of scale 1 alone: no other is enough.
        Status::new(D3CR, VOSRDY, |c| when(c.has(CSR1, ACTVOSRDY) && c.has(D3CR, SCALE_1), VOSRDY)),
        Status::new(ACR, 0x3f, |c| c.written(ACR) & 0x3f),
    ];
    vec![Chip::new(reset, statuses, may_write, core_hz)]
}

/// PLL1's source is HSE and runs.
fn source_runs(chip: &Chip) -> bool {
    chip.field(PLLCKSELR, 0, 2) == 2 && chip.has(CR, HSERDY)
}

fn may_write(chip: &Chip, address: u32, value: u32) -> Result<(), String> {
    let changed = chip.get(address) ^ value;
    match address {
        PLLCKSELR | PLLCFGR | PLL1DIVR => must(!chip.has(CR, PLL1ON), "PLL1 is on"),
        CR => {
            must(changed & HSEBYP == 0 || !chip.has(CR, HSEON), "HSEBYP while HSE is on")?;
            must(changed & PLL1ON == 0 || source_runs(chip), "PLL1's source does not run")
        }
        D3CR => must(chip.has(CSR1, ACTVOSRDY), "the voltage changes before the supply is ready"),
        _ => Ok(()),
    }
}

fn core_hz(chip: &Chip) -> Result<u32, String> {
    if chip.field(CFGR, 0, 3) == 0 {
        // 7 wait states after reset; fewer are enough for 64 MHz at scale 3 from 1 on.
        must(chip.field(ACR, 0, 4) >= 1, "64 MHz need a wait state")?;
        return Ok(HSI_HZ);
    }
    must(chip.field(CFGR, 0, 3) == 3 && chip.has(CR, PLL1RDY), "PLL1 is not locked")?;
    let system = pll(chip)?;
    let core = system / ahb_divider(chip.field(D1CFGR, 8, 4));
    let axi = core / ahb_divider(chip.field(D1CFGR, 0, 4));
    must(
        chip.has(D3CR, SCALE_1 | VOSRDY) && core <= 400_000_000,
        format!("core at {core} Hz, not at scale 1"),
    )?;
    must(axi <= 200_000_000, format!("AXI at {axi} Hz"))?;
    for (bus, register, shift) in
        [("APB3", D1CFGR, 4), ("APB1", D2CFGR, 4), ("APB2", D2CFGR, 8), ("APB4", D3CFGR, 4)]
    {
        let apb = axi / apb_divider(chip.field(register, shift, 3));
        must(apb <= 100_000_000, format!("{bus} at {apb} Hz"))?;
    }
    let needed = WAIT_STATES.iter().find(|row| axi <= row.0).ok_or("AXI is too fast for the flash")?;
    let (wait_states, delay) = (chip.field(ACR, 0, 4), chip.field(ACR, 4, 2));
    must(wait_states >= needed.1 && delay >= needed.2, format!("AXI at {axi} Hz needs {needed:?}"))?;
    Ok(core)
}

fn pll(chip: &Chip) -> Result<u32, String> {
    let (m, n, p) =
        (chip.field(PLLCKSELR, 4, 6), chip.field(PLL1DIVR, 0, 9) + 1, chip.field(PLL1DIVR, 9, 7) + 1);
    must(m > 0 && p.is_multiple_of(2), "PLL1: M = 0 or P odd")?;
    let input = HSE_HZ / m;
    let range = 1_000_000 << chip.field(PLLCFGR, 2, 2);
    must((range..2 * range).contains(&input), format!("PLL1 input {input} Hz, not of its range"))?;
    let vco = u64::from(input) * u64::from(n);
    must(
        !chip.has(PLLCFGR, VCO_MEDIUM) && (192_000_000..=836_000_000).contains(&vco),
        format!("VCO {vco} Hz"),
    )?;
    Ok(vco as u32 / p)
}
