use super::*;
use crate::network::arbitrary;
use proptest::prelude::*;

fn indices(map: &ChannelMap) -> Vec<usize> {
    map.indices().collect()
}

#[test]
fn neighbouring_runs_are_one() {
    let map = ChannelMap::of([0..2, 2..2, 2..5, 7..8]);
    assert_eq!((map.runs(), map.len(), map.is_prefix()), (&[0..5, 7..8][..], 6, false));
    assert!(ChannelMap::prefix(3).is_prefix());
}

proptest! {
    #[test]
    fn maps_hold_as_many_channels_as_are_active_each_once_and_all_at_the_widest(
        genes in prop::collection::vec(prop::array::uniform4(0..10_000usize), 1..20),
        salt in 0..1000usize,
    ) {
        let graph = arbitrary::any_graph(&genes);
        let channels = arbitrary::channels(&graph, salt);
        let (counts, widest) = (graph.node_channels(&channels), graph.node_channels(&graph.widest()));
        for (id, map) in graph.channel_maps(&channels).iter().enumerate() {
            let mut stored = indices(map);
            prop_assert_eq!(stored.len(), counts[id]);
            stored.sort_unstable();
            stored.dedup();
            prop_assert_eq!(stored.len(), counts[id]);
            prop_assert!(stored.iter().all(|&i| i < widest[id]));
        }
    }
}

#[test]
fn concatenation_groups_and_shuffle_permute_what_is_stored() {
    let conv = |input, kind, units: &[usize]| {
        NodeOp::Conv(Conv {
            input,
            kind,
            kernel: crate::network::Kernel::square(1),
            stride: 1,
            padding: device_bench::Padding::NONE,
            units: units.to_vec(),
            activation: crate::network::Activation::None,
        })
    };
    let ops = [
        NodeOp::Input,
        conv(0, ConvKind::Dense, &[0]),
        conv(1, ConvKind::Grouped { groups: 2 }, &[1]),
        NodeOp::Concat { a: 1, b: 2 },
        NodeOp::Shuffle { input: 2, groups: 2 },
        conv(4, ConvKind::Depthwise, &[1]),
        conv(3, ConvKind::Dense, &[0, 1]),
        NodeOp::Split { input: 3, part: 1, parts: 2 },
    ];
    let node = |(id, op): (usize, &NodeOp)| crate::network::Node { name: format!("n{id}"), op: op.clone() };
    let unit = |name: &str, bins: &[usize]| crate::network::Unit {
        name: name.into(),
        full: bins[0],
        bins: bins.to_vec(),
    };
    let graph = Graph {
        name: "map".into(),
        input: crate::network::Shape { h: 4, w: 4, c: 3 },
        classes: 2,
        nodes: ops.iter().enumerate().map(node).collect(),
        units: vec![unit("a", &[2, 4]), unit("b", &[4, 8])],
    };
    let maps = graph.channel_maps(&Channels(vec![2, 4]));
    let expected: [&[usize]; 8] = [
        &[0, 1, 2],
        &[0, 1],
        &[0, 1, 4, 5],       // 2 of each group of 4
        &[0, 1, 4, 5, 8, 9], // the second part starts at 4
        &[0, 1, 2, 3],
        &[0, 1, 2, 3],
        &[0, 1, 4, 5, 6, 7],
        &[0, 1, 2],
    ];
    assert_eq!(maps.iter().map(indices).collect::<Vec<_>>(), expected);
    let weight = graph.weight_map(2, &maps).unwrap();
    assert_eq!((indices(&weight.rows), indices(&weight.columns)), (vec![0, 1, 4, 5], vec![0]));
    assert_eq!(indices(&graph.weight_map(6, &maps).unwrap().columns), [0, 1, 4, 5, 8, 9]);
    assert_eq!(graph.weight_map(3, &maps), None);
}
