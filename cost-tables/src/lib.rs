//! What a layer costs on a board, and how sure one can be of it.

pub mod file;
pub mod price;
pub mod table;

pub use table::{CostTable, Entry, Provenance, TableError};
