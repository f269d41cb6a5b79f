//! The debug port and its one memory access port (ADIv5.2).

use crate::{Error, Result, cortex};
use crate::{cortex::Cortex, qemu::Qemu};
use probe_rs::{
    architecture::arm::{ArmError, RegisterAddress},
    probe::DebugProbeError,
};

const DPIDR: u32 = 0x2BA0_1477; // SW-DP, version 1
const IDR_AHB3: u32 = 0x2477_0011;
const IDR_AHB5: u32 = 0x8477_0001;
const CSW: u8 = 0x00;
const TAR: u8 = 0x04;
const DRW: u8 = 0x0c;
const ROM_BASE: u8 = 0xf8;
const IDR: u8 = 0xfc;
const CSW_INCREMENT: u32 = 0x30;
const CSW_DEVICE_EN: u32 = 0x40;
/// The address auto-increments within 1 KiB.
const INCREMENT_BLOCK: u32 = 0x400;

#[derive(Debug)]
pub struct Dap {
    pub core: Cortex,
    select: u32,
    ctrl: u32,
    csw: u32,
    tar: u32,
}

/// Our error as probe-rs's.
pub fn arm_error(error: Error) -> ArmError {
    ArmError::Probe(DebugProbeError::from(error))
}

impl Dap {
    pub fn new(qemu: Qemu) -> Result<Self> {
        Ok(Dap { core: Cortex::new(qemu)?, select: 0, ctrl: 0, csw: 0x0300_0052, tar: 0 })
    }

    pub fn read(&mut self, address: RegisterAddress) -> Result<u32> {
        match address {
            RegisterAddress::ApRegister(register) => self.read_ap(register),
            RegisterAddress::DpRegister(register) => Ok(match (register.address, self.select & 0xf) {
                (0x0, _) => DPIDR,
                // The power-up acknowledgements follow the requests.
                (0x4, 0) => self.ctrl | ((self.ctrl & 0x5000_0000) << 1),
                _ => 0,
            }),
        }
    }

    pub fn write(&mut self, address: RegisterAddress, value: u32) -> Result<()> {
        match address {
            RegisterAddress::ApRegister(register) => self.write_ap(register, value)?,
            RegisterAddress::DpRegister(register) => match register.address {
                0x4 if self.select & 0xf == 0 => self.ctrl = value & 0x5fff_ffdf,
                0x8 => self.select = value,
                _ => {}
            },
        }
        Ok(())
    }

    /// Reads of the data register in a row; anything else one by one.
    pub fn read_many(&mut self, address: RegisterAddress, values: &mut [u32]) -> Result<()> {
        if self.is_data(&address) {
            return self.read_block(values);
        }
        for value in values {
            *value = self.read(address)?;
        }
        Ok(())
    }

    /// Writes of the data register in a row; anything else one by one.
    pub fn write_many(&mut self, address: RegisterAddress, values: &[u32]) -> Result<()> {
        if self.is_data(&address) {
            return self.write_block(values);
        }
        values.iter().try_for_each(|&value| self.write(address, value))
    }

    fn is_data(&self, address: &RegisterAddress) -> bool {
        matches!(address, RegisterAddress::ApRegister(a) if a & 0xc == DRW && self.select & 0xff00_00f0 == 0)
    }

    fn ap_register(&self, register: u8) -> u8 {
        (self.select & 0xf0) as u8 | (register & 0xc)
    }

    fn read_ap(&mut self, register: u8) -> Result<u32> {
        if self.select >> 24 != 0 {
            return Ok(0);
        }
        Ok(match self.ap_register(register) {
            CSW => self.csw | CSW_DEVICE_EN,
            TAR => self.tar,
            DRW => {
                let mut value = [0];
                self.read_block(&mut value)?;
                value[0]
            }
            0x10..=0x1c => self.core.read_u32(self.banked(register))?,
            ROM_BASE => cortex::BASE,
            IDR if self.core.v8m => IDR_AHB5,
            IDR => IDR_AHB3,
            _ => 0,
        })
    }

    fn write_ap(&mut self, register: u8, value: u32) -> Result<()> {
        if self.select >> 24 != 0 {
            return Ok(());
        }
        match self.ap_register(register) {
            CSW => self.csw = value,
            TAR => self.tar = value,
            DRW => self.write_block(&[value])?,
            0x10..=0x1c => self.core.write_u32(self.banked(register), value)?,
            _ => {}
        }
        Ok(())
    }

    fn banked(&self, register: u8) -> u32 {
        (self.tar & !0xf) | u32::from(register & 0xc)
    }

    fn access_bytes(&self) -> usize {
        1 << (self.csw & 7).min(2)
    }

    fn increments(&self) -> bool {
        self.csw & CSW_INCREMENT != 0
    }

    fn advance(&mut self, bytes: usize) {
        if self.increments() {
            let offset = self.tar.wrapping_add(bytes as u32) & (INCREMENT_BLOCK - 1);
            self.tar = (self.tar & !(INCREMENT_BLOCK - 1)) | offset;
        }
    }

    /// How many accesses fit before the address wraps, or one where each must be its own.
    fn run_length(&self, wanted: usize) -> usize {
        if !self.increments() || cortex::is_private(self.tar) {
            return 1;
        }
        let room = (INCREMENT_BLOCK - self.tar % INCREMENT_BLOCK) as usize / self.access_bytes();
        wanted.min(room.max(1))
    }

    /// The byte of the data register in which an access at `address` begins.
    fn lane(address: u32, size: usize) -> usize {
        if size == 4 { 0 } else { (address & 3) as usize }
    }

    fn read_block(&mut self, mut out: &mut [u32]) -> Result<()> {
        let size = self.access_bytes();
        while !out.is_empty() {
            let n = self.run_length(out.len());
            let (run, rest) = out.split_at_mut(n);
            if cortex::is_private(self.tar) {
                run[0] = self.core.read_u32(self.tar & !3)?;
            } else {
                let mut bytes = vec![0; n * size];
                self.core.qemu.read(self.tar, &mut bytes)?;
                let mut address = self.tar;
                for (value, item) in run.iter_mut().zip(bytes.chunks(size)) {
                    let (mut word, lane) = ([0; 4], Self::lane(address, size));
                    word[lane..lane + size].copy_from_slice(item);
                    *value = u32::from_le_bytes(word);
                    address += size as u32;
                }
            }
            self.advance(n * size);
            out = rest;
        }
        Ok(())
    }

    fn write_block(&mut self, mut values: &[u32]) -> Result<()> {
        let size = self.access_bytes();
        while !values.is_empty() {
            let (run, rest) = values.split_at(self.run_length(values.len()));
            if cortex::is_private(self.tar) {
                self.core.write_u32(self.tar & !3, run[0])?;
            } else {
                let mut bytes = Vec::with_capacity(run.len() * size);
                let mut address = self.tar;
                for value in run {
                    let lane = Self::lane(address, size);
                    bytes.extend_from_slice(&value.to_le_bytes()[lane..lane + size]);
                    address += size as u32;
                }
                self.core.qemu.write(self.tar, &bytes)?;
            }
            self.advance(run.len() * size);
            values = rest;
        }
        Ok(())
    }
}
