//! What a subnet costs on a board: priced as it will be deployed.

use super::parts::parts;
use super::problem::{Cost, CostModel, Part, Price};
use crate::memory::{self, Capacity};
use crate::network::lower::Lowered;
use crate::network::{Channels, Graph, lower};
use cost_tables::price::{Price as TablePrice, Prices};

/// Costs from a cost table, the arena planner and the blob's size.
pub struct TableCosts<'a> {
    graph: &'a Graph,
    prices: &'a Prices,
    capacity: Capacity,
}

impl<'a> TableCosts<'a> {
    /// Prices subnets of `graph`, a latency as the sum of its layers'; a layer that `capacity` cannot measure has
    /// none.
    pub fn new(graph: &'a Graph, prices: &'a Prices, capacity: Capacity) -> TableCosts<'a> {
        TableCosts { graph, prices, capacity }
    }
}

impl CostModel for TableCosts<'_> {
    /// # Errors
    /// Channels that the graph does not offer; a layer without a price that could be measured.
    fn cost(&self, channels: &Channels) -> anyhow::Result<Cost> {
        let lowered = lower(self.graph, channels)?;
        let specs = || lowered.layers.iter().map(|layer| &layer.spec);
        let measured = specs().all(|spec| self.capacity.measures(spec));
        Ok(deployed(&lowered, if measured { Some(self.prices.total(specs())?) } else { None }))
    }

    fn latency_unit(&self) -> &str {
        &self.prices.provenance().unit
    }

    /// # Errors
    /// A layer without a price that could be measured; a layer beside which so many tensors live that their channels have more
    /// choices than can be listed.
    fn parts(&self) -> anyhow::Result<Vec<Part>> {
        parts(self.graph, self.prices, self.capacity)
    }
}

/// What a network needs as it is deployed, with a latency from elsewhere.
pub fn deployed(lowered: &Lowered, latency: Option<TablePrice>) -> Cost {
    Cost {
        latency: latency.map(|TablePrice { value, low, high, .. }| Price { value, low, high }),
        ram: memory::plan(lowered).layout.arena_bytes as f64,
        flash: lowered.flash_bytes() as f64,
        macs: lowered.macs() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Shape, all_specs, zoo};
    use cost_tables::table::{CostTable, Entry, Provenance};

    fn tiny() -> Graph {
        zoo::network("mobilenet-v1-tiny", Shape { h: 28, w: 28, c: 1 }, 10, zoo::ZooOptions::default())
            .unwrap()
    }

    /// Every layer takes 100 cycles and 3 a multiply-accumulate, or up to 7 cycles more.
    fn prices(graph: &Graph) -> Prices {
        let provenance =
            Provenance { board: "some-board".into(), unit: "cycles".into(), ..Provenance::default() };
        let mut table = CostTable::new(provenance);
        for spec in all_specs(graph) {
            let ticks = 100 + 3 * spec.macs();
            let samples = vec![ticks, ticks, ticks + 7];
            table.insert(spec, Entry { cold: ticks, n_calls: 1, samples }).unwrap();
        }
        Prices::new(&table)
    }

    #[test]
    fn a_network_costs_the_sum_of_its_layers_and_what_is_deployed() {
        let graph = tiny();
        let prices = prices(&graph);
        let costs = TableCosts::new(&graph, &prices, Capacity::UNLIMITED);
        assert_eq!(costs.latency_unit(), "cycles");
        for channels in [graph.full(), graph.smallest()] {
            let lowered = lower(&graph, &channels).unwrap();
            let cost = costs.cost(&channels).unwrap();
            // A stem, five blocks of two layers, a pool and a classifier.
            let cycles = (13 * 100 + 3 * lowered.macs()) as f64;
            let price = Price { value: cycles, low: cycles, high: cycles + 13.0 * 7.0 };
            assert_eq!(cost.latency, Some(price));
            assert_eq!(cost.flash, lowered.flash_bytes() as f64);
            assert_eq!(cost.macs, lowered.macs() as f64);
            assert_eq!(cost.ram, memory::plan(&lowered).layout.arena_bytes as f64);
        }
    }

    #[test]
    fn a_layer_without_a_price_is_named_with_the_board() {
        let graph = tiny();
        let empty = Provenance { board: "some-board".into(), ..Provenance::default() };
        let prices = Prices::new(&CostTable::new(empty));
        let costs = TableCosts::new(&graph, &prices, Capacity::UNLIMITED);
        let error = costs.cost(&graph.full()).unwrap_err().to_string();
        assert!(error.contains("some-board") && error.contains("edgeslim profile"), "{error}");
    }

    #[test]
    fn a_network_with_a_layer_too_large_for_the_board_has_no_latency() {
        let graph = tiny();
        let prices = prices(&graph);
        let largest = all_specs(&graph).iter().map(device_bench::bench::layer_memory_bytes).max().unwrap();
        let costs = |arena_bytes| {
            let capacity = Capacity { arena_bytes, ..Capacity::UNLIMITED };
            TableCosts::new(&graph, &prices, capacity).cost(&graph.full()).unwrap()
        };
        assert_eq!(costs(largest - 1).latency, None);
        assert!(costs(largest).latency.is_some());
        assert_eq!(Cost { latency: None, ..costs(largest) }, costs(largest - 1));
    }
}
