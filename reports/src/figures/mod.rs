//! One figure a file: `series(record) -> data` is pure, `draw(data, path)` only draws.

pub mod accuracy_latency;
pub mod channels;
pub mod experiment;
pub mod latency_macs;
pub mod network;
pub mod predicted_measured;
pub mod training;
pub mod training_widths;

use device_bench::layer::Op;
use plotters::style::RGBColor;

use crate::chart::{Marker, look};

/// The colour and mark of an operator, the same in every figure.
fn op_look(op: Op) -> (RGBColor, Marker) {
    look(Op::ALL.into_iter().position(|o| o == op).expect("Op::ALL has every operator"))
}

/// Legend entries of those operators that occur, in table order.
fn op_legend(ops: impl IntoIterator<Item = Op> + Clone) -> Vec<(String, RGBColor, Marker)> {
    let occurs = |op: &Op| ops.clone().into_iter().any(|o| o == *op);
    let entry = |op: Op| (op.name().replace('_', " "), op_look(op).0, op_look(op).1);
    Op::ALL.into_iter().filter(occurs).map(entry).collect()
}

/// `error` as signed percent: `+3.1 %`.
fn percent(error: f64) -> String {
    format!("{:+.1} %", error * 100.0).replace('-', "−")
}
