//! Files that people write, and the cost table.

use cost_tables::price::{Prices, next_to_measure};
use cost_tables::table::CostTable;
use device_bench::LayerSpec;
use edgeslim::board;
use edgeslim::config::RunConfig;
use edgeslim::memory;
use edgeslim::network::picture::picture;
use edgeslim::network::zoo::ZooOptions;
use edgeslim::network::{Graph, Mistakes, Shape, all_specs, file, lower, to_toml};
use edgeslim::profile::list;
use edgeslim::search::{BudgetSetSpec, Strategy};
use reports::figures::network::series;
use std::path::Path;

const SHAPE: Shape = Shape { h: 28, w: 28, c: 1 };
const CLASSES: usize = 10;
/// Networks with more choices of bins are not listed layer by layer.
const MOST_SPECS: usize = 10_000;

/// What a file's bytes are as text; none of the readers takes other bytes.
fn read<T>(input: &[u8], parse: impl FnOnce(&str, &Path) -> Option<T>) -> Option<T> {
    parse(std::str::from_utf8(input).ok()?, Path::new("input"))
}

/// An accepted table is written as it was read, and prices what it holds.
pub fn cost_table(input: &[u8]) -> bool {
    let Some(table) = read(input, |text, path| CostTable::parse(text, path).ok()) else { return false };
    assert_eq!(CostTable::parse(&table.to_csv(), Path::new("again")).ok().as_ref(), Some(&table));
    let prices = Prices::new(&table);
    let specs: Vec<LayerSpec> = table.iter().map(|(spec, _)| *spec).collect();
    let other = |spec: &LayerSpec| LayerSpec { c_in: spec.c_in / 2 + 1, c_out: spec.c_out / 2 + 1, ..*spec };
    let others: Vec<LayerSpec> = specs.iter().map(other).collect();
    let total = prices.total(&specs).expect("what was measured has a price");
    assert!(total.low <= total.high && total.high.is_finite());
    for price in others.iter().flat_map(|spec| prices.price(spec)) {
        assert!(price.value.is_finite() && price.low <= price.high, "{price:?}");
    }
    let _ = prices.held_out_error();
    let _ = next_to_measure(&table, &others, 4);
    table.check(&table.provenance).expect("a table is of its own board");
    true
}

/// The names of an accepted board make no path that leaves its folder.
pub fn board(input: &[u8]) -> bool {
    let Some(board) = read(input, |text, path| board::parse(text, path).ok()) else { return false };
    let _ = (board.ticks_per_timer_ticks(), board.target_cpu());
    let folder = Path::new("builds").join(&board.name).join(&board.target);
    assert_eq!(folder.components().count(), 3, "{}", folder.display());
    assert!(folder.components().all(|part| matches!(part, std::path::Component::Normal(_))));
    true
}

/// An accepted network is written as it was read, explained, laid out, lowered and planned; of another one, every
/// mistake is told with a line that the file has.
pub fn network(input: &[u8]) -> bool {
    let options = ZooOptions { max_width: 1.5, ..ZooOptions::default() };
    let parse = |text: &str| file::parse(text, SHAPE, CLASSES, options);
    let checked = |text: &str| {
        let _ = file::stated(text);
        parse(text).inspect_err(|mistakes| check_mistakes(mistakes, text)).ok()
    };
    let Some(graph) = read(input, |text, _| checked(text)) else { return false };
    assert_eq!(parse(&to_toml(&graph)).ok().as_ref(), Some(&graph));
    let drawn = series(&picture(&graph)).expect("a network is a picture");
    assert_eq!(drawn.boxes.len(), graph.nodes.len());
    for channels in [graph.smallest(), graph.full(), graph.widest()] {
        let lowered = lower(&graph, &channels).expect("what the widest can be lowered to, all can");
        let plan = memory::plan(&lowered);
        assert!(plan.layout.arena_bytes >= plan.lower_bound_bytes);
        let _ = (lowered.macs(), lowered.params(), lowered.flash_bytes());
    }
    if n_pairs(&graph) <= MOST_SPECS {
        assert!(all_specs(&graph).iter().all(|spec| spec.check().is_ok()));
    }
    true
}

fn check_mistakes(mistakes: &Mistakes, text: &str) {
    let lines: Vec<usize> = mistakes.list().iter().map(|mistake| mistake.line).collect();
    let n_lines = 1 + text.bytes().filter(|&byte| byte == b'\n').count();
    assert!(!lines.is_empty() && lines.is_sorted() && lines.iter().all(|line| (1..=n_lines).contains(line)));
    assert!(mistakes.list().iter().all(|mistake| mistake.to_string().len() > "line 1: ".len()));
}

fn n_pairs(graph: &Graph) -> usize {
    let most = graph.units.iter().map(|unit| unit.bins.len()).max().unwrap_or(1);
    graph.nodes.len() * most * most
}

/// Budgets and strategies are read as the search does.
pub fn config(input: &[u8]) -> bool {
    let Some(config) = read(input, |text, path| RunConfig::parse(text, path).ok()) else { return false };
    config.search.budgets.iter().for_each(|text| drop(budgets(text)));
    config
        .search
        .strategies
        .iter()
        .for_each(|name| drop(name.parse::<Strategy>().map_err(|e| e.to_string())));
    assert!(config.retrain.seeds <= 1000 && config.train.recipe.learning_rate > 0.0);
    true
}

/// A list of layers to measure.
pub fn layers(input: &[u8]) -> bool {
    let Some(specs) = read(input, |text, path| list::parse(text, path).ok()) else { return false };
    assert!(specs.iter().all(|spec| spec.check().is_ok()));
    true
}

/// What stands behind `--latency`.
pub fn budget(input: &[u8]) -> bool {
    read(input, |text, _| budgets(text)).is_some()
}

/// A budget that is told reads as the same one.
fn budgets(text: &str) -> Option<BudgetSetSpec> {
    let read: BudgetSetSpec =
        text.parse().map_err(|error: edgeslim::search::BudgetError| error.to_string()).ok()?;
    assert_eq!(read.to_string().parse().as_ref(), Ok(&read), "{text:?} is told as {read}");
    Some(read)
}
