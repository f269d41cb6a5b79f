//! A network in the words of its picture, which `reports` draws.

use super::explain::{Explanation, NodeFacts, OfSubnets, UnitFacts, explain};
use super::graph::{Graph, NodeId};
use reports::axes::si;
use reports::figures::network::{NetworkRecord, NodeRecord, UnitRecord};

/// What the picture of a network that has passed [`Graph::check`] says.
pub fn picture(graph: &Graph) -> NetworkRecord {
    let explanation = explain(graph);
    let widths = graph.node_widths();
    let node = |(id, facts): (NodeId, &NodeFacts)| NodeRecord {
        name: facts.name.clone(),
        op: facts.op.clone(),
        shape: format!("{}x{}x{}", facts.plane.0, facts.plane.1, facts.channels.full),
        inputs: graph.nodes[id].op.inputs(),
        units: widths[id].units().collect(),
    };
    let unit = |unit: &UnitFacts| UnitRecord {
        name: unit.name.clone(),
        channels: format!("{} of {}", unit.full, bins_in_words(&unit.bins)),
    };
    NetworkRecord {
        title: graph.name.clone(),
        subtitle: subtitle(&explanation),
        nodes: explanation.nodes.iter().enumerate().map(node).collect(),
        units: explanation.units.iter().map(unit).collect(),
    }
}

fn subtitle(explanation: &Explanation) -> String {
    let full = explanation.sizes.full;
    let (macs, params) = (si(full.counts.macs as f64), si(full.counts.params as f64));
    let OfSubnets { smallest, widest, .. } = explanation.sizes;
    let range = if widest == full { String::new() } else { format!(" to {}", si(widest.counts.macs as f64)) };
    let least = si(smallest.counts.macs as f64);
    format!("{macs} MACs and {params} parameters at width ×1.0; subnets of {least}{range} MACs and more")
}

/// Bins in a few words: `4, 8, 16`, or `8 to 64 by 8` where there are many in equal steps.
pub fn bins_in_words(bins: &[usize]) -> String {
    let all = || bins.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    match bins {
        [first, second, .., last] if bins.len() > 4 => {
            let step = second - first;
            let even = bins.windows(2).all(|pair| pair[1] - pair[0] == step);
            if even {
                format!("{first} to {last} by {step}")
            } else {
                format!("{first}, {second} … {last}, {} bins", bins.len())
            }
        }
        _ => all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{arbitrary, look, zoo};
    use proptest::prelude::*;
    use reports::figures::network::series;

    #[test]
    fn every_network_of_the_zoo_has_a_picture_of_a_shape_for_a_screen() {
        for name in zoo::NAMES {
            let graph = look(name, None, None).unwrap();
            let data = series(&picture(&graph)).unwrap();
            assert_eq!((data.boxes.len(), data.legend.len()), (graph.nodes.len(), graph.units.len()));
            let aspect = f64::from(data.size.0) / f64::from(data.size.1);
            assert!((0.5..2.5).contains(&aspect) && data.size.0 < 4000, "{name}: {:?}", data.size);
        }
    }

    #[test]
    fn bins_are_told_shortly() {
        assert_eq!(bins_in_words(&[4, 8, 16]), "4, 8, 16");
        assert_eq!(bins_in_words(&[8, 16, 24, 32, 40]), "8 to 40 by 8");
        assert_eq!(bins_in_words(&[6, 8, 16, 24, 32]), "6, 8 … 32, 5 bins");
    }

    proptest! {
        #[test]
        fn any_network_is_drawn_and_no_box_lies_on_another(
            genes in prop::collection::vec(prop::array::uniform4(0..10_000usize), 1..40),
        ) {
            let graph = arbitrary::any_graph(&genes);
            let data = series(&picture(&graph)).unwrap();
            let (width, height) = data.box_size;
            for (i, a) in data.boxes.iter().enumerate() {
                let apart = |b: &reports::figures::network::NodeBox| {
                    a.at.0.abs_diff(b.at.0) as i32 >= width || a.at.1.abs_diff(b.at.1) as i32 >= height
                };
                prop_assert!(data.boxes[..i].iter().all(apart));
            }
            let drawn = tempfile::NamedTempFile::with_suffix(".svg").unwrap();
            reports::figures::network::draw(&data, drawn.path()).unwrap();
            prop_assert!(drawn.as_file().metadata().is_ok());
        }
    }
}
