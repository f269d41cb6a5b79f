//! An open board: load, run, and the request loop over RTT.

use super::{BoardError, BoardFile, ProbeKind};
use device_bench::wire::{self, Fault, FaultKind, Hello, Request, Response};
use probe_rs::{
    MemoryInterface, Permissions, Session,
    flashing::{BootInfo, DownloadOptions, ElfLoader, ElfOptions, ImageLoader},
    probe::list::Lister,
    rtt::{Rtt, ScanRegion, find_rtt_control_block_in_raw_file},
};
use std::{
    fs::{self, File},
    path::Path,
    thread,
    time::{Duration, Instant},
};

const START_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const HALT_TIMEOUT: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_micros(200);
/// Header of an RTT control block: an old one in RAM must not be taken for the new firmware's.
const CONTROL_BLOCK_HEADER: usize = 24;

/// A board whose firmware runs and answers.
pub struct Link {
    session: Session,
    rtt: Rtt,
    board: String,
    received: Vec<u8>,
    info: BoardInfo,
}

/// What the firmware says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoardInfo {
    /// Name of the board file it was built for.
    pub board: String,
    /// CPUID register.
    pub cpuid: u32,
    /// First address of the model region.
    pub model_address: u32,
    /// Bytes of the model region.
    pub model_bytes: u32,
    /// Bytes of the arena.
    pub arena_bytes: u32,
}

impl From<&Hello<'_>> for BoardInfo {
    fn from(hello: &Hello<'_>) -> Self {
        BoardInfo {
            board: hello.board.to_owned(),
            cpuid: hello.cpuid,
            model_address: hello.model_address,
            model_bytes: hello.model_bytes,
            arena_bytes: hello.arena_bytes,
        }
    }
}

impl Link {
    /// Opens the probe, loads and verifies the firmware, starts it and checks its protocol.
    ///
    /// # Errors
    /// [`BoardError`] with the step that failed.
    pub fn open(board: &BoardFile, elf: &Path) -> Result<Link, BoardError> {
        let step = |step| failed(&board.name, step);
        let mut session = attach(board)?;
        load(&mut session, elf, &board.name)?;
        let image = fs::read(elf).map_err(|e| step("reading the firmware")(e.into()))?;
        let address = find_rtt_control_block_in_raw_file(&image)
            .map_err(|e| step("reading the firmware")(e.into()))?
            .ok_or_else(|| step("reading the firmware")("it has no RTT control block".into()))?;
        let rtt = start(&mut session, address, &board.name)?;
        let name = board.name.clone();
        let mut link = Link { session, rtt, board: name, received: Vec::new(), info: BoardInfo::default() };
        link.hello()?;
        Ok(link)
    }

    /// What the firmware said of itself when it was opened.
    pub fn info(&self) -> &BoardInfo {
        &self.info
    }

    /// The deepest stack since reset and its room, bytes.
    ///
    /// # Errors
    /// As [`Link::request`].
    pub fn stack_used(&mut self) -> Result<(u32, u32), BoardError> {
        match self.request(&Request::StackUsed, |r| match r {
            Response::StackUsed { used, size } => Some((used, size)),
            _ => None,
        })? {
            Some(answer) => Ok(answer),
            None => Err(BoardError::Unexpected { board: self.board.clone() }),
        }
    }

    /// Writes a model blob into the board's model region and has the firmware check it.
    ///
    /// # Errors
    /// As [`Link::request`]; [`BoardError::Refused`] if the region or the arena is too small.
    pub fn load_model(&mut self, blob: &[u8]) -> Result<(), BoardError> {
        let available = self.info.model_bytes;
        let needed = u32::try_from(blob.len()).unwrap_or(u32::MAX);
        if needed > available {
            let reason = wire::Refusal::Memory { needed, available };
            return Err(BoardError::Refused { board: self.board.clone(), reason });
        }
        let error = failed(&self.board, "writing the model");
        let mut core = self.session.core(0).map_err(|e| error(e.into()))?;
        core.write_8(u64::from(self.info.model_address), blob).map_err(|e| error(e.into()))?;
        drop(core);
        self.request(&Request::LoadModel { len: needed }, |_| ())
    }

    /// Runs the loaded model on one input and returns its output.
    ///
    /// # Errors
    /// As [`Link::request`].
    pub fn run_model(&mut self, input: &[i8]) -> Result<Vec<i8>, BoardError> {
        for (i, chunk) in input.chunks(wire::INPUT_CHUNK).enumerate() {
            let bytes: Vec<u8> = chunk.iter().map(|&x| x as u8).collect();
            let offset = (i * wire::INPUT_CHUNK) as u32;
            self.request(&Request::Input { offset, bytes: &bytes }, |_| ())?;
        }
        self.request(&Request::RunModel, |_| ())?;
        let mut output = Vec::new();
        loop {
            let offset = output.len() as u32;
            let page = self.request(&Request::Logits { offset }, |response| match response {
                Response::Logits(bytes) => Some(bytes.iter().map(|&x| x as i8).collect::<Vec<_>>()),
                _ => None,
            })?;
            let Some(page) = page else { return Err(BoardError::Unexpected { board: self.board.clone() }) };
            if page.is_empty() {
                return Ok(output);
            }
            output.extend(page);
        }
    }

    /// Sends one request and hands its answer to `read`.
    ///
    /// # Errors
    /// [`BoardError::Fault`] if the firmware fails, [`BoardError::Refused`] if it does not serve the request,
    /// [`BoardError::Silent`] with the core's state if nothing comes.
    pub fn request<T>(
        &mut self,
        request: &Request<'_>,
        read: impl FnOnce(Response<'_>) -> T,
    ) -> Result<T, BoardError> {
        self.send(request)?;
        let frame = self.receive()?;
        match postcard::from_bytes(&frame) {
            Ok(Response::Fault(fault)) => Err(self.fault(&fault)),
            Ok(Response::Refused(reason)) => Err(BoardError::Refused { board: self.board.clone(), reason }),
            Ok(response) => Ok(read(response)),
            Err(_) => Err(BoardError::Unexpected { board: self.board.clone() }),
        }
    }

    /// The protocol is checked on the raw frame: other versions have other fields behind it.
    fn hello(&mut self) -> Result<(), BoardError> {
        self.send(&Request::Hello)?;
        let frame = self.receive()?;
        check_protocol(&self.board, &frame)?;
        match postcard::from_bytes(&frame) {
            Ok(Response::Hello(hello)) => self.info = BoardInfo::from(&hello),
            _ => return Err(BoardError::Unexpected { board: self.board.clone() }),
        }
        Ok(())
    }

    fn send(&mut self, request: &Request<'_>) -> Result<(), BoardError> {
        let error = failed(&self.board, "sending a request");
        let frame = postcard::to_stdvec_cobs(request).expect("requests have a wire form");
        let mut core = self.session.core(0).map_err(|e| failed(&self.board, "the core")(e.into()))?;
        let Some(channel) = self.rtt.down_channel(0) else { return Err(error("no RTT channel".into())) };
        let (mut rest, start) = (&frame[..], Instant::now());
        while !rest.is_empty() {
            match channel.write(&mut core, rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) => return Err(error(e.into())),
            }
            if start.elapsed() > ANSWER_TIMEOUT {
                return Err(silent(&self.board, &mut core));
            }
        }
        Ok(())
    }

    /// One frame without its COBS coding.
    fn receive(&mut self) -> Result<Vec<u8>, BoardError> {
        let mut core = self.session.core(0).map_err(|e| failed(&self.board, "the core")(e.into()))?;
        let start = Instant::now();
        loop {
            if let Some(end) = self.received.iter().position(|&b| b == 0) {
                let mut frame: Vec<u8> = self.received.drain(..=end).collect();
                let len = cobs_decode(&mut frame[..end]);
                let len = len.ok_or_else(|| BoardError::Unexpected { board: self.board.clone() })?;
                frame.truncate(len);
                return Ok(frame);
            }
            let error = failed(&self.board, "waiting for an answer");
            let Some(channel) = self.rtt.up_channel(0) else { return Err(error("no RTT channel".into())) };
            let mut buffer = [0; 2048];
            match channel.read(&mut core, &mut buffer) {
                Ok(0) if start.elapsed() > ANSWER_TIMEOUT => return Err(silent(&self.board, &mut core)),
                Ok(0) => thread::sleep(IDLE),
                Ok(n) => self.received.extend_from_slice(&buffer[..n]),
                Err(e) => return Err(error(e.into())),
            }
        }
    }

    fn fault(&self, fault: &Fault<'_>) -> BoardError {
        let location = match fault.kind {
            FaultKind::Panic => format!("{}:{}", fault.file, fault.line),
            FaultKind::HardFault => "an unknown line".to_owned(),
        };
        let Fault { kind, pc, cfsr, .. } = *fault;
        BoardError::Fault { board: self.board.clone(), kind, location, pc, cfsr }
    }
}

/// Refuses the [`Response::Hello`] of another protocol with both numbers.
fn check_protocol(board: &str, frame: &[u8]) -> Result<(), BoardError> {
    let board = board.to_owned();
    match wire::hello_protocol(frame) {
        Some(wire::PROTOCOL) => Ok(()),
        Some(found) => Err(BoardError::Protocol { board, found, expected: wire::PROTOCOL }),
        None => Err(BoardError::Unexpected { board }),
    }
}

fn failed(
    board: &str,
    step: &'static str,
) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> BoardError + use<> {
    let board = board.to_owned();
    move |source| BoardError::Probe { board: board.clone(), step, source }
}

fn silent(board: &str, core: &mut probe_rs::Core<'_>) -> BoardError {
    let status = core.status().map_or_else(|e| e.to_string(), |s| format!("{s:?}"));
    BoardError::Silent { board: board.to_owned(), timeout_ms: ANSWER_TIMEOUT.as_millis() as u64, status }
}

fn attach(board: &BoardFile) -> Result<Session, BoardError> {
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

fn load(session: &mut Session, elf: &Path, board: &str) -> Result<(), BoardError> {
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

fn start(session: &mut Session, address: u64, board: &str) -> Result<Rtt, BoardError> {
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
            return Err(silent(board, &mut core));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Decodes COBS in place; `None` for a broken frame.
fn cobs_decode(frame: &mut [u8]) -> Option<usize> {
    let (mut read, mut write) = (0, 0);
    while read < frame.len() {
        let code = frame[read] as usize;
        let end = read + code;
        if code == 0 || end > frame.len() {
            return None;
        }
        frame.copy_within(read + 1..end, write);
        write += code - 1;
        if code < 0xff && end < frame.len() {
            frame[write] = 0;
            write += 1;
        }
        read = end;
    }
    Some(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_protocol_is_refused_with_both_numbers() {
        let error = check_protocol("b", &[0, 99, 1, 2, 3]).unwrap_err().to_string();
        assert!(error.contains("protocol 99") && error.contains("this edgeslim 1"), "{error}");
    }
}
