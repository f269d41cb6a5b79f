//! Networks as graphs with units and bins, and their lowering to layers.

pub mod graph;
pub mod lower;
pub mod zoo;

pub use graph::{Activation, Channels, Conv, ConvKind, Graph, Node, NodeId, NodeOp, Unit, UnitId};
