//! Networks as graphs with units and bins, and their lowering to layers.

mod activation;
#[cfg(test)]
pub(crate) mod arbitrary;
pub mod channel_map;
pub mod check;
mod count;
pub mod explain;
pub mod file;
pub mod graph;
pub mod lower;
pub mod picture;
pub mod plane;
mod ratio;
mod selection;
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

/// Image and classes of a network that is only looked at.
const EXAMPLE: (Shape, usize) = (Shape { h: 28, w: 28, c: 1 }, 10);

/// A network to look at, without data: image and classes are the given ones, else those that its file states or that a
/// network of the zoo is made for, else 28x28x1 and 10. Units of a file that list no bins get the zoo's.
///
/// # Errors
/// As [`open`].
pub fn look(name_or_path: &str, input: Option<Shape>, classes: Option<usize>) -> Result<Graph, NetworkError> {
    let (own_input, own_classes) = if let Some(name) = zoo::NAMES.iter().find(|name| **name == name_or_path) {
        let task = zoo::Task::of(name);
        (Some(task.input), Some(task.classes))
    } else {
        // A file that cannot be read is refused by `open`.
        std::fs::read_to_string(name_or_path).map_or((None, None), |text| file::stated(&text))
    };
    let input = input.or(own_input).unwrap_or(EXAMPLE.0);
    open(name_or_path, input, classes.or(own_classes).unwrap_or(EXAMPLE.1), ZooOptions::default())
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
