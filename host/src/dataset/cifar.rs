//! CIFAR-10's binary version: six files of 10 000 records, each a label and 32×32 pixels of three planes.

use super::{DataError, Dataset, Images, TestSplit};
use std::path::{Path, PathBuf};

const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: &str = "test_batch.bin";
const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;
const RECORDS: usize = 10_000;
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The directory of CIFAR-10's files: `dir` or the one inside it that the archive makes.
pub fn find(dir: &Path) -> Option<PathBuf> {
    let holds = |dir: &PathBuf| TRAIN.iter().chain([&TEST]).any(|name| dir.join(name).is_file());
    [dir.to_owned(), dir.join("cifar-10-batches-bin")].into_iter().find(holds)
}

/// Reads the six files in `dir`: images `[n, 32, 32, 3]` and their labels, in the files' order.
///
/// # Errors
/// [`DataError`] with the file, and for a damaged one the byte.
pub fn open(dir: &Path) -> Result<Dataset, DataError> {
    Ok(Dataset {
        train: read(dir, &TRAIN)?,
        test: TestSplit::new(read(dir, &[TEST])?),
        class_names: CLASSES.map(str::to_owned).to_vec(),
    })
}

fn read(dir: &Path, files: &[&str]) -> Result<Images, DataError> {
    let paths: Vec<PathBuf> = files.iter().map(|file| dir.join(file)).collect();
    let io = |path: &Path, source| DataError::Io { path: path.to_owned(), source };
    for (path, file) in paths.iter().zip(files) {
        if !path.is_file() {
            let set = "CIFAR-10 has data_batch_1.bin to data_batch_5.bin and test_batch.bin";
            return Err(DataError::Missing { dir: dir.to_owned(), missing: (*file).into(), set });
        }
        let len = path.metadata().map_err(|source| io(path, source))?.len();
        check_len(path, usize::try_from(len).unwrap_or(usize::MAX), RECORDS)?;
    }
    let capacity = files.len() * RECORDS;
    let (mut pixels, mut labels) =
        (Vec::with_capacity(capacity * (RECORD - 1)), Vec::with_capacity(capacity));
    for path in &paths {
        let bytes = std::fs::read(path).map_err(|source| io(path, source))?;
        append(path, &bytes, RECORDS, &mut pixels, &mut labels)?;
    }
    Ok(images(pixels, labels))
}

/// The images of a file's bytes, which are `n_records`; `path` only names it in errors.
///
/// # Errors
/// [`DataError::Corrupt`] with the byte.
pub fn parse(path: &Path, bytes: &[u8], n_records: usize) -> Result<Images, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    append(path, bytes, n_records, &mut pixels, &mut labels)?;
    Ok(images(pixels, labels))
}

fn images(pixels: Vec<u8>, labels: Vec<u8>) -> Images {
    Images::new(SIDE, SIDE, 3, pixels, labels).expect("every record adds a label and its pixels")
}

fn check_len(path: &Path, found: usize, n_records: usize) -> Result<(), DataError> {
    let expected = n_records * RECORD;
    if found == expected {
        return Ok(());
    }
    let problem = format!("has {found} of {expected} bytes");
    Err(DataError::Corrupt { path: path.to_owned(), byte: found.min(expected), problem })
}

/// Appends the pixels, planes interleaved, and the labels of a file of `n_records`.
fn append(
    path: &Path,
    bytes: &[u8],
    n_records: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DataError> {
    let corrupt = |byte: usize, problem: String| DataError::Corrupt { path: path.to_owned(), byte, problem };
    check_len(path, bytes.len(), n_records)?;
    for (number, record) in bytes.chunks_exact(RECORD).enumerate() {
        if usize::from(record[0]) >= CLASSES.len() {
            let problem = format!("record {} has label {}, the largest is 9", number + 1, record[0]);
            return Err(corrupt(number * RECORD, problem));
        }
        labels.push(record[0]);
        pixels.extend((0..3 * PLANE).map(|i| record[1 + i % 3 * PLANE + i / 3]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;
    use std::io::{Seek as _, SeekFrom, Write as _};

    /// A record whose pixel `(y, x)` is `(y, x, label)`.
    fn record(label: u8) -> Vec<u8> {
        let plane = |value: fn(usize) -> usize| (0..PLANE).map(move |i| value(i) as u8);
        let mut bytes = vec![label];
        bytes.extend(plane(|i| i / SIDE).chain(plane(|i| i % SIDE)).chain(plane(|_| 0).map(|_| label)));
        bytes
    }

    /// Six files, black but for the first record of each.
    fn write_set(dir: &Path) {
        for (idx, name) in TRAIN.iter().chain([&TEST]).enumerate() {
            let mut file = std::fs::File::create(dir.join(name)).unwrap();
            file.write_all(&record(idx as u8)).unwrap();
            file.set_len((RECORDS * RECORD) as u64).unwrap();
        }
    }

    fn parse(bytes: &[u8], n_records: usize) -> Result<Images, DataError> {
        super::parse(Path::new("batch.bin"), bytes, n_records)
    }

    #[test]
    fn six_files_become_50000_training_and_10000_test_images() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("cifar-10-batches-bin");
        std::fs::create_dir(&inner).unwrap();
        write_set(&inner);
        let data = crate::dataset::open(dir.path().to_str().unwrap()).unwrap();
        assert_eq!((data.train.len(), data.test.images().len()), (50_000, 10_000));
        assert_eq!((data.train.h(), data.train.w(), data.train.c()), (32, 32, 3));
        assert_eq!(data.class_names[9], "truck");
        for file in 0..5 {
            assert_eq!(usize::from(data.train.labels()[file * RECORDS]), file);
            let at = (7 * SIDE + 20) * 3;
            assert_eq!(data.train.pixels(file * RECORDS)[at..at + 3], [7, 20, file as u8]);
        }
        assert_eq!(data.test.images().labels()[0], 5);

        let mut file = std::fs::File::options().write(true).open(inner.join(TRAIN[2])).unwrap();
        file.seek(SeekFrom::Start(4 * RECORD as u64)).unwrap();
        file.write_all(&[10]).unwrap();
        let message = open(&inner).unwrap_err().to_string();
        assert!(
            message.contains("data_batch_3.bin") && message.contains("record 5 has label 10"),
            "{message}"
        );

        std::fs::remove_file(inner.join(TEST)).unwrap();
        std::fs::write(inner.join(TRAIN[2]), record(0)).unwrap();
        let message = open(&inner).unwrap_err().to_string();
        assert!(message.contains("data_batch_3.bin: byte 3073: has 3073 of 30730000 bytes"), "{message}");
        std::fs::remove_file(inner.join(TRAIN[2])).unwrap();
        let message = open(&inner).unwrap_err().to_string();
        assert!(message.contains("no data_batch_3.bin; CIFAR-10 has"), "{message}");
    }

    #[test]
    fn a_file_of_another_length_is_refused_at_the_byte_where_it_ends() {
        let whole: Vec<u8> = [1, 2, 3].into_iter().flat_map(record).collect();
        assert_eq!(parse(&whole, 3).unwrap().labels(), [1, 2, 3]);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let ends = (0..100).map(|_| rng.random_range(0..whole.len())).chain([0, 1, RECORD, 2 * RECORD]);
        for end in ends {
            let message = parse(&whole[..end], 3).unwrap_err().to_string();
            assert!(message.contains(&format!("batch.bin: byte {end}: ")), "{message}");
        }
        assert!(parse(&[&whole[..], &[0]].concat(), 3).is_err());
    }
}
