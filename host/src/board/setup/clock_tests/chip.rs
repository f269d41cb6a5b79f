//! Registers of a chip whose clock is set up: what all models share.

use super::Registers;
use std::collections::BTreeMap;

/// Reads of a register until its status bits follow; a script must wait for them.
const POLLS: u32 = 8;

/// A rule that a write would break.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

/// Status bits of a register: they follow other bits after [`POLLS`] reads.
pub struct Status {
    pub address: u32,
    pub mask: u32,
    /// What they will be.
    pub target: Box<dyn Fn(&Chip) -> u32>,
    polls: u32,
}

impl Status {
    pub fn new(address: u32, mask: u32, target: impl Fn(&Chip) -> u32 + 'static) -> Status {
        Status { address, mask, target: Box::new(target), polls: 0 }
    }
}

/// A chip after reset.
pub struct Chip {
    /// As the core sees them; a register that is not here is not the script's business.
    values: BTreeMap<u32, u32>,
    /// As they were written last, or after reset.
    written: BTreeMap<u32, u32>,
    statuses: Vec<Status>,
    may_write: MayWrite,
    core_hz: CoreHz,
}

/// Refuses a write, before it happens: `(chip, address, value)`.
type MayWrite = Box<dyn Fn(&Chip, u32, u32) -> Result<(), String>>;
/// The core clock that the written registers ask for, Hz, or the rule that they break.
type CoreHz = Box<dyn Fn(&Chip) -> Result<u32, String>>;

impl Chip {
    pub fn new(
        values: impl IntoIterator<Item = (u32, u32)>,
        statuses: Vec<Status>,
        may_write: impl Fn(&Chip, u32, u32) -> Result<(), String> + 'static,
        core_hz: impl Fn(&Chip) -> Result<u32, String> + 'static,
    ) -> Chip {
        let (may_write, core_hz) = (Box::new(may_write), Box::new(core_hz));
        let values: BTreeMap<u32, u32> = values.into_iter().collect();
        Chip { written: values.clone(), values, statuses, may_write, core_hz }
    }

    /// A register now.
    pub fn get(&self, address: u32) -> u32 {
        self.values[&address]
    }

    /// A register as it was written last: its status bits may say something else still.
    pub fn written(&self, address: u32) -> u32 {
        self.written[&address]
    }

    /// Whether all of `bits` are set now.
    pub fn has(&self, address: u32, bits: u32) -> bool {
        self.get(address) & bits == bits
    }

    /// A field of a register now.
    pub fn field(&self, address: u32, shift: u32, bits: u32) -> u32 {
        self.get(address) >> shift & ((1 << bits) - 1)
    }

    pub fn core_hz(&self) -> Result<u32, String> {
        (self.core_hz)(self)
    }

    /// A register with status bits that do not yet say what they will.
    pub fn unsettled(&self) -> Option<u32> {
        let unsettled = self.statuses.iter().find(|s| self.get(s.address) & s.mask != (s.target)(self));
        unsettled.map(|status| status.address)
    }

    fn set(&mut self, address: u32, mask: u32, value: u32) {
        let register = self.values.get_mut(&address).expect("models list their registers");
        *register = *register & !mask | value & mask;
    }
}

impl Registers for Chip {
    type Error = Broken;

    fn read(&mut self, address: u32) -> Result<u32, Broken> {
        if !self.values.contains_key(&address) {
            return Err(Broken("no register of the model".to_owned()));
        }
        for status_idx in 0..self.statuses.len() {
            let status = &self.statuses[status_idx];
            if status.address != address {
                continue;
            }
            let (mask, target) = (status.mask, (status.target)(self));
            let polls = if self.get(address) & mask == target { 0 } else { status.polls + 1 };
            if polls >= POLLS {
                self.set(address, mask, target);
            }
            self.statuses[status_idx].polls = polls;
        }
        Ok(self.get(address))
    }

    fn write(&mut self, address: u32, value: u32) -> Result<(), Broken> {
        if !self.values.contains_key(&address) {
            return Err(Broken("no register of the model".to_owned()));
        }
        (self.may_write)(self, address, value).map_err(Broken)?;
        let of_register = self.statuses.iter().filter(|status| status.address == address);
        let read_only = of_register.fold(0, |mask, status| mask | status.mask);
        self.set(address, !read_only, value);
        self.written.insert(address, value);
        // A flag falls at once, a field keeps its value until it follows.
        for status_idx in 0..self.statuses.len() {
            let status = &self.statuses[status_idx];
            if status.mask.is_power_of_two() && (status.target)(self) == 0 {
                let (address, mask) = (status.address, status.mask);
                self.set(address, mask, 0);
            }
        }
        self.core_hz().map(drop).map_err(Broken)
    }
}

/// `rule` unless it holds.
pub fn must(holds: bool, rule: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(rule.into()) }
}

/// `bits` if the condition holds, else 0.
pub fn when(holds: bool, bits: u32) -> u32 {
    if holds { bits } else { 0 }
}

/// Of the AHB prescalers of all STM32, four bits.
pub fn ahb_divider(prescaler: u32) -> u32 {
    [1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 16, 64, 128, 256, 512][prescaler as usize]
}

/// Of their APB prescalers, three bits.
pub fn apb_divider(prescaler: u32) -> u32 {
    [1, 1, 1, 1, 2, 4, 8, 16][prescaler as usize]
}
