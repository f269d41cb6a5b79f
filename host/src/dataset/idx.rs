//! IDX, the format of MNIST and Fashion-MNIST, plain or gzipped.
//!
//! Big-endian: two zero bytes, an element type (8 = u8), the number of dimensions, each dimension as u32, the
//! elements.

use super::{DataError, Dataset, Images, MAX_PIXEL_BYTES, TestSplit};
use std::io::Read;
use std::path::{Path, PathBuf};

const UNSIGNED_BYTE: u8 = 8;
/// At the most, of images.
const HEADER_BYTES: u64 = 16;
/// So much is unpacked of any gzipped file,
const UNPACKED_BYTES: u64 = 64 << 20;
/// and of a larger one so many times its bytes: photographs shrink to a half, drawings to a tenth; gzip can do a thousandth.
const UNPACKED_RATIO: u64 = 100;
/// Images, then labels.
const KINDS: [&str; 2] = ["images-idx3", "labels-idx1"];

#[derive(Clone, Copy)]
enum Part {
    Train,
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

/// Whether `dir` holds a file of an IDX set.
pub fn is_in(dir: &Path) -> bool {
    let stems =
        [Part::Train, Part::Test].into_iter().flat_map(|part| KINDS.map(|kind| file_stem(part, kind)));
    stems.into_iter().any(|stem| find(dir, &stem).is_some())
}

/// Reads the four files in `dir`; the classes are called by their digits.
///
/// # Errors
/// [`DataError`] with the file, and for a damaged one the byte.
pub fn open(dir: &Path) -> Result<Dataset, DataError> {
    let (train_path, train) = read(dir, Part::Train)?;
    let (path, test) = read(dir, Part::Test)?;
    if (test.w(), test.h()) != (train.w(), train.h()) {
        let size = |images: &Images| (images.w() as u32, images.h() as u32);
        let (found, expected) = (size(&test), size(&train));
        return Err(DataError::Size { path, found, first: train_path, expected });
    }
    let class_names = (0..train.classes().max(test.classes())).map(|label| label.to_string()).collect();
    Ok(Dataset { train, test: TestSplit::new(test), class_names })
}

/// Reads one part: the path of its images, the images `[n, h, w, 1]` and their labels.
fn read(dir: &Path, part: Part) -> Result<(PathBuf, Images), DataError> {
    let load = |kind: &str| -> Result<(PathBuf, Vec<u8>), DataError> {
        let stem = file_stem(part, kind);
        let Some(path) = find(dir, &stem) else {
            let set = "an IDX set has four files, train-… and t10k-…, each with or without .gz";
            return Err(DataError::Missing { dir: dir.to_owned(), missing: stem, set });
        };
        let io_error = |source| DataError::Io { path: path.clone(), source };
        let n_bytes = path.metadata().map_err(io_error)?.len();
        if n_bytes > HEADER_BYTES + MAX_PIXEL_BYTES {
            return Err(DataError::TooLarge { path, bytes: n_bytes, limit: MAX_PIXEL_BYTES });
        }
        let bytes = std::fs::read(&path).map_err(io_error)?;
        Ok((path, bytes))
    };
    let [(image_path, images), (label_path, labels)] = [load(KINDS[0])?, load(KINDS[1])?];
    let images = parse(&image_path, &images, &label_path, &labels)?;
    if images.is_empty() {
        return Err(DataError::Empty { path: image_path });
    }
    Ok((image_path, images))
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
    let (dims, pixels) = elements(image_path, images, 3, |_, total| is_plausible(images, total))?;
    // Sorted labels shrink to next to nothing: there are to be as many as images.
    let (_, labels) = elements(label_path, labels, 1, |label_dims, _| {
        let n_same = label_dims[0] == dims[0];
        n_same.then_some(()).ok_or_else(|| format!("{} labels for {} images", label_dims[0], dims[0]))
    })?;
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

fn is_gzipped(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// Whether a file may hold so many bytes of pixels.
fn is_plausible(file: &[u8], total: u64) -> Result<(), String> {
    let most = UNPACKED_BYTES.max(UNPACKED_RATIO * file.len() as u64);
    if !is_gzipped(file) || total <= most {
        return Ok(());
    }
    Err(format!(
        "asks for {total} bytes of pixels out of {} gzipped ones; images do not shrink so far, unpack it with gunzip if these do",
        file.len()
    ))
}

/// Dimensions and elements of an IDX file; nothing is unpacked of a gzipped one before `check` has seen its dimensions
/// and the number of its elements, and never more than that.
fn elements(
    path: &Path,
    bytes: &[u8],
    n_dims: usize,
    check: impl FnOnce(&[usize], u64) -> Result<(), String>,
) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let corrupt = |byte: usize, problem: String| DataError::Corrupt { path: path.to_owned(), byte, problem };
    let mut plain: Box<dyn Read + '_> =
        if is_gzipped(bytes) { Box::new(flate2::read::GzDecoder::new(bytes)) } else { Box::new(bytes) };
    let mut next = |at: usize, n: u64| -> Result<Vec<u8>, DataError> {
        let mut read = Vec::new();
        match plain.by_ref().take(n).read_to_end(&mut read) {
            Ok(_) => Ok(read),
            Err(e) => Err(corrupt(at + read.len(), format!("gzip: {e}"))),
        }
    };
    let header_bytes = 4 + 4 * n_dims;
    let header = next(0, header_bytes as u64)?;
    if header.len() < header_bytes {
        return Err(corrupt(header.len(), format!("ends inside the header of {header_bytes} bytes")));
    }
    if header[..3] != [0, 0, UNSIGNED_BYTE] {
        return Err(corrupt(0, "is no IDX file of unsigned bytes".into()));
    }
    if usize::from(header[3]) != n_dims {
        return Err(corrupt(3, format!("has {} dimensions, {n_dims} are expected", header[3])));
    }
    let dims: Vec<usize> =
        header[4..].chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let total = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64)).filter(|&n| n <= MAX_PIXEL_BYTES);
    let Some(total) = total else {
        return Err(corrupt(4, format!("asks for {dims:?} elements")));
    };
    check(&dims, total).map_err(|problem| corrupt(4, problem))?;
    let elements = next(header_bytes, total)?;
    let end = header_bytes + elements.len();
    if (elements.len() as u64) < total {
        return Err(corrupt(end, format!("has {} of {total} elements", elements.len())));
    }
    if !next(end, 1)?.is_empty() {
        return Err(corrupt(end, format!("goes on after its {total} elements")));
    }
    Ok((dims, elements))
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
    fn a_gzip_bomb_is_refused_after_as_many_bytes_as_its_header_says() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&idx(&[2, 1, 3], &[0; 1 << 24])).unwrap();
        let bomb = gz.finish().unwrap();
        let message = read_pair(&bomb, &idx(&[2], &[1, 0])).unwrap_err().to_string();
        assert!(message.contains("byte 22: goes on after its 6 elements"), "{message}");
    }

    #[test]
    fn a_gzip_bomb_whose_header_agrees_is_refused_before_it_is_unpacked() {
        let gz = |bytes: &[u8]| {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gz.write_all(bytes).unwrap();
            gz.finish().unwrap()
        };
        // A tenth of what the header says, which is never noticed.
        let bomb = gz(&idx(&[1000, 1 << 8, 1 << 10], &[0; 26 << 20]));
        let message = read_pair(&bomb, &idx(&[1000], &[0; 1000])).unwrap_err().to_string();
        assert!(message.contains("byte 4") && message.contains("asks for 262144000 bytes"), "{message}");
        assert!(message.contains("gunzip"), "{message}");
        // Many labels for few images, of which there are as many bytes as the header says.
        let labels = gz(&idx(&[1 << 24], &[0; 1 << 24]));
        let message = read_pair(&idx(&[2, 1, 1], &[0; 2]), &labels).unwrap_err().to_string();
        assert!(message.contains("16777216 labels for 2 images"), "{message}");
        // Blank images of a usual size may shrink as they like.
        let blank = gz(&idx(&[1000, 64, 64], &vec![0; 64_000 * 64]));
        assert!(blank.len() * 200 < 64_000 * 64, "{}", blank.len());
        assert_eq!(read_pair(&blank, &idx(&[1000], &[0; 1000])).unwrap().len(), 1000);
    }

    #[test]
    fn a_header_that_asks_for_more_than_there_is_takes_no_memory_for_it() {
        let message = read_pair(&idx(&[1 << 16, 1 << 8, 1 << 8], &[7; 9]), &idx(&[1], &[0]));
        let message = message.unwrap_err().to_string();
        assert!(message.contains("has 9 of 4294967296 elements"), "{message}");
    }

    #[test]
    fn a_directory_is_read_and_a_missing_file_or_another_size_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| std::fs::write(dir.path().join(name), bytes).unwrap();
        let open = || crate::dataset::open(dir.path().to_str().unwrap());
        write("train-images-idx3-ubyte", idx(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]));
        write("train-labels-idx1-ubyte", idx(&[2], &[1, 0]));
        write("t10k-labels-idx1-ubyte", idx(&[1], &[2]));
        let message = open().unwrap_err().to_string();
        assert!(message.contains("no t10k-images-idx3-ubyte"), "{message}");
        write("t10k-images-idx3-ubyte", idx(&[1, 1, 3], &[7, 8, 9]));
        let data = open().unwrap();
        assert_eq!((data.train.len(), data.test.images().pixels(0)), (2, &[7, 8, 9][..]));
        assert_eq!(data.class_names, ["0", "1", "2"]);
        write("t10k-images-idx3-ubyte", idx(&[1, 1, 2], &[7, 8]));
        let message = open().unwrap_err().to_string();
        assert!(message.contains("has 2x1 pixels") && message.contains("has 3x1"), "{message}");
        let sparse = std::fs::File::create(dir.path().join("t10k-images-idx3-ubyte")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        assert!(matches!(open(), Err(DataError::TooLarge { bytes, .. }) if bytes == 1 << 40));
        write("t10k-images-idx3-ubyte", idx(&[0, 1, 3], &[]));
        write("t10k-labels-idx1-ubyte", idx(&[0], &[]));
        assert!(matches!(open(), Err(DataError::Empty { .. })));
    }

    #[test]
    fn labels_for_another_number_of_images_are_refused() {
        let message = read_pair(&idx(&[1, 1, 1], &[9]), &idx(&[2], &[0, 1])).unwrap_err().to_string();
        assert!(message.contains("2 labels for 1 images"), "{message}");
    }
}
