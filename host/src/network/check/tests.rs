use super::*;
use crate::network::{Shape, zoo};

fn resnet() -> Graph {
    zoo::network("resnet-8", Shape { h: 32, w: 32, c: 3 }, 10, zoo::ZooOptions::default()).unwrap()
}

#[test]
fn bins_that_miss_the_full_count_are_refused() {
    let mut graph = resnet();
    graph.units[0].full = 9;
    assert!(matches!(graph.check(), Err(GraphError::Bins { .. })));
}

#[test]
fn a_sum_of_different_units_is_refused() {
    let mut graph = resnet();
    let add = graph.nodes.iter_mut().find(|n| matches!(n.op, NodeOp::Add { .. })).unwrap();
    let NodeOp::Add { b, .. } = &mut add.op else { unreachable!() };
    *b = 2;
    assert!(matches!(graph.check(), Err(GraphError::Untied { .. })));
}

#[test]
fn a_node_that_nothing_reads_is_refused_by_name() {
    // Stem, depthwise and pointwise; the head reads the depthwise.
    let mut graph =
        zoo::network("mobilenet-v1-tiny", Shape { h: 28, w: 28, c: 1 }, 10, zoo::ZooOptions::default())
            .unwrap();
    let last = graph.nodes.len() - 1;
    let NodeOp::Head { input } = &mut graph.nodes[last].op else { unreachable!() };
    *input -= 1;
    let node = graph.nodes[last - 1].name.clone();
    assert_eq!(graph.check(), Err(GraphError::Unread { node }));
}

#[test]
fn a_node_cannot_read_a_later_one() {
    let mut graph = resnet();
    let NodeOp::Conv(conv) = &mut graph.nodes[1].op else { unreachable!() };
    conv.input = 5;
    assert!(matches!(graph.check(), Err(GraphError::Order { input: 5, .. })));
}

#[test]
fn padding_cannot_grow_a_plane_beyond_what_a_pool_covers() {
    let mut graph = resnet();
    let NodeOp::Conv(conv) = &mut graph.nodes[1].op else { unreachable!() };
    (conv.kernel, conv.padding) = (crate::network::Kernel::square(200), device_bench::Padding::all(199));
    assert_eq!(graph.check(), Ok(()), "32 + 2 * 199 - 200 + 1 = 231");
    let NodeOp::Conv(conv) = &mut graph.nodes[2].op else { unreachable!() };
    (conv.kernel, conv.padding) = (crate::network::Kernel::square(200), device_bench::Padding::all(199));
    assert!(matches!(graph.check(), Err(GraphError::Plane { h: 231, .. })));
}

#[test]
fn networks_that_no_memory_holds_are_refused_by_what_they_have_too_much_of() {
    let refused = |change: fn(&mut Graph)| {
        let mut graph = resnet();
        change(&mut graph);
        graph.check().unwrap_err().to_string()
    };
    let message = refused(|graph| graph.units = vec![graph.units[0].clone(); 3000]);
    assert!(message.contains("3000 units"), "{message}");
    let message = refused(|graph| graph.units.iter_mut().for_each(|u| u.bins = (1..=4000).collect()));
    assert!(message.contains("pairs of bins"), "{message}");
    let message = refused(|graph| graph.units.iter_mut().for_each(|u| u.bins = vec![u.full, 60_000]));
    assert!(message.contains("weights and biases"), "{message}");
    let mut graph = resnet();
    graph.units.iter_mut().for_each(|unit| unit.bins = (1..=2 * unit.full).collect());
    assert_eq!(graph.check(), Ok(()));
}

#[test]
fn a_kernel_larger_than_its_plane_is_refused() {
    let mut graph = resnet();
    let NodeOp::Conv(conv) = &mut graph.nodes[1].op else { unreachable!() };
    conv.kernel = crate::network::Kernel::square(99);
    assert!(matches!(graph.check(), Err(GraphError::Plane { .. })));
}
