//! Runs the `edgeslim` binary in a folder of its own.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod running;

use running::Running;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A network whose whole pipeline takes seconds.
const NETWORK: &str = r#"
name = "small"
[[unit]]
name = "stem"
full = 8
bins = [4, 8]
[[unit]]
name = "body"
full = 24
bins = [8, 16, 24]
[[node]]
name = "stem"
op = "conv"
input = "image"
unit = "stem"
kernel = 3
stride = 2
padding = 1
activation = "relu"
[[node]]
name = "spatial"
op = "depthwise"
input = "stem"
kernel = 3
stride = 2
padding = 1
activation = "relu"
[[node]]
name = "pointwise"
op = "conv"
input = "spatial"
unit = "body"
kernel = 1
stride = 1
padding = 0
activation = "relu"
[[node]]
name = "head"
op = "head"
input = "pointwise"
"#;

/// A run's folder, and one for the temporary files of its commands; deleted in the end.
pub struct Run {
    dir: tempfile::TempDir,
    temporary: tempfile::TempDir,
    /// A run directory serves one command at a time.
    turn: Mutex<()>,
}

impl Run {
    /// Two units and two epochs on an emulated board: the whole pipeline takes seconds.
    pub fn small() -> Run {
        Run::new("virtual-m4", "seed = 3", &["latency 75%"])
    }

    /// A small network with its configuration; `extra` goes to the top of the file.
    pub fn new(board: &str, extra: &str, budgets: &[&str]) -> Run {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("small.toml"), NETWORK).unwrap();
        let recipe = "epochs = 2\nbatch = 50\nlearning_rate = 0.1\nweight_decay = 5e-4";
        let config = format!(
            "{extra}\nboard = \"{board}\"\n[network]\nname = \"small.toml\"\nmax_width = 1.0\nmin_width = 0.25\n\
             [data]\npath = \"embedded\"\nsearch_images = 200\naugment = true\n[profile]\nsamples = 3\nwarmups = 1\n\
             [train]\n{recipe}\n[retrain]\n{recipe}\nseeds = 1\n\
             [search]\nstrategies = [\"autoslim\", \"uniform\"]\nbudgets = {budgets:?}\nrecalibration_images = 200\n\
             [verify]\nimages = 20\n"
        );
        std::fs::write(dir.path().join("edgeslim.toml"), config).unwrap();
        Run { dir, temporary: tempfile::tempdir().unwrap(), turn: Mutex::new(()) }
    }

    /// A file of the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces text of `edgeslim.toml`.
    pub fn edit(&self, from: &str, to: &str) {
        self.edit_file("edgeslim.toml", from, to);
    }

    /// Replaces text of the network.
    pub fn edit_network(&self, from: &str, to: &str) {
        self.edit_file("small.toml", from, to);
    }

    fn edit_file(&self, name: &str, from: &str, to: &str) {
        let path = self.path(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "no {from} in {text}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// A command in the run's folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgeslim"));
        command.args(args).arg("--run").arg(self.dir.path()).env("TMPDIR", self.temporary.path());
        for option in ["PROBE", "SPEED", "PROTOCOL", "CONNECT_UNDER_RESET"] {
            command.env_remove(format!("PROBE_RS_{option}"));
        }
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.command(args).output().unwrap()
    }

    /// What a command that succeeds prints.
    pub fn edgeslim(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "edgeslim {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether a command succeeds, what it prints and what it says on the error stream.
    pub fn attempt(&self, args: &[&str]) -> (bool, String, String) {
        let Output { status, stdout, stderr } = self.output(args);
        (status.success(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// What a command that fails says; it is one line that begins with `error:`, no panic.
    pub fn refused(&self, args: &[&str]) -> String {
        let Output { status, stderr, .. } = self.output(args);
        let error = String::from_utf8(stderr).unwrap();
        assert!(!status.success(), "edgeslim {args:?} succeeded");
        assert!(error.contains("error: ") && !error.contains("panicked"), "{error}");
        error
    }

    /// What a command that succeeds says on the error stream.
    pub fn told(&self, args: &[&str]) -> String {
        let Output { status, stderr, .. } = self.output(args);
        let told = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "edgeslim {args:?}: {told}");
        told
    }

    /// Starts a command.
    pub fn start(&self, args: &[&str]) -> Running<'_> {
        let stderr = tempfile::NamedTempFile::new().unwrap();
        let child = self.command(args).stdout(Stdio::null()).stderr(stderr.reopen().unwrap()).spawn();
        Running { run: self, child: child.unwrap(), stderr }
    }

    /// Every file of the run but the log, the summary (it has durations) and the charts' pages of them.
    pub fn bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(self.dir.path(), self.dir.path(), &mut files);
        files
    }
}

/// A finished run of the one kind that a test file asks for; the last test that uses it deletes it.
pub fn finished(new: fn() -> Run) -> Arc<Run> {
    static SHARED: Mutex<Weak<Run>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let run = Arc::new(new());
        run.edgeslim(&["run", "--json"]);
        *shared = Arc::downgrade(&run);
        run
    })
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "stamps" {
            collect(root, &path, files);
        } else if path.is_file() && !["run-log.json", "summary.json"].contains(&name.as_str()) {
            files.insert(path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap());
        }
    }
}

/// The files that only one of two runs has, or that differ.
pub fn differing(a: &BTreeMap<PathBuf, Vec<u8>>, b: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<PathBuf> {
    let names: std::collections::BTreeSet<&PathBuf> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

/// What `--json` printed.
pub fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A cost table with every sample multiplied by `factor`.
pub fn scale_samples(csv: &str, factor: f64) -> String {
    let scale = |line: &str| match line.rsplit_once(',') {
        Some((head, samples)) if !line.starts_with('#') && !line.starts_with("op,") => {
            let scaled =
                samples.split(' ').map(|s| ((s.parse::<f64>().unwrap() * factor) as u64).to_string());
            format!("{head},{}\n", scaled.collect::<Vec<_>>().join(" "))
        }
        _ => format!("{line}\n"),
    };
    csv.lines().map(scale).collect()
}
