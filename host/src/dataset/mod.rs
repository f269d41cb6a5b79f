//! Images and labels: the formats that people have, and typed splits of them.

pub mod batch;
pub mod cifar;
mod error;
pub mod folder;
pub mod idx;
mod images;
pub mod split;

pub use batch::{Augment, Normalisation, one_hot};
pub use error::DataError;
pub use images::Images;
pub use split::{SearchSplit, TestSplit, TrainSplit, hold_out};

use std::path::Path;

/// Bytes of pixels that a set may have; more is a damaged header or a set for other machines.
const MAX_PIXEL_BYTES: u64 = 1 << 32;

/// The classes of Fashion-MNIST (arXiv 1708.07747), by label.
const FASHION_MNIST: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// A data set as its files divide it; all images have one shape.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What weights and the search may see; [`hold_out`] divides it further. At least one image.
    pub train: Images,
    /// What only verification and the final evaluation see. At least one image.
    pub test: TestSplit,
    /// By label, more than the largest label of both parts; where the format has no names, the labels' digits.
    pub class_names: Vec<String>,
}

impl Dataset {
    /// A BLAKE3 hash, in hexadecimal digits, of the images, their labels and the names of the classes.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for part in [&self.train.digest(), &self.test.images().digest()].into_iter().chain(&self.class_names)
        {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// Opens `embedded` (the first 2 000 + 1 000 images of Fashion-MNIST) or a directory: IDX files ([`idx`]),
/// CIFAR-10's binary files ([`cifar`]) or images ([`folder`]).
///
/// # Errors
/// [`DataError`] where there is no known data set or it is damaged.
pub fn open(path: &str) -> Result<Dataset, DataError> {
    if path == "embedded" {
        return embedded();
    }
    let dir = Path::new(path);
    if idx::is_in(dir) {
        idx::open(dir)
    } else if let Some(dir) = cifar::find(dir) {
        cifar::open(&dir)
    } else if folder::is_in(dir) {
        folder::open(dir)
    } else {
        Err(DataError::Unknown { path: dir.to_owned() })
    }
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
    let class_names = FASHION_MNIST.map(str::to_owned).to_vec();
    Ok(Dataset { train: part!("train")?, test: TestSplit::new(part!("t10k")?), class_names })
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
        assert_eq!(data.class_names.len(), 10);
    }

    #[test]
    fn the_digest_changes_with_every_part() {
        let images = |pixel, label| Images::new(1, 1, 1, vec![pixel], vec![label]).unwrap();
        let digest = |train, test, name: &str| {
            Dataset { train, test: TestSplit::new(test), class_names: vec![name.into()] }.digest()
        };
        let all = [
            digest(images(1, 0), images(2, 0), "a"),
            digest(images(2, 0), images(1, 0), "a"),
            digest(images(1, 1), images(2, 0), "a"),
            digest(images(1, 0), images(2, 0), "b"),
        ];
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn a_directory_without_a_data_set_is_named_with_the_formats_that_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let message = open(dir.path().to_str().unwrap()).unwrap_err().to_string();
        for part in [dir.path().to_str().unwrap(), "IDX", "CIFAR-10", "train/CLASS"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
