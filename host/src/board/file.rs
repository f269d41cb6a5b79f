//! Board files: what probe-rs cannot know of a board.

use super::{BoardError, MemoryMap, new, setup};
use crate::nearest::nearest;
use probe_rs::config::{Registry, RegistryError};
use serde::{Deserialize, Serialize};
use std::{fmt, io::ErrorKind, path::Path};
use virtual_board::cycles::Model;

const EMBEDDED: [&str; 15] = [
    include_str!("../../../device-bench/boards/virtual-m0.toml"),
    include_str!("../../../device-bench/boards/virtual-m3.toml"),
    include_str!("../../../device-bench/boards/virtual-m4.toml"),
    include_str!("../../../device-bench/boards/virtual-m7.toml"),
    include_str!("../../../device-bench/boards/virtual-m33.toml"),
    include_str!("../../../device-bench/boards/virtual-rv32.toml"),
    include_str!("../../../device-bench/boards/nucleo-l4r5zi.toml"),
    include_str!("../../../device-bench/boards/nucleo-f446re.toml"),
    include_str!("../../../device-bench/boards/nucleo-h743zi.toml"),
    include_str!("../../../device-bench/boards/stm32f746g-disco.toml"),
    include_str!("../../../device-bench/boards/nrf52840-dk.toml"),
    include_str!("../../../device-bench/boards/nrf5340-dk.toml"),
    include_str!("../../../device-bench/boards/pico.toml"),
    include_str!("../../../device-bench/boards/pico2.toml"),
    include_str!("../../../device-bench/boards/slstk3701a.toml"),
];

/// One board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardFile {
    /// Its name on the command line and in tables.
    pub name: String,
    /// How it is reached.
    #[serde(default)]
    pub probe: ProbeKind,
    /// QEMU's machine, for a virtual board.
    pub machine: Option<String>,
    /// probe-rs target name: memory map and flash algorithm.
    pub chip: String,
    /// The core's name, for reports and [`BoardFile::target_cpu`].
    pub core: String,
    /// The Rust target of its firmware.
    pub target: String,
    /// Where the firmware runs.
    pub run_from: RunFrom,
    /// Bytes of the model region; as many as there are, or half of what RAM holds beside the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_bytes: Option<u64>,
    /// What the board counts.
    #[serde(default)]
    pub unit: Unit,
    /// Core clock after the set-up, Hz, checked against the host's time; if there is none, it is measured. None for a
    /// virtual board.
    pub core_hz: Option<u32>,
    /// Share of `core_hz` that the measured clock may be off, 0.005 if none is given: enough for any crystal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_hz_tolerance: Option<f64>,
    /// Caches of the core that the firmware switches on.
    #[serde(default)]
    pub caches: Vec<Cache>,
    /// Register accesses after each reset, before the firmware starts: clock tree, wait states.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<setup::Step>,
}

/// A cache of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// Of instructions.
    I,
    /// Of data.
    D,
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cache::I => "i",
            Cache::D => "d",
        })
    }
}

/// How a board is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// A debug probe on USB.
    #[default]
    Usb,
    /// QEMU.
    Virtual,
}

/// Where the firmware runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunFrom {
    /// Flash.
    Flash,
    /// RAM: nothing is flashed.
    Ram,
}

/// What a board counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Core clock cycles.
    #[default]
    Cycles,
    /// Instructions: an emulator has no cycles.
    Instructions,
    /// What a model makes of the instructions that an emulator executes; never mixed with cycles.
    ModelledCycles,
}

impl Unit {
    /// The name in tables and records.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Cycles => "cycles",
            Unit::Instructions => "instructions",
            Unit::ModelledCycles => "modelled_cycles",
        }
    }
}

/// The boards that come with edgeslim. Each virtual one whose core has a model is there twice: `virtual-m4-modelled` counts
/// modelled cycles.
pub fn embedded() -> Vec<BoardFile> {
    let read = |text: &&str| toml::from_str::<BoardFile>(text).expect("embedded board files are tested");
    let boards = EMBEDDED.iter().map(read).flat_map(|board| {
        let modelled = board.cycle_model().map(|_| BoardFile {
            name: format!("{}-modelled", board.name),
            unit: Unit::ModelledCycles,
            ..board.clone()
        });
        [Some(board), modelled]
    });
    boards.flatten().collect()
}

/// An embedded board by its name, or a board file by its path (ends in `.toml`).
///
/// # Errors
/// [`BoardError::Unknown`] with the nearest name, [`BoardError::File`] for an unreadable file.
pub fn load(name: &str) -> Result<BoardFile, BoardError> {
    if name.ends_with(".toml") {
        return read(Path::new(name));
    }
    let mut boards = embedded();
    if let Some(board_idx) = boards.iter().position(|b| b.name == name) {
        return Ok(boards.swap_remove(board_idx));
    }
    let suggestion = nearest(name, boards.iter().map(|b| b.name.as_str())).map(str::to_owned);
    Err(BoardError::Unknown { name: name.to_owned(), suggestion })
}

fn read(path: &Path) -> Result<BoardFile, BoardError> {
    let error = |reason: String| BoardError::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            error("there is none; `edgeslim boards new --chip CHIP --out FILE` writes one".into())
        }
        _ => error(e.to_string()),
    })?;
    parse(&text, path)
}

/// A board file from its text; `path` only names it in errors.
///
/// # Errors
/// [`BoardError::File`] where the text is no board file or a name in it is no part of a path.
pub fn parse(text: &str, path: &Path) -> Result<BoardFile, BoardError> {
    let error = |reason: String| BoardError::File { path: path.to_owned(), reason };
    let board: BoardFile = toml::from_str(text).map_err(|e| error(e.to_string()))?;
    for (key, name) in [("name", &board.name), ("target", &board.target)] {
        if !is_plain(name) {
            return Err(error(format!(
                "`{key}` is {name:?}; it names a folder: 1 to 64 letters, digits, `-`, `_` and `.`, the first no `.` or `-`"
            )));
        }
    }
    if board.core_hz == Some(0) {
        return Err(error("`core_hz` is 0; leave it out where the clock is not known".into()));
    }
    if let Some(tolerance) = board.core_hz_tolerance {
        if !(tolerance > 0.0 && tolerance < 0.5) {
            return Err(error(format!(
                "`core_hz_tolerance` is {tolerance}; it is a share of `core_hz` between 0 and 0.5, such as 0.03 for an RC oscillator"
            )));
        }
        if board.core_hz.is_none() {
            return Err(error(
                "`core_hz_tolerance` is a share of `core_hz`, which is missing; leave out both".into(),
            ));
        }
    }
    if !board.caches.is_sorted_by(|a, b| a < b) {
        return Err(error("`caches` is one of [], [\"i\"], [\"d\"] and [\"i\", \"d\"]".into()));
    }
    setup::check(&board.setup).map_err(|e| error(e.to_string()))?;
    Ok(board)
}

/// Whether a folder of this name stays where it is made, and a command takes it for no option.
fn is_plain(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

impl BoardFile {
    /// `(ticks, timer_ticks)`: so many ticks of [`BoardFile::unit`] are so many of the core's system timer.
    ///
    /// # Errors
    /// [`BoardError::Unit`] for another unit on a board that is not virtual: no core counts it.
    pub fn ticks_per_timer_ticks(&self) -> Result<(u32, u32), BoardError> {
        if self.unit == Unit::Cycles {
            return Ok((1, 1));
        }
        let machine = self.qemu_machine().ok_or_else(|| BoardError::Unit { board: self.name.clone() })?;
        Ok(machine.instructions_per_ticks())
    }

    fn qemu_machine(&self) -> Option<&'static virtual_board::Machine> {
        self.machine.as_deref().and_then(virtual_board::Machine::named)
    }

    /// How cycles of a virtual board are modelled; `None` for a real one, and for a core without a model.
    pub fn cycle_model(&self) -> Option<Model> {
        self.qemu_machine()?.model
    }

    /// Whether its core is RISC-V, by its target.
    pub fn is_riscv(&self) -> bool {
        self.target.starts_with("riscv")
    }

    /// The caches as the firmware's build and a table's provenance spell them: `i d`, or nothing.
    pub fn caches_in_words(&self) -> String {
        self.caches.iter().map(Cache::to_string).collect::<Vec<_>>().join(" ")
    }

    /// The compiler's name of a core of which the target triple does not tell all: a Cortex-M7 issues two instructions a
    /// cycle, the others have the DSP extension.
    pub fn target_cpu(&self) -> Option<&'static str> {
        const CORES: [&str; 5] = ["cortex-m7", "cortex-m33", "cortex-m35p", "cortex-m55", "cortex-m85"];
        // An F is for the floating-point unit.
        CORES.into_iter().find(|cpu| self.core.trim_end_matches('F').eq_ignore_ascii_case(cpu))
    }

    /// Where firmware, model and data lie, from probe-rs's memory map.
    ///
    /// # Errors
    /// [`BoardError::Chip`] if probe-rs does not know the chip, [`BoardError::Layout`] if the firmware does not fit.
    pub fn memory(&self) -> Result<MemoryMap, BoardError> {
        virtual_board::register();
        let (board, chip) = (self.name.clone(), self.chip.clone());
        let registry = Registry::from_builtin_families();
        let target = registry.get_target_by_name(&self.chip).map_err(|error| BoardError::Chip {
            reason: match error {
                RegistryError::ChipNotFound(_) => new::unknown(&registry, &chip),
                other => other.to_string(),
            },
            board: board.clone(),
            chip: chip.clone(),
        })?;
        let map = MemoryMap::of(&target, self.run_from, self.model_bytes);
        map.map_err(|source| BoardError::Layout { board, chip, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_board_has_a_chip_that_probe_rs_knows() {
        for board in embedded() {
            let map = board.memory().unwrap();
            assert!(map.ram.end > map.ram.start && map.code.end > map.code.start, "{}", board.name);
            assert!(setup::check(&board.setup).is_ok(), "{}", board.name);
            // A real board's cycles become milliseconds, an emulated one's never.
            assert_eq!(board.core_hz.is_some(), board.unit == Unit::Cycles, "{}", board.name);
            assert_eq!(board.machine.is_some(), board.probe == ProbeKind::Virtual, "{}", board.name);
        }
    }

    #[test]
    fn a_mistyped_name_is_answered_with_the_nearest() {
        let error = load("virtul-m4").unwrap_err().to_string();
        assert!(error.contains("did you mean `virtual-m4`"), "{error}");
    }

    #[test]
    fn names_that_would_leave_the_build_folder_are_refused() {
        for (key, value) in [
            ("name", "../../outside"),
            ("name", "/tmp/outside"),
            ("name", ".."),
            ("name", ""),
            ("name", "a\\u0000b"),
            ("target", "../target"),
            ("target", "--config=x"),
        ] {
            let text: String = EMBEDDED[0]
                .lines()
                .map(|line| match line.split_once(" = ") {
                    Some((found, _)) if found == key => format!("{key} = \"{value}\"\n"),
                    _ => format!("{line}\n"),
                })
                .collect();
            let error = parse(&text, Path::new("board.toml")).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}` is")), "{value}: {error}");
        }
    }

    #[test]
    fn a_tolerance_is_a_share_of_a_clock_that_is_named() {
        let refused = |lines: &str| {
            let text = EMBEDDED[0].replace("unit = ", &format!("{lines}\nunit = "));
            parse(&text, Path::new("board.toml")).map_err(|error| error.to_string())
        };
        let known = refused("core_hz = 16_000_000\ncore_hz_tolerance = 0.03").unwrap();
        assert_eq!((known.core_hz, known.core_hz_tolerance), (Some(16_000_000), Some(0.03)));
        for tolerance in ["0.0", "-0.1", "0.5", "3.0", "nan", "inf"] {
            let error =
                refused(&format!("core_hz = 16_000_000\ncore_hz_tolerance = {tolerance}")).unwrap_err();
            assert!(
                error.contains("`core_hz_tolerance` is") && error.contains("0.03"),
                "{tolerance}: {error}"
            );
        }
        let error = refused("core_hz_tolerance = 0.03").unwrap_err();
        assert!(error.contains("`core_hz`, which is missing"), "{error}");
    }

    #[test]
    fn every_virtual_cortex_m_is_there_in_both_units() {
        let boards = embedded();
        for board in boards.iter().filter(|board| board.unit == Unit::Instructions && !board.is_riscv()) {
            let modelled = load(&format!("{}-modelled", board.name)).unwrap();
            assert_eq!(modelled.unit, Unit::ModelledCycles);
            assert_eq!((&modelled.machine, &modelled.target), (&board.machine, &board.target));
            assert!(modelled.cycle_model().is_some());
        }
        assert!(load("virtual-rv32-modelled").is_err());
    }

    #[test]
    fn a_real_board_counts_cycles_only() {
        for unit in [Unit::Instructions, Unit::ModelledCycles] {
            let board = BoardFile { unit, ..load("nucleo-l4r5zi").unwrap() };
            let error = board.ticks_per_timer_ticks().unwrap_err().to_string();
            assert!(error.contains("must be \"cycles\""), "{error}");
        }
    }

    #[test]
    fn a_board_file_is_read_from_its_path_and_names_caches_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("board.toml");
        let read = |caches: &str| {
            std::fs::write(&path, EMBEDDED[0].replace("caches = []", &format!("caches = {caches}"))).unwrap();
            load(path.to_str().unwrap())
        };
        assert_eq!(read("[]").unwrap(), embedded()[0]);
        assert_eq!(read(r#"["i", "d"]"#).unwrap().caches, [Cache::I, Cache::D]);
        for caches in [r#"["d", "i"]"#, r#"["i", "i"]"#, r#"["l2"]"#] {
            let error = read(caches).unwrap_err().to_string();
            assert!(error.contains("caches") && error.contains("board.toml"), "{error}");
        }
    }
}
