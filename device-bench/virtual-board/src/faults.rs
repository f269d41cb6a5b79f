//! Faults that a virtual board has on purpose, so that tests can see what its host makes of them.
//!
//! They are asked for in the probe's serial number, which is `machine` in a board file: behind the machine's name comes
//! a list of `KIND@N`, for instance `mps2-an386 drop@1200 corrupt@5000`. Each strikes once, at the probe's access
//! number `N`. Accesses are counted over all openings of that serial number in this process: a probe that is opened
//! again does not fail anew.

use crate::{Error, Result, cortex::Cortex, hart::Hart};
use std::{
    collections::BTreeMap,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

const SYST_CSR: u32 = 0xE000_E010;
const SYST_CVR: u32 = 0xE000_E018;
const SYST_CORE_CLOCK: u32 = 1 << 2;
/// Execution is never allowed there.
const NOWHERE: u32 = 0xE000_0000;
/// What a chain of calls overwrites that is too deep: the stack of edgeslim's firmware is not larger.
const DEEP_CALLS_BYTES: u32 = 16 * 1024;
/// Shorter blocks are offsets into RTT's rings.
const DATA_WORDS: usize = 4;
/// As long as a USB transfer takes to be given up.
const USB_TIMEOUT: Duration = Duration::from_secs(1);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `drop`: the cable is pulled; no access works until the probe is opened again.
    Drop,
    /// `stall`: one access takes a second, and fails.
    Stall,
    /// `corrupt`: one bit of the next block of data that is read comes wrong: a frame, a part of a memory.
    Corrupt,
    /// `corrupt-offset`: one bit of the next offsets that are read comes wrong, by which the host finds frames.
    CorruptOffset,
    /// `corrupt-write`: one bit of the next block that is written arrives wrong.
    CorruptWrite,
    /// `fault`: the core jumps to where nothing can be executed, which is a HardFault.
    HardFault,
    /// `reset`: the board resets itself and runs on.
    Reset,
    /// `halt`: the core halts, as for another debugger.
    Halt,
    /// `lockup`: the core locks up, as by a fault in its fault handler. (QEMU would end; here it stops.)
    LockUp,
    /// `stack`: all that a chain of calls of 16 KiB would overwrite below the stack pointer is overwritten.
    Stack,
    /// `stuck`: the system timer is switched off.
    Stuck,
    /// `slow`: the system timer counts the reference clock.
    Slow,
    /// `glitch`: the system timer is set to zero.
    Glitch,
}

impl Fault {
    /// Every fault, by the name that a serial number gives it.
    pub const ALL: [(&str, Fault); 13] = [
        ("drop", Fault::Drop),
        ("stall", Fault::Stall),
        ("corrupt", Fault::Corrupt),
        ("corrupt-offset", Fault::CorruptOffset),
        ("corrupt-write", Fault::CorruptWrite),
        ("fault", Fault::HardFault),
        ("reset", Fault::Reset),
        ("halt", Fault::Halt),
        ("lockup", Fault::LockUp),
        ("stack", Fault::Stack),
        ("stuck", Fault::Stuck),
        ("slow", Fault::Slow),
        ("glitch", Fault::Glitch),
    ];
}

impl FromStr for Fault {
    type Err = ();

    fn from_str(name: &str) -> std::result::Result<Self, ()> {
        Fault::ALL.iter().find(|(known, _)| *known == name).map(|&(_, fault)| fault).ok_or(())
    }
}

/// Those that a RISC-V board can have: it has no system timer, and its data do not come in blocks.
pub(crate) const RISC_V: &[Fault] =
    &[Fault::Drop, Fault::Stall, Fault::HardFault, Fault::Reset, Fault::Halt, Fault::Stack];

/// Their names, in a list.
pub(crate) fn names(faults: &[Fault]) -> String {
    let named = Fault::ALL.into_iter().filter(|(_, fault)| faults.contains(fault));
    named.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

/// A board on which faults strike.
pub trait Board {
    /// Does to the board what is done to it, whether its core runs or not.
    fn strike(&mut self, fault: Fault) -> Result<()>;
}

/// What is still to strike, and when.
#[derive(Debug, Default)]
struct Script {
    n_accesses: u64,
    pending: Vec<(u64, Fault)>,
}

impl Script {
    fn parse(serial: &str) -> Result<Self> {
        let faults = serial.split_whitespace().skip(1).map(|word| {
            let (name, at) = word.split_once('@')?;
            Some((at.parse().ok()?, name.parse().ok()?))
        });
        let pending = faults.collect::<Option<_>>().ok_or_else(|| Error::Script(serial.to_owned()))?;
        Ok(Script { n_accesses: 0, pending })
    }
}

/// One script a serial number, for as long as the process lives.
static SCRIPTS: Mutex<BTreeMap<String, Arc<Mutex<Script>>>> = Mutex::new(BTreeMap::new());

/// Accesses that the probe with this serial number has served, over all its openings; 0 without a script.
pub fn accesses(serial: &str) -> u64 {
    let scripts = SCRIPTS.lock().unwrap_or_else(PoisonError::into_inner);
    scripts.get(serial).map_or(0, |script| script.lock().unwrap_or_else(PoisonError::into_inner).n_accesses)
}

/// Lets a fault strike a probe that has been opened, after `n_more` more accesses.
pub fn inject(serial: &str, fault: Fault, n_more: u64) {
    let scripts = SCRIPTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(script) = scripts.get(serial) {
        let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
        let at = script.n_accesses + n_more + 1;
        script.pending.push((at, fault));
    }
}

/// The faults of an open probe.
#[derive(Debug)]
pub struct Faults {
    script: Arc<Mutex<Script>>,
    unplugged: bool,
    /// Those that wait for a block.
    corrupting: Vec<Fault>,
}

impl Faults {
    /// Those of the probe with this serial number.
    ///
    /// # Errors
    /// [`Error::Script`].
    pub fn open(serial: &str) -> Result<Self> {
        let mut scripts = SCRIPTS.lock().unwrap_or_else(PoisonError::into_inner);
        let script = match scripts.get(serial) {
            Some(script) => script.clone(),
            None => {
                let script = Arc::new(Mutex::new(Script::parse(serial)?));
                scripts.insert(serial.to_owned(), script.clone());
                script
            }
        };
        Ok(Faults { script, unplugged: false, corrupting: Vec::new() })
    }

    /// As [`Faults::open`], for a board that has only some of the faults.
    ///
    /// # Errors
    /// [`Error::NoSuchFault`] too.
    pub fn open_some(serial: &str, known: &[Fault]) -> Result<Self> {
        let faults = Self::open(serial)?;
        let script = faults.script.lock().unwrap_or_else(PoisonError::into_inner);
        let all_known = script.pending.iter().all(|(_, fault)| known.contains(fault));
        drop(script);
        if all_known { Ok(faults) } else { Err(Error::NoSuchFault(serial.to_owned())) }
    }

    /// Counts an access, and lets what is due strike before it.
    ///
    /// # Errors
    /// That of the access, if it fails.
    pub fn access(&mut self, board: &mut impl Board) -> Result<()> {
        for fault in self.due() {
            match fault {
                Fault::Drop => self.unplugged = true,
                Fault::Stall => {
                    thread::sleep(USB_TIMEOUT);
                    return Err(Error::TimedOut);
                }
                Fault::Corrupt | Fault::CorruptOffset | Fault::CorruptWrite => self.corrupting.push(fault),
                of_the_board => board.strike(of_the_board)?,
            }
        }
        if self.unplugged { Err(Error::Unplugged) } else { Ok(()) }
    }

    fn due(&mut self) -> Vec<Fault> {
        let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        script.n_accesses += 1;
        let now = script.n_accesses;
        script.pending.extract_if(.., |&mut (at, _)| at <= now).map(|(_, fault)| fault).collect()
    }

    /// A block that was read, as it arrives at the host.
    pub fn read(&mut self, block: &mut [u32]) {
        let kind = if block.len() < DATA_WORDS { Fault::CorruptOffset } else { Fault::Corrupt };
        self.flip_a_bit(kind, block);
    }

    /// A block that is written, as it arrives at the board.
    pub fn written(&mut self, block: &[u32]) -> Vec<u32> {
        let mut block = block.to_vec();
        self.flip_a_bit(Fault::CorruptWrite, &mut block);
        block
    }

    /// If one of that kind waits for it; which bit depends on how many accesses there were.
    fn flip_a_bit(&mut self, kind: Fault, block: &mut [u32]) {
        let Some(waiting) = self.corrupting.iter().position(|&fault| fault == kind) else { return };
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = script.n_accesses.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let word = (hash >> 32).checked_rem(block.len() as u64);
        if let Some(word) = word.and_then(|idx| block.get_mut(idx as usize)) {
            *word ^= 1 << (hash >> 27 & 31);
            self.corrupting.remove(waiting);
        }
    }
}

impl Board for Cortex {
    fn strike(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::HardFault => self.jump(NOWHERE),
            Fault::Reset => self.reset(),
            Fault::Halt => self.halt_by_another(),
            Fault::LockUp => self.lock_up(),
            Fault::Stack => self.overwrite_stack(DEEP_CALLS_BYTES),
            Fault::Stuck => self.qemu.write(SYST_CSR, &[0; 4]),
            Fault::Slow => {
                let control = self.qemu.read_u32(SYST_CSR)? & !SYST_CORE_CLOCK;
                self.qemu.write(SYST_CSR, &control.to_le_bytes())
            }
            Fault::Glitch => self.qemu.write(SYST_CVR, &[0; 4]),
            // Those of the probe.
            _ => Ok(()),
        }
    }
}

impl Board for Hart {
    fn strike(&mut self, fault: Fault) -> Result<()> {
        match fault {
            Fault::HardFault => self.jump(NOWHERE),
            Fault::Reset => self.reset_itself(),
            Fault::Halt => self.halt(),
            Fault::Stack => self.overwrite_stack(DEEP_CALLS_BYTES),
            // Those of the probe.
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_from_the_serial_number() {
        let script = Script::parse("mps2-an386 drop@1200  corrupt-write@5").unwrap();
        assert_eq!(script.pending, [(1200, Fault::Drop), (5, Fault::CorruptWrite)]);
        assert_eq!(Script::parse("mps2-an386").unwrap().pending, []);
        for wrong in ["m drop", "m drop@", "m drop@x", "m dropped@7", "m @7"] {
            let error = Script::parse(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("corrupt-write"), "{error}");
        }
    }

    #[test]
    fn a_fault_strikes_once_however_often_the_probe_is_opened() {
        let serial = "of-this-test drop@2 corrupt@3";
        let mut first = Faults::open(serial).unwrap();
        assert_eq!((first.due(), first.due()), (vec![], vec![Fault::Drop]));
        let mut second = Faults::open(serial).unwrap();
        assert_eq!((second.due(), second.due()), (vec![Fault::Corrupt], vec![]));
        assert_eq!((accesses(serial), accesses("another")), (4, 0));
        inject(serial, Fault::Reset, 0);
        assert_eq!((first.due(), second.due()), (vec![Fault::Reset], vec![]));
        inject(serial, Fault::Halt, 1);
        assert_eq!((first.due(), second.due()), (vec![], vec![Fault::Halt]));
    }

    #[test]
    fn a_corrupt_block_has_one_wrong_bit_and_the_next_one_none() {
        let mut faults = Faults::open("of-this-test-too").unwrap();
        faults.corrupting = vec![Fault::Corrupt, Fault::CorruptWrite];
        let n_wrong = |block: &[u32]| block.iter().map(|word| (word ^ 7).count_ones()).sum::<u32>();
        let mut n_wrong_of_read = |n_words| {
            let mut block = vec![7; n_words];
            faults.read(&mut block);
            n_wrong(&block)
        };
        assert_eq!([2, 9, 9].map(&mut n_wrong_of_read), [0, 1, 0]);
        assert_eq!([9, 9].map(|n_words| n_wrong(&faults.written(&vec![7; n_words]))), [1, 0]);
    }
}
