//! What a network costs as a sum over its layers, for all choices of channels.

use super::problem::{Load, Part};
use crate::memory::{self, Capacity};
use crate::network::lower::{Lowered, LoweredLayer, lower};
use crate::network::{Channels, Graph, NodeOp, UnitId, Width};
use anyhow::{Result, ensure};
use cost_tables::price::{PriceError, Prices};
use device_bench::kernels::scratch_bytes;
use device_bench::model::blob_bytes;
use device_bench::{LayerSpec, Op};
use std::collections::{BTreeMap, BTreeSet};

/// Choices of channels that may live beside one layer.
const MAX_CHOICES: usize = 1 << 21;

/// Every layer for all channels of the tensors that live while it runs, and what a blob has without layers.
///
/// # Errors
/// As [`CostModel::parts`](super::CostModel::parts) of a table.
pub(super) fn parts(graph: &Graph, prices: &Prices, capacity: Capacity) -> Result<Vec<Part>> {
    let lowered = lower(graph, &graph.full())?;
    let widths = tensor_widths(graph, &lowered);
    let live = memory::live_tensors(&lowered);
    let mut known = Known { prices, capacity, loads: BTreeMap::new() };
    let empty = blob_bytes(std::iter::empty()) as f64;
    let mut parts = vec![Part { units: vec![], loads: vec![Load { flash: empty, ..Load::default() }] }];
    for (layer, live) in lowered.layers.iter().zip(&live) {
        let units: BTreeSet<UnitId> = live.iter().flat_map(|&tensor| widths[tensor].units()).collect();
        let units: Vec<UnitId> = units.into_iter().collect();
        let n = units.iter().fold(1usize, |n, &unit| n.saturating_mul(graph.units[unit].bins.len()));
        ensure!(
            n <= MAX_CHOICES,
            "{}: {n} choices of channels live at a time; train the supernet with a larger bin_multiple",
            graph.nodes[layer.node].name
        );
        let bytes: Vec<(usize, &Width)> =
            live.iter().map(|&tensor| (pixels(graph, &lowered, &widths, tensor), &widths[tensor])).collect();
        let loads = choices(graph, &units).map(|channels| {
            let spec = spec(layer, &widths, &channels);
            let tensors =
                bytes.iter().map(|(pixels, width)| memory::aligned(pixels * width.count(&channels)));
            let ram = tensors.sum::<usize>() + memory::aligned(scratch_bytes(&spec));
            Ok(Load { ram: ram as f64, ..known.load(&spec)? })
        });
        parts.push(Part { loads: loads.collect::<Result<_, PriceError>>()?, units });
    }
    Ok(parts)
}

/// Loads of single layers, without their RAM: many choices ask for the same layer.
struct Known<'a> {
    prices: &'a Prices,
    capacity: Capacity,
    loads: BTreeMap<LayerSpec, Load>,
}

impl Known<'_> {
    fn load(&mut self, spec: &LayerSpec) -> Result<Load, PriceError> {
        if let Some(load) = self.loads.get(spec) {
            return Ok(*load);
        }
        let measured = self.capacity.measures(spec);
        let latency = if measured { self.prices.price(spec)?.high } else { f64::INFINITY };
        let flash = blob_bytes(std::iter::once(spec)) - blob_bytes(std::iter::empty());
        let load = Load { latency, flash: flash as f64, macs: spec.macs() as f64, ram: 0.0 };
        self.loads.insert(*spec, load);
        Ok(load)
    }
}

/// The width of every tensor: its node's, unless it is the average that a head begins with.
fn tensor_widths(graph: &Graph, lowered: &Lowered) -> Vec<Width> {
    let nodes = graph.node_widths();
    let mut tensors = vec![nodes[0].clone()];
    for layer in &lowered.layers {
        let width = match graph.nodes[layer.node].op {
            NodeOp::Head { input } if layer.spec.op == Op::AvgPool => &nodes[input],
            _ => &nodes[layer.node],
        };
        tensors.push(width.clone());
    }
    tensors
}

/// Bytes of a tensor for each of its channels.
fn pixels(graph: &Graph, lowered: &Lowered, widths: &[Width], tensor: usize) -> usize {
    lowered.tensor_bytes[tensor] / widths[tensor].count(&graph.full())
}

/// The layer with other channels.
fn spec(layer: &LoweredLayer, widths: &[Width], channels: &Channels) -> LayerSpec {
    let count =
        |tensor: usize| u16::try_from(widths[tensor].count(channels)).expect("Graph::check bounds channels");
    LayerSpec { c_in: count(layer.inputs[0]), c_out: count(layer.output), ..layer.spec }
}

/// Every choice of bins of `units`, those of the last next to each other; the other units are at their smallest.
pub(super) fn choices(graph: &Graph, units: &[UnitId]) -> impl Iterator<Item = Channels> {
    let n: usize = units.iter().map(|&unit| graph.units[unit].bins.len()).product();
    (0..n).map(move |mut idx| {
        let mut channels = graph.smallest();
        for &unit in units.iter().rev() {
            let bins = &graph.units[unit].bins;
            channels.0[unit] = bins[idx % bins.len()];
            idx /= bins.len();
        }
        channels
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, arbitrary, zoo};
    use crate::search::synthetic::{few_bins, random_prices, summed};
    use crate::search::{CostModel as _, TableCosts};
    use device_bench::bench::layer_memory_bytes;
    use reports::record::Resource;

    fn check(graph: &Graph, salts: std::ops::Range<usize>) {
        let prices = random_prices(graph);
        let costs = TableCosts::new(graph, &prices, Capacity::UNLIMITED);
        let parts = costs.parts().unwrap();
        for salt in salts {
            let channels = arbitrary::channels(graph, salt);
            let (sum, cost) = (summed(graph, &parts, &channels), costs.cost(&channels).unwrap());
            let latency = cost.amount(Resource::Latency);
            assert!((sum.latency / latency - 1.0).abs() < 1e-12, "{sum:?} {cost:?}");
            assert_eq!((sum.flash, sum.macs), (cost.flash, cost.macs));
            let lowered = lower(graph, &channels).unwrap();
            assert_eq!(sum.ram, memory::plan(&lowered).lower_bound_bytes as f64);
        }
    }

    #[test]
    fn parts_add_up_to_the_cost_of_any_network() {
        for seed in 0..60 {
            check(&arbitrary::graph(&arbitrary::genes(seed, 1 + seed % 6)), 0..4);
        }
        for seed in 0..120 {
            check(&few_bins(arbitrary::any_graph(&arbitrary::genes(seed, 1 + seed % 6))), 0..4);
        }
        let names = ["mobilenet-v1-tiny", "resnet-8", "ds-cnn", "mobilenet-v2", "mnasnet-b1"];
        for name in names.into_iter().chain(["shufflenet-v1", "shufflenet-v2"]) {
            let options = zoo::ZooOptions { bin_multiple: 32, ..Default::default() };
            check(&zoo::network(name, Shape { h: 32, w: 32, c: 3 }, 10, options).unwrap(), 0..3);
        }
    }

    #[test]
    fn a_layer_that_the_board_does_not_hold_has_an_infinite_latency() {
        let options = zoo::ZooOptions::default();
        let graph = zoo::network("mobilenet-v1-tiny", Shape { h: 28, w: 28, c: 1 }, 10, options).unwrap();
        let prices = random_prices(&graph);
        let smallest = lower(&graph, &graph.smallest()).unwrap();
        let arena_bytes = smallest.layers.iter().map(|layer| layer_memory_bytes(&layer.spec)).max().unwrap();
        let capacity = Capacity { arena_bytes, ..Capacity::UNLIMITED };
        let costs = TableCosts::new(&graph, &prices, capacity);
        let parts = costs.parts().unwrap();
        let sum = |channels: &Channels| summed(&graph, &parts, channels).latency;
        assert!(costs.cost(&graph.full()).unwrap().latency.is_none() && sum(&graph.full()).is_infinite());
        assert!(
            costs.cost(&graph.smallest()).unwrap().latency.is_some() && sum(&graph.smallest()).is_finite()
        );
    }
}
