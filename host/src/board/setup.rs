//! Set-up scripts of board files: register accesses after reset, before the firmware starts.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// One step; registers are words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Step {
    /// Writes a register.
    Write {
        /// Its address.
        address: u32,
        /// All of it.
        value: u32,
        /// What it does and where that is written; told in errors.
        what: String,
    },
    /// Reads a register and writes it back with some bits changed.
    Modify {
        /// Its address.
        address: u32,
        /// The bits to change.
        mask: u32,
        /// What they become.
        value: u32,
        /// As of [`Step::Write`].
        what: String,
    },
    /// Waits until some bits of a register have a value.
    Wait {
        /// Its address.
        address: u32,
        /// The bits that count.
        mask: u32,
        /// What they become.
        value: u32,
        /// How long at most.
        timeout_ms: u32,
        /// As of [`Step::Write`].
        what: String,
    },
}

/// What a script works on: a core's bus, or a simulation of it.
pub trait Registers {
    /// Why an access failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Reads a word.
    ///
    /// # Errors
    /// If the bus refuses.
    fn read(&mut self, address: u32) -> Result<u32, Self::Error>;

    /// Writes a word.
    ///
    /// # Errors
    /// If the bus refuses.
    fn write(&mut self, address: u32, value: u32) -> Result<(), Self::Error>;
}

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The bits never had the value.
    #[error(
        "set-up step {step}, {what}: {address:#010x} is still {found:#010x} after {timeout_ms} ms; \
         docs/boards.md says where to look when a wait times out"
    )]
    Timeout {
        /// Number of the step, from 1.
        step: usize,
        /// What it should have done.
        what: String,
        /// The register.
        address: u32,
        /// Its last value.
        found: u32,
        /// How long was waited.
        timeout_ms: u32,
    },
    /// The bus refused an access.
    #[error(
        "set-up step {step}, {what}: {address:#010x}: {source}; see that the address is right and the peripheral has its clock"
    )]
    Access {
        /// Number of the step, from 1.
        step: usize,
        /// What it should have done.
        what: String,
        /// The register.
        address: u32,
        /// What the probe says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A value has bits outside its mask.
    #[error(
        "set-up step {step}, {what}: value {value:#010x} has bits outside mask {mask:#010x}; \
         correct one of them"
    )]
    Mask {
        /// Number of the step, from 1.
        step: usize,
        /// What it should do.
        what: String,
        /// The bits.
        value: u32,
        /// Those allowed.
        mask: u32,
    },
}

/// Refuses scripts that could not do what they say.
///
/// # Errors
/// [`SetupError::Mask`]
pub fn check(script: &[Step]) -> Result<(), SetupError> {
    for (i, step) in script.iter().enumerate() {
        match step {
            Step::Modify { mask, value, what, .. } | Step::Wait { mask, value, what, .. }
                if value & !mask != 0 =>
            {
                let (what, value, mask) = (what.clone(), *value, *mask);
                return Err(SetupError::Mask { step: i + 1, what, value, mask });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs the steps in order.
///
/// # Errors
/// [`SetupError`] with the step that failed; those before it are done.
pub fn run<R: Registers>(script: &[Step], registers: &mut R) -> Result<(), SetupError> {
    check(script)?;
    for (i, step) in script.iter().enumerate() {
        match step {
            Step::Write { address, value, what } => {
                registers.write(*address, *value).map_err(access(i, what, *address))?;
            }
            Step::Modify { address, mask, value, what } => {
                let before = registers.read(*address).map_err(access(i, what, *address))?;
                let after = before & !mask | value;
                registers.write(*address, after).map_err(access(i, what, *address))?;
            }
            Step::Wait { address, mask, value, timeout_ms, what } => {
                let (started, timeout) = (Instant::now(), Duration::from_millis((*timeout_ms).into()));
                loop {
                    // A slow probe gets one look after the time is up.
                    let late = started.elapsed() > timeout;
                    let found = registers.read(*address).map_err(access(i, what, *address))?;
                    if found & mask == *value {
                        break;
                    }
                    if late {
                        let (what, address, timeout_ms) = (what.clone(), *address, *timeout_ms);
                        return Err(SetupError::Timeout { step: i + 1, what, address, found, timeout_ms });
                    }
                }
            }
        }
    }
    Ok(())
}

fn access<E: std::error::Error + Send + Sync + 'static>(
    step_idx: usize,
    what: &str,
    address: u32,
) -> impl FnOnce(E) -> SetupError + use<E> {
    let what = what.to_owned();
    move |source| SetupError::Access { step: step_idx + 1, what, address, source: source.into() }
}

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod tests;
