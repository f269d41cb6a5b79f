//! The debug module of a RISC-V board (Debug Specification 0.13, chapter 3): run control, registers by abstract
//! commands, memory over the system bus. No program buffer, no triggers.

use crate::hart::Hart;
use crate::{Result, qemu::Qemu};

const DATA0: u8 = 0x04;
const DMCONTROL: u8 = 0x10;
const DMSTATUS: u8 = 0x11;
const ABSTRACTCS: u8 = 0x16;
const COMMAND: u8 = 0x17;
const SBCS: u8 = 0x38;
const SBADDRESS0: u8 = 0x39;
const SBDATA0: u8 = 0x3c;

const HALTREQ: u32 = 1 << 31;
const RESUMEREQ: u32 = 1 << 30;
const ACKHAVERESET: u32 = 1 << 28;
const NDMRESET: u32 = 1 << 1;
const DMACTIVE: u32 = 1;

/// Version 0.13, no authentication needed.
const DMSTATUS_FIXED: u32 = 2 | 1 << 7;
const DATA_COUNT: u32 = 1;

const AARSIZE: u32 = 7 << 20;
const AARSIZE_32: u32 = 2 << 20;
const POSTEXEC: u32 = 1 << 18;
const TRANSFER: u32 = 1 << 17;
const WRITE: u32 = 1 << 16;

/// Version 1, 32 bits of address, accesses of 8, 16 and 32 bits.
const SBCS_FIXED: u32 = 1 << 29 | 32 << 5 | 0b111;
const SBREADONADDR: u32 = 1 << 20;
const SBAUTOINCREMENT: u32 = 1 << 16;
const SBREADONDATA: u32 = 1 << 15;
const SBCS_KEPT: u32 = SBREADONADDR | 7 << 17 | SBAUTOINCREMENT | SBREADONDATA;
const SBERROR: u32 = 7 << 12;
const SBERROR_ALIGNMENT: u32 = 3 << 12;
const SBERROR_SIZE: u32 = 4 << 12;

/// Most bytes that are read or written in one access of QEMU, within as large a block of addresses.
const BLOCK: u32 = 1024;

/// Why an abstract command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommandError {
    None = 0,
    NotSupported = 2,
    Exception = 3,
    HaltResume = 4,
}

#[derive(Debug)]
pub struct DebugModule {
    pub hart: Hart,
    dmcontrol: u32,
    resume_ack: bool,
    error: CommandError,
    data0: u32,
    sbcs: u32,
    address: u32,
    data: u32,
    ahead: Block,
    behind: Block,
}

/// Consecutive bytes of memory.
#[derive(Debug, Default)]
struct Block {
    address: u32,
    bytes: Vec<u8>,
}

impl DebugModule {
    /// Powers the board.
    pub fn new(qemu: Qemu) -> Result<Self> {
        Ok(DebugModule {
            hart: Hart::new(qemu)?,
            dmcontrol: 0,
            resume_ack: false,
            error: CommandError::None,
            data0: 0,
            sbcs: 2 << 17,
            address: 0,
            data: 0,
            ahead: Block::default(),
            behind: Block::default(),
        })
    }

    pub fn read(&mut self, register: u8) -> Result<u32> {
        self.write_behind()?;
        Ok(match register {
            DATA0 => self.data0,
            // One hart: its selection reads 0.
            DMCONTROL => self.dmcontrol & (NDMRESET | DMACTIVE),
            DMSTATUS => self.status()?,
            ABSTRACTCS => (self.error as u32) << 8 | DATA_COUNT,
            SBCS => SBCS_FIXED | self.sbcs,
            SBADDRESS0 => self.address,
            SBDATA0 => {
                let data = self.data;
                if self.sbcs & SBREADONDATA != 0 {
                    self.read_bus()?;
                }
                data
            }
            _ => 0,
        })
    }

    pub fn write(&mut self, register: u8, value: u32) -> Result<()> {
        if register == SBDATA0 {
            self.data = value;
            return self.write_bus();
        }
        self.write_behind()?;
        match register {
            DATA0 => self.data0 = value,
            DMCONTROL => self.control(value)?,
            ABSTRACTCS if value & 7 << 8 != 0 => self.error = CommandError::None,
            COMMAND if self.error == CommandError::None => self.error = self.command(value)?,
            SBCS => {
                let error = self.sbcs & SBERROR & !value;
                self.sbcs = value & SBCS_KEPT | error;
            }
            SBADDRESS0 => {
                (self.address, self.ahead) = (value, Block::default());
                if self.sbcs & SBREADONADDR != 0 {
                    self.read_bus()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn control(&mut self, value: u32) -> Result<()> {
        let before = std::mem::replace(&mut self.dmcontrol, value);
        if value & DMACTIVE == 0 {
            (self.dmcontrol, self.error, self.sbcs) = (0, CommandError::None, 2 << 17);
            return Ok(());
        }
        if value & ACKHAVERESET != 0 {
            self.hart.have_reset = false;
        }
        match (before & NDMRESET != 0, value & NDMRESET != 0) {
            (_, true) => return self.hart.reset(),
            (true, false) if value & HALTREQ == 0 => return self.hart.resume(),
            _ => {}
        }
        if value & HALTREQ != 0 {
            return self.hart.halt();
        }
        if value & RESUMEREQ != 0 && self.hart.halted() {
            self.hart.resume()?;
            self.resume_ack = true;
        }
        Ok(())
    }

    fn status(&mut self) -> Result<u32> {
        self.hart.qemu.poll()?;
        // Each bit for any and for all harts.
        let both = |condition: bool, lowest: u32| if condition { 3 << lowest } else { 0 };
        Ok(DMSTATUS_FIXED
            | both(self.hart.halted(), 8)
            | both(!self.hart.halted(), 10)
            | both(self.resume_ack, 16)
            | both(self.hart.have_reset, 18))
    }

    /// Access Register is the only command.
    fn command(&mut self, command: u32) -> Result<CommandError> {
        if command >> 24 != 0 || command & POSTEXEC != 0 || command & AARSIZE != AARSIZE_32 {
            return Ok(CommandError::NotSupported);
        }
        if !self.hart.halted() {
            return Ok(CommandError::HaltResume);
        }
        let number = command as u16;
        let done = match (command & TRANSFER != 0, command & WRITE != 0) {
            (false, _) => true,
            (true, true) => self.hart.set_register(number, self.data0)?,
            (true, false) => self.hart.register(number)?.map(|value| self.data0 = value).is_some(),
        };
        Ok(if done { CommandError::None } else { CommandError::Exception })
    }

    /// Bytes of one access over the bus; `None`, with the error kept, if it is refused.
    fn width(&mut self) -> Option<u32> {
        let width = match self.sbcs >> 17 & 7 {
            size @ 0..=2 => 1 << size,
            _ => 0,
        };
        if self.sbcs & SBERROR == 0 {
            self.sbcs |= match width {
                0 => SBERROR_SIZE,
                width if !self.address.is_multiple_of(width) => SBERROR_ALIGNMENT,
                _ => 0,
            };
        }
        (self.sbcs & SBERROR == 0).then_some(width)
    }

    fn advance(&mut self, width: u32) {
        if self.sbcs & SBAUTOINCREMENT != 0 {
            self.address = self.address.wrapping_add(width);
        }
    }

    /// Reads on where a debugger reads on anyway.
    fn read_bus(&mut self) -> Result<()> {
        let Some(width) = self.width() else { return Ok(()) };
        let offset = self.address.wrapping_sub(self.ahead.address) as usize;
        if self.ahead.bytes.get(offset..offset + width as usize).is_none() {
            let on = self.sbcs & SBAUTOINCREMENT != 0 && self.sbcs & SBREADONDATA != 0;
            let n_bytes = if on { BLOCK - self.address % BLOCK } else { width };
            self.ahead = Block { address: self.address, bytes: vec![0; n_bytes as usize] };
            self.hart.qemu.read(self.address, &mut self.ahead.bytes)?;
        }
        let offset = (self.address - self.ahead.address) as usize;
        let mut word = [0; 4];
        word[..width as usize].copy_from_slice(&self.ahead.bytes[offset..offset + width as usize]);
        self.data = u32::from_le_bytes(word);
        self.advance(width);
        Ok(())
    }

    /// Collects what is written in a row, up to the next access of any other kind.
    fn write_bus(&mut self) -> Result<()> {
        let Some(width) = self.width() else { return Ok(()) };
        let end = self.behind.address.wrapping_add(self.behind.bytes.len() as u32);
        if end != self.address || self.behind.bytes.len() as u32 >= BLOCK {
            self.write_behind()?;
            self.behind.address = self.address;
        }
        self.behind.bytes.extend(&self.data.to_le_bytes()[..width as usize]);
        self.advance(width);
        Ok(())
    }

    fn write_behind(&mut self) -> Result<()> {
        let Block { address, bytes } = std::mem::take(&mut self.behind);
        if bytes.is_empty() { Ok(()) } else { self.hart.qemu.write(address, &bytes) }
    }
}
