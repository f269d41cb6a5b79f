//! A QEMU process seen as silicon: memory bus, run control, reset.

use crate::machine::{Emulator, ICOUNT_SHIFT, Machine};
use crate::{Error, MIN_QEMU, MIN_QEMU_COUNTING, Result, gdb::Gdb, qmp::Qmp, qtest::Qtest};
use std::os::unix::process::CommandExt as _;
use std::{
    fs::File,
    io::{ErrorKind, Read as _, Seek as _},
    os::fd::{AsRawFd, RawFd},
    os::unix::net::UnixStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// From a socket that closes to the end of its process.
const END_DELAY: Duration = Duration::from_millis(20);

/// A running QEMU, killed when dropped.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    stderr: File,
    qtest: Qtest,
    qmp: Qmp,
    gdb: Gdb,
    machine: &'static Machine,
    registers: Vec<(String, u32)>,
    running: bool,
    stopped_by_itself: bool,
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The version of the installed QEMU.
///
/// # Errors
/// [`Error::NotInstalled`], [`Error::TooOld`], or [`Error::Version`] for a text without a version.
pub fn version(emulator: Emulator) -> std::result::Result<(u32, u32), Error> {
    let output = Command::new(emulator.program()).arg("--version").output().map_err(missing(emulator))?;
    let found = parse_version(emulator, &String::from_utf8_lossy(&output.stdout))?;
    newer(emulator, found, "virtual boards", MIN_QEMU)
}

/// The version that was found, if it is new enough.
fn newer(
    emulator: Emulator,
    found: (u32, u32),
    what: &'static str,
    needed: (u32, u32),
) -> Result<(u32, u32)> {
    if found < needed { Err(Error::TooOld { emulator, found, what, needed }) } else { Ok(found) }
}

fn parse_version(emulator: Emulator, text: &str) -> Result<(u32, u32)> {
    let number = text.split("version ").nth(1).unwrap_or_default();
    let mut parts = number.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else {
        return Err(Error::Version { emulator, text: text.trim().to_owned() });
    };
    Ok((major, minor))
}

fn missing(emulator: Emulator) -> impl Fn(std::io::Error) -> Error {
    move |error| match error.kind() {
        ErrorKind::NotFound => Error::NotInstalled { emulator },
        _ => Error::Io(error),
    }
}

impl Qemu {
    /// Starts a machine, stopped at reset, with a factory image that loops for ever; with the plugin `window-counts` and its
    /// arguments, if there are any.
    ///
    /// # Errors
    /// Those of [`version`], and [`Error::Ended`] with QEMU's own words if it does not start.
    pub fn start(machine: &'static Machine, plugin: Option<&str>) -> Result<Self> {
        let found = version(machine.emulator)?;
        if plugin.is_some() {
            newer(machine.emulator, found, "modelled cycles", MIN_QEMU_COUNTING)?;
        }
        let mut stderr = tempfile::tempfile()?;
        let (mut child, sockets) = spawn(machine, plugin, stderr.try_clone()?)?;
        let (qtest, qmp, gdb) = match greet(sockets) {
            Ok(greeted) => greeted,
            Err(error) => {
                thread::sleep(END_DELAY);
                let ended = ended(&mut child, &mut stderr);
                let _ = child.kill();
                let _ = child.wait();
                return Err(ended.unwrap_or(error));
            }
        };
        let mut qemu = Qemu {
            child,
            stderr,
            qtest,
            qmp,
            gdb,
            machine,
            registers: Vec::new(),
            running: false,
            stopped_by_itself: false,
        };
        qemu.registers = qemu.gdb.register_numbers()?;
        qemu.gdb.write(machine.boot_address, &machine.factory_image())?;
        qemu.reset()?;
        Ok(qemu)
    }

    /// QEMU's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn machine(&self) -> &'static Machine {
        self.machine
    }

    pub(crate) fn running(&self) -> bool {
        self.running
    }

    /// Resets the machine, which must be stopped and stays so.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.qmp.system_reset()
    }

    pub(crate) fn halt(&mut self) -> Result<()> {
        if !self.running {
            return Ok(());
        }
        let reply = self.gdb.interrupt().map_err(|e| self.why(e))?;
        self.running = false;
        self.stopped_by_itself = !is_interrupt(&reply);
        if self.stopped_by_itself {
            // The core had stopped before the request, which is then answered as well or pending in QEMU.
            thread::sleep(Duration::from_millis(1));
            self.gdb.poll()?;
        }
        Ok(())
    }

    pub(crate) fn resume(&mut self) -> Result<()> {
        self.gdb.send("vCont;c")?;
        self.running = true;
        self.stopped_by_itself = false;
        Ok(())
    }

    pub(crate) fn step(&mut self) -> Result<()> {
        self.gdb.command("vCont;s:p1.1").map(drop)
    }

    /// Notices a stop that nobody asked for.
    pub(crate) fn poll(&mut self) -> Result<()> {
        if self.running && self.gdb.poll().map_err(|e| self.why(e))?.is_some() {
            self.running = false;
            self.stopped_by_itself = true;
        }
        Ok(())
    }

    /// Whether the core stopped by itself since the last question.
    pub(crate) fn take_stop(&mut self) -> bool {
        !self.running && std::mem::take(&mut self.stopped_by_itself)
    }

    /// The number of a register by its gdb name, if this core has it.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        self.registers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|&(_, number)| number)
    }

    /// A register's low and high word by its gdb name; zero where this core has none.
    pub(crate) fn register(&mut self, name: &str) -> Result<(u32, u32)> {
        self.number(name).map_or(Ok((0, 0)), |number| self.numbered(number))
    }

    /// A register's low and high word.
    pub(crate) fn numbered(&mut self, number: u32) -> Result<(u32, u32)> {
        let mut bytes = self.gdb.register(number)?;
        bytes.resize(8, 0);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Ok((word(0), word(4)))
    }

    pub(crate) fn set_register(&mut self, name: &str, value: u32) -> Result<()> {
        self.number(name).map_or(Ok(()), |number| self.set_numbered(number, value))
    }

    pub(crate) fn set_numbered(&mut self, number: u32, value: u32) -> Result<()> {
        self.gdb.set_register(number, value)
    }

    pub(crate) fn insert_breakpoint(&mut self, address: u32) -> Result<()> {
        self.gdb.insert_breakpoint(address)
    }

    pub(crate) fn remove_breakpoint(&mut self, address: u32) -> Result<()> {
        self.gdb.remove_breakpoint(address)
    }

    pub(crate) fn read(&mut self, address: u32, out: &mut [u8]) -> Result<()> {
        self.qtest.read(address, out).map_err(|e| self.why(e))
    }

    pub(crate) fn read_u32(&mut self, address: u32) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    pub(crate) fn write(&mut self, address: u32, data: &[u8]) -> Result<()> {
        if !self.machine.rom.contains(&address) {
            return self.qtest.write(address, data).map_err(|e| self.why(e));
        }
        self.poll()?;
        let was_running = self.running;
        self.halt()?;
        self.gdb.write(address, data)?;
        if was_running && !self.stopped_by_itself {
            self.resume()?;
        }
        Ok(())
    }

    /// Turns a closed socket into the reason why QEMU ended.
    fn why(&mut self, error: Error) -> Error {
        thread::sleep(END_DELAY);
        ended(&mut self.child, &mut self.stderr).unwrap_or(error)
    }
}

fn is_interrupt(reply: &str) -> bool {
    reply.starts_with("T02") || reply.starts_with("S02")
}

/// The chardevs of QEMU by their names, one a protocol.
const CHARDEVS: [&str; 3] = ["qtest", "qmp", "gdb"];

/// QEMU and the host's ends of its [`CHARDEVS`]: pairs of sockets without names, of which nothing can be left behind.
fn spawn(machine: &Machine, plugin: Option<&str>, stderr: File) -> Result<(Child, [UnixStream; 3])> {
    let mut command = Command::new(machine.emulator.program());
    command.args(["-M", machine.name, "-accel", "tcg", "-S"]).args(machine.arguments());
    command.args(["-icount", &format!("shift={ICOUNT_SHIFT}")]);
    command.args(["-nodefaults", "-display", "none", "-serial", "none", "-monitor", "none"]);
    if let Some(plugin) = plugin {
        command.arg("-plugin").arg(plugin);
    }
    let [qtest, qmp, gdb] = [UnixStream::pair()?, UnixStream::pair()?, UnixStream::pair()?];
    let (ours, theirs) = ([qtest.0, qmp.0, gdb.0], [qtest.1, qmp.1, gdb.1]);
    for (name, end) in CHARDEVS.iter().zip(&theirs) {
        command.arg("-chardev").arg(format!("socket,id={name},fd={}", end.as_raw_fd()));
    }
    command.args(["-qtest", "chardev:qtest", "-qtest-log", "none"]);
    command.args(["-mon", "chardev=qmp,mode=control", "-gdb", "chardev:gdb"]);
    // Ctrl-C in a terminal reaches the whole group; the host is to end its work first.
    command.process_group(0);
    die_with_us(&mut command);
    inherit(&mut command, theirs.each_ref().map(AsRawFd::as_raw_fd));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let child = command.spawn().map_err(missing(machine.emulator))?;
    for end in &ours {
        end.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    }
    Ok((child, ours))
}

/// Keeps file descriptors open over the start of the program.
fn inherit(command: &mut Command, fds: [RawFd; 3]) {
    let keep = move || {
        for fd in fds {
            // SAFETY: fcntl with F_SETFD takes numbers only.
            if unsafe { libc::fcntl(fd, libc::F_SETFD, 0) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls and allocates nothing.
    unsafe { command.pre_exec(keep) };
}

/// A host that is killed takes its board with it: QEMU would run on at full speed.
#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command) {
    let host = std::process::id();
    let request = move || {
        // SAFETY: prctl and getppid are system calls that read their arguments only.
        let (asked, parent) =
            unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
        match (asked, parent) {
            // A host that was killed before the request would not be missed any more.
            (0, parent) if parent as u32 == host => Ok(()),
            (0, _) => Err(std::io::Error::from_raw_os_error(libc::ESRCH)),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: between fork and exec the closure makes system calls and allocates nothing.
    unsafe { command.pre_exec(request) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_: &mut Command) {}

/// Clients of the three protocols.
fn greet([qtest, qmp, gdb]: [UnixStream; 3]) -> Result<(Qtest, Qmp, Gdb)> {
    Ok((Qtest::new(qtest), Qmp::new(qmp)?, Gdb::new(gdb)?))
}

fn ended(child: &mut Child, stderr: &mut File) -> Option<Error> {
    let status = child.try_wait().ok()??;
    let mut text = String::new();
    let _ = stderr.rewind().and_then(|()| stderr.read_to_string(&mut text));
    Some(Error::Ended { status: status.to_string(), stderr: text.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_qemu_is_refused_with_both_versions() {
        let old = parse_version(Emulator::Arm, "QEMU emulator version 6.2.0 (Debian 1:6.2)").unwrap();
        let error = newer(Emulator::Arm, old, "virtual boards", MIN_QEMU).unwrap_err().to_string();
        assert!(error.contains("version 6.2") && error.contains("7.2 or newer"), "{error}");
        let new = parse_version(Emulator::RiscV32, "QEMU emulator version 10.0.2 (Debian)").unwrap();
        assert_eq!(newer(Emulator::RiscV32, new, "modelled cycles", MIN_QEMU_COUNTING).unwrap(), (10, 0));
        assert!(matches!(parse_version(Emulator::Arm, "hello"), Err(Error::Version { .. })));
    }

    #[test]
    fn a_machine_that_does_not_start_is_told_in_the_words_of_qemu() {
        let machine = Machine { name: "nowhere", ..Machine::named("mps2-an386").unwrap().clone() };
        let error = Qemu::start(Box::leak(Box::new(machine)), None).unwrap_err();
        assert!(matches!(&error, Error::Ended { stderr, .. } if stderr.contains("nowhere")), "{error}");
    }
}
