use crate::memory::Capacity;
use crate::network::{Channels, Graph, Shape, arbitrary, zoo};
use crate::search::synthetic::{
    Costs, Formula, all_networks, exact, few_bins, latency, random_prices, run_whole, run_with, units,
};
use crate::search::{BudgetSet, Cost, CostModel, Options, Part, Strategy, TableCosts, Trace, check_parts};
use cost_tables::price::Prices;
use cost_tables::table::{CostTable, Provenance};
use proptest::prelude::*;
use reports::record::{Budget, Resource};

/// Accuracies less the sum of a divergence for each bin of each unit.
fn additive(graph: &Graph, divergences: &[Vec<f64>], channels: &[usize]) -> f64 {
    let of = |(unit, &count): (usize, &usize)| {
        divergences[unit][graph.units[unit].bins.iter().position(|&bin| bin == count).unwrap()]
    };
    1.0 - channels.iter().enumerate().map(of).sum::<f64>()
}

/// The greatest accuracy within `goal` of all networks.
fn best_of_all(
    graph: &Graph,
    costs: &dyn CostModel,
    accuracy: &dyn Fn(&[usize]) -> f64,
    goal: &BudgetSet,
) -> f64 {
    let met = |channels: &Channels| goal.is_met_by(&costs.cost(channels).unwrap());
    let networks = all_networks(graph).into_iter().filter(met);
    networks.map(|channels| accuracy(&channels.0)).fold(f64::NEG_INFINITY, f64::max)
}

fn dp(
    graph: &Graph,
    costs: &dyn CostModel,
    accuracy: impl Fn(&[usize]) -> f64,
    goals: &[BudgetSet],
    options: &Options,
) -> Trace {
    run_with(options, (graph, costs), &mut Formula::new(accuracy), Strategy::Dp, goals, &[], &mut vec![])
        .unwrap()
}

/// Limits between what the smallest and the widest network take; `None` for no limit.
fn goal(costs: &dyn CostModel, graph: &Graph, shares: [Option<f64>; 3]) -> BudgetSet {
    let [small, wide] = [graph.smallest(), graph.widest()].map(|channels| costs.cost(&channels).unwrap());
    let resources = [Resource::Latency, Resource::Flash, Resource::Ram];
    let limit = |(resource, share): (Resource, Option<f64>)| {
        let (small, wide) = (small.amount(resource), wide.amount(resource));
        Some(Budget { resource, limit: small + (wide - small).abs() * share? })
    };
    BudgetSet(resources.into_iter().zip(shares).filter_map(limit).collect())
}

fn shares() -> impl proptest::strategy::Strategy<Value = [Option<f64>; 3]> {
    prop::array::uniform3(prop::option::of(0.0..1.0f64))
}

/// That no network within the budgets has a better sum than the answers, by trying all of them.
fn check_exact(
    graph: &Graph,
    table: &[Vec<f64>],
    shares: Vec<[Option<f64>; 3]>,
) -> Result<(), TestCaseError> {
    let prices = random_prices(graph);
    let costs = TableCosts::new(graph, &prices, Capacity::UNLIMITED);
    let accuracy = |channels: &[usize]| additive(graph, table, channels);
    let goals: Vec<BudgetSet> = shares.into_iter().map(|shares| goal(&costs, graph, shares)).collect();
    let widest = costs.cost(&graph.widest()).unwrap();
    let trace = dp(graph, &costs, accuracy, &goals, &Options::default());
    for (goal, found) in goals.iter().zip(&trace.found) {
        prop_assert!(found.meets);
        if goal.is_met_by(&widest) {
            prop_assert_eq!(&found.channels, &graph.widest());
            continue;
        }
        let best = best_of_all(graph, &costs, &accuracy, goal);
        prop_assert!((found.estimate.accuracy - best).abs() < 1e-9, "{:?} {}", found, best);
        prop_assert!(found.gap.unwrap() < 1e-9, "{:?}", found);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn no_network_of_any_graph_has_a_better_sum_under_the_budgets(
        genes in prop::collection::vec(prop::array::uniform4(0..10_000usize), 1..9),
        table in prop::collection::vec(prop::collection::vec(0.0..1.0f64, 3), 9),
        shares in prop::collection::vec(shares(), 1..4),
    ) {
        let graph = few_bins(arbitrary::graph(&genes));
        check_exact(&graph, &table, shares)?;
    }

    #[test]
    fn no_network_of_a_graph_of_all_operators_has_a_better_sum_either(
        genes in prop::collection::vec(prop::array::uniform4(0..10_000usize), 1..9),
        table in prop::collection::vec(prop::collection::vec(0.0..1.0f64, 3), 16),
        shares in prop::collection::vec(shares(), 1..4),
    ) {
        let graph = few_bins(arbitrary::any_graph(&genes));
        // All their networks are tried.
        prop_assume!(graph.units.len() <= 8);
        check_exact(&graph, &table, shares)?;
    }

    #[test]
    fn what_the_planner_refuses_is_ruled_out_and_the_rest_solved_again(
        table in prop::collection::vec(prop::collection::vec(0.0..1.0f64, 3), 4),
        refused in prop::collection::vec(any::<bool>(), 81),
        share in 0.2..0.9f64,
    ) {
        let graph = units(&[&[8, 16, 24][..]; 4]);
        let costs = Refusing { costs: Costs(&graph, chain), graph: &graph, refused };
        let accuracy = |channels: &[usize]| additive(&graph, &table, channels);
        let goal = goal(&costs, &graph, [None, None, Some(share)]);
        let found = dp(&graph, &costs, accuracy, std::slice::from_ref(&goal), &Options::default()).found.remove(0);
        let best = best_of_all(&graph, &costs, &accuracy, &goal);
        let short = best - found.estimate.accuracy;
        prop_assert!(found.meets && (-1e-9..=found.gap.unwrap() + 1e-9).contains(&short), "{:?} {}", found, best);
    }

    #[test]
    fn with_few_labels_an_answer_is_no_further_from_the_best_than_it_says(
        table in prop::collection::vec(prop::collection::vec(0.0..1.0f64, 5), 5),
        (latency, flash) in (0.1..0.9f64, 0.1..0.9f64),
        max_labels in 1..200usize,
    ) {
        let graph = units(&[&[8, 16, 24, 32, 40][..]; 5]);
        let costs = Chain(&graph);
        let accuracy = |channels: &[usize]| additive(&graph, &table, channels);
        let goal = goal(&costs, &graph, [Some(latency), Some(flash), None]);
        let options = Options { max_labels, ..Options::default() };
        let found = dp(&graph, &costs, accuracy, std::slice::from_ref(&goal), &options).found.remove(0);
        let short = best_of_all(&graph, &costs, &accuracy, &goal) - found.estimate.accuracy;
        prop_assert!(found.meets && (-1e-9..=found.gap.unwrap() + 1e-9).contains(&short), "{:?} {}", found, short);
    }
}

fn chain(c: &[usize]) -> Cost {
    exact(c.windows(2).map(|pair| (pair[0] * pair[1]) as f64).sum::<f64>() + c[0] as f64)
}

/// A planner that needs a little more RAM for some networks than any layer does.
struct Refusing<'a, F> {
    costs: Costs<'a, F>,
    graph: &'a Graph,
    refused: Vec<bool>,
}

impl<F: Fn(&[usize]) -> Cost> CostModel for Refusing<'_, F> {
    fn cost(&self, channels: &Channels) -> anyhow::Result<Cost> {
        let mut cost = self.costs.cost(channels)?;
        let idx = all_networks(self.graph).iter().position(|other| other == channels).unwrap();
        // The smallest network is always possible.
        if self.refused[idx] && idx > 0 {
            cost.ram *= 1.3;
        }
        Ok(cost)
    }

    fn latency_unit(&self) -> &str {
        "cycles"
    }

    fn parts(&self) -> anyhow::Result<Vec<Part>> {
        self.costs.parts()
    }
}

/// Layers between neighbouring units: their latency has steps, their flash is a product.
struct Chain<'a>(&'a Graph);

impl Chain<'_> {
    fn layer(c_in: usize, c_out: usize) -> Cost {
        let latency = exact((c_in.div_ceil(16) * c_out.div_ceil(16) * 100 + c_in + 3 * c_out) as f64);
        Cost { flash: (c_in * c_out) as f64, ..latency }
    }
}

impl CostModel for Chain<'_> {
    fn cost(&self, Channels(c): &Channels) -> anyhow::Result<Cost> {
        let layers: Vec<Cost> = c.windows(2).map(|pair| Chain::layer(pair[0], pair[1])).collect();
        let sum = |resource| layers.iter().map(|layer| layer.amount(resource)).sum();
        let latency = exact(sum(Resource::Latency)).latency;
        let flash = sum(Resource::Flash);
        Ok(Cost { latency, ram: 1.0, flash, macs: flash })
    }

    fn latency_unit(&self) -> &str {
        "cycles"
    }

    fn parts(&self) -> anyhow::Result<Vec<Part>> {
        let part = |unit: usize| {
            let pair = units(&[&self.0.units[unit].bins, &self.0.units[unit + 1].bins]);
            let layer = |Channels(c): Channels| Chain::layer(c[0], c[1]);
            let loads = Costs(&pair, |c: &[usize]| layer(Channels(c.to_vec()))).parts()?.remove(0).loads;
            Ok(Part { units: vec![unit, unit + 1], loads })
        };
        (0..self.0.units.len() - 1).map(part).collect()
    }
}

#[test]
fn costs_that_are_no_sum_are_refused_with_another_strategy() {
    struct Whole<'a>(&'a dyn CostModel);
    impl CostModel for Whole<'_> {
        fn cost(&self, channels: &Channels) -> anyhow::Result<Cost> {
            self.0.cost(channels)
        }
        fn latency_unit(&self) -> &str {
            self.0.latency_unit()
        }
    }
    let graph = units(&[&[8, 16][..]; 2]);
    let costs = Costs(&graph, chain);
    let error = run_whole((&graph, &Whole(&costs)), |_| 0.5, Strategy::Dp, &[latency(150.0)])
        .unwrap_err()
        .to_string();
    assert!(error.contains("dp:") && error.contains("not a sum") && error.contains("greedy-kl"), "{error}");
}

#[test]
fn channels_that_depend_on_too_many_others_are_refused_without_a_price() {
    let prices = Prices::new(&CostTable::new(Provenance::default()));
    let unpriced = Capacity { arena_bytes: 0, model_bytes: 0 };
    let task = zoo::Task::of("shufflenet-v2-imagenet");
    for (bin_multiple, strategy) in [1, 8].into_iter().flat_map(|n| Strategy::ALL.map(|by| (n, by))) {
        let options = zoo::ZooOptions { bin_multiple, ..zoo::ZooOptions::default() };
        let graph = zoo::network("shufflenet-v2-imagenet", task.input, task.classes, options).unwrap();
        let checked = check_parts(&graph, &TableCosts::new(&graph, &prices, unpriced), strategy);
        if bin_multiple == 1 && [Strategy::Dp, Strategy::MacsDp].contains(&strategy) {
            let error = checked.unwrap_err().to_string();
            assert!(error.contains(&format!("{strategy}: ")) && error.contains("bin_multiple"), "{error}");
        } else {
            checked.unwrap();
        }
    }
}

#[test]
fn where_no_network_can_be_priced_nothing_is_proven() {
    let graph = units(&[&[8, 16][..]; 2]);
    let costs = Costs(&graph, |c: &[usize]| Cost { latency: None, ..chain(c) });
    let found = dp(&graph, &costs, |_| 0.5, &[BudgetSet(vec![])], &Options::default()).found.remove(0);
    assert!(!found.meets && found.gap.is_none(), "{found:?}");
}

/// How far the answers of a strategy are below the best, summed over budgets.
fn shortfall(
    graph: &Graph,
    costs: &dyn CostModel,
    accuracy: &dyn Fn(&[usize]) -> f64,
    strategy: Strategy,
) -> f64 {
    let goals: Vec<BudgetSet> =
        [0.1, 0.2, 0.3, 0.45, 0.6].map(|share| goal(costs, graph, [Some(share), None, None])).into();
    let trace = run_whole((graph, costs), accuracy, strategy, &goals).unwrap();
    let short = |(goal, found): (&BudgetSet, &crate::search::Found)| {
        best_of_all(graph, costs, accuracy, goal) - found.estimate.accuracy
    };
    goals.iter().zip(&trace.found).map(short).sum()
}

#[test]
fn the_gap_of_every_strategy_on_problems_of_a_known_optimum() {
    let graph = units(&[&[8, 16, 24, 32, 40][..]; 5]);
    let own = |c: &[usize]| {
        c.iter().zip([1.0, 0.3, 2.0, 0.7, 0.5]).map(|(&c, w)| w * (1.0 / c as f64 - 1.0 / 40.0)).sum::<f64>()
    };
    // Narrow neighbours hurt more together than each alone.
    let pairs = |c: &[usize]| {
        c.windows(2).map(|pair| (1.0 / pair[0] as f64 - 0.025) * (1.0 / pair[1] as f64 - 0.025)).sum::<f64>()
    };
    let additive = |c: &[usize]| 1.0 - own(c);
    let pairwise = |c: &[usize]| 1.0 - own(c) - 5.0 * pairs(c);
    let (smooth, steps) = (Costs(&graph, chain), Chain(&graph));
    let gaps = |costs: &dyn CostModel, accuracy: &dyn Fn(&[usize]) -> f64| {
        // Networks over the budget would be better than the best.
        let strategies = Strategy::ALL.into_iter().filter(|strategy| !strategy.limits_macs());
        strategies
            .map(|strategy| (strategy, shortfall(&graph, costs, accuracy, strategy)))
            .collect::<Vec<_>>()
    };
    for (problem, gaps) in [
        ("additive", gaps(&smooth, &additive)),
        ("staircase", gaps(&steps, &additive)),
        ("pairwise", gaps(&smooth, &pairwise)),
    ] {
        println!("{problem}: {gaps:.4?}");
        let of = |strategy: Strategy| gaps.iter().find(|gap| gap.0 == strategy).unwrap().1;
        for &(strategy, gap) in &gaps {
            assert!(gap > -1e-9, "{problem}: {strategy} beats the best by {gap}");
        }
        assert!(problem == "pairwise" || of(Strategy::Dp) < 1e-9, "{problem}: {}", of(Strategy::Dp));
        assert!(of(Strategy::Dp) < 0.1 * of(Strategy::Autoslim), "{problem}: {gaps:?}");
    }
}

#[test]
fn one_sweep_serves_all_budgets_with_fewer_estimates_than_a_descent() {
    let graph = units(&[&[8, 16, 24, 32, 40, 48, 56, 64][..]; 6]);
    let costs = Chain(&graph);
    let accuracy = |c: &[usize]| 1.0 - c.iter().map(|&c| 1.0 / c as f64).sum::<f64>();
    let goals: Vec<BudgetSet> =
        [0.05, 0.2, 0.4, 0.6].map(|share| goal(&costs, &graph, [Some(share), None, None])).into();
    let n_estimates = |strategy| {
        let mut formula = Formula::new(accuracy);
        run_with(&Options::default(), (&graph, &costs), &mut formula, strategy, &goals, &[], &mut vec![])
            .unwrap();
        formula.n_taken
    };
    // The widest, five more bins of every unit, an answer per budget.
    assert!(n_estimates(Strategy::Dp) <= 1 + 6 * 5 + 4);
    assert!(n_estimates(Strategy::Dp) * 4 < n_estimates(Strategy::GreedyKl));
}

#[test]
fn deep_networks_are_solved_to_a_small_gap() {
    for name in ["mobilenet-v1", "mobilenet-v2", "resnet-8", "resnet-56"] {
        let graph = zoo::network(name, Shape { h: 32, w: 32, c: 3 }, 10, zoo::ZooOptions::default()).unwrap();
        let prices = random_prices(&graph);
        let costs = TableCosts::new(&graph, &prices, Capacity::UNLIMITED);
        let weight = |unit: usize| 0.5 + (unit * 7 % 5) as f64 / 4.0;
        let accuracy =
            |c: &[usize]| 1.0 - c.iter().enumerate().map(|(i, &c)| weight(i) / c as f64).sum::<f64>();
        let goals = [0.1, 0.3, 0.6].map(|share| goal(&costs, &graph, [Some(share), Some(share), Some(0.8)]));
        let began = std::time::Instant::now();
        let trace = dp(&graph, &costs, accuracy, &goals, &Options::default());
        println!("{name}: {} units, {:?}", graph.units.len(), began.elapsed());
        for found in &trace.found {
            println!("  {:.5} gap {:?}", found.estimate.accuracy, found.gap);
            assert!(found.gap.unwrap() < 0.01 * (1.0 - found.estimate.accuracy), "{name}: {found:?}");
        }
    }
}

#[test]
fn a_sweep_takes_a_tenth_of_the_estimates_of_a_descent_where_there_are_ten_units() {
    for name in ["mobilenet-v1-tiny", "mobilenet-v1", "resnet-20"] {
        let graph = zoo::network(name, Shape { h: 32, w: 32, c: 3 }, 10, zoo::ZooOptions::default()).unwrap();
        let prices = random_prices(&graph);
        let costs = TableCosts::new(&graph, &prices, Capacity::UNLIMITED);
        let accuracy = |c: &[usize]| 1.0 - c.iter().map(|&c| 1.0 / c as f64).sum::<f64>();
        let goals = [0.1, 0.4].map(|share| goal(&costs, &graph, [Some(share), None, None]));
        let [sweep, descent] = [Strategy::Dp, Strategy::Autoslim].map(|strategy| {
            let mut formula = Formula::new(accuracy);
            let options = Options::default();
            run_with(&options, (&graph, &costs), &mut formula, strategy, &goals, &[], &mut vec![]).unwrap();
            formula.n_taken
        });
        println!("{name}: {} units, {sweep} estimates, {descent} of autoslim", graph.units.len());
        assert!(graph.units.len() < 10 || sweep * 10 <= descent, "{name}: {sweep} and {descent}");
        assert!(sweep * 5 <= descent, "{name}: {sweep} and {descent}");
    }
}
