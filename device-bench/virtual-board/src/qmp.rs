//! QEMU's machine protocol, of which only the system reset is needed.

use crate::{Error, Result};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
};

#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    pub fn new(stream: UnixStream) -> Result<Self> {
        let mut qmp = Qmp { stream: BufReader::new(stream) };
        qmp.message()?; // greeting
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// Resets the machine and waits until it has happened: QEMU acknowledges the request first.
    pub fn system_reset(&mut self) -> Result<()> {
        if self.execute("system_reset")? {
            return Ok(());
        }
        while self.message()?["event"] != "RESET" {}
        Ok(())
    }

    /// Runs a command; true if a reset was reported before its answer.
    fn execute(&mut self, command: &str) -> Result<bool> {
        let request = json!({ "execute": command }).to_string();
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes())?;
        let mut was_reset = false;
        loop {
            let message = self.message()?;
            was_reset |= message["event"] == "RESET";
            if message.get("return").is_some() {
                return Ok(was_reset);
            }
            if message.get("error").is_some() {
                return Err(bad(command, message.to_string()));
            }
        }
    }

    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into());
        }
        serde_json::from_str(&line).map_err(|_| bad("message", line))
    }
}

fn bad(request: &str, answer: String) -> Error {
    Error::Answer { socket: "qmp", request: request.to_owned(), answer }
}
