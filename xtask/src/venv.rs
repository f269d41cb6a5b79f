//! Python environments with packages from PyPI.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Packages that are installed together.
pub struct Packages {
    /// As pip calls them.
    pub names: &'static [&'static str],
    /// Python that fails where one of them is missing.
    pub check: &'static str,
    /// What people are told that is installed.
    pub told: &'static str,
}

/// The Python of `dir`, which is made, and into which the packages are installed from PyPI, where they are missing.
///
/// # Errors
/// What is missing, and what installs it.
pub fn python(dir: &Path, packages: &Packages) -> Result<PathBuf> {
    let python = dir.join("bin/python");
    if !python.exists() {
        create(dir)?;
    }
    if !has(&python, packages) {
        install(&python, packages)?;
    }
    Ok(python)
}

fn create(dir: &Path) -> Result<()> {
    eprintln!("making a Python environment in {}", dir.display());
    let made = Command::new("python3").args(["-m", "venv"]).arg(dir).stdout(Stdio::null()).status();
    let status = made.context(
        "python3 does not start; install Python 3.10 or newer (Debian, Ubuntu: `apt-get install python3 python3-venv`), \
         or name an environment that has the packages: `--venv DIR`",
    )?;
    if !status.success() {
        bail!(
            "`python3 -m venv {}` failed; on Debian and Ubuntu it needs `apt-get install python3-venv`",
            dir.display()
        );
    }
    Ok(())
}

fn has(python: &Path, packages: &Packages) -> bool {
    let check = Command::new(python).args(["-c", packages.check]).stderr(Stdio::null()).status();
    check.is_ok_and(|status| status.success())
}

fn install(python: &Path, packages: &Packages) -> Result<()> {
    eprintln!("installing {}", packages.told);
    let pip = Command::new(python)
        .args(["-m", "pip", "install", "--quiet"])
        .args(packages.names)
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("{} does not start; delete its environment", python.display()))?;
    if !pip.success() || !has(python, packages) {
        bail!(
            "{0} could not be installed: `{1} -m pip install {0}` tells why. It needs the network or a mirror \
             (PIP_INDEX_URL); `--venv DIR` takes an environment that has the packages",
            packages.names.join(" "),
            python.display()
        );
    }
    Ok(())
}
