//! int8 layers on a microcontroller: what a layer is, how it runs, how it is timed, how it is asked for.
//!
//! No allocation, no float, no panic on data: every public function returns a `Copy` error that can travel
//! over the wire.
#![no_std]

pub mod bench;
pub mod crc;
pub mod infer;
pub mod kernels;
pub mod layer;
pub mod model;
pub mod quant;
pub mod wire;

pub use layer::{LayerSpec, Op, Padding};
