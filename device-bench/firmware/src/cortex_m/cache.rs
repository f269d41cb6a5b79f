//! Caches of the core, which a Cortex-M7, M55 or M85 may have.

use device_bench::wire::Caches;

/// Those of the board file.
const WANTED: &str = env!("EDGESLIM_CACHES");

/// Invalidates the wanted caches by set and way, as they hold anything after a reset, and switches them on.
///
/// A debugger's accesses are cacheable, so that it and the core see the same data.
#[cfg(cached)]
pub fn enable(scb: &mut cortex_m::peripheral::SCB, cpuid: &mut cortex_m::peripheral::CPUID) {
    for cache in WANTED.split(' ') {
        match cache {
            "i" => scb.enable_icache(),
            "d" => scb.enable_dcache(cpuid),
            _ => {}
        }
    }
}

/// What is on: a core without a cache leaves its bit at 0.
#[cfg(cached)]
pub fn enabled() -> Caches {
    use cortex_m::peripheral::SCB;
    Caches { i: SCB::icache_enabled(), d: SCB::dcache_enabled() }
}

/// Armv6-M and the baseline of Armv8-M have none; the host sees that none is on.
#[cfg(not(cached))]
pub fn enable(_: &mut cortex_m::peripheral::SCB, _: &mut cortex_m::peripheral::CPUID) {
    let _ = WANTED;
}

#[cfg(not(cached))]
pub fn enabled() -> Caches {
    Caches::default()
}
