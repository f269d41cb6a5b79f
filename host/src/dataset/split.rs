//! Typed splits: what trains, what the search sees, what is only looked at in the end.
//!
//! Training takes a [`TrainSplit`], the search a [`SearchSplit`] that was held out of it, and only verification
//! and the final evaluation a [`TestSplit`], so that a leak does not compile.

use super::Images;
use rand::{SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha8Rng;

/// Images that weights may learn from.
#[derive(Debug, Clone)]
pub struct TrainSplit(Images);

/// Images held out of the training set, for the search's estimates.
#[derive(Debug, Clone)]
pub struct SearchSplit(Images);

/// Images for verification and the final evaluation only.
#[derive(Debug, Clone)]
pub struct TestSplit(Images);

impl TrainSplit {
    /// The images.
    pub fn images(&self) -> &Images {
        &self.0
    }

    /// `n` indices spread evenly over the images, all of them if there are no more: files may be sorted by class.
    pub fn spread(&self, n: usize) -> Vec<usize> {
        let n = n.min(self.0.len());
        (0..n).map(|i| i * self.0.len() / n).collect()
    }
}

impl SearchSplit {
    /// The images.
    pub fn images(&self) -> &Images {
        &self.0
    }
}

impl TestSplit {
    /// Declares `images` the test set.
    pub fn new(images: Images) -> TestSplit {
        TestSplit(images)
    }

    /// The images.
    pub fn images(&self) -> &Images {
        &self.0
    }
}

/// Holds `n_search` images out of the training set, as many of each class as its share, chosen by `seed`.
///
/// Where the shares do not add up, the first classes give one more. Both splits keep the files' order.
pub fn hold_out(images: &Images, n_search: usize, seed: u64) -> (TrainSplit, SearchSplit) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n_search = n_search.min(images.len());
    let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); images.classes()];
    for (idx, &label) in images.labels().iter().enumerate() {
        by_class[usize::from(label)].push(idx);
    }
    let quotas = quotas(&by_class.iter().map(Vec::len).collect::<Vec<_>>(), n_search);
    let mut held_out = vec![false; images.len()];
    for (members, quota) in by_class.iter_mut().zip(quotas) {
        members.shuffle(&mut rng);
        members[..quota].iter().for_each(|&idx| held_out[idx] = true);
    }
    let pick =
        |want: bool| -> Vec<usize> { (0..images.len()).filter(|&idx| held_out[idx] == want).collect() };
    (TrainSplit(images.select(&pick(false))), SearchSplit(images.select(&pick(true))))
}

/// `total` shared out in proportion to `sizes`, whole numbers, never more than a class has.
fn quotas(sizes: &[usize], total: usize) -> Vec<usize> {
    let all: usize = sizes.iter().sum::<usize>().max(1);
    let mut quotas: Vec<usize> = sizes.iter().map(|&n| n * total / all).collect();
    let mut left = total - quotas.iter().sum::<usize>();
    for (quota, &size) in quotas.iter_mut().zip(sizes) {
        if left > 0 && *quota < size {
            *quota += 1;
            left -= 1;
        }
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(n: usize) -> Images {
        let labels = (0..n).map(|i| (i % 3) as u8).collect();
        Images::new(1, 1, 1, (0..n).map(|i| i as u8).collect(), labels).unwrap()
    }

    #[test]
    fn held_out_images_are_balanced_and_in_neither_split_twice() {
        let (train, search) = hold_out(&numbered(90), 30, 7);
        for class in 0..3 {
            let count = search.images().labels().iter().filter(|&&l| l == class).count();
            assert_eq!(count, 10);
        }
        let mut all: Vec<u8> = [train.images(), search.images()]
            .iter()
            .flat_map(|i| (0..i.len()).map(|k| i.pixels(k)[0]))
            .collect();
        all.sort_unstable();
        assert_eq!(all, (0..90).collect::<Vec<u8>>());
    }

    #[test]
    fn the_seed_decides_which_images_are_held_out() {
        let pick = |seed| hold_out(&numbered(90), 30, seed).1.images().clone();
        assert_eq!(pick(1), pick(1));
        assert_ne!(pick(1), pick(2));
    }

    #[test]
    fn spread_indices_cover_the_whole_split() {
        let (train, _) = hold_out(&numbered(8), 0, 1);
        assert_eq!(train.spread(4), [0, 2, 4, 6]);
        assert_eq!(train.spread(9), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(train.spread(0), Vec::<usize>::new());
    }

    #[test]
    fn quotas_add_up_whatever_the_class_sizes() {
        for (sizes, total) in [(vec![5, 5, 1], 10), (vec![1, 1, 1], 2), (vec![7, 0, 3], 10), (vec![0, 0], 0)]
        {
            let q = quotas(&sizes, total);
            assert_eq!(q.iter().sum::<usize>(), total, "{sizes:?}");
            assert!(q.iter().zip(&sizes).all(|(q, s)| q <= s), "{sizes:?} {q:?}");
        }
    }
}
