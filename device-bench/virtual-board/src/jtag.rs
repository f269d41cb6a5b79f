//! What probe-rs sees of a RISC-V board: a probe that speaks JTAG, behind it the debug transport module
//! (Debug Specification 0.13, chapter 6).

use crate::{
    Machine,
    debug_module::DebugModule,
    faults::{Faults, RISC_V},
    qemu::Qemu,
};
use bitvec::vec::BitVec;
use probe_rs::{
    architecture::riscv::{
        JtagDtmBuilder,
        communication_interface::{RiscvError, RiscvInterfaceBuilder},
    },
    config::ScanChainElement,
    probe::{DebugProbe, DebugProbeError, JtagAccess, JtagSequence, WireProtocol},
};

const IDCODE: u32 = 0x01;
const DTMCS: u32 = 0x10;
const DMI: u32 = 0x11;

/// Of no manufacturer.
const IDCODE_VALUE: u64 = 0x0000_0001;
/// Version 0.13, 7 bits of address.
const DTMCS_VALUE: u64 = 7 << 4 | 1;
const OP_READ: u64 = 1;
const OP_WRITE: u64 = 2;

#[derive(Debug)]
pub struct JtagProbe {
    module: DebugModule,
    faults: Faults,
    name: String,
    speed_khz: u32,
    idle_cycles: u8,
    /// What the last operation gives, shifted out by the next one.
    result: u64,
}

impl JtagProbe {
    pub fn open(machine: &'static Machine, serial: &str, plugin: Option<&str>) -> crate::Result<Self> {
        let faults = Faults::open_some(serial, RISC_V)?;
        let name = format!("virtual board {}", machine.name);
        let module = DebugModule::new(Qemu::start(machine, plugin)?)?;
        Ok(JtagProbe { module, faults, name, speed_khz: 4000, idle_cycles: 0, result: 0 })
    }

    /// One scan of the register that reaches the debug module: address, data, operation.
    fn operate(&mut self, scan: u64) -> crate::Result<u64> {
        self.faults.access(&mut self.module.hart)?;
        let (register, value) = ((scan >> 34) as u8 & 0x7f, (scan >> 2) as u32);
        let shifted_out = self.result;
        let data = match scan & 3 {
            OP_READ => self.module.read(register)?,
            OP_WRITE => self.module.write(register, value).map(|()| 0)?,
            _ => return Ok(shifted_out),
        };
        self.result = u64::from(register) << 34 | u64::from(data) << 2;
        Ok(shifted_out)
    }
}

impl JtagAccess for JtagProbe {
    fn set_expected_scan_chain(&mut self, _: &[ScanChainElement]) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn set_scan_chain(&mut self, _: &[ScanChainElement]) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn scan_chain(&mut self) -> Result<&[ScanChainElement], DebugProbeError> {
        Ok(&[])
    }

    fn shift_raw_sequence(&mut self, _: JtagSequence) -> Result<BitVec, DebugProbeError> {
        Err(DebugProbeError::NotImplemented { function_name: "shift_raw_sequence" })
    }

    fn tap_reset(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn set_idle_cycles(&mut self, idle_cycles: u8) -> Result<(), DebugProbeError> {
        self.idle_cycles = idle_cycles;
        Ok(())
    }

    fn idle_cycles(&self) -> u8 {
        self.idle_cycles
    }

    fn write_register(&mut self, address: u32, data: &[u8], len: u32) -> Result<BitVec, DebugProbeError> {
        let mut scan = [0; 8];
        scan.iter_mut().zip(data).for_each(|(to, &from)| *to = from);
        let shifted_out = match address {
            DMI => self.operate(u64::from_le_bytes(scan)).map_err(DebugProbeError::from)?,
            DTMCS => DTMCS_VALUE,
            IDCODE => IDCODE_VALUE,
            // Bypass.
            _ => 0,
        };
        Ok((0..len.min(64)).map(|bit| shifted_out >> bit & 1 == 1).collect())
    }

    fn write_dr(&mut self, _: &[u8], _: u32) -> Result<BitVec, DebugProbeError> {
        Err(DebugProbeError::NotImplemented { function_name: "write_dr" })
    }
}

impl DebugProbe for JtagProbe {
    fn get_name(&self) -> &str {
        &self.name
    }

    fn speed_khz(&self) -> u32 {
        self.speed_khz
    }

    fn set_speed(&mut self, speed_khz: u32) -> Result<u32, DebugProbeError> {
        self.speed_khz = speed_khz;
        Ok(speed_khz)
    }

    fn attach(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn detach(&mut self) -> Result<(), probe_rs::Error> {
        Ok(())
    }

    fn target_reset(&mut self) -> Result<(), DebugProbeError> {
        self.module.hart.reset_itself().map_err(DebugProbeError::from)
    }

    fn target_reset_assert(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn target_reset_deassert(&mut self) -> Result<(), DebugProbeError> {
        self.target_reset()
    }

    fn select_protocol(&mut self, protocol: WireProtocol) -> Result<(), DebugProbeError> {
        match protocol {
            WireProtocol::Jtag => Ok(()),
            other => Err(DebugProbeError::UnsupportedProtocol(other)),
        }
    }

    fn active_protocol(&self) -> Option<WireProtocol> {
        Some(WireProtocol::Jtag)
    }

    fn has_riscv_interface(&self) -> bool {
        true
    }

    fn try_get_riscv_interface_builder<'probe>(
        &'probe mut self,
    ) -> Result<Box<dyn RiscvInterfaceBuilder<'probe> + 'probe>, RiscvError> {
        Ok(Box::new(JtagDtmBuilder::new(self)))
    }

    fn try_as_jtag_probe(&mut self) -> Option<&mut dyn JtagAccess> {
        Some(self)
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }
}
