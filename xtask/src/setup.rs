//! What a fresh machine lacks: the thumb targets and a QEMU that is new enough.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Every target that a board file names; `device-bench` is checked for each of them.
pub const THUMB_TARGETS: [&str; 4] =
    ["thumbv6m-none-eabi", "thumbv7m-none-eabi", "thumbv7em-none-eabihf", "thumbv8m.main-none-eabihf"];

/// The oldest QEMU that the virtual boards were proven on; the probe itself refuses an older one too.
const MIN_QEMU: (u32, u32) = (8, 0);
const QEMU: &str = "qemu-system-arm";

/// Installs the thumb targets and QEMU where they are missing.
///
/// # Errors
/// Where something is missing and cannot be installed from here: what it is and the exact command.
pub fn everything() -> Result<()> {
    thumb_targets()?;
    qemu()
}

fn thumb_targets() -> Result<()> {
    let missing: Vec<&str> = THUMB_TARGETS.into_iter().filter(|t| !has_core(t)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let command = format!("rustup target add {}", missing.join(" "));
    println!("setup: {command}");
    let status = Command::new("rustup").args(["target", "add"]).args(&missing).status();
    if !status.is_ok_and(|s| s.success()) {
        bail!("the Rust targets {} are not installed; run `{command}`", missing.join(", "));
    }
    Ok(())
}

/// Whether rustc has a compiled `core` for `target`.
fn has_core(target: &str) -> bool {
    let Ok(out) = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output()
    else {
        return false;
    };
    let dir = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    std::fs::read_dir(dir)
        .is_ok_and(|files| files.flatten().any(|f| f.file_name().to_string_lossy().starts_with("libcore-")))
}

fn qemu() -> Result<()> {
    if qemu_version().is_some_and(|v| v >= MIN_QEMU) {
        return Ok(());
    }
    let script = install_script();
    if is_root() && Path::new("/usr/bin/apt-get").exists() {
        println!("setup: {script}");
        let status =
            Command::new("sh").args(["-ec", &script]).env("DEBIAN_FRONTEND", "noninteractive").status();
        status.context("sh does not start")?;
    }
    let (major, minor) = MIN_QEMU;
    match qemu_version() {
        Some(v) if v >= MIN_QEMU => Ok(()),
        Some((a, b)) => bail!("{QEMU} {a}.{b} is older than {major}.{minor}; run as root:\n{script}"),
        None => bail!("{QEMU} is not installed; run as root:\n{script}"),
    }
}

/// `(major, minor)` of the QEMU on the path.
fn qemu_version() -> Option<(u32, u32)> {
    let out = Command::new(QEMU).arg("--version").output().ok()?;
    parse_version(&String::from_utf8_lossy(&out.stdout))
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split("version ").nth(1)?.split('.');
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((major, minor))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

/// Debian 12 has a QEMU that is too old: its backports suite is added next to the machine's own source, from
/// whichever mirror that names.
fn install_script() -> String {
    let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !os.contains("VERSION_CODENAME=bookworm") {
        return format!("apt-get update && apt-get install -y {QEMU}");
    }
    let sources = "/etc/apt/sources.list.d";
    format!(
        "if [ -f {sources}/debian.sources ]; then \
         awk 'BEGIN{{RS=\"\";ORS=\"\\n\\n\"}} !/-security/' {sources}/debian.sources \
         | sed 's/^Suites:.*/Suites: bookworm-backports/' > {sources}/bookworm-backports.sources; \
         else awk '$1==\"deb\" && $3==\"bookworm\" {{$3=\"bookworm-backports\"; print}}' /etc/apt/sources.list \
         > {sources}/bookworm-backports.list; fi; \
         apt-get update && apt-get install -y -t bookworm-backports {QEMU}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_debian_qemu_is_read() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
        assert_eq!(parse_version(text), Some((10, 0)));
        assert_eq!(parse_version("no such thing"), None);
    }

    #[test]
    fn debian_7_2_is_too_old() {
        assert!(parse_version("QEMU emulator version 7.2.22").is_some_and(|v| v < MIN_QEMU));
    }
}
