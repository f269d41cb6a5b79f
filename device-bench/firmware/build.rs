//! Links against the memory map that the host made for the board.

use std::{env, fs, path::PathBuf, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=EDGESLIM_MEMORY");
    println!("cargo::rerun-if-env-changed=EDGESLIM_BOARD");
    println!("cargo::rustc-check-cfg=cfg(armv6m, cached)");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    if target.starts_with("thumbv6m") {
        println!("cargo::rustc-cfg=armv6m");
    }
    if target.starts_with("thumbv7em") || target.starts_with("thumbv8m.main") {
        println!("cargo::rustc-cfg=cached");
    }
    println!("cargo::rustc-env=EDGESLIM_COMPILER={}", compiler());
    let memory = env::var("EDGESLIM_MEMORY")
        .expect("EDGESLIM_MEMORY is not set; build with edgeslim's `firmware::build`");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("memory.x"), memory).expect("cargo makes a folder that can be written");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
}

/// What `rustc --version` says.
fn compiler() -> String {
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let output = Command::new(rustc).arg("--version").output().expect("cargo has just run this compiler");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
