//! A client of QEMU's gdbstub: run control, registers, and memory that the bus cannot write.

use crate::{Error, Result, hex};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
};

/// Bytes of memory in one packet.
const CHUNK: usize = 1024;

#[derive(Debug)]
pub struct Gdb {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Gdb {
    pub fn new(stream: UnixStream) -> Result<Self> {
        let mut gdb = Gdb { stream, received: Vec::new() };
        gdb.command("QStartNoAckMode")?;
        gdb.command("qSupported:multiprocess+;vContSupported+")?;
        gdb.command("?")?;
        Ok(gdb)
    }

    pub fn command(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        self.receive()
    }

    pub fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        Ok(self.stream.write_all(format!("${packet}#{sum:02x}").as_bytes())?)
    }

    /// Asks the core to stop and returns its stop reply.
    pub fn interrupt(&mut self) -> Result<String> {
        self.stream.write_all(&[3])?;
        self.receive()
    }

    pub fn receive(&mut self) -> Result<String> {
        loop {
            if let Some(packet) = self.take_packet() {
                return Ok(packet);
            }
            let mut buffer = [0; 8192];
            match self.stream.read(&mut buffer)? {
                0 => return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
                n => self.received.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// A packet that has already arrived.
    pub fn poll(&mut self) -> Result<Option<String>> {
        self.stream.set_nonblocking(true)?;
        let mut buffer = [0; 512];
        let read = self.stream.read(&mut buffer);
        self.stream.set_nonblocking(false)?;
        match read {
            Ok(0) => return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into()),
            Ok(n) => self.received.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e.into()),
        }
        Ok(self.take_packet())
    }

    fn take_packet(&mut self) -> Option<String> {
        let start = self.received.iter().position(|&b| b == b'$')?;
        let end = start + self.received[start..].iter().position(|&b| b == b'#')?;
        if self.received.len() < end + 3 {
            return None;
        }
        let packet = String::from_utf8_lossy(&self.received[start + 1..end]).into_owned();
        self.received.drain(..end + 3);
        Some(packet)
    }

    /// The register's bytes, little-endian; 4 or 8 of them.
    pub fn register(&mut self, number: u32) -> Result<Vec<u8>> {
        let request = format!("p{number:x}");
        let answer = self.command(&request)?;
        hex::decode(&answer).filter(|b| b.len() >= 4).ok_or_else(|| bad(&request, &answer))
    }

    pub fn set_register(&mut self, number: u32, value: u32) -> Result<()> {
        self.expect_ok(&format!("P{number:x}={}", hex::encode(&value.to_le_bytes())))
    }

    pub fn insert_breakpoint(&mut self, address: u32) -> Result<()> {
        self.expect_ok(&format!("Z1,{address:x},2"))
    }

    pub fn remove_breakpoint(&mut self, address: u32) -> Result<()> {
        self.expect_ok(&format!("z1,{address:x},2"))
    }

    pub fn write(&mut self, mut address: u32, data: &[u8]) -> Result<()> {
        for chunk in data.chunks(CHUNK) {
            self.expect_ok(&format!("M{address:x},{:x}:{}", chunk.len(), hex::encode(chunk)))?;
            address += chunk.len() as u32;
        }
        Ok(())
    }

    fn expect_ok(&mut self, request: &str) -> Result<()> {
        match self.command(request)?.as_str() {
            "OK" => Ok(()),
            answer => Err(bad(request, answer)),
        }
    }

    /// The numbers of the named registers, from the target description.
    ///
    /// They differ with the core's extensions and QEMU's version; a register without a number follows the one
    /// before it.
    pub fn register_numbers(&mut self) -> Result<Vec<(String, u32)>> {
        let top = self.document("target.xml")?;
        let mut numbers = Vec::new();
        let mut next = 0;
        for include in top.split("<xi:include").skip(1) {
            let Some(file) = attribute(include, "href") else { continue };
            let text = self.document(&file)?;
            for reg in text.split("<reg ").skip(1) {
                let reg = &reg[..reg.find('>').unwrap_or(reg.len())];
                let given = attribute(reg, "regnum").and_then(|n| n.parse().ok());
                let number = given.unwrap_or(next);
                next = number + 1;
                numbers.extend(attribute(reg, "name").map(|name| (name, number)));
            }
        }
        Ok(numbers)
    }

    fn document(&mut self, name: &str) -> Result<String> {
        let mut text = String::new();
        loop {
            let answer = self.command(&format!("qXfer:features:read:{name}:{:x},ffb", text.len()))?;
            match answer.split_at_checked(1) {
                Some(("m", part)) => text.push_str(part),
                Some(("l", part)) => return Ok(text + part),
                _ => return Err(bad(name, &answer)),
            }
        }
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!("{name}=\""))? + name.len() + 2;
    let end = start + tag[start..].find('"')?;
    Some(tag[start..end].to_owned())
}

fn bad(request: &str, answer: &str) -> Error {
    let request = request.chars().take(40).collect();
    Error::Answer { socket: "gdb", request, answer: answer.chars().take(80).collect() }
}
