//! A probe-rs debug probe whose board is QEMU.
