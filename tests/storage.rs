//! Disks that are full or may not be written, and clocks that jump: an error says which file and how to go on, nothing
//! half-written is taken for whole, and the same command then ends as if nothing had happened.

mod command;

use command::{Run, differing, finished};
use object::{Object as _, ObjectSymbol as _};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

const NONE: [PathBuf; 0] = [];
/// The user `nobody` of most systems.
const NOBODY: u32 = 65_534;

/// What a command that must fail says.
fn refused(mut command: Command) -> String {
    let output = command.stdout(Stdio::null()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("error: ") && !error.contains("panicked"), "{error}");
    error
}

/// The command in a shell that first runs `before`.
fn after(before: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before}\nexec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(key, value),
            None => shell.env_remove(key),
        };
    }
    shell
}

/// The file of the run that an error names.
fn named(error: &str, run: &Run) -> String {
    let (root, end) = (run.path(""), |c: char| c == ':' || c == ' ');
    let (_, file) = error.split_once(root.to_str().unwrap()).unwrap_or_else(|| panic!("no file in: {error}"));
    file.split(end).next().unwrap().to_owned()
}

fn no_part_is_left(run: &Run, what: &str) {
    let parts: Vec<PathBuf> =
        run.bytes().into_keys().filter(|path| path.to_string_lossy().contains("tmp")).collect();
    assert_eq!(parts, NONE, "{what}");
}

#[test]
fn a_disk_that_is_full_at_any_stage_is_told_and_the_same_command_goes_on_once_there_is_room() {
    let (whole, full) = (finished(Run::small), Run::small());
    let mut failed = BTreeSet::new();
    // Blocks of 512 bytes that a file may have, as a disk with so much room.
    for blocks in [0, 1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384] {
        let limit = format!("trap '' XFSZ; ulimit -f {blocks}");
        let mut command = after(&limit, &full.command(&["run", "--json"]));
        let output = command.stdout(Stdio::null()).output().unwrap();
        if output.status.success() {
            break;
        }
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && !error.contains("panicked"), "{blocks}: {error}");
        assert!(error.contains("File too large") && error.contains("run it again"), "{blocks}: {error}");
        failed.insert(named(&error, &full));
        no_part_is_left(&full, &format!("{blocks} blocks"));
    }
    println!("these did not fit: {failed:?}");
    for part in ["lock", "cost-table", "supernet", "report/"] {
        assert!(failed.iter().any(|file| file.contains(part)), "{part} always fitted: {failed:?}");
    }
    full.edgeslim(&["run", "--json"]);
    assert_eq!(differing(&full.bytes(), &whole.bytes()), NONE);
}

/// A small disk at `path` until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path, size: &str) -> Option<SmallDisk> {
        let args = ["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"];
        let mounted = Command::new("mount").args(args).arg(path).output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk(path.to_owned())),
            Ok(output) => {
                println!("skipped: no small disk: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("skipped: no small disk: mount: {error}");
                None
            }
        }
    }

    fn resize(&self, size: &str) {
        let remount = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &remount]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_without_room_is_told_and_gone_on_from_once_it_is_larger() {
    let full = Run::small();
    let files = ["edgeslim.toml", "small.toml"].map(|name| (name, fs::read(full.path(name)).unwrap()));
    let Some(disk) = SmallDisk::mount(&full.path(""), "24k") else { return };
    for (name, bytes) in files {
        fs::write(full.path(name), bytes).unwrap();
    }
    let mut failed = BTreeSet::new();
    for size in ["24k", "32k", "48k", "64k", "96k", "128k"] {
        disk.resize(size);
        let output = full.command(&["run", "--json"]).output().unwrap();
        if output.status.success() {
            break;
        }
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && !error.contains("panicked"), "{size}: {error}");
        assert!(error.contains("No space left on device") && error.contains("make room"), "{size}: {error}");
        failed.insert(named(&error, &full));
        no_part_is_left(&full, size);
    }
    println!("these did not fit: {failed:?}");
    assert!(failed.len() >= 3, "nearly everything fitted: {failed:?}");
    disk.resize("64m");
    full.edgeslim(&["run", "--json"]);
    assert_eq!(differing(&full.bytes(), &finished(Run::small).bytes()), NONE);
}

#[test]
fn output_that_finds_no_room_is_an_error() {
    let run = Run::small();
    let list = run.path("layers.toml");
    fs::write(&list, "[[layer]]\nop = \"linear\"\nin_h = 1\nin_w = 1\nc_in = 64\nc_out = 10\n").unwrap();
    let list = list.to_str().unwrap();
    let (there, new) = (run.path("").join("new"), run.path("").join("new-json"));
    let commands: [&[&str]; 8] = [
        &["boards"],
        &["boards", "--json"],
        &["boards", "show", "virtual-m4"],
        &["networks"],
        &["networks", "show", "resnet-8"],
        &["init", there.to_str().unwrap()],
        &["init", new.to_str().unwrap(), "--json"],
        &["profile", "--layers", list],
    ];
    for args in commands {
        let mut command = run.command(args);
        let output =
            command.stdout(fs::File::options().write(true).open("/dev/full").unwrap()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
        assert!(error.contains("standard output: No space left on device"), "{args:?}: {error}");
        assert!(!error.contains("panicked"), "{args:?}: {error}");
    }
    let error = refused(run.command(&["profile", "--layers", list, "--out", "/dev/full"]));
    assert!(error.contains("/dev/full: ") && error.contains("No space left on device"), "{error}");
    // What nobody can be told is no reason to fail.
    let mut command = run.command(&["boards"]);
    command.stderr(fs::File::options().write(true).open("/dev/full").unwrap());
    assert!(command.output().unwrap().status.success());
}

/// Runs `command` as somebody who may not write where its run is.
fn unprivileged(mut command: Command) -> Command {
    if Path::new("/proc/self").metadata().unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_may_not_be_written_is_refused_at_once_by_name() {
    let run = Run::small();
    let list = run.path("layers.toml");
    fs::write(&list, "[[layer]]\nop = \"linear\"\nin_h = 1\nin_w = 1\nc_in = 64\nc_out = 10\n").unwrap();
    let out = run.path("table.csv");
    let (list, out) = (list.to_str().unwrap(), out.to_str().unwrap());
    let check = |args: &[&str], named: &Path| {
        let started = Instant::now();
        let error = refused(unprivileged(run.command(args)));
        let taken = started.elapsed();
        assert!(error.contains(named.to_str().unwrap()), "{args:?}: {named:?} is missing in: {error}");
        assert!(error.contains("Permission denied") && error.contains("writable"), "{args:?}: {error}");
        assert!(taken < Duration::from_secs(20), "{args:?}: {taken:?}");
    };
    set_mode(&run.path(""), 0o555);
    for args in [&["run"][..], &["profile"], &["train"], &["profile", "--layers", list, "--out", out]] {
        check(args, &run.path(""));
    }
    // Only what the first stages write is writable: those that come later are refused before them all the same.
    set_mode(&run.path(""), 0o777);
    fs::create_dir(run.path("stamps")).unwrap();
    set_mode(&run.path("stamps"), 0o555);
    check(&["run"], &run.path("stamps"));
    set_mode(&run.path("stamps"), 0o777);
    set_mode(&run.path(""), 0o555);
    check(&["run"], &run.path(""));
    set_mode(&run.path(""), 0o755);
    let mut command = unprivileged(run.command(&["train"]));
    // Of its owner it is not refused, else this test shows nothing.
    if Path::new("/proc/self").metadata().unwrap().uid() == 0 {
        command = run.command(&["train"]);
    }
    assert!(command.output().unwrap().status.success());
}

#[test]
fn a_firmware_built_before_its_clock_was_set_back_is_built_again_for_another_memory() {
    let run = Run::small();
    let virtual_m4 =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../device-bench/boards/virtual-m4.toml"))
            .unwrap();
    let file = run.path("set-back.toml");
    let built_for = |model_bytes: u64| {
        let board = virtual_m4.replace("\"virtual-m4\"", "\"set-back\"");
        fs::write(&file, format!("model_bytes = {model_bytes}\n{board}")).unwrap();
        let elf = run.edgeslim(&["boards", "build", file.to_str().unwrap()]).trim().to_owned();
        let bytes = fs::read(&elf).unwrap();
        let parsed = object::File::parse(&*bytes).unwrap();
        let address = |name: &str| parsed.symbols().find(|s| s.name() == Ok(name)).unwrap().address();
        (elf.clone(), address("_model_end") - address("_model_start"))
    };
    let (elf, model_bytes) = built_for(65_536);
    assert_eq!(model_bytes, 65_536);
    // The files of the build are of tomorrow.
    let folder = Path::new(&elf).ancestors().nth(3).unwrap();
    set_modified(folder, SystemTime::now() + Duration::from_secs(86_400));
    let (_, model_bytes) = built_for(32_768);
    fs::remove_dir_all(folder).unwrap();
    assert_eq!(model_bytes, 32_768);
}

/// Sets when every file below a folder was changed.
fn set_modified(folder: &Path, time: SystemTime) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => set_modified(&path, time),
            false => fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap(),
        }
    }
}

/// Sets when every file of the run was changed.
fn touch(run: &Run, time: SystemTime) {
    for name in run.bytes().into_keys().chain(["run-log.json".into(), "summary.json".into()]) {
        fs::File::options().append(true).open(run.path("").join(name)).unwrap().set_modified(time).unwrap();
    }
}

#[test]
fn a_clock_that_jumps_redoes_nothing_and_makes_no_duration_negative() {
    let run = Run::small();
    run.edgeslim(&["run", "--json"]);
    let log = || command::json(&fs::read_to_string(run.path("run-log.json")).unwrap());
    let (bytes, mut before) = (run.bytes(), log());
    let day = Duration::from_secs(86_400);
    for time in [SystemTime::UNIX_EPOCH, SystemTime::now() + 10_000 * day, SystemTime::UNIX_EPOCH - day] {
        touch(&run, time);
        let told = run.told(&["run"]);
        for stage in ["profile", "train", "search", "retrain", "quantize", "verify", "report"] {
            assert!(told.contains(&format!("{stage}: unchanged")), "{stage} at {time:?}: {told}");
        }
        assert_eq!(log(), before, "at {time:?}");
    }
    // The clock is set back by years between two stages.
    for line in before.as_array_mut().unwrap() {
        line["ended_unix_s"] = 9_999_999_999u64.into();
    }
    fs::write(run.path("run-log.json"), before.to_string()).unwrap();
    fs::remove_file(run.path("record.json")).unwrap();
    run.edgeslim(&["run", "--json"]);
    assert_eq!(differing(&run.bytes(), &bytes), NONE);
    let seconds = |line: &serde_json::Value| line["seconds"].as_f64().unwrap();
    let lines = log();
    assert!(lines.as_array().unwrap().iter().all(|line| (0.0..10_000.0).contains(&seconds(line))), "{lines}");
    let summary = command::json(&fs::read_to_string(run.path("summary.json")).unwrap());
    assert!((0.0..10_000.0).contains(&summary["seconds"].as_f64().unwrap()), "{summary}");
}
