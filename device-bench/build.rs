//! Sets `cfg(dsp)` where the compiler may use the Arm DSP extension: `target_feature = "dsp"` is not visible
//! on stable Rust. Every Armv7E-M core has it; an Armv8-M build says so by `-C target-cpu` or `+dsp`.

/// Armv8-M cores with the extension, and the feature by name.
const V8M_FLAGS: [&str; 5] = ["cortex-m33", "cortex-m35p", "cortex-m55", "cortex-m85", "+dsp"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    // A digest of the sources: their times do not tell an edit from before the clock was set back.
    println!("cargo::rerun-if-env-changed=EDGESLIM_FIRMWARE");
    println!("cargo::rustc-check-cfg=cfg(dsp)");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let (target, flags) = (variable("TARGET"), variable("CARGO_ENCODED_RUSTFLAGS"));
    let v8m = target.starts_with("thumbv8m.main-") && V8M_FLAGS.iter().any(|flag| flags.contains(flag));
    if target.starts_with("thumbv7em-") || v8m {
        println!("cargo::rustc-cfg=dsp");
    }
}
