//! Image folders: `train/CLASS/*.png` and `test/CLASS/*.png`, also `.jpg` and `.jpeg`; `test` may be called
//! `val` or `valid`.
//!
//! Classes are the directories in `train`, sorted by name. Files and directories whose names begin with a dot
//! are passed over, and so are files of other extensions.

use super::{DataError, Dataset, Images, MAX_PIXEL_BYTES, TestSplit};
use image::{DynamicImage, ImageReader};
use std::io::Cursor;
use std::path::{Path, PathBuf};

const TEST_NAMES: [&str; 3] = ["test", "val", "valid"];
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];
/// What a label can tell apart.
const MAX_CLASSES: usize = 256;

/// Whether `dir` holds training images in folders.
pub fn is_in(dir: &Path) -> bool {
    dir.join("train").is_dir()
}

/// Reads all images: `[n, h, w, 1]` where every file is grey, else `[n, h, w, 3]`; 8 bits, without transparency.
///
/// Images are ordered by class and file name.
///
/// # Errors
/// [`DataError`] with the file that is damaged or has another size than the first, or with the directory that
/// has no image, an unknown class, or more than 256 classes.
pub fn open(dir: &Path) -> Result<Dataset, DataError> {
    let train_dir = dir.join("train");
    let test_dir = TEST_NAMES.iter().map(|name| dir.join(name)).find(|path| path.is_dir());
    let Some(test_dir) = test_dir else {
        let set =
            "an image folder has `train` and `test` (or `val`, `valid`), each with a directory per class";
        return Err(DataError::Missing { dir: dir.to_owned(), missing: "test".into(), set });
    };
    let class_dirs: Vec<PathBuf> = entries(&train_dir)?.into_iter().filter(|path| path.is_dir()).collect();
    let class_names: Vec<String> = class_dirs.iter().map(|path| name(path)).collect();
    if class_names.len() > MAX_CLASSES {
        return Err(DataError::TooManyClasses { path: train_dir, found: class_names.len() });
    }
    let mut files = labelled_files(&train_dir, &class_names)?;
    let n_train = files.len();
    files.extend(labelled_files(&test_dir, &class_names)?);

    let (paths, labels): (Vec<PathBuf>, Vec<u8>) = files.into_iter().unzip();
    let (w, h) = dimensions(&paths[0], &read(&paths[0])?)?;
    let bytes = u64::from(w) * u64::from(h) * 3 * paths.len() as u64;
    if bytes > MAX_PIXEL_BYTES {
        return Err(DataError::TooLarge { path: dir.to_owned(), bytes, limit: MAX_PIXEL_BYTES });
    }
    let decoded = decode_all(&paths, (w, h))?;
    let grey = decoded.iter().all(|image| matches!(image, DynamicImage::ImageLuma8(_)));
    let part = |images: &[DynamicImage], labels: &[u8]| {
        let c = if grey { 1 } else { 3 };
        let pixels = images
            .iter()
            .flat_map(|image| if grey { image.to_luma8().into_raw() } else { image.to_rgb8().into_raw() });
        Images::new(h as usize, w as usize, c, pixels.collect(), labels.to_vec())
            .expect("every image has one size")
    };
    Ok(Dataset {
        train: part(&decoded[..n_train], &labels[..n_train]),
        test: TestSplit::new(part(&decoded[n_train..], &labels[n_train..])),
        class_names,
    })
}

/// The image files of a part with their labels; at least one, and at least one per directory.
fn labelled_files(dir: &Path, class_names: &[String]) -> Result<Vec<(PathBuf, u8)>, DataError> {
    let mut files = Vec::new();
    for class_dir in entries(dir)?.into_iter().filter(|path| path.is_dir()) {
        let class = name(&class_dir);
        let Some(label) = class_names.iter().position(|known| *known == class) else {
            return Err(DataError::UnknownClass { path: class_dir, class });
        };
        let before = files.len();
        let images = entries(&class_dir)?.into_iter().filter(|path| is_image(path));
        files.extend(images.map(|path| (path, label as u8)));
        if files.len() == before {
            return Err(DataError::Empty { path: class_dir });
        }
    }
    if files.is_empty() {
        return Err(DataError::Empty { path: dir.to_owned() });
    }
    Ok(files)
}

/// What a directory holds, sorted by name, without hidden entries.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let paths = std::fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(|source| DataError::Io { path: dir.to_owned(), source })?;
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(|path| !name(path).starts_with('.')).collect();
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    EXTENSIONS.contains(&extension.as_str())
}

/// Every image, grey ones as `ImageLuma8` and the others as `ImageRgb8`; the first `path` has `size`.
fn decode_all(paths: &[PathBuf], size: (u32, u32)) -> Result<Vec<DynamicImage>, DataError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let decode = |path: &PathBuf| -> Result<DynamicImage, DataError> {
        let bytes = read(path)?;
        let found = dimensions(path, &bytes)?;
        if found != size {
            let (path, first) = (path.clone(), paths[0].clone());
            return Err(DataError::Size { path, found, first, expected: size });
        }
        let image = reader(&bytes).decode().map_err(|error| undecodable(path, &error.to_string()))?;
        if is_cut_jpeg(&bytes) {
            return Err(undecodable(path, "the JPEG ends before its last line"));
        }
        Ok(if image.color().has_color() { image.into_rgb8().into() } else { image.into_luma8().into() })
    };
    let chunks: Vec<Result<Vec<DynamicImage>, DataError>> = std::thread::scope(|scope| {
        let chunks = paths.chunks(paths.len().div_ceil(threads));
        let workers: Vec<_> =
            chunks.map(|chunk| scope.spawn(move || chunk.iter().map(decode).collect())).collect();
        workers.into_iter().map(|worker| worker.join().expect("decoding returns its errors")).collect()
    });
    Ok(chunks.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| DataError::Io { path: path.to_owned(), source })
}

/// Width and height, pixels, from the header.
fn dimensions(path: &Path, bytes: &[u8]) -> Result<(u32, u32), DataError> {
    reader(bytes).into_dimensions().map_err(|error| undecodable(path, &error.to_string()))
}

/// The format is that of the content, whatever the extension says.
fn reader(bytes: &[u8]) -> ImageReader<Cursor<&[u8]>> {
    ImageReader::new(Cursor::new(bytes)).with_guessed_format().expect("bytes in memory can be read")
}

/// Whether a JPEG has no scan, or no end marker after the last one; the decoder makes up what is missing.
fn is_cut_jpeg(bytes: &[u8]) -> bool {
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    bytes.starts_with(&[0xff, 0xd8]) && last([0xff, 0xd9]) <= last([0xff, 0xda])
}

fn undecodable(path: &Path, problem: &str) -> DataError {
    let problem = problem.lines().next().unwrap_or_default().to_owned();
    DataError::Image { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests;
