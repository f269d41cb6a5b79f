//! A model on the board: written, run, and the RAM that it used.

use super::link::failed;
use super::{BoardError, Link, RunFrom};
use device_bench::wire::{self, RamUsed, Request, Response};
use probe_rs::MemoryInterface;

impl Link {
    /// Writes a model blob into the board's model region, RAM or flash, reads it back and has the firmware check it.
    ///
    /// # Errors
    /// As [`Link::request`]; [`BoardError::Refused`] if the region or the arena is too small,
    /// [`BoardError::NotWritten`] if the region does not keep what is written there.
    pub fn load_model(&mut self, blob: &[u8]) -> Result<(), BoardError> {
        let available = self.info().model_bytes;
        let needed = u32::try_from(blob.len()).unwrap_or(u32::MAX);
        if needed > available {
            let reason = wire::Refusal::Memory { needed, available };
            return Err(BoardError::Refused { board: self.board.clone(), reason });
        }
        let address = self.info().model_address;
        if self.file.run_from == RunFrom::Ram {
            self.write_verified(address, blob)?;
        } else if !self.holds(address, blob)? {
            self.flash(address, blob)?;
        }
        let loaded = self.request(&Request::LoadModel { len: needed }, |response| match response {
            Response::Model { n_layers, output_bytes, macs, .. } => {
                Some((usize::from(n_layers), output_bytes as usize, macs))
            }
            _ => None,
        });
        (self.n_layers, self.n_outputs, self.macs) = loaded?;
        Ok(())
    }

    /// Runs the loaded model on one input and returns its output.
    ///
    /// # Errors
    /// As [`Link::request`].
    pub fn run_model(&mut self, input: &[i8]) -> Result<Vec<i8>, BoardError> {
        for (i, chunk) in input.chunks(wire::INPUT_CHUNK).enumerate() {
            let bytes: Vec<u8> = chunk.iter().map(|&x| x as u8).collect();
            let offset = (i * wire::INPUT_CHUNK) as u32;
            self.request(&Request::Input { offset, bytes: &bytes }, done)?;
        }
        self.request_within(self.wait_for_runs(1, self.macs), &Request::RunModel, done)?;
        let mut output = Vec::new();
        while output.len() < self.n_outputs {
            let offset = output.len() as u32;
            let page = self.request(&Request::Logits { offset }, |response| match response {
                Response::Logits(bytes) if !bytes.is_empty() => {
                    Some(bytes.iter().map(|&x| x as i8).collect::<Vec<_>>())
                }
                _ => None,
            })?;
            output.extend(page);
        }
        Ok(output)
    }

    /// The RAM used: of the arena since the model was loaded, of the stack since reset.
    ///
    /// # Errors
    /// As [`Link::request`].
    pub fn ram_used(&mut self) -> Result<RamUsed, BoardError> {
        self.request(&Request::RamUsed, |response| match response {
            Response::RamUsed(used) => Some(used),
            _ => None,
        })
    }

    fn holds(&mut self, address: u32, bytes: &[u8]) -> Result<bool, BoardError> {
        let error = failed(&self.board, "reading the model region");
        let mut found = vec![0; bytes.len()];
        let mut core = self.session.core(0).map_err(|e| error(e.into()))?;
        core.read(u64::from(address), &mut found).map_err(|e| error(e.into()))?;
        Ok(found == bytes)
    }

    fn write_verified(&mut self, address: u32, bytes: &[u8]) -> Result<(), BoardError> {
        let error = failed(&self.board, "writing the model");
        let mut found = vec![0; bytes.len()];
        let mut core = self.session.core(0).map_err(|e| error(e.into()))?;
        core.write(u64::from(address), bytes).map_err(|e| error(e.into()))?;
        core.read(u64::from(address), &mut found).map_err(|e| error(e.into()))?;
        check_written(&self.board, address, bytes, &found)
    }
}

fn check_written(board: &str, address: u32, bytes: &[u8], found: &[u8]) -> Result<(), BoardError> {
    match bytes.iter().zip(found).zip(address..).find(|((written, found), _)| written != found) {
        None => Ok(()),
        Some(((&expected, &found), address)) => {
            Err(BoardError::NotWritten { board: board.to_owned(), address, expected, found })
        }
    }
}

fn done(response: Response<'_>) -> Option<()> {
    (response == Response::Done).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_does_not_keep_what_is_written_is_named_with_the_first_address() {
        check_written("b", 0x2_0000, &[1, 2, 3], &[1, 2, 3]).unwrap();
        let error = check_written("b", 0x2_0000, &[1, 2, 3], &[1, 0xff, 0xff]).unwrap_err().to_string();
        assert!(error.contains("0x00020001 reads 0xff instead of 0x02"), "{error}");
    }
}
