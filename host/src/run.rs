//! A run is a folder: what was asked for goes in as `edgeslim.toml`, each stage's files lie next to it.
//!
//! A stage is skipped when its stamp, a hash of its configuration, its inputs and edgeslim's sources, is unchanged
//! and its outputs are the ones it wrote, like make. Files are written to a temporary name and renamed.

mod lock;
mod log;

use lock::Lock;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A run directory cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file could not be read or written.
    #[error("{path}: {source}; {next}", path = path.display(), next = cost_tables::file::next_step(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A stage needs a file that an earlier stage writes.
    #[error("{stage}: {path} does not exist; run `edgeslim {producer}` first")]
    MissingInput {
        /// The stage that was asked for.
        stage: String,
        /// The file it reads.
        path: PathBuf,
        /// The stage that writes it.
        producer: &'static str,
    },
    /// What an earlier stage wrote is unfinished, edited, or of another configuration.
    #[error(
        "{stage}: {path} is unfinished, edited or of another configuration; run `edgeslim {producer}` first"
    )]
    Stale {
        /// The stage that was asked for.
        stage: String,
        /// The first file that the earlier stage writes.
        path: PathBuf,
        /// The stage to run.
        producer: String,
    },
    /// Another edgeslim works on it.
    #[error("another edgeslim, process {owner}, works on this run (it holds {path}); wait for it or stop it")]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Number of the process.
        owner: String,
    },
    /// A stage ended without one of its files.
    #[error("{stage}: did not write {path}; this is a bug of edgeslim")]
    MissingOutput {
        /// The stage.
        stage: String,
        /// The file it should have written.
        path: PathBuf,
    },
}

/// Whether a stage ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ran and wrote its files.
    Ran,
    /// Nothing had changed.
    Unchanged,
}

/// What a stage reads and writes.
#[derive(Debug)]
pub struct Stage<'a, C> {
    /// The subcommand's name; unique in a run.
    pub name: &'a str,
    /// Everything it depends on that is not a file.
    pub config: &'a C,
    /// Files it reads, each with the stage that writes it.
    pub inputs: &'a [(&'static str, PathBuf)],
    /// Files it writes.
    pub outputs: &'a [PathBuf],
}

/// A run directory; nobody else works on it meanwhile.
#[derive(Debug)]
pub struct RunDir {
    root: PathBuf,
    _lock: Lock,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Stamp {
    asked: String,
    outputs: BTreeMap<PathBuf, String>,
}

impl RunDir {
    /// Opens the run directory `root`, making it where it does not exist.
    ///
    /// # Errors
    /// [`RunError::Io`] where it cannot be made or written, [`RunError::Busy`] where another edgeslim works on it.
    pub fn open(root: &Path) -> Result<RunDir, RunError> {
        std::fs::create_dir_all(root).map_err(|source| io_error(root, source))?;
        let lock = Lock::take(&root.join("stamps").join("lock"))?;
        for file in [root.join("run-log.json"), root.join("stamps").join("profile.json")] {
            check_writable(&file)?;
        }
        Ok(RunDir { root: root.to_owned(), _lock: lock })
    }

    /// A file of this run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Runs `work` unless the stage's stamp is unchanged.
    ///
    /// # Errors
    /// [`RunError`] where a file is missing or cannot be read, and whatever `work` returns.
    pub fn stage<C: Serialize>(
        &self,
        stage: &Stage<'_, C>,
        work: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let asked = asked(stage)?;
        if self.is_unchanged(stage.name, &asked, stage.outputs) {
            return Ok(Outcome::Unchanged);
        }
        for path in stage.outputs {
            check_writable(path)?;
        }
        let started = Instant::now();
        let result = work().and_then(|()| self.stamp_outputs(stage, &asked));
        let logged = self.log(stage.name, &asked, started.elapsed().as_secs_f64(), result.is_ok());
        result?;
        logged?;
        Ok(Outcome::Ran)
    }

    fn stamp_outputs<C>(&self, stage: &Stage<'_, C>, asked: &str) -> anyhow::Result<()> {
        let mut outputs = BTreeMap::new();
        for path in stage.outputs {
            let Ok(hash) = hash_file(path) else {
                return Err(
                    RunError::MissingOutput { stage: stage.name.to_owned(), path: path.clone() }.into()
                );
            };
            outputs.insert(self.relative(path), hash);
        }
        let stamp = serde_json::to_vec_pretty(&Stamp { asked: asked.to_owned(), outputs })?;
        Ok(write_atomic(&self.stamp_path(stage.name), &stamp)?)
    }

    /// Refuses to go on from the outputs of `stage` unless they are what it would write now.
    ///
    /// # Errors
    /// [`RunError::Stale`] with the stage to run first.
    pub fn require<C: Serialize>(&self, stage: &Stage<'_, C>, reader: &str) -> anyhow::Result<()> {
        if self.is_unchanged(stage.name, &asked(stage)?, stage.outputs) {
            return Ok(());
        }
        let path = stage.outputs.first().cloned().unwrap_or_default();
        Err(RunError::Stale { stage: reader.to_owned(), path, producer: stage.name.to_owned() }.into())
    }

    /// Whether `path` holds what the stage `name` wrote when it last ended.
    pub fn wrote(&self, name: &str, path: &Path) -> bool {
        let hash = hash_file(path).ok();
        hash.is_some()
            && self.stamp(name).is_some_and(|s| s.outputs.get(&self.relative(path)) == hash.as_ref())
    }

    fn is_unchanged(&self, name: &str, asked: &str, outputs: &[PathBuf]) -> bool {
        self.stamp(name).is_some_and(|stamp| stamp.asked == asked)
            && outputs.iter().all(|path| self.wrote(name, path))
    }

    fn stamp(&self, name: &str) -> Option<Stamp> {
        serde_json::from_slice(&std::fs::read(self.stamp_path(name)).ok()?).ok()
    }

    fn stamp_path(&self, name: &str) -> PathBuf {
        self.root.join("stamps").join(format!("{name}.json"))
    }

    /// As it is written in stamps: a run that is moved, or named by another path, is the same run.
    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_owned()
    }
}

fn io_error(path: &Path, source: std::io::Error) -> RunError {
    RunError::Io { path: path.to_owned(), source }
}

/// Hash of everything that decides what a stage writes.
fn asked<C: Serialize>(stage: &Stage<'_, C>) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(env!("EDGESLIM_CODE").as_bytes());
    field(stage.name.as_bytes());
    field(&serde_json::to_vec(stage.config)?);
    for (producer, path) in stage.inputs {
        let hash = hash_file(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => {
                RunError::MissingInput { stage: stage.name.to_owned(), path: path.clone(), producer }
            }
            _ => io_error(path, source),
        })?;
        field(hash.as_bytes());
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn hash_file(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Refuses a file that could not be written, before the work that would end with it.
///
/// # Errors
/// [`RunError::Io`] with the path.
pub fn check_writable(path: &Path) -> Result<(), RunError> {
    cost_tables::file::check_writable(path).map_err(|source| io_error(path, source))
}

/// Writes a file so that a reader sees the old bytes or the new ones, never a part.
///
/// # Errors
/// [`RunError::Io`] with the path.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    cost_tables::file::write_atomic(path, bytes).map_err(|source| io_error(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_once(dir: &RunDir, config: &str, input: &Path, output: &Path) -> anyhow::Result<Outcome> {
        let inputs = [("profile", input.to_owned())];
        let outputs = [output.to_owned()];
        let stage = Stage { name: "search", config: &config, inputs: &inputs, outputs: &outputs };
        dir.stage(&stage, || Ok(write_atomic(output, b"found")?))
    }

    #[test]
    fn a_stage_runs_again_only_when_what_it_depends_on_changed() -> anyhow::Result<()> {
        let tmp = tempfile::tempdir()?;
        let dir = RunDir::open(tmp.path())?;
        let (input, output) = (dir.path("in"), dir.path("out"));
        write_atomic(&input, b"1")?;
        assert_eq!(run_once(&dir, "a", &input, &output)?, Outcome::Ran);
        assert_eq!(run_once(&dir, "a", &input, &output)?, Outcome::Unchanged);
        assert_eq!(run_once(&dir, "b", &input, &output)?, Outcome::Ran, "another configuration");
        write_atomic(&input, b"2")?;
        assert_eq!(run_once(&dir, "b", &input, &output)?, Outcome::Ran, "another input");
        write_atomic(&output, b"edited by hand")?;
        assert_eq!(run_once(&dir, "b", &input, &output)?, Outcome::Ran, "a changed output");
        Ok(())
    }

    #[test]
    fn a_missing_input_names_the_stage_that_writes_it() -> anyhow::Result<()> {
        let tmp = tempfile::tempdir()?;
        let dir = RunDir::open(tmp.path())?;
        let error = run_once(&dir, "a", &dir.path("none"), &dir.path("out")).unwrap_err();
        assert!(error.to_string().contains("run `edgeslim profile` first"), "{error}");
        Ok(())
    }

    #[test]
    fn a_stage_that_fails_leaves_no_stamp() -> anyhow::Result<()> {
        let tmp = tempfile::tempdir()?;
        let dir = RunDir::open(tmp.path())?;
        let outputs = [dir.path("out")];
        let stage = Stage { name: "train", config: &1, inputs: &[], outputs: &outputs };
        assert!(dir.stage(&stage, || anyhow::bail!("interrupted")).is_err());
        assert!(dir.stage(&stage, || Ok(())).is_err(), "an output is missing");
        assert_eq!(dir.stage(&stage, || Ok(write_atomic(&outputs[0], b"x")?))?, Outcome::Ran);
        Ok(())
    }
}
