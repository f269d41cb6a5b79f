use super::*;
use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

struct Folder(tempfile::TempDir);

impl Folder {
    /// Two training images each of `dogs` and `cats` and one test image, all grey.
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (file, value) in [
            ("train/dogs/a.png", 30),
            ("train/dogs/b.PNG", 31),
            ("train/cats/a.png", 10),
            ("train/cats/b.png", 11),
            ("val/dogs/a.png", 40),
        ] {
            folder.grey(file, value, (3, 2));
        }
        folder
    }

    fn path(&self, file: &str) -> PathBuf {
        let path = self.0.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn grey(&self, file: &str, value: u8, (w, h): (u32, u32)) {
        GrayImage::from_pixel(w, h, Luma([value]))
            .save_with_format(self.path(file), image::ImageFormat::Png)
            .unwrap();
    }

    fn open(&self) -> Result<Dataset, DataError> {
        crate::dataset::open(self.0.path().to_str().unwrap())
    }

    fn message(&self) -> String {
        self.open().unwrap_err().to_string()
    }
}

#[test]
fn grey_images_keep_one_channel_and_classes_are_sorted_by_name() {
    let folder = Folder::new();
    for ignored in ["train/.DS_Store", "train/notes.txt", "train/dogs/._a.png", "train/cats/Thumbs.db"] {
        std::fs::write(folder.path(ignored), "no image").unwrap();
    }
    let data = folder.open().unwrap();
    assert_eq!(data.class_names, ["cats", "dogs"]);
    assert_eq!((data.train.h(), data.train.w(), data.train.c()), (2, 3, 1));
    assert_eq!(data.train.labels(), [0, 0, 1, 1]);
    let firsts: Vec<u8> = (0..4).map(|idx| data.train.pixels(idx)[0]).collect();
    assert_eq!(firsts, [10, 11, 30, 31]);
    assert_eq!((data.test.images().labels(), data.test.images().pixels(0)), (&[1][..], &[40; 6][..]));
}

#[test]
fn one_coloured_image_makes_all_of_them_rgb_and_jpeg_is_read() {
    let folder = Folder::new();
    RgbImage::from_pixel(3, 2, Rgb([200, 100, 50])).save(folder.path("test/cats/a.jpeg")).unwrap();
    let data = folder.open().unwrap();
    assert_eq!((data.train.c(), data.train.pixels(0)), (3, &[10; 18][..]));
    let near = |found: u8, wanted: u8| found.abs_diff(wanted) < 8;
    let pixel = &data.test.images().pixels(0)[..3];
    assert!(near(pixel[0], 200) && near(pixel[1], 100) && near(pixel[2], 50), "{pixel:?}");
    assert_eq!(data.test.images().len(), 1, "`test` is taken before `val`");
}

#[test]
fn an_image_of_another_size_is_named_with_both_sizes() {
    let folder = Folder::new();
    folder.grey("train/dogs/c.png", 0, (4, 2));
    let message = folder.message();
    assert!(message.contains("c.png has 4x2 pixels") && message.contains("a.png has 3x2"), "{message}");
}

#[test]
fn a_file_cut_or_damaged_at_any_place_is_named_and_never_panics() {
    let folder = Folder::new();
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let noise = RgbImage::from_fn(3, 2, |_, _| Rgb(rng.random()));
    // A PNG is whole without the 12 bytes of its end chunk.
    for (file, tail) in [("train/cats/b.png", 12), ("train/cats/c.jpg", 0)] {
        let path = folder.path(file);
        noise.save(&path).unwrap();
        folder.open().unwrap();
        let whole = std::fs::read(&path).unwrap();
        for _ in 0..60 {
            let end = rng.random_range(0..whole.len() - tail);
            std::fs::write(&path, &whole[..end]).unwrap();
            let message = folder.message();
            assert!(message.contains(file), "{end} of {}: {message}", whole.len());
            let mut damaged = whole.clone();
            damaged[end] ^= rng.random_range(1..=255u8);
            std::fs::write(&path, damaged).unwrap();
            let _ = folder.open();
        }
        std::fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_class_without_images_or_without_training_images_is_named() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("train/birds")).unwrap();
    assert!(matches!(folder.open(), Err(DataError::Empty { path }) if path.ends_with("train/birds")));
    std::fs::remove_dir(folder.path("train/birds")).unwrap();
    folder.grey("val/fish/a.png", 0, (3, 2));
    assert!(folder.message().contains("add `train/fish`"), "{}", folder.message());
}

#[test]
fn parts_that_are_missing_or_empty_are_named() {
    let folder = Folder(tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path("train")).unwrap();
    assert!(folder.message().contains("no test; an image folder has"), "{}", folder.message());
    std::fs::create_dir(folder.path("test")).unwrap();
    assert!(matches!(folder.open(), Err(DataError::Empty { path }) if path.ends_with("train")));
}

#[test]
fn more_classes_than_labels_are_refused() {
    let folder = Folder::new();
    for idx in 0..255 {
        std::fs::create_dir(folder.path(&format!("train/{idx}"))).unwrap();
    }
    assert!(matches!(folder.open(), Err(DataError::TooManyClasses { found: 257, .. })));
}
