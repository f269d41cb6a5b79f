//! Files that a reader sees whole or not at all; everything that the host writes goes through here.

use std::io;
use std::path::Path;

/// Has `write` fill a temporary file next to `path` and renames it to `path`, making the directory if needed.
///
/// The temporary file's name follows from `path`: what a killed process left is replaced by the next write. One
/// process writes a path at a time.
///
/// # Errors
/// What `write` or the system says; `path` is unchanged then.
pub fn replace<E: From<io::Error>>(path: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (prefix, suffix) = (format!(".{name}"), ".tmp");
    match std::fs::remove_file(dir.join(format!("{prefix}{suffix}"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = readable().prefix(&prefix).suffix(suffix).rand_bytes(0).tempfile_in(dir)?;
    let permissions = file.as_file().metadata()?.permissions();
    write(file.path())?;
    // Some writers, safetensors' among them, rename a file of their own over it.
    std::fs::set_permissions(file.path(), permissions)?;
    std::fs::File::open(file.path())?.sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// [`replace`] with these bytes.
///
/// # Errors
/// What the system says; `path` is unchanged then.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |temporary| std::fs::write(temporary, bytes))
}

/// Temporary files with the permissions of ordinary ones; `tempfile` would keep them to their owner.
fn readable<'a, 'b>() -> tempfile::Builder<'a, 'b> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
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

    #[cfg(unix)]
    #[test]
    fn a_written_file_has_the_permissions_of_an_ordinary_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let [written, ordinary] = ["written", "ordinary"].map(|name| dir.path().join(name));
        write_atomic(&written, b"x").unwrap();
        std::fs::write(&ordinary, b"x").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&written), mode(&ordinary));
        let renamed = |temporary: &Path| {
            let other = dir.path().join("other");
            std::fs::write(&other, b"x")?;
            std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            std::fs::rename(&other, temporary)
        };
        replace::<io::Error>(&written, renamed).unwrap();
        assert_eq!(mode(&written), mode(&ordinary), "by a writer that renames");
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_atomic(&path, b"old").unwrap();
        let failed = replace(&path, |temporary| {
            std::fs::write(temporary, b"half")?;
            Err(io::Error::other("interrupted"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
    }
}
