//! Files that a reader sees whole or not at all; everything that the host writes goes through here.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

/// Writes a temporary file next to `path` and renames it to `path`, making the directory if needed. What is no regular
/// file, such as `/dev/stdout`, is written to as it is.
///
/// The temporary file's name follows from `path`: what a killed process left is replaced by the next write. One
/// process writes a path at a time.
///
/// # Errors
/// What the system says; `path` is unchanged then, and nothing else is left.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    let dir = directory(path);
    std::fs::create_dir_all(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = dir.join(format!(".{name}.tmp"));
    // Never through a link that somebody left in its place.
    let _ = std::fs::remove_file(&temporary);
    let written = File::create_new(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Finds out whether [`write_atomic`] could write `path`, before a long work that ends with it; nothing is left behind.
///
/// # Errors
/// What the system says of the directory, or of the nearest one above it that there is.
pub fn check_writable(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) if found.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => return Ok(()),
        _ => {}
    }
    let mut dir = directory(path);
    while !dir.exists() {
        dir = directory(dir);
    }
    tempfile::tempfile_in(dir).map(drop).map_err(without_path)
}

/// The name of a temporary file would tell nobody anything.
fn without_path(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|named| named.source()).and_then(|e| e.downcast_ref::<io::Error>());
    cause.and_then(io::Error::raw_os_error).map_or(error, io::Error::from_raw_os_error)
}

/// What to do about a file that cannot be written.
pub fn next_step(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room on that disk and run it again: it goes on from what is written"
        }
        ErrorKind::FileTooLarge => {
            "raise the limit of a file's size (`ulimit -f`) and run it again: it goes on from what is written"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "make its directory writable for this user, or take another"
        }
        ErrorKind::IsADirectory => "give the name of a file in it",
        _ => "check that the directory exists and is writable",
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_write_left_is_replaced_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".record.json.tmp"), b"half").unwrap();
        write_atomic(&dir.path().join("record.json"), b"whole").unwrap();
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["record.json"]);
    }

    #[test]
    fn a_write_that_fails_leaves_what_there_was_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("directory");
        std::fs::create_dir(&path).unwrap();
        assert!(write_atomic(&path, b"x").is_err());
        assert!(path.is_dir());
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn what_could_be_written_is_told_without_a_trace() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_writable(&dir.path().join("new/folder/file")).is_ok());
        let error = check_writable(dir.path()).unwrap_err();
        assert!(error.kind() == ErrorKind::IsADirectory && next_step(&error).contains("name of a file"));
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        use std::os::unix::fs::FileTypeExt as _;
        let full = Path::new("/dev/full");
        let is_device = || full.metadata().unwrap().file_type().is_char_device();
        assert!(is_device(), "nothing to try it with");
        check_writable(full).unwrap();
        assert_eq!(write_atomic(full, b"x").unwrap_err().kind(), ErrorKind::StorageFull);
        assert!(is_device());
    }
}
