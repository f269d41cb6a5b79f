//! Builds the firmware for a board file.

use crate::board::{BoardError, BoardFile, MemoryMap};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Room for the stack, bytes; a quarter of RAM where that is less.
const STACK_BYTES: u64 = 16 * 1024;
/// No multiple of a flash line, whichever of the usual 8, 16 and 32 bytes it has.
pub const SHIFT_BYTES: u64 = 12;
const BINARY: &str = "edgeslim-firmware";
/// What the firmware is built of, below `device-bench`; its lock file names the rest.
const SOURCES: [&str; 7] = [
    "Cargo.toml",
    "build.rs",
    "src",
    "firmware/Cargo.lock",
    "firmware/Cargo.toml",
    "firmware/build.rs",
    "firmware/src",
];

/// Why the firmware was not built.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// The compiler has no core library for the board's target.
    #[error("the Rust target {target} is not installed; run: rustup target add {target}")]
    Target {
        /// The target triple of the board file.
        target: String,
    },
    /// The compiler or linker refused; its own words follow.
    #[error("building the firmware for {board} failed:\n{stderr}")]
    Build {
        /// The board.
        board: String,
        /// What cargo wrote.
        stderr: String,
    },
    /// The compiler, or what runs it, is not there.
    #[error(
        "{tool} is not installed, without which no firmware can be built; install Rust from https://rustup.rs"
    )]
    Missing {
        /// `cargo`, or the compiler.
        tool: String,
    },
    /// The board file asks for what no firmware can do.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// A file or process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// The file or command.
        what: String,
        /// The reason.
        source: io::Error,
    },
}

/// Builds the firmware for a board and returns the ELF file.
///
/// The compiler's flags are the board's alone, so that two machines build the same code. Each board has its own target folder below the firmware's, so that a second build is a check only.
/// What the build depends on reaches cargo as variables too, which unlike times of files do not go by the clock.
///
/// # Errors
/// [`FirmwareError::Target`] with the command to run if the target is missing, else what cargo said.
pub fn build(board: &BoardFile, memory: &MemoryMap) -> Result<PathBuf, FirmwareError> {
    build_at(board, memory, CodeStart::Usual)
}

/// As [`build`], with all code [`SHIFT_BYTES`] further on: where flash is slow, a loop's speed depends on where it
/// lies in the flash's lines.
///
/// # Errors
/// As [`build`].
pub fn build_shifted(board: &BoardFile, memory: &MemoryMap) -> Result<PathBuf, FirmwareError> {
    build_at(board, memory, CodeStart::Shifted)
}

/// Where code begins, behind the vector table where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CodeStart {
    Usual,
    Shifted,
}

/// Kernels without assembly take more room than there is, unless the compiler saves it.
fn smaller(target: &str) -> &'static [&'static str] {
    let has_assembly = target.starts_with("thumb");
    if has_assembly { &[] } else { &["--config", "profile.release.opt-level=\"z\""] }
}

fn build_at(board: &BoardFile, memory: &MemoryMap, start: CodeStart) -> Result<PathBuf, FirmwareError> {
    let rustc = rustc_with(&board.target)?;
    let (ticks, timer_ticks) = board.ticks_per_timer_ticks()?;
    let flags = board.target_cpu().map_or_else(String::new, |cpu| format!("-Ctarget-cpu={cpu}"));
    let mut out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/firmware").join(&board.name);
    if start == CodeStart::Shifted {
        out.push("shifted");
    }
    fs::create_dir_all(&out).map_err(io_error(&out))?;
    let output = Command::new("cargo")
        .args(["build", "--release", "--locked", "--target", &board.target])
        .args(smaller(&board.target))
        .current_dir(bench().join("firmware"))
        .env("RUSTC", rustc)
        .env("EDGESLIM_FIRMWARE", version()?)
        .env("CARGO_TARGET_DIR", &out)
        .env("EDGESLIM_BOARD", &board.name)
        .env("EDGESLIM_MEMORY", linker_memory(board, memory, start))
        .env("EDGESLIM_TICKS", ticks.to_string())
        .env("EDGESLIM_TIMER_TICKS", timer_ticks.to_string())
        .env("EDGESLIM_CACHES", board.caches_in_words())
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .output()
        .map_err(not_started("cargo"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(FirmwareError::Build { board: board.name.clone(), stderr });
    }
    Ok(out.join(&board.target).join("release").join(BINARY))
}

/// Builds QEMU's plugin that counts instructions, for this machine, and returns its file.
///
/// # Errors
/// [`FirmwareError`] if it does not build.
pub fn build_plugin() -> Result<PathBuf, FirmwareError> {
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/firmware/plugin");
    fs::create_dir_all(&out).map_err(io_error(&out))?;
    let output = Command::new("cargo")
        .args(["build", "--release", "--locked", "--package", "window-counts"])
        .current_dir(bench())
        .env("CARGO_TARGET_DIR", &out)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .map_err(not_started("cargo"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(FirmwareError::Build { board: "QEMU's plugin".into(), stderr });
    }
    let name = format!("{}window_counts{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    Ok(out.join("release").join(name))
}

/// What the firmware calls itself: edgeslim's version and eight hexadecimal digits of a digest of the sources that
/// [`build`] compiles, the same in every checkout.
///
/// # Errors
/// [`FirmwareError::Io`] if the sources cannot be read.
pub fn version() -> Result<String, FirmwareError> {
    let bench = bench();
    version_of(&bench).map_err(io_error(&bench))
}

/// The folder of the sources.
fn bench() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../device-bench")
}

fn version_of(bench: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    for source in SOURCES {
        digest(&bench.join(source), source, &mut hasher)?;
    }
    Ok(format!("{}-{}", env!("CARGO_PKG_VERSION"), &hasher.finalize().to_hex()[..8]))
}

/// Feeds the file `path`, called `name`, or the Rust files of that folder in order of their names.
fn digest(path: &Path, name: &str, hasher: &mut blake3::Hasher) -> io::Result<()> {
    if path.is_dir() {
        let mut files = fs::read_dir(path)?.map(|e| Ok(e?.path())).collect::<io::Result<Vec<_>>>()?;
        files.retain(|file| file.is_dir() || file.extension().is_some_and(|e| e == "rs"));
        files.sort();
        for file in files {
            let name = format!("{name}/{}", file.file_name().unwrap_or_default().to_string_lossy());
            digest(&file, &name, hasher)?;
        }
        return Ok(());
    }
    for bytes in [name.as_bytes(), &fs::read(path)?] {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    Ok(())
}

/// The version of the compiler that builds for `target`, empty if there is none: figures depend on it.
pub fn compiler(target: &str) -> String {
    let version = |rustc: String| Command::new(rustc).arg("--version").output().ok();
    let output = rustc_with(target).ok().and_then(version);
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The compiler of the firmware, by its name or path.
pub fn rustc() -> String {
    env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())
}

/// A compiler that has the target's core library.
fn rustc_with(target: &str) -> Result<String, FirmwareError> {
    let rustc = rustc();
    let print = ["--print", "target-libdir", "--target", target];
    let output = Command::new(&rustc).args(print).output().map_err(not_started(&rustc))?;
    let is_core = |file: &io::Result<fs::DirEntry>| {
        file.as_ref().is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-"))
    };
    let files = fs::read_dir(String::from_utf8_lossy(&output.stdout).trim());
    match files.is_ok_and(|mut files| files.any(|file| is_core(&file))) {
        true => Ok(rustc),
        false => Err(FirmwareError::Target { target: target.to_owned() }),
    }
}

fn linker_memory(board: &BoardFile, map: &MemoryMap, start: CodeStart) -> String {
    let MemoryMap { code, model, ram } = map;
    let stack_bytes = STACK_BYTES.min((ram.end - ram.start) / 4);
    format!(
        "MEMORY {{\n  FLASH : ORIGIN = {:#x}, LENGTH = {:#x}\n  RAM : ORIGIN = {:#x}, LENGTH = {:#x}\n}}\n\
         _model_start = {:#x};\n_model_end = {:#x};\n_stack_bottom = {:#x};\n{}",
        code.start,
        code.end - code.start,
        ram.start,
        ram.end - ram.start,
        model.start,
        model.end,
        ram.end - stack_bytes,
        if board.is_riscv() { riscv_rt(start) } else { cortex_m_rt(start) },
    )
}

/// What cortex-m-rt's script lets a board say.
fn cortex_m_rt(start: CodeStart) -> String {
    match start {
        CodeStart::Usual => String::new(),
        CodeStart::Shifted => {
            format!("_stext = ADDR(.vector_table) + SIZEOF(.vector_table) + {SHIFT_BYTES};\n")
        }
    }
}

/// What riscv-rt's script wants of a board: where each kind of section goes. Code begins with the entry.
fn riscv_rt(start: CodeStart) -> String {
    let mut text = "_ram_start = ORIGIN(RAM);\n".to_owned();
    for (section, memory) in [
        ("TEXT", "FLASH"),
        ("RODATA", "FLASH"),
        ("DATA", "RAM"),
        ("BSS", "RAM"),
        ("HEAP", "RAM"),
        ("STACK", "RAM"),
    ] {
        text += &format!("REGION_ALIAS(\"REGION_{section}\", {memory});\n");
    }
    if start == CodeStart::Shifted {
        text += &format!("_stext = ORIGIN(FLASH) + {SHIFT_BYTES};\n");
    }
    text
}

fn not_started(tool: &str) -> impl FnOnce(io::Error) -> FirmwareError {
    let tool = tool.to_owned();
    |source| match source.kind() {
        io::ErrorKind::NotFound => FirmwareError::Missing { tool },
        _ => FirmwareError::Io { what: tool, source },
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FirmwareError {
    let what = path.display().to_string();
    move |source| FirmwareError::Io { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(from: &Path, to: &Path) {
        if !from.is_dir() {
            fs::copy(from, to).unwrap();
            return;
        }
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    }

    #[test]
    fn the_version_is_of_the_sources_and_not_of_the_checkout() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("firmware")).unwrap();
        for source in SOURCES {
            copy(&bench().join(source), &folder.path().join(source));
        }
        let original = version().unwrap();
        assert_eq!(version_of(folder.path()).unwrap(), original);
        for file in ["src/kernels/conv.rs", "firmware/src/riscv/clock.rs", "firmware/Cargo.lock"] {
            let path = folder.path().join(file);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, format!("{text} ")).unwrap();
            assert_ne!(version_of(folder.path()).unwrap(), original, "{file}");
            fs::write(&path, text).unwrap();
        }
    }
}
