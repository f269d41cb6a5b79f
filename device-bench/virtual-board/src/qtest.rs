//! The memory bus: QEMU's qtest socket reads and writes physical memory without stopping the core.

use crate::{Error, Result, hex};
use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    os::unix::net::UnixStream,
};

#[derive(Debug)]
pub struct Qtest {
    stream: BufReader<UnixStream>,
}

impl Qtest {
    pub fn new(stream: UnixStream) -> Self {
        Qtest { stream: BufReader::new(stream) }
    }

    pub fn read(&mut self, address: u32, out: &mut [u8]) -> Result<()> {
        let request = match (out.len(), address % 4) {
            (4, 0) => format!("readl {address:#x}"),
            (n, _) => format!("read {address:#x} {n:#x}"),
        };
        let answer = self.command(&request)?;
        let digits = answer.trim_start_matches("0x");
        if request.starts_with("readl") {
            let word = u64::from_str_radix(digits, 16).map_err(|_| bad(&request, &answer))?;
            out.copy_from_slice(&(word as u32).to_le_bytes());
            return Ok(());
        }
        let bytes = hex::decode(digits).filter(|b| b.len() == out.len());
        out.copy_from_slice(&bytes.ok_or_else(|| bad(&request, &answer))?);
        Ok(())
    }

    pub fn write(&mut self, address: u32, data: &[u8]) -> Result<()> {
        let request = match (<[u8; 4]>::try_from(data), address % 4) {
            (Ok(word), 0) => format!("writel {address:#x} {:#x}", u32::from_le_bytes(word)),
            _ => format!("write {address:#x} {:#x} 0x{}", data.len(), hex::encode(data)),
        };
        self.command(&request).map(drop)
    }

    fn command(&mut self, request: &str) -> Result<String> {
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes())?;
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into());
            }
            if let Some(answer) = line.strip_prefix("OK") {
                return Ok(answer.trim().to_owned());
            }
            if !line.starts_with("IRQ") {
                return Err(bad(request, &line));
            }
        }
    }
}

fn bad(request: &str, answer: &str) -> Error {
    let request = request.chars().take(40).collect();
    Error::Answer { socket: "qtest", request, answer: answer.chars().take(80).collect() }
}
