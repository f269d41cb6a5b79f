//! What a fresh machine lacks: Rust targets and QEMU.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// Every target that a board file names; `device-bench` is checked for each of them.
pub const TARGETS: [&str; 5] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
    "riscv32imc-unknown-none-elf",
];

/// QEMU's programs, and the packages of Debian and Ubuntu that have them.
const QEMU: [(&str, &str); 2] =
    [("qemu-system-arm", "qemu-system-arm"), ("qemu-system-riscv32", "qemu-system-misc")];

/// Installs the Rust targets and QEMU where they are missing.
///
/// # Errors
/// Where something is missing and cannot be installed from here: what it is and the exact command.
pub fn everything() -> Result<()> {
    targets(&TARGETS)?;
    programs(&QEMU)
}

/// Installs those of `wanted` that rustc has no `core` for.
///
/// # Errors
/// Where rustup does not: the command.
pub fn targets(wanted: &[&str]) -> Result<()> {
    let missing: Vec<&str> = wanted.iter().copied().filter(|t| !has_core(t)).collect();
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

/// Installs the packages of those of `wanted` (a program, the package of Debian and Ubuntu that has it) that do not
/// start. Any version will do here: the virtual boards refuse a QEMU that is too old, with both versions.
///
/// # Errors
/// Where something is missing and cannot be installed from here: what it is and the exact command.
pub fn programs(wanted: &[(&str, &'static str)]) -> Result<()> {
    let packages = missing_packages(wanted);
    if packages.is_empty() {
        return Ok(());
    }
    let script = install_script(&packages);
    if is_root() && Path::new("/usr/bin/apt-get").exists() {
        println!("setup: {script}");
        let status =
            Command::new("sh").args(["-ec", &script]).env("DEBIAN_FRONTEND", "noninteractive").status();
        status.context("sh does not start")?;
    }
    let packages = missing_packages(wanted);
    if !packages.is_empty() {
        bail!("{} is not installed; run as root:\n{}", packages.join(" "), install_script(&packages));
    }
    Ok(())
}

/// The packages of the programs that do not start.
fn missing_packages(wanted: &[(&str, &'static str)]) -> Vec<&'static str> {
    let starts =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|out| out.status.success());
    wanted.iter().filter(|(program, _)| !starts(program)).map(|(_, package)| *package).collect()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

/// Where a Debian 12 has other parts of QEMU from its backports, its own package does not fit them: the backports
/// suite is then added next to the machine's own source, from whichever mirror that names.
fn install_script(packages: &[&str]) -> String {
    let packages = packages.join(" ");
    let install = format!("apt-get update && apt-get install -y {packages}");
    let os = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !os.contains("VERSION_CODENAME=bookworm") {
        return install;
    }
    let sources = "/etc/apt/sources.list.d";
    format!(
        "{{ {install}; }} || {{ if [ -f {sources}/debian.sources ]; then \
         awk 'BEGIN{{RS=\"\";ORS=\"\\n\\n\"}} !/-security/' {sources}/debian.sources \
         | sed 's/^Suites:.*/Suites: bookworm-backports/' > {sources}/bookworm-backports.sources; \
         else awk '$1==\"deb\" && $3==\"bookworm\" {{$3=\"bookworm-backports\"; print}}' /etc/apt/sources.list \
         > {sources}/bookworm-backports.list; fi; \
         apt-get update && apt-get install -y -t bookworm-backports {packages}; }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_that_installs_qemu_is_one_for_sh() {
        let script = install_script(&QEMU.map(|(_, package)| package));
        let status = Command::new("sh").args(["-n", "-c", &script]).status();
        assert!(status.is_ok_and(|s| s.success()), "{script}");
    }
}
