//! Why a data set cannot be read.

use std::path::PathBuf;

/// A data set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or directory cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file or directory of the set is missing.
    #[error("{dir}: no {missing}; {set}")]
    Missing {
        /// The data set's directory.
        dir: PathBuf,
        /// What was looked for.
        missing: String,
        /// What belongs to such a set.
        set: &'static str,
    },
    /// The directory holds nothing that is known.
    #[error(
        "{path}: no data set that edgeslim reads; give a directory of IDX files (train-images-idx3-ubyte, …), of \
         CIFAR-10's binary files (data_batch_1.bin, …), or of images (train/CLASS/*.png and test/CLASS/*.png), \
         or `embedded`"
    )]
    Unknown {
        /// What was given.
        path: PathBuf,
    },
    /// A file is damaged.
    #[error("{path}: byte {byte}: {problem}; fetch the file again")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where, counted in the unpacked file.
        byte: usize,
        /// What is wrong.
        problem: String,
    },
    /// A file is no image that can be decoded.
    #[error("{path}: {problem}; replace or delete the file")]
    Image {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        problem: String,
    },
    /// Images are not all of one size.
    #[error(
        "{path} has {}x{} pixels, {first} has {}x{}; scale all images to one size",
        found.0, found.1, expected.0, expected.1
    )]
    Size {
        /// The file that differs.
        path: PathBuf,
        /// Its width and height, pixels.
        found: (u32, u32),
        /// The file that it is compared with.
        first: PathBuf,
        /// The width and height of `first`, pixels.
        expected: (u32, u32),
    },
    /// A part of the set has no image.
    #[error("{path}: no image; add some, or delete it")]
    Empty {
        /// The file or directory.
        path: PathBuf,
    },
    /// A class that only the test images have.
    #[error("{path}: no training image is of this class; add `train/{class}`, or delete the directory")]
    UnknownClass {
        /// The class's directory.
        path: PathBuf,
        /// Its name.
        class: String,
    },
    /// More classes than a label can tell apart.
    #[error("{path}: {found} classes; edgeslim reads at most 256")]
    TooManyClasses {
        /// The directory of the classes.
        path: PathBuf,
        /// How many it has.
        found: usize,
    },
    /// The set does not fit in memory.
    #[error("{path}: {bytes} bytes of pixels, at most {limit} are read; use fewer or smaller images")]
    TooLarge {
        /// The data set's directory.
        path: PathBuf,
        /// What its images take.
        bytes: u64,
        /// What they may take.
        limit: u64,
    },
}
