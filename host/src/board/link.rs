//! An open board and the request loop over RTT.

use super::clock::ClockEstimate;
use super::counts::Counts;
use super::{BoardError, BoardFile, Cache, Frames, ProbeOptions, RunFrom, Unit, cpu, open, watch};
use device_bench::wire::{self, Caches, Counter, Fault, FaultKind, Hello, MAX_FRAME, Request, Response};
use probe_rs::{Session, rtt::Rtt};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

const IDLE: Duration = Duration::from_micros(200);
/// While an answer is waited for, the core is asked for its state so often.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// A board whose firmware runs and answers.
pub struct Link {
    pub(super) session: Session,
    rtt: Rtt,
    firmware: open::Firmware,
    pub(super) file: BoardFile,
    pub(super) board: String,
    pub(super) unit: Unit,
    pub(super) core_hz: Option<u32>,
    /// Where cycles are modelled.
    pub(super) counts: Option<Counts>,
    received: Frames,
    info: BoardInfo,
    /// What the loop takes by which the counter is checked.
    pub(super) spin_ticks: Option<u64>,
    /// Layers of the loaded model.
    pub(super) n_layers: usize,
    /// Bytes of its output.
    pub(super) n_outputs: usize,
    /// Multiply-accumulates of the loaded model.
    pub(super) macs: u64,
}

/// How long the board is busy with a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    /// The host leaves the board's bus alone for so long.
    pub quiet: Duration,
    /// No answer after this is none at all.
    pub timeout: Duration,
}

impl Wait {
    /// For an answer that needs no run of a layer.
    pub const SHORT: Wait = Wait { quiet: Duration::ZERO, timeout: Duration::from_secs(10) };
}

/// What the firmware says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoardInfo {
    /// Name of the board file it was built for.
    pub board: String,
    /// CPUID register; `misa` of a RISC-V core.
    pub cpuid: u32,
    /// What counts time; `None` if nothing was proven to.
    pub counter: Option<Counter>,
    /// The caches that are on.
    pub caches: Caches,
    /// First address of the model region.
    pub model_address: u32,
    /// Bytes of the model region.
    pub model_bytes: u32,
    /// Bytes of the arena.
    pub arena_bytes: u32,
    /// Bytes of RAM that the firmware's statics take.
    pub static_bytes: u32,
    /// The set of kernels: `dsp` or `portable`.
    pub kernels: String,
    /// [`device_bench::kernels::KERNEL_REVISION`] of the kernels.
    pub kernel_revision: u32,
    /// Version of the firmware, with a digest of its sources.
    pub firmware: String,
    /// The compiler that built it.
    pub compiler: String,
}

impl BoardInfo {
    /// The core's name by [`BoardInfo::cpuid`], if it tells one; `board` says which register that is.
    pub fn core(&self, board: &BoardFile) -> Option<String> {
        if board.is_riscv() { cpu::isa(self.cpuid) } else { cpu::name(self.cpuid).map(str::to_owned) }
    }
}

impl From<&Hello<'_>> for BoardInfo {
    fn from(hello: &Hello<'_>) -> Self {
        BoardInfo {
            board: hello.board.to_owned(),
            cpuid: hello.cpuid,
            counter: hello.counter,
            caches: hello.caches,
            model_address: hello.model_address,
            model_bytes: hello.model_bytes,
            arena_bytes: hello.arena_bytes,
            static_bytes: hello.static_bytes,
            kernels: hello.kernels.to_owned(),
            kernel_revision: hello.kernel_revision,
            firmware: hello.firmware.to_owned(),
            compiler: hello.compiler.to_owned(),
        }
    }
}

impl Link {
    /// Opens the probe, loads and verifies the firmware, starts it and checks its protocol.
    ///
    /// # Errors
    /// [`BoardError`] with the step that failed.
    pub fn open(board: &BoardFile, elf: &Path, options: &ProbeOptions) -> Result<Link, BoardError> {
        let counts = Counts::of(board)?;
        let mut session = open::attach(board, options, counts.as_ref())?;
        // RAM is written after the reset, flash before it: a flash algorithm leaves RAM and clocks as it likes.
        if board.run_from == RunFrom::Ram {
            open::reset(&mut session, board)?;
        }
        let firmware = open::load(&mut session, elf, board)?;
        if board.run_from == RunFrom::Flash {
            open::reset(&mut session, board)?;
        }
        let rtt = open::start(&mut session, &firmware, board)?;
        let mut link = Link {
            session,
            rtt,
            firmware,
            file: board.clone(),
            board: board.name.clone(),
            unit: board.unit,
            core_hz: board.core_hz,
            counts,
            received: Frames::default(),
            info: BoardInfo::default(),
            spin_ticks: None,
            n_layers: 0,
            n_outputs: 0,
            macs: 0,
        };
        link.hello()?;
        Ok(link)
    }

    /// Writes to the flash of which the model region is a part, and starts the firmware anew.
    pub(super) fn flash(&mut self, address: u32, bytes: &[u8]) -> Result<(), BoardError> {
        open::flash(&mut self.session, address.into(), bytes, &self.board)?;
        open::reset(&mut self.session, &self.file)?;
        self.rtt = open::start(&mut self.session, &self.firmware, &self.file)?;
        self.received.clear();
        self.hello()
    }

    /// Goes by a measured clock where the board file does not name one.
    pub fn know_clock(&mut self, measured: ClockEstimate) {
        self.core_hz = self.file.core_hz.or(Some(measured.core_hz));
    }

    /// What the firmware said of itself when it was opened.
    pub fn info(&self) -> &BoardInfo {
        &self.info
    }

    /// What the board counts.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Sends one request that needs no run of a layer and hands its answer to `read`.
    ///
    /// # Errors
    /// [`BoardError::Fault`] if the firmware fails, [`BoardError::Refused`] if it does not serve the request,
    /// [`BoardError::Stopped`] if the board was reset or its core stands still,
    /// [`BoardError::Silent`] with the core's state if nothing comes, [`BoardError::Unexpected`] if `read`
    /// returns `None`.
    pub fn request<T>(
        &mut self,
        request: &Request<'_>,
        read: impl FnOnce(Response<'_>) -> Option<T>,
    ) -> Result<T, BoardError> {
        self.request_within(Wait::SHORT, request, read)
    }

    /// As [`Link::request`], for a request that keeps the board busy.
    pub(super) fn request_within<T>(
        &mut self,
        wait: Wait,
        request: &Request<'_>,
        read: impl FnOnce(Response<'_>) -> Option<T>,
    ) -> Result<T, BoardError> {
        self.send(request)?;
        thread::sleep(wait.quiet);
        let frame = self.receive(wait.timeout)?;
        let answer = match postcard::from_bytes(&frame) {
            Ok(Response::Refused(reason)) => {
                return Err(BoardError::Refused { board: self.board.clone(), reason });
            }
            Ok(response) => read(response),
            Err(_) => None,
        };
        answer.ok_or_else(|| BoardError::Unexpected { board: self.board.clone() })
    }

    /// The protocol is checked on the raw message: other versions have other fields behind it.
    fn hello(&mut self) -> Result<(), BoardError> {
        self.send(&Request::Hello)?;
        let message = self.receive(Wait::SHORT.timeout)?;
        check_protocol(&self.board, &message)?;
        match postcard::from_bytes(&message) {
            Ok(Response::Hello(hello)) => self.info = BoardInfo::from(&hello),
            _ => return Err(BoardError::Unexpected { board: self.board.clone() }),
        }
        check_caches(&self.file, self.info.caches)
    }

    fn send(&mut self, request: &Request<'_>) -> Result<(), BoardError> {
        let error = failed(&self.board, "sending a request");
        let mut buffer = [0; MAX_FRAME];
        let frame = wire::encode(request, &mut buffer).expect("every request fits a frame");
        let mut core = self.session.core(0).map_err(|e| failed(&self.board, "the core")(e.into()))?;
        let Some(channel) = self.rtt.down_channel(0) else { return Err(error("no RTT channel".into())) };
        let (mut rest, start): (&[u8], _) = (frame, Instant::now());
        while !rest.is_empty() {
            match channel.write(&mut core, rest) {
                Ok(n) => rest = &rest[n..],
                Err(e) => {
                    drop(core);
                    return Err(watch::explain(&mut self.session, &self.board, error(e.into())));
                }
            }
            if start.elapsed() > Wait::SHORT.timeout {
                return Err(silent(&self.board, Wait::SHORT.timeout, &mut core));
            }
        }
        Ok(())
    }

    /// One message, from a core that has run on since it was started.
    fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, BoardError> {
        let message = self.next_message(timeout)?;
        if let Ok(Response::Fault(fault)) = postcard::from_bytes(&message) {
            return Err(self.fault(&fault));
        }
        watch::check(&mut self.session, &self.board)?;
        Ok(message)
    }

    fn next_message(&mut self, timeout: Duration) -> Result<Vec<u8>, BoardError> {
        let mut core = self.session.core(0).map_err(|e| failed(&self.board, "the core")(e.into()))?;
        let (start, mut watched) = (Instant::now(), Instant::now());
        loop {
            let message = self.received.next_message();
            let garbled = |source| BoardError::Garbled { board: self.board.clone(), source };
            if let Some(message) = message.map_err(garbled)? {
                return Ok(message);
            }
            let error = failed(&self.board, "waiting for an answer");
            let Some(channel) = self.rtt.up_channel(0) else { return Err(error("no RTT channel".into())) };
            let mut buffer = [0; 2048];
            match channel.read(&mut core, &mut buffer) {
                Ok(0) if start.elapsed() > timeout => return Err(silent(&self.board, timeout, &mut core)),
                Ok(0) if watched.elapsed() > WATCH_EVERY => {
                    drop(core);
                    watch::check(&mut self.session, &self.board)?;
                    core = self.session.core(0).map_err(|e| failed(&self.board, "the core")(e.into()))?;
                    watched = Instant::now();
                }
                Ok(0) => thread::sleep(IDLE),
                Ok(n) => self.received.push(&buffer[..n]),
                Err(e) => {
                    drop(core);
                    return Err(watch::explain(&mut self.session, &self.board, error(e.into())));
                }
            }
        }
    }

    fn fault(&self, fault: &Fault<'_>) -> BoardError {
        let location = match fault.kind {
            FaultKind::Panic => format!("{}:{}", fault.file, fault.line),
            FaultKind::HardFault => format!("{:#010x}", fault.pc),
            FaultKind::StackOverflow => "the end of its stack".to_owned(),
        };
        let Fault { kind, pc, lr, sp, psr, cfsr, hfsr, mmfar, bfar, .. } = *fault;
        let riscv =
            vec![("pc", pc), ("ra", lr), ("sp", sp), ("mstatus", psr), ("mcause", cfsr), ("mtval", mmfar)];
        let arm = vec![
            ("pc", pc),
            ("lr", lr),
            ("sp", sp),
            ("psr", psr),
            ("cfsr", cfsr),
            ("hfsr", hfsr),
            ("mmfar", mmfar),
            ("bfar", bfar),
        ];
        let registers = if self.file.is_riscv() { riscv } else { arm };
        BoardError::Fault { board: self.board.clone(), kind, location, registers }
    }
}

/// Refuses the [`Response::Hello`] of another protocol with both numbers.
fn check_protocol(board: &str, message: &[u8]) -> Result<(), BoardError> {
    let board = board.to_owned();
    match wire::hello_protocol(message) {
        Some(wire::PROTOCOL) => Ok(()),
        Some(found) => Err(BoardError::Protocol { board, found, expected: wire::PROTOCOL }),
        None => Err(BoardError::Unexpected { board }),
    }
}

/// Refuses a board on which a cache of its file is not on: figures would be told to be what they are not.
fn check_caches(board: &BoardFile, on: Caches) -> Result<(), BoardError> {
    let lacking = board.caches.iter().find(|cache| match cache {
        Cache::I => !on.i,
        Cache::D => !on.d,
    });
    match lacking {
        None => Ok(()),
        Some(&cache) => Err(BoardError::Cache { board: board.name.clone(), core: board.core.clone(), cache }),
    }
}

pub(super) fn failed(
    board: &str,
    step: &'static str,
) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> BoardError + use<> {
    let board = board.to_owned();
    move |source| BoardError::Probe { board: board.clone(), step, source }
}

pub(super) fn silent(board: &str, timeout: Duration, core: &mut probe_rs::Core<'_>) -> BoardError {
    let status = core.status().map_or_else(|e| e.to_string(), |s| format!("{s:?}"));
    BoardError::Silent { board: board.to_owned(), timeout_ms: timeout.as_millis() as u64, status }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_protocol_is_refused_with_both_numbers() {
        let error = check_protocol("b", &[0, 99, 1, 2, 3]).unwrap_err().to_string();
        assert!(
            error.contains("protocol 99") && error.contains(&format!("this edgeslim {}", wire::PROTOCOL)),
            "{error}"
        );
    }
}
