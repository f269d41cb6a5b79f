//! Board against host: bytes, answers, latency and memory of one deployed model.

use crate::board::{BoardError, Link, ModelTiming, RamUsed};
use crate::dataset::{Normalisation, TestSplit};
use crate::quantize::{Blob, QuantizeError, TensorQuant, run_host};
use device_bench::model::Model;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A verification that does not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The board failed.
    #[error(transparent)]
    Board(#[from] BoardError),
    /// The model does not run on the host.
    #[error(transparent)]
    Model(#[from] QuantizeError),
    /// The stop flag was set.
    #[error("stopped after {compared} of {wanted} images; run it again")]
    Stopped {
        /// Images compared.
        compared: usize,
        /// Images asked for.
        wanted: usize,
    },
}

/// The int8 logits of the host on every test image, `[n, classes]`.
///
/// # Errors
/// If the blob is refused, or reads images of another size.
pub fn host_logits(
    blob: &Blob,
    test: &TestSplit,
    normalisation: &Normalisation,
    threads: usize,
) -> Result<Vec<Vec<i8>>, QuantizeError> {
    let inputs = inputs(blob, test, normalisation, test.images().len())?;
    let share = inputs.len().div_ceil(threads.max(1)).max(1);
    thread::scope(|scope| {
        let run = |part| scope.spawn(move || run_host(blob.bytes(), part));
        let workers: Vec<_> = inputs.chunks(share).map(|part| run(part.iter().map(Vec::as_slice))).collect();
        let mut logits = Vec::with_capacity(inputs.len());
        for worker in workers {
            logits.extend(worker.join().expect("run_host returns its errors")?);
        }
        Ok(logits)
    })
}

/// The first `n` test images as the model reads them.
fn inputs(
    blob: &Blob,
    test: &TestSplit,
    normalisation: &Normalisation,
    n: usize,
) -> Result<Vec<Vec<i8>>, QuantizeError> {
    let input = Model::parse(blob.bytes())?.input();
    let quant = TensorQuant { scale: f32::from_bits(input.scale_bits), zero_point: input.zero_point };
    let images = test.images();
    let quantize = |idx| normalisation.apply(images.pixels(idx)).iter().map(|&x| quant.quantize(x)).collect();
    Ok((0..images.len().min(n)).map(quantize).collect())
}

/// Share of the first `n` images whose largest logit, the first of equals, is the label's.
pub fn accuracy<T: PartialOrd>(logits: &[Vec<T>], labels: &[u8], n: usize) -> f64 {
    let n = n.min(logits.len());
    let answers = logits[..n].iter().map(|logits| answer(logits));
    let right = answers.zip(labels).filter(|(answer, label)| *answer == Some(usize::from(**label)));
    right.count() as f64 / n.max(1) as f64
}

fn answer<T: PartialOrd>(logits: &[T]) -> Option<usize> {
    (0..logits.len()).reduce(|best, i| if logits[i] > logits[best] { i } else { best })
}

/// What a board did with a model.
#[derive(Debug, Clone, PartialEq)]
pub struct OnBoard {
    /// Its logits, `[n, classes]`.
    pub logits: Vec<Vec<i8>>,
    /// Of a run on the last image.
    pub timing: ModelTiming,
    /// High-water marks after all runs.
    pub ram: RamUsed,
}

/// Deploys a model, runs the first `n` test images on it and times it.
///
/// # Errors
/// [`VerifyError`]
pub fn run_on_board(
    link: &mut Link,
    blob: &Blob,
    (test, normalisation): (&TestSplit, &Normalisation),
    n: usize,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(usize),
) -> Result<OnBoard, VerifyError> {
    link.load_model(blob.bytes())?;
    let mut logits = Vec::with_capacity(n);
    for input in inputs(blob, test, normalisation, n)? {
        if stop.load(Ordering::Relaxed) {
            return Err(VerifyError::Stopped { compared: logits.len(), wanted: n });
        }
        logits.push(link.run_model(&input)?);
        watch(logits.len());
    }
    Ok(OnBoard { logits, timing: link.time_model()?, ram: link.ram_used()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_counts_the_first_of_equal_logits() {
        let logits = vec![vec![1, 5, 5], vec![3, 2, 1], vec![0, 0, 9]];
        assert_eq!(accuracy(&logits, &[1, 0, 0], 3), 2.0 / 3.0);
        assert_eq!(accuracy(&logits, &[1, 0, 0], 2), 1.0);
        assert_eq!(accuracy(&logits, &[], 0), 0.0);
    }
}
