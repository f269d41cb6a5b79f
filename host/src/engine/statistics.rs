//! Running batch-norm statistics: cumulative averages, and the checks before they are used.

use candle_core::{Result, Tensor, bail};

use super::{NodeStatistics, Statistics};
use crate::network::{Channels, Graph, NodeOp};

impl Statistics {
    /// Averages in the statistics of one more batch; other channels than before start anew.
    pub(super) fn average(&mut self, batch: Vec<Option<NodeStatistics>>) {
        let width = |s: &Option<NodeStatistics>| s.as_ref().map(|s| s.mean.len());
        if !self.nodes.iter().map(width).eq(batch.iter().map(width)) {
            *self = Statistics { n_batches: 1, nodes: batch };
            return;
        }
        self.n_batches += 1;
        let share = 1.0 / f64::from(self.n_batches);
        let mix = |old: &mut [f32], new: &[f32]| {
            for (old, new) in old.iter_mut().zip(new) {
                *old = (f64::from(*old) + (f64::from(*new) - f64::from(*old)) * share) as f32;
            }
        };
        for (old, new) in self.nodes.iter_mut().zip(&batch) {
            if let (Some(old), Some(new)) = (old, new) {
                mix(&mut old.mean, &new.mean);
                mix(&mut old.variance, &new.variance);
            }
        }
    }

    /// # Errors
    /// If some conv node has no statistics for its channels; `counts` has those of every node.
    pub(super) fn check(&self, graph: &Graph, counts: &[usize]) -> Result<()> {
        for (idx, node) in graph.nodes.iter().enumerate() {
            if !matches!(node.op, NodeOp::Conv(_)) {
                continue;
            }
            let found = self.nodes.get(idx).and_then(Option::as_ref).map_or(0, |s| s.mean.len());
            if found != counts[idx] {
                let (name, want) = (&node.name, counts[idx]);
                bail!(
                    "{name}: batch-norm statistics of {found} channels, not {want}; calibrate this subnet first"
                );
            }
        }
        Ok(())
    }
}

/// The batch size, after comparing `images` and `channels` with the graph.
pub(super) fn batch_checked(graph: &Graph, images: &Tensor, channels: &Channels) -> Result<usize> {
    let (n, h, w, c) = images.dims4()?;
    let shape = graph.input;
    if n == 0 || (h, w, c) != (shape.h, shape.w, shape.c) {
        bail!(
            "{}: images of {:?}, not (n, {}, {}, {})",
            graph.name,
            images.dims(),
            shape.h,
            shape.w,
            shape.c
        );
    }
    let fits = |(&c, unit): (&usize, &crate::network::Unit)| c > 0 && c <= unit.max();
    if channels.0.len() != graph.units.len() || !channels.0.iter().zip(&graph.units).all(fits) {
        bail!("{}: {:?} are no channels of its {} units", graph.name, channels.0, graph.units.len());
    }
    Ok(n)
}
