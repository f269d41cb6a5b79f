//! What can be done with a network.

use clap::{Args, Subcommand};
use edgeslim::network::Shape;
use std::path::PathBuf;

/// What can be done with a network.
#[derive(Debug, Subcommand)]
pub enum NetworkAction {
    /// Shows one as the TOML file that `network.name` can name.
    Show {
        /// Which.
        #[command(flatten)]
        which: Which,
    },
    /// Tells every mistake of a network's file, or what the network is: nodes, tied channels, size.
    #[command(
        after_help = "Examples:\n  edgeslim networks check mine.toml\n  edgeslim networks check mine.toml --input 32,32,3 --classes 10 --json\n  \
                      edgeslim networks check resnet-8"
    )]
    Check {
        /// Which.
        #[command(flatten)]
        which: Which,
    },
    /// Draws one: a box a node, coloured by the channels that are tied.
    #[command(
        after_help = "Examples:\n  edgeslim networks draw resnet-8\n  edgeslim networks draw mine.toml -o mine.svg"
    )]
    Draw {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// The picture, PNG or SVG; NETWORK.png in this directory.
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// A network to look at, and what it is for.
#[derive(Debug, Args)]
pub struct Which {
    /// Its name, or a file.
    pub name: String,
    /// The image: height, width and channels. Without it what the file states or the network is made for, else 28,28,1.
    #[arg(long, value_name = "H,W,C", value_parser = shape)]
    pub input: Option<Shape>,
    /// Classes. Without it what the file states or the network is made for, else 10.
    #[arg(long, value_name = "N")]
    pub classes: Option<usize>,
}

fn shape(text: &str) -> Result<Shape, String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[h, w, c]) => Ok(Shape { h, w, c }),
        _ => Err("height, width and channels are expected, such as 28,28,1".into()),
    }
}
