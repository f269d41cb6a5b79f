//! Networks as graphs with units and bins, and their lowering to layers.

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod check;
pub mod graph;
pub mod lower;
pub mod zoo;

pub use check::GraphError;
pub use graph::{Activation, Channels, Conv, ConvKind, Graph, Node, NodeId, NodeOp, Shape, Unit, UnitId};
pub use lower::{LowerError, Lowered, LoweredLayer, TensorId, all_specs, lower};
