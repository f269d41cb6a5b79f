//! Images and labels: the formats that people have, and typed splits of them.

pub mod batch;
pub mod idx;
pub mod split;

pub use batch::{Augment, Normalisation, one_hot};
pub use split::{SearchSplit, TestSplit, TrainSplit, hold_out};

use std::path::{Path, PathBuf};

/// A data set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file of the set is missing.
    #[error("{dir}: no {file} or {file}.gz; an IDX set has four such files, train-… and t10k-…")]
    Missing {
        /// The data set's directory.
        dir: PathBuf,
        /// The file that was looked for.
        file: String,
    },
    /// The directory holds nothing that is known.
    #[error("{path}: no data set that edgeslim reads; give a directory of IDX files, or `embedded`")]
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
}

/// Labelled images of one size: pixels `[n, h, w, c]` u8, labels `[n]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    h: usize,
    w: usize,
    c: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Images {
    /// Images of `h` × `w` pixels in `c` channels.
    ///
    /// # Errors
    /// What is wrong, where the number of pixels disagrees with that of the labels or an image has no pixel.
    pub fn new(h: usize, w: usize, c: usize, pixels: Vec<u8>, labels: Vec<u8>) -> Result<Images, String> {
        if h * w * c == 0 || pixels.len() != labels.len() * h * w * c {
            return Err(format!("{} bytes are not {} images of {h}x{w}x{c}", pixels.len(), labels.len()));
        }
        Ok(Images { h, w, c, pixels, labels })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Height, pixels.
    pub fn h(&self) -> usize {
        self.h
    }

    /// Width, pixels.
    pub fn w(&self) -> usize {
        self.w
    }

    /// Channels.
    pub fn c(&self) -> usize {
        self.c
    }

    /// One more than the largest label.
    pub fn classes(&self) -> usize {
        self.labels.iter().max().map_or(0, |&l| usize::from(l) + 1)
    }

    /// `[n]`
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// `[h, w, c]` of image `idx`.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn pixels(&self, idx: usize) -> &[u8] {
        let len = self.h * self.w * self.c;
        &self.pixels[idx * len..(idx + 1) * len]
    }

    /// The images `indices`, in that order.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn select(&self, indices: &[usize]) -> Images {
        Images {
            pixels: indices.iter().flat_map(|&idx| self.pixels(idx)).copied().collect(),
            labels: indices.iter().map(|&idx| self.labels[idx]).collect(),
            ..*self
        }
    }
}

/// A data set as its files divide it.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What weights and the search may see; [`hold_out`] divides it further.
    pub train: Images,
    /// What only verification and the final evaluation see.
    pub test: TestSplit,
}

/// Opens `embedded` (the first 2 000 + 1 000 images of Fashion-MNIST) or a directory.
///
/// # Errors
/// [`DataError`] where there is no known data set or it is damaged.
pub fn open(path: &str) -> Result<Dataset, DataError> {
    if path == "embedded" {
        return embedded();
    }
    let dir = Path::new(path);
    if !idx::is_in(dir) {
        return Err(DataError::Unknown { path: dir.to_owned() });
    }
    Ok(Dataset {
        train: idx::read(dir, idx::Part::Train)?,
        test: TestSplit::new(idx::read(dir, idx::Part::Test)?),
    })
}

fn embedded() -> Result<Dataset, DataError> {
    macro_rules! part {
        ($name:literal) => {{
            let images: &[u8] =
                include_bytes!(concat!("../../data/fashion-mnist-subset/", $name, "-images-idx3-ubyte.gz"));
            let labels: &[u8] =
                include_bytes!(concat!("../../data/fashion-mnist-subset/", $name, "-labels-idx1-ubyte.gz"));
            idx::parse(Path::new("embedded images"), images, Path::new("embedded labels"), labels)
        }};
    }
    Ok(Dataset { train: part!("train")?, test: TestSplit::new(part!("t10k")?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_subset_has_2000_and_1000_images_of_ten_classes() {
        let data = open("embedded").unwrap();
        assert_eq!((data.train.len(), data.test.images().len()), (2000, 1000));
        assert_eq!((data.train.h(), data.train.w(), data.train.c()), (28, 28, 1));
        assert_eq!((data.train.classes(), data.test.images().classes()), (10, 10));
    }

    #[test]
    fn a_directory_without_a_data_set_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let message = open(dir.path().to_str().unwrap()).unwrap_err().to_string();
        assert!(message.contains(dir.path().to_str().unwrap()), "{message}");
    }
}
