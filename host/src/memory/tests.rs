use super::*;
use crate::network::arbitrary::{self, Gene};
use crate::network::zoo::{self, ZooOptions};
use crate::network::{Channels, Shape, lower};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use std::ops::Range;

impl Layout {
    /// Every tensor beside the others: what a plan has to be smaller than, and to compute the same as.
    pub(crate) fn disjoint(lowered: &Lowered) -> Layout {
        let mut end = 0;
        let mut tensor_offsets = Vec::new();
        for &bytes in &lowered.tensor_bytes {
            tensor_offsets.push(end);
            end += bytes.next_multiple_of(ALIGN);
        }
        let scratch = lowered.layers.iter().map(|layer| scratch_bytes(&layer.spec));
        let arena_bytes = end + scratch.max().unwrap_or(0).next_multiple_of(ALIGN);
        Layout { arena_bytes, tensor_offsets, scratch_offsets: vec![end; lowered.layers.len()] }
    }
}

fn lowered(genes: &[Gene]) -> Lowered {
    let graph = arbitrary::graph(genes);
    graph.check().unwrap();
    lower(&graph, &graph.full()).unwrap()
}

/// What must not be overwritten while layer `layer_idx` runs, by the definition.
fn living(lowered: &Lowered, layout: &Layout, layer_idx: usize) -> Vec<Range<usize>> {
    let (before, after) = lowered.layers.split_at(layer_idx);
    let last = lowered.tensor_bytes.len() - 1;
    let lives = |tensor: usize| {
        let written = tensor == 0 || before.iter().any(|layer| layer.output == tensor);
        let read = tensor == last || after.iter().any(|layer| layer.inputs.contains(&tensor));
        written && read || after[0].output == tensor
    };
    let place = |offset: usize, bytes: usize| offset..offset + bytes;
    let tensors = (0..=last).filter(|&tensor| lives(tensor));
    let mut places: Vec<Range<usize>> =
        tensors.map(|t| place(layout.tensor_offsets[t], lowered.tensor_bytes[t])).collect();
    places.push(place(layout.scratch_offsets[layer_idx], scratch_bytes(&after[0].spec)));
    places.retain(|place| !place.is_empty());
    places
}

fn check(lowered: &Lowered, plan: &Plan) -> Result<(), TestCaseError> {
    let layout = &plan.layout;
    let mut fullest = 0;
    for layer_idx in 0..lowered.layers.len() {
        let mut places = living(lowered, layout, layer_idx);
        places.sort_by_key(|place| place.start);
        prop_assert!(
            places.windows(2).all(|pair| pair[0].end <= pair[1].start),
            "layer {layer_idx}: {places:?}"
        );
        prop_assert!(places.iter().all(|p| p.start.is_multiple_of(4) && p.end <= layout.arena_bytes));
        fullest = fullest.max(places.iter().map(|p| p.len().next_multiple_of(4)).sum());
    }
    prop_assert_eq!(plan.lower_bound_bytes, fullest);
    prop_assert!((fullest..=Layout::disjoint(lowered).arena_bytes).contains(&layout.arena_bytes));
    Ok(())
}

proptest! {
    #[test]
    fn what_lives_at_the_same_time_never_overlaps(
        genes in prop::collection::vec(prop::array::uniform4(0..10_000usize), 1..40),
    ) {
        let lowered = lowered(&genes);
        check(&lowered, &plan(&lowered))?;
    }

    #[test]
    fn a_chain_gets_an_arena_of_its_fullest_layer(
        genes in prop::collection::vec((0..2usize, 0..10_000usize, 0..10_000usize), 1..300),
    ) {
        let chain: Vec<Gene> = genes.iter().map(|&(kind, unit, shape)| [1 + kind, 0, unit, shape]).collect();
        let lowered = lowered(&chain);
        let plan = plan(&lowered);
        check(&lowered, &plan)?;
        prop_assert_eq!(plan.layout.arena_bytes, plan.lower_bound_bytes);
    }

    #[test]
    fn first_fit_alone_never_overlaps(
        genes in prop::collection::vec(prop::array::uniform4(0..10_000usize), 1..20),
    ) {
        let lowered = lowered(&genes);
        let blocks = blocks(&lowered);
        let lower_bound_bytes = fullest_layer(&blocks, lowered.layers.len());
        let mut offsets = fit::packed(&blocks, lower_bound_bytes);
        let arena_bytes = fit::height(&blocks, &offsets);
        let scratch_offsets = offsets.split_off(lowered.tensor_bytes.len());
        let layout = Layout { arena_bytes, tensor_offsets: offsets, scratch_offsets };
        check(&lowered, &Plan { layout, lower_bound_bytes })?;
    }
}

#[test]
fn every_subnet_of_the_zoo_gets_an_arena_of_its_fullest_layer() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (name, (side, c)) in zoo::NAMES.iter().flat_map(|name| [(name, (28, 1)), (name, (32, 3))]) {
        // Multiples of two would be more than a profile measures in the widest networks.
        let bin_multiple = if name.ends_with("-imagenet") { 8 } else { 2 };
        let options = ZooOptions { min_width: 0.1, max_width: 1.5, bin_multiple };
        let graph = zoo::network(name, Shape { h: side, w: side, c }, 10, options).unwrap();
        let larger = (0..1000).filter(|_| {
            let pick = |unit: &crate::network::Unit| unit.bins[rng.random_range(0..unit.bins.len())];
            let channels = Channels(graph.units.iter().map(pick).collect());
            let plan = plan(&lower(&graph, &channels).unwrap());
            plan.layout.arena_bytes > plan.lower_bound_bytes
        });
        // A shortcut over three layers of any widths is found no place now and then: of the published one 35 times. Nor are
        // halves that units leave alone.
        let hard = name.starts_with("resnet-50") || name.starts_with("shufflenet-v2");
        let most = if hard { 50 } else { 0 };
        let n_larger = larger.count();
        assert!(n_larger <= most, "{name}: {n_larger} of 1000");
    }
}

#[test]
fn branching_graphs_hardly_ever_need_more_than_their_fullest_layer() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let larger = (0..1000).filter(|_| {
        let genes: Vec<Gene> = (0..15).map(|_| [(); 4].map(|()| rng.random_range(0..10_000))).collect();
        let plan = plan(&lowered(&genes));
        plan.layout.arena_bytes > plan.lower_bound_bytes
    });
    let n_larger = larger.count();
    assert!(n_larger <= 30, "{n_larger} of 1000");
}
