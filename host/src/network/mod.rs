//! Networks as graphs with units and bins, and their lowering to layers.

mod activation;
#[cfg(test)]
pub(crate) mod arbitrary;
pub mod channel_map;
pub mod check;
mod count;
pub mod file;
pub mod graph;
pub mod lower;
pub mod plane;
mod ratio;
mod width;
pub mod zoo;

pub use activation::Activation;
pub use channel_map::{ChannelMap, WeightMap};
pub use check::{GraphError, Place};
pub use count::Counts;
pub use file::{FileError, Mistake, Mistakes, to_toml};
pub use graph::{
    Channels, Conv, ConvKind, Graph, Kernel, Linear, Node, NodeId, NodeOp, Pool, PoolKind, Shape, Unit,
    UnitId,
};
pub use lower::{LowerError, Lowered, LoweredLayer, TensorId, all_specs, lower};
pub use plane::Window;
pub use width::Width;

use std::path::{Path, PathBuf};
use zoo::{ZooError, ZooOptions};

/// Why there is no such network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The zoo does not have it, or not so.
    #[error(transparent)]
    Zoo(#[from] ZooError),
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no network.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// All that is wrong with it.
        source: Mistakes,
    },
}

/// A network of the zoo by its name, or of a [`mod@file`] by its path, for images of shape `input`.
///
/// `options` are the zoo's; those units of a file that list their bins keep them.
///
/// # Errors
/// [`NetworkError`] for a name that is neither, options out of range, or a file that is no network for this input and
/// these classes.
pub fn open(
    name_or_path: &str,
    input: Shape,
    classes: usize,
    options: ZooOptions,
) -> Result<Graph, NetworkError> {
    let path = Path::new(name_or_path);
    let is_file = name_or_path.ends_with(".toml") || path.is_file();
    if zoo::NAMES.contains(&name_or_path) || !is_file {
        return Ok(zoo::network(name_or_path, input, classes, options)?);
    }
    options.check()?;
    let text = std::fs::read_to_string(path)
        .map_err(|source| NetworkError::Read { path: path.to_owned(), source })?;
    file::parse(&text, input, classes, options)
        .map_err(|source| NetworkError::File { path: path.to_owned(), source })
}
