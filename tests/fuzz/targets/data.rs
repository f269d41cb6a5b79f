//! Data sets.

use crate::corpus::gz;
use edgeslim::dataset::{Images, cifar, idx};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use std::path::Path;

const IMAGES: &[u8] = &[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 7, 8, 9];
const LABELS: &[u8] = &[0, 0, 8, 1, 0, 0, 0, 3, 0, 1, 2];

/// As images, and as their labels.
pub fn idx(input: &[u8]) -> bool {
    let path = Path::new("input");
    let as_images = idx::parse(path, input, path, LABELS);
    let as_labels = idx::parse(path, IMAGES, path, input);
    [as_images, as_labels].into_iter().flatten().map(|images| look(&images)).count() > 0
}

/// As one record, or as two.
pub fn cifar(input: &[u8]) -> bool {
    let read = |n_records| cifar::parse(Path::new("input"), input, n_records);
    [read(1), read(2)].into_iter().flatten().map(|images| look(&images)).count() > 0
}

fn look(images: &Images) {
    assert!((0..images.len()).all(|idx| images.pixels(idx).len() == images.h() * images.w() * images.c()));
    assert!(images.labels().iter().all(|&label| usize::from(label) < images.classes()));
}

/// Packs every second input.
pub fn repair(input: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    if !input.starts_with(&[0x1f, 0x8b]) && rng.random() {
        *input = gz(input);
    }
}
