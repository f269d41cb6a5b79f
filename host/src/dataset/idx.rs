//! IDX, the format of MNIST and Fashion-MNIST, plain or gzipped.
//!
//! Big-endian: two zero bytes, an element type (8 = u8), the number of dimensions, each dimension as u32, the
//! elements.

use super::{DataError, Images};
use std::io::Read as _;
use std::path::{Path, PathBuf};

const UNSIGNED_BYTE: u8 = 8;
/// A header that asks for more than this is damaged: no image set of this kind is so large.
const MAX_ELEMENTS: u64 = 1 << 32;

/// Which of the four files of an IDX set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `train-…`
    Train,
    /// `t10k-…`
    Test,
}

impl Part {
    fn prefix(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Test => "t10k",
        }
    }
}

/// Whether `dir` holds an IDX set.
pub fn is_in(dir: &Path) -> bool {
    find(dir, &file_stem(Part::Train, "images-idx3")).is_some()
}

/// Reads one part of the IDX set in `dir`: images `[n, h, w, 1]` and their labels.
///
/// # Errors
/// [`DataError`] with the file, and for a damaged one the byte.
pub fn read(dir: &Path, part: Part) -> Result<Images, DataError> {
    let load = |kind: &str| -> Result<(PathBuf, Vec<u8>), DataError> {
        let stem = file_stem(part, kind);
        let path = find(dir, &stem).ok_or_else(|| DataError::Missing { dir: dir.to_owned(), file: stem })?;
        let bytes = std::fs::read(&path).map_err(|source| DataError::Io { path: path.clone(), source })?;
        Ok((path, bytes))
    };
    let (image_path, image_bytes) = load("images-idx3")?;
    let (label_path, label_bytes) = load("labels-idx1")?;
    parse(&image_path, &image_bytes, &label_path, &label_bytes)
}

/// The images and labels of two IDX files; the paths only name them in errors.
///
/// # Errors
/// [`DataError::Corrupt`] with file and byte.
pub fn parse(
    image_path: &Path,
    images: &[u8],
    label_path: &Path,
    labels: &[u8],
) -> Result<Images, DataError> {
    let (dims, pixels) = elements(image_path, images, 3)?;
    let (label_dims, labels) = elements(label_path, labels, 1)?;
    if dims[0] != label_dims[0] {
        let problem = format!("{} labels for {} images", label_dims[0], dims[0]);
        return Err(DataError::Corrupt { path: label_path.to_owned(), byte: 4, problem });
    }
    Images::new(dims[1], dims[2], 1, pixels, labels).map_err(|problem| DataError::Corrupt {
        path: image_path.to_owned(),
        byte: 4,
        problem,
    })
}

fn file_stem(part: Part, kind: &str) -> String {
    format!("{}-{kind}-ubyte", part.prefix())
}

fn find(dir: &Path, stem: &str) -> Option<PathBuf> {
    [stem.to_owned(), format!("{stem}.gz")].into_iter().map(|name| dir.join(name)).find(|path| path.is_file())
}

/// Dimensions and elements of an IDX file.
fn elements(path: &Path, bytes: &[u8], n_dims: usize) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let corrupt = |byte: usize, problem: String| DataError::Corrupt { path: path.to_owned(), byte, problem };
    let plain = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes)
            .take(MAX_ELEMENTS)
            .read_to_end(&mut plain)
            .map_err(|e| corrupt(plain.len(), format!("gzip: {e}")))?;
        plain
    } else {
        bytes.to_vec()
    };
    let header = 4 + 4 * n_dims;
    if plain.len() < header {
        return Err(corrupt(plain.len(), format!("ends inside the header of {header} bytes")));
    }
    if plain[..3] != [0, 0, UNSIGNED_BYTE] {
        return Err(corrupt(0, "is no IDX file of unsigned bytes".into()));
    }
    if usize::from(plain[3]) != n_dims {
        return Err(corrupt(3, format!("has {} dimensions, {n_dims} are expected", plain[3])));
    }
    let dims: Vec<usize> = plain[4..header]
        .chunks_exact(4)
        .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize)
        .collect();
    let total = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64)).filter(|&n| n <= MAX_ELEMENTS);
    let Some(total) = total else {
        return Err(corrupt(4, format!("asks for {dims:?} elements")));
    };
    let found = plain.len() - header;
    if found as u64 != total {
        return Err(corrupt(
            plain.len().min(header + total as usize),
            format!("has {found} of {total} elements"),
        ));
    }
    Ok((dims, plain[header..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, UNSIGNED_BYTE, dims.len() as u8];
        bytes.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    fn read_pair(images: &[u8], labels: &[u8]) -> Result<Images, DataError> {
        parse(Path::new("images"), images, Path::new("labels"), labels)
    }

    #[test]
    fn images_and_labels_are_read_plain_and_gzipped() {
        let images = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let labels = idx(&[2], &[1, 0]);
        let plain = read_pair(&images, &labels).unwrap();
        assert_eq!((plain.len(), plain.h(), plain.w(), plain.c()), (2, 1, 3, 1));
        assert_eq!(plain.pixels(1), [4, 5, 6]);
        assert_eq!(plain.labels(), [1, 0]);
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&images).unwrap();
        assert_eq!(read_pair(&gz.finish().unwrap(), &labels).unwrap().pixels(1), [4, 5, 6]);
    }

    #[test]
    fn every_truncation_is_refused_with_the_file_and_the_byte() {
        let images = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let labels = idx(&[2], &[1, 0]);
        for n in 0..images.len() {
            let message = read_pair(&images[..n], &labels).unwrap_err().to_string();
            assert!(message.contains("images") && message.contains(&format!("byte {n}")), "{n}: {message}");
        }
    }

    #[test]
    fn a_damaged_byte_never_panics_and_a_damaged_gzip_is_refused() {
        let images = idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let labels = idx(&[2], &[1, 0]);
        for i in 0..images.len() {
            for flip in 1..=255u8 {
                let mut damaged = images.clone();
                damaged[i] ^= flip;
                let _ = read_pair(&damaged, &labels);
            }
        }
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&images).unwrap();
        let gz = gz.finish().unwrap();
        assert!(read_pair(&gz[..gz.len() - 6], &labels).is_err());
    }

    #[test]
    fn labels_for_another_number_of_images_are_refused() {
        let message = read_pair(&idx(&[1, 1, 1], &[9]), &idx(&[2], &[0, 1])).unwrap_err().to_string();
        assert!(message.contains("2 labels for 1 images"), "{message}");
    }
}
