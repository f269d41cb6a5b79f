//! Labelled images in memory.

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

    /// A BLAKE3 hash, in hexadecimal digits, of the shape, the pixels and the labels.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for n in [self.len(), self.h, self.w, self.c] {
            hasher.update(&(n as u64).to_le_bytes());
        }
        hasher.update(&self.pixels).update(&self.labels);
        hasher.finalize().to_hex().to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_tells_shapes_pixels_and_labels_apart() {
        let images =
            |h, w, pixels: [u8; 8], label| Images::new(h, w, 2, pixels.into(), vec![0, label]).unwrap();
        let pixels = [1, 2, 3, 4, 5, 6, 7, 8];
        let different = [
            images(2, 1, pixels, 1),
            images(1, 2, pixels, 1),
            images(1, 2, pixels, 2),
            images(1, 2, [1, 2, 3, 4, 5, 6, 7, 9], 1),
        ];
        let digests: std::collections::BTreeSet<String> = different.iter().map(Images::digest).collect();
        assert_eq!(digests.len(), different.len());
        assert_eq!(images(1, 2, pixels, 1).digest(), different[1].digest());
    }
}
