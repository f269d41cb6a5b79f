//! Opening a board: attach, load and verify the firmware, start it.

use super::link::{failed, silent};
use super::{BoardError, BoardFile, ProbeKind};
use probe_rs::{
    MemoryInterface, Permissions, Session,
    flashing::{BootInfo, DownloadOptions, ElfLoader, ElfOptions, ImageLoader},
    probe::list::Lister,
    rtt::{Rtt, ScanRegion},
};
use std::{
    fs::File,
    path::Path,
    thread,
    time::{Duration, Instant},
};

const START_TIMEOUT: Duration = Duration::from_secs(5);
const HALT_TIMEOUT: Duration = Duration::from_millis(500);
/// Header of an RTT control block: an old one in RAM must not be taken for the new firmware's.
const CONTROL_BLOCK_HEADER: usize = 24;

pub(super) fn attach(board: &BoardFile) -> Result<Session, BoardError> {
    virtual_board::register();
    let lister = Lister::new();
    let probe = match board.probe {
        ProbeKind::Virtual => {
            lister.open(virtual_board::selector(board.machine.as_deref().unwrap_or_default()))
        }
        ProbeKind::Usb => {
            match lister.list_all().into_iter().find(|p| p.vendor_id != virtual_board::VENDOR_ID) {
                Some(info) => info.open(),
                None => return Err(BoardError::NoProbe { board: board.name.clone() }),
            }
        }
    };
    let probe = probe.map_err(|e| failed(&board.name, "opening the probe")(e.into()))?;
    let session = probe.attach(board.chip.as_str(), Permissions::default());
    session.map_err(|e| failed(&board.name, "attaching to the chip")(e.into()))
}

pub(super) fn load(session: &mut Session, elf: &Path, board: &str) -> Result<(), BoardError> {
    let error = failed(board, "loading the firmware");
    let mut loader = session.target().flash_loader();
    let mut file = File::open(elf).map_err(|e| error(e.into()))?;
    let image = ElfLoader(ElfOptions::default());
    image.load(&mut loader, session, &mut file).map_err(|e| error(e.into()))?;
    let mut options = DownloadOptions::default();
    options.verify = true;
    let boot = loader.boot_info();
    loader.commit(session, options).map_err(|e| error(e.into()))?;
    match boot {
        BootInfo::FromRam { vector_table_addr, .. } => session.prepare_running_on_ram(vector_table_addr, 0),
        BootInfo::Other => session.core(0).and_then(|mut core| core.reset_and_halt(HALT_TIMEOUT)).map(drop),
    }
    .map_err(|e| error(e.into()))
}

pub(super) fn start(session: &mut Session, address: u64, board: &str) -> Result<Rtt, BoardError> {
    let error = failed(board, "starting the firmware");
    let mut core = session.core(0).map_err(|e| error(e.into()))?;
    core.write_8(address, &[0; CONTROL_BLOCK_HEADER]).map_err(|e| error(e.into()))?;
    core.run().map_err(|e| error(e.into()))?;
    let start = Instant::now();
    loop {
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
        thread::sleep(Duration::from_millis(1));
    }
}
