//! What probe-rs sees: a probe that speaks SWD, and the factory that lists one for every machine.

use crate::{
    COUNTING, Emulator, Error, MACHINES, Machine, VENDOR_ID,
    dap::{Dap, arm_error},
    faults::Faults,
    jtag::JtagProbe,
    qemu::Qemu,
};
use probe_rs::{
    CoreStatus,
    architecture::arm::{
        ArmCommunicationInterface, ArmDebugInterface, ArmError, DapProbe, RawDapAccess, RegisterAddress,
        sequences::ArmDebugSequence,
    },
    probe::{
        DebugProbe, DebugProbeError, DebugProbeInfo, DebugProbeSelector, ProbeCreationError, ProbeFactory,
        WireProtocol, list::ProbeListItem,
    },
};
use std::{fmt, sync::Arc};

const SWJ_RESET_PIN: u32 = 0x80;

#[derive(Debug)]
struct VirtualProbe {
    dap: Dap,
    faults: Faults,
    name: String,
    speed_khz: u32,
}

impl VirtualProbe {
    fn open(machine: &'static Machine, serial: &str, plugin: Option<&str>) -> crate::Result<Self> {
        let faults = Faults::open(serial)?;
        let dap = Dap::new(Qemu::start(machine, plugin)?)?;
        Ok(VirtualProbe { dap, faults, name: format!("virtual board {}", machine.name), speed_khz: 4000 })
    }

    /// The debug port, for one access.
    fn access(&mut self) -> Result<&mut Dap, ArmError> {
        self.faults.access(&mut self.dap.core).map_err(arm_error)?;
        Ok(&mut self.dap)
    }
}

impl RawDapAccess for VirtualProbe {
    fn raw_read_register(&mut self, address: RegisterAddress) -> Result<u32, ArmError> {
        self.access()?.read(address).map_err(arm_error)
    }

    fn raw_write_register(&mut self, address: RegisterAddress, value: u32) -> Result<(), ArmError> {
        self.access()?.write(address, value).map_err(arm_error)
    }

    fn raw_read_block(&mut self, address: RegisterAddress, values: &mut [u32]) -> Result<(), ArmError> {
        self.access()?.read_many(address, values).map_err(arm_error)?;
        self.faults.read(values);
        Ok(())
    }

    fn raw_write_block(&mut self, address: RegisterAddress, values: &[u32]) -> Result<(), ArmError> {
        self.access()?;
        self.dap.write_many(address, &self.faults.written(values)).map_err(arm_error)
    }

    fn jtag_sequence(&mut self, _: u8, _: bool, _: u64) -> Result<(), DebugProbeError> {
        Err(DebugProbeError::UnsupportedProtocol(WireProtocol::Jtag))
    }

    fn swj_sequence(&mut self, _: u8, _: u64) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn swj_pins(&mut self, out: u32, select: u32, _: u32) -> Result<u32, DebugProbeError> {
        if out & select & SWJ_RESET_PIN != 0 {
            self.target_reset()?;
        }
        Ok(out & select)
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }

    fn core_status_notification(&mut self, _: CoreStatus) -> Result<(), DebugProbeError> {
        Ok(())
    }
}

impl DapProbe for VirtualProbe {}

impl DebugProbe for VirtualProbe {
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
        self.dap.core.reset().map_err(DebugProbeError::from)
    }

    fn target_reset_assert(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn target_reset_deassert(&mut self) -> Result<(), DebugProbeError> {
        self.target_reset()
    }

    fn select_protocol(&mut self, protocol: WireProtocol) -> Result<(), DebugProbeError> {
        match protocol {
            WireProtocol::Swd => Ok(()),
            other => Err(DebugProbeError::UnsupportedProtocol(other)),
        }
    }

    fn active_protocol(&self) -> Option<WireProtocol> {
        Some(WireProtocol::Swd)
    }

    fn has_arm_interface(&self) -> bool {
        true
    }

    fn try_get_arm_debug_interface<'probe>(
        self: Box<Self>,
        sequence: Arc<dyn ArmDebugSequence>,
    ) -> Result<Box<dyn ArmDebugInterface + 'probe>, (Box<dyn DebugProbe>, ArmError)> {
        Ok(ArmCommunicationInterface::create(self, sequence, false))
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }

    fn try_as_dap_probe(&mut self) -> Option<&mut dyn DapProbe> {
        Some(self)
    }
}

/// Lists every machine as a probe, whether or not QEMU is installed; opening one says what is missing.
#[derive(Debug)]
pub struct Factory;

impl fmt::Display for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("virtual board (QEMU)")
    }
}

impl ProbeFactory for Factory {
    fn open(&self, selector: &DebugProbeSelector) -> Result<Box<dyn DebugProbe>, DebugProbeError> {
        if selector.vendor_id != VENDOR_ID {
            return Err(ProbeCreationError::NotFound.into());
        }
        let serial = selector.serial_number.as_deref().unwrap_or_default();
        let (serial, plugin) = serial.split_once(COUNTING).map_or((serial, None), |(s, p)| (s, Some(p)));
        let machine = Machine::named(serial).ok_or_else(|| Error::UnknownMachine(serial.to_owned()))?;
        Ok(match machine.emulator {
            Emulator::Arm => Box::new(VirtualProbe::open(machine, serial, plugin)?),
            Emulator::RiscV32 => Box::new(JtagProbe::open(machine, serial, plugin)?),
        })
    }

    fn list_probes(&self) -> Vec<ProbeListItem> {
        MACHINES
            .iter()
            .map(|machine| {
                let (name, serial) = (format!("virtual {}", machine.name), Some(machine.name.to_owned()));
                let info = DebugProbeInfo::new(name, VENDOR_ID, 0, serial, &Factory, None, false);
                ProbeListItem::accessible(info)
            })
            .collect()
    }
}
