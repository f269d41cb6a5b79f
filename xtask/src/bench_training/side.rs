//! A process that answers each line of JSON with another.

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A running side; killed when dropped.
pub struct Side {
    name: String,
    child: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
    log: PathBuf,
}

impl Side {
    /// Starts `command`, whose standard error goes to `NAME.log` in `dir`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(name: &str, mut command: Command, dir: &Path) -> Result<Side> {
        let log = dir.join(format!("{name}.log"));
        let stderr = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().with_context(|| format!("{name} does not start"))?;
        let requests = child.stdin.take().context("standard input is a pipe")?;
        let lines = BufReader::new(child.stdout.take().context("standard output is a pipe")?).lines();
        let (sender, answers) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Side { name: name.to_owned(), child, requests, answers, log })
    }

    /// The answer to `request`.
    ///
    /// # Errors
    /// The side's own error, its end, or no answer in `limit`.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &Value, limit: Duration) -> Result<T> {
        let Side { name, log, .. } = self;
        let ended = || format!("{name} has ended; {} has its last words", log.display());
        writeln!(self.requests, "{request}").and_then(|()| self.requests.flush()).with_context(ended)?;
        let line = match self.answers.recv_timeout(limit) {
            Ok(line) => line,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                bail!("{name} gave no answer in {} s", limit.as_secs())
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => bail!(ended()),
        };
        let answer: Value = serde_json::from_str(&line).with_context(|| format!("{name}: {line}"))?;
        if let Some(error) = answer.get("error") {
            bail!("{name}: {}", error.as_str().unwrap_or("an error without a message"));
        }
        serde_json::from_value(answer).with_context(|| format!("{name} answered {line}"))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A side that runs `script` of sh.
    fn side(script: &str) -> Side {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let name = format!("side-test-{:x}", script.len());
        Side::start(&name, command, &std::env::temp_dir()).unwrap()
    }

    #[test]
    fn requests_are_answered_in_order() {
        let mut echo = side("cat");
        for n in [1, 2] {
            assert_eq!(echo.ask::<Value>(&json!({ "n": n }), LIMIT).unwrap(), json!({ "n": n }));
        }
    }

    #[test]
    fn errors_silence_and_the_end_are_told_apart() {
        let request = json!({});
        let message =
            |script: &str, limit| side(script).ask::<Value>(&request, limit).unwrap_err().to_string();
        assert!(message(r#"read l; echo '{"error": "no such net"}'"#, LIMIT).contains("no such net"));
        assert!(message("read l; exec sleep 60", Duration::from_millis(50)).contains("no answer"));
        assert!(message("read l; exit", LIMIT).contains("has ended"));
    }
}
