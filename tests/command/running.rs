//! A command under way: its signals, its emulators and its end.

use super::Run;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A command under way.
pub struct Running<'a> {
    pub(super) run: &'a Run,
    pub(super) child: Child,
    pub(super) stderr: tempfile::NamedTempFile,
}

impl Running<'_> {
    /// Waits until `ready`.
    pub fn wait_until(&mut self, what: &str, ready: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !ready(self) {
            assert!(started.elapsed() < Duration::from_secs(120), "{what}: not in time; {}", self.said());
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: the command ended before, {}; {}", ended.unwrap(), self.said());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until the command has written `file` of the run.
    pub fn wait_for(&mut self, file: &str) {
        self.wait_until(file, |running| running.run.path(file).exists());
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on the error stream.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.stderr.path()).unwrap()
    }

    /// Process ids of the emulators that are its boards now.
    pub fn emulators(&self) -> Vec<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).filter(|&pid| is_emulator(pid)).collect()
    }

    /// Temporary files that there are now.
    pub fn temporary(&self) -> Vec<PathBuf> {
        self.run.temporary.path().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        assert!(signal("INT", self.child.id()), "the command has ended: {}", self.said());
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it without warning.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        self.end();
    }

    /// Waits for its end, after which no emulator and no temporary file is left; what it said.
    pub fn end(mut self) -> (ExitStatus, String) {
        let mut emulators = self.emulators();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => emulators.extend(self.emulators()),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let ended = Instant::now();
        while let Some(pid) = emulators.iter().find(|&&pid| is_emulator(pid)) {
            assert!(ended.elapsed() < Duration::from_secs(10), "emulator {pid} outlives its command");
            std::thread::sleep(Duration::from_millis(10));
        }
        let left = self.temporary();
        assert!(left.is_empty(), "temporary files are left: {left:?}");
        (status, self.said())
    }
}

/// Sends a signal by its name; whether there is such a process.
pub fn signal(name: &str, pid: u32) -> bool {
    let kill = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).output();
    kill.unwrap().status.success()
}

/// A board, not a question for QEMU's version.
fn is_emulator(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.starts_with("qemu-system-") && line.contains("-icount"))
}
