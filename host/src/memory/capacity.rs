//! What a board's memory holds: of layers to measure, and of networks to deploy.

use super::plan;
use crate::board::BoardInfo;
use crate::network::Graph;
use crate::network::lower::{LowerError, Lowered, lower};
use device_bench::LayerSpec;
use device_bench::bench::layer_memory_bytes;
use reports::record::{Budget, Resource};

/// The memory that the firmware leaves for a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Bytes of the arena: tensors and scratch.
    pub arena_bytes: usize,
    /// Bytes of the model region: the blob.
    pub model_bytes: usize,
}

/// No subnet fits the board.
#[derive(Debug, thiserror::Error)]
pub enum CapacityError {
    /// Not even the smallest.
    #[error(
        "the smallest subnet of {network} needs {ram} bytes of RAM and {flash} of model memory, {board} has {} and {}; \
         lower min_width, or take a smaller network or a larger board", capacity.arena_bytes, capacity.model_bytes
    )]
    Smallest {
        /// The network.
        network: String,
        /// RAM of its smallest subnet, bytes; of its largest layer alone, if that is measured with more.
        ram: usize,
        /// Its blob, bytes.
        flash: usize,
        /// The board.
        board: String,
        /// What that has.
        capacity: Capacity,
    },
    /// The graph cannot be lowered.
    #[error(transparent)]
    Lower(#[from] LowerError),
}

impl From<&BoardInfo> for Capacity {
    fn from(info: &BoardInfo) -> Capacity {
        Capacity { arena_bytes: info.arena_bytes as usize, model_bytes: info.model_bytes as usize }
    }
}

impl Capacity {
    /// Of a board that holds everything.
    pub const UNLIMITED: Capacity = Capacity { arena_bytes: usize::MAX, model_bytes: usize::MAX };

    /// Whether the layer can be measured alone. Its bias and scales then lie in the arena, which is a little more
    /// than it needs in a deployed network.
    pub fn measures(&self, spec: &LayerSpec) -> bool {
        layer_memory_bytes(spec) <= self.arena_bytes && spec.weight_bytes() <= self.model_bytes
    }

    /// Whether the network can be deployed.
    pub fn holds(&self, lowered: &Lowered) -> bool {
        let flash = usize::try_from(lowered.flash_bytes()).unwrap_or(usize::MAX);
        plan(lowered).layout.arena_bytes <= self.arena_bytes && flash <= self.model_bytes
    }

    /// The budgets that every network for the board has.
    pub fn budgets(&self) -> [Budget; 2] {
        let budget = |resource, bytes: usize| Budget { resource, limit: bytes as f64 };
        [budget(Resource::Ram, self.arena_bytes), budget(Resource::Flash, self.model_bytes)]
    }

    /// Refuses a network of which nothing fits `board`.
    ///
    /// # Errors
    /// [`CapacityError::Smallest`]
    pub fn check(&self, graph: &Graph, board: &str) -> Result<(), CapacityError> {
        let lowered = lower(graph, &graph.smallest())?;
        if self.holds(&lowered) && lowered.layers.iter().all(|layer| self.measures(&layer.spec)) {
            return Ok(());
        }
        let alone = lowered.layers.iter().map(|layer| layer_memory_bytes(&layer.spec)).max();
        Err(CapacityError::Smallest {
            network: graph.name.clone(),
            ram: plan(&lowered).layout.arena_bytes.max(alone.unwrap_or(0)),
            flash: lowered.flash_bytes() as usize,
            board: board.to_owned(),
            capacity: *self,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, zoo};

    fn tiny() -> Graph {
        zoo::network("mobilenet-v1-tiny", Shape { h: 28, w: 28, c: 1 }, 10, zoo::ZooOptions::default())
            .unwrap()
    }

    #[test]
    fn a_network_fits_memory_of_exactly_its_size_and_no_less() {
        let lowered = lower(&tiny(), &tiny().full()).unwrap();
        let (arena_bytes, model_bytes) = (plan(&lowered).layout.arena_bytes, lowered.flash_bytes() as usize);
        assert!(Capacity { arena_bytes, model_bytes }.holds(&lowered));
        assert!(!Capacity { arena_bytes: arena_bytes - 1, model_bytes }.holds(&lowered));
        assert!(!Capacity { arena_bytes, model_bytes: model_bytes - 1 }.holds(&lowered));
    }

    #[test]
    fn a_board_that_does_not_hold_the_smallest_subnet_is_refused_with_both_needs() {
        let graph = tiny();
        Capacity::UNLIMITED.check(&graph, "b").unwrap();
        let lowered = lower(&graph, &graph.smallest()).unwrap();
        let flash = lowered.flash_bytes() as usize;
        for small in [
            Capacity { model_bytes: flash - 1, ..Capacity::UNLIMITED },
            Capacity { arena_bytes: plan(&lowered).lower_bound_bytes - 1, ..Capacity::UNLIMITED },
        ] {
            let error = small.check(&graph, "some-board").unwrap_err().to_string();
            assert!(error.contains("some-board") && error.contains(&format!("{flash} of model")), "{error}");
        }
    }
}
