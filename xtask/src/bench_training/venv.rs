//! A Python environment with PyTorch.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Python of `dir`, which is made, and into which PyTorch is installed from PyPI, where they are missing.
///
/// # Errors
/// What is missing, and what installs it.
pub fn python(dir: &Path) -> Result<PathBuf> {
    let python = dir.join("bin/python");
    if !python.exists() {
        create(dir)?;
    }
    if !has_torch(&python) {
        install(&python)?;
    }
    Ok(python)
}

fn create(dir: &Path) -> Result<()> {
    eprintln!("making a Python environment in {}", dir.display());
    let made = Command::new("python3").args(["-m", "venv"]).arg(dir).stdout(Stdio::null()).status();
    let status = made.context(
        "python3 does not start; install Python 3.10 or newer (Debian, Ubuntu: `apt-get install python3 python3-venv`), \
         or name an environment that has PyTorch: `--venv DIR`",
    )?;
    if !status.success() {
        bail!(
            "`python3 -m venv {}` failed; on Debian and Ubuntu it needs `apt-get install python3-venv`",
            dir.display()
        );
    }
    Ok(())
}

fn has_torch(python: &Path) -> bool {
    let import = Command::new(python).args(["-c", "import torch"]).stderr(Stdio::null()).status();
    import.is_ok_and(|status| status.success())
}

fn install(python: &Path) -> Result<()> {
    eprintln!("installing PyTorch from PyPI; on Linux its packages take several gigabytes");
    let pip = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "torch"])
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("{} does not start; delete its environment", python.display()))?;
    if !pip.success() || !has_torch(python) {
        bail!(
            "PyTorch could not be installed: `{} -m pip install torch` tells why. It needs the network or a mirror \
             (PIP_INDEX_URL); `--venv DIR` takes an environment that has PyTorch",
            python.display()
        );
    }
    Ok(())
}
