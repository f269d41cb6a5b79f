//! Opening a board: attach, load and verify the firmware, start it.

use super::counts::Counts;
use super::link::{failed, silent};
use super::setup::{self, Registers};
use super::{BoardError, BoardFile, ProbeKind, ProbeOptions, cpu, probe, watch};
use object::{Endianness, Object as _, read::elf::ElfFile32};
use probe_rs::{
    Core, MemoryInterface, Permissions, Session,
    flashing::{BootInfo, DownloadOptions, ElfLoader, ElfOptions, ImageLoader},
    rtt::{Rtt, ScanRegion, find_rtt_control_block_in_raw_file},
};
use std::{
    io::Cursor,
    path::Path,
    thread,
    time::{Duration, Instant},
};

const START_TIMEOUT: Duration = Duration::from_secs(5);
const HALT_TIMEOUT: Duration = Duration::from_millis(500);
/// Header of an RTT control block: an old one in RAM must not be taken for the new firmware's.
const CONTROL_BLOCK_HEADER: usize = 24;

/// Opens the probe and attaches to the chip.
pub(super) fn attach(
    board: &BoardFile,
    options: &ProbeOptions,
    counts: Option<&Counts>,
) -> Result<Session, BoardError> {
    let error = failed(&board.name, probe::ATTACHING);
    let (chip, permissions) = (board.chip.as_str(), Permissions::default);
    if options.connect_under_reset && board.probe == ProbeKind::Usb {
        let attach = || {
            let probe = probe::open(board, options, None)?;
            probe.attach_under_reset(chip, permissions()).map_err(|e| error(e.into()))
        };
        // The first time after power-up the core is let go before its debug is on, and is missed (probe-rs issue 4113).
        return attach().or_else(|_| attach());
    }
    probe::open(board, options, counts)?.attach(chip, permissions()).map_err(|e| error(e.into()))
}

/// A firmware in the board's memory: what it takes to start it, again and again.
pub(super) struct Firmware {
    control_block: u64,
    begin: Begin,
}

/// How the firmware is begun after a reset.
enum Begin {
    /// By the core: it is in flash.
    Reset,
    /// A Cortex-M by its vector table in RAM.
    Vectors(u64),
    /// A RISC-V core at this address: where a reset leads is the chip's business, its boot ROM's for instance.
    Entry(u64),
}

/// Resets the chip, checks that its core is what the board file says, and runs the set-up script.
pub(super) fn reset(session: &mut Session, board: &BoardFile) -> Result<(), BoardError> {
    let error = failed(&board.name, "resetting the core");
    let mut core = session.core(0).map_err(|e| error(e.into()))?;
    core.reset_and_halt(HALT_TIMEOUT).map_err(|e| error(e.into()))?;
    cpu::check(&mut core, board)?;
    setup::run(&board.setup, &mut Bus(&mut core))
        .map_err(|source| BoardError::Setup { board: board.name.clone(), source })
}

/// Writes and verifies the firmware, in RAM or flash.
pub(super) fn load(session: &mut Session, elf: &Path, board: &BoardFile) -> Result<Firmware, BoardError> {
    let error = failed(&board.name, "loading the firmware");
    let image = std::fs::read(elf).map_err(|e| error(e.into()))?;
    let control_block = find_rtt_control_block_in_raw_file(&image)
        .map_err(|e| error(e.into()))?
        .ok_or_else(|| error("it has no RTT control block".into()))?;
    let entry = ElfFile32::<Endianness>::parse(&*image).map_err(|e| error(e.into()))?.entry();
    let mut loader = session.target().flash_loader();
    let format = ElfLoader(ElfOptions::default());
    format.load(&mut loader, session, &mut Cursor::new(image)).map_err(|e| error(e.into()))?;
    let begin = match loader.boot_info() {
        _ if board.is_riscv() => Begin::Entry(entry),
        BootInfo::FromRam { vector_table_addr, .. } => Begin::Vectors(vector_table_addr),
        BootInfo::Other => Begin::Reset,
    };
    loader.commit(session, verified()).map_err(|e| error(e.into()))?;
    Ok(Firmware { control_block, begin })
}

/// Writes bytes to flash and reads them back; the core is halted in the end, its RAM used by the flash algorithm.
pub(super) fn flash(
    session: &mut Session,
    address: u64,
    bytes: &[u8],
    board: &str,
) -> Result<(), BoardError> {
    let error = failed(board, "flashing the model");
    let mut loader = session.target().flash_loader();
    loader.add_data(address, bytes).map_err(|e| error(e.into()))?;
    loader.commit(session, verified()).map_err(|e| error(e.into()))
}

fn verified() -> DownloadOptions<'static> {
    let mut options = DownloadOptions::default();
    options.verify = true;
    options
}

/// Starts the firmware on the halted core, and its RTT.
pub(super) fn start(
    session: &mut Session,
    firmware: &Firmware,
    board: &BoardFile,
) -> Result<Rtt, BoardError> {
    let error = failed(&board.name, "starting the firmware");
    if let Begin::Vectors(vectors) = firmware.begin {
        session.prepare_running_on_ram(vectors, 0).map_err(|e| error(e.into()))?;
    }
    let mut core = session.core(0).map_err(|e| error(e.into()))?;
    match firmware.begin {
        Begin::Reset => {}
        Begin::Vectors(vectors) => cpu::check_vectors(&mut core, vectors, board)?,
        Begin::Entry(entry) => {
            core.write_core_reg(core.program_counter(), entry as u32).map_err(|e| error(e.into()))?;
        }
    }
    let (address, board) = (firmware.control_block, board.name.as_str());
    core.write_8(address, &[0; CONTROL_BLOCK_HEADER]).map_err(|e| error(e.into()))?;
    core.run().map_err(|e| error(e.into()))?;
    drop(core);
    watch::begin(session, board)?;
    let start = Instant::now();
    loop {
        let mut core = session.core(0).map_err(|e| error(e.into()))?;
        match Rtt::attach_region(&mut core, &ScanRegion::Exact(address)) {
            Ok(mut rtt) => {
                if rtt.up_channel(0).is_some() && rtt.down_channel(0).is_some() {
                    return Ok(rtt);
                }
            }
            Err(probe_rs::rtt::Error::ControlBlockNotFound) => {}
            Err(e) => return Err(error(e.into())),
        }
        if start.elapsed() > START_TIMEOUT {
            return Err(silent(board, START_TIMEOUT, &mut core));
        }
        drop(core);
        watch::check(session, board)?;
        thread::sleep(Duration::from_millis(1));
    }
}

/// A core's bus, for a set-up script.
struct Bus<'a, 'b>(&'a mut Core<'b>);

impl Registers for Bus<'_, '_> {
    type Error = probe_rs::Error;

    fn read(&mut self, address: u32) -> Result<u32, probe_rs::Error> {
        self.0.read_word_32(address.into())
    }

    fn write(&mut self, address: u32, value: u32) -> Result<(), probe_rs::Error> {
        self.0.write_word_32(address.into(), value)
    }
}
