//! How well a subnet answers with the supernet's weights.

use super::problem::{AccuracyModel, Estimate};
use super::scores::Reference;
use crate::dataset::{Normalisation, SearchSplit, TrainSplit};
use crate::engine::Engine;
use crate::network::Channels;
use crate::train::{recalibrate_on, search_logits};
use anyhow::ensure;

/// Recalibrates the supernet for a subnet on training images, then evaluates it on the search images.
pub struct SupernetAccuracy<'a> {
    /// The trained supernet.
    pub engine: &'a dyn Engine,
    /// Images of the recalibration.
    pub train: &'a TrainSplit,
    /// Images of the estimate.
    pub search: &'a SearchSplit,
    /// What the supernet was trained with.
    pub normalisation: &'a Normalisation,
    /// Images of each recalibration.
    pub recalibration_images: usize,
    /// Digest of the supernet's weights and of the data.
    pub digest: String,
    /// Answers of the widest subnet on the search images; taken at the first estimate.
    pub reference: Option<Reference>,
}

impl SupernetAccuracy<'_> {
    /// Logits of the search images after a recalibration, `[n, classes]`.
    fn logits(&self, channels: &Channels) -> anyhow::Result<Vec<Vec<f32>>> {
        let &SupernetAccuracy { engine, train, search, normalisation, recalibration_images, .. } = self;
        recalibrate_on(engine, channels, train, normalisation, recalibration_images)?;
        Ok(search_logits(engine, channels, search, normalisation)?)
    }
}

impl AccuracyModel for SupernetAccuracy<'_> {
    /// # Errors
    /// What the engine returns; no image to recalibrate or to evaluate on.
    fn estimate(&mut self, channels: &Channels) -> anyhow::Result<Estimate> {
        ensure!(
            self.recalibration_images.min(self.train.images().len()) > 0 && !self.search.images().is_empty(),
            "no image to recalibrate or to evaluate on; set recalibration_images and search_images above 0"
        );
        if self.reference.is_none() {
            self.reference = Some(Reference::new(&self.logits(&self.engine.graph().widest())?));
        }
        let reference = self.reference.as_ref().expect("set above");
        Ok(reference.estimate(&self.logits(channels)?, self.search.images().labels()))
    }

    fn identity(&self) -> String {
        let (n_train, n_search) = (self.train.images().len(), self.search.images().len());
        let Normalisation { mean, deviation } = self.normalisation;
        format!(
            "{}, recalibrated on {} of {n_train} images, accuracy, loss and divergence on {n_search}, mean {mean:?}, deviation {deviation:?}",
            self.digest, self.recalibration_images
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Images, hold_out};
    use crate::engine::{CpuEngine, Params};
    use crate::network::{Graph, Shape, zoo};
    use candle_core::Device;

    fn tiny() -> Graph {
        zoo::network("mobilenet-v1-tiny", Shape { h: 12, w: 12, c: 1 }, 2, zoo::ZooOptions::default())
            .unwrap()
    }

    fn images(n: usize) -> Images {
        let pixels = (0..n * 144).map(|i| (i * i / 7 % 251) as u8).collect();
        Images::new(12, 12, 1, pixels, (0..n).map(|i| (i % 2) as u8).collect()).unwrap()
    }

    fn with_supernet(n_search: usize, check: impl FnOnce(SupernetAccuracy<'_>, Graph)) {
        let engine = CpuEngine::new(tiny(), Params::new(&tiny(), 3, &Device::Cpu).unwrap(), 1).unwrap();
        let (train, search) = hold_out(&images(60), n_search, 1);
        let normalisation = Normalisation::of(&train);
        let accuracy = SupernetAccuracy {
            engine: &engine,
            train: &train,
            search: &search,
            normalisation: &normalisation,
            recalibration_images: 30,
            digest: "untrained".into(),
            reference: None,
        };
        check(accuracy, tiny());
    }

    #[test]
    fn an_estimate_does_not_depend_on_those_before_it() {
        with_supernet(20, |mut accuracy, graph| {
            let first = accuracy.estimate(&graph.full()).unwrap();
            let smallest = accuracy.estimate(&graph.smallest()).unwrap();
            assert_ne!(first.loss, smallest.loss);
            assert_eq!(accuracy.estimate(&graph.full()).unwrap(), first);
            assert_eq!(first.n, 20);
            assert!((0.0..=1.0).contains(&first.accuracy) && first.loss > 0.0);
            assert!(first.kl == 0.0 && smallest.kl > 0.0 && smallest.kl_error > 0.0);
        });
    }

    #[test]
    fn other_recalibration_gives_another_estimate_and_identity() {
        with_supernet(20, |mut accuracy, graph| {
            let (first, identity) = (accuracy.estimate(&graph.full()).unwrap(), accuracy.identity());
            accuracy.recalibration_images = 10;
            assert_ne!(accuracy.estimate(&graph.full()).unwrap().loss, first.loss);
            assert_ne!(accuracy.identity(), identity);
        });
    }

    #[test]
    fn an_estimate_on_no_image_is_refused() {
        with_supernet(0, |mut accuracy, graph| {
            let error = accuracy.estimate(&graph.full()).unwrap_err().to_string();
            assert!(error.contains("search_images"), "{error}");
        });
    }
}
