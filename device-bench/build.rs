//! Sets `cfg(dsp)` for targets whose cores all have the Arm DSP extension: `target_feature = "dsp"` is not
//! visible on stable Rust.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(dsp)");
    let target = std::env::var("TARGET").unwrap_or_default();
    if target.starts_with("thumbv7em-") || target.starts_with("thumbv8m.main-") {
        println!("cargo::rustc-cfg=dsp");
    }
}
