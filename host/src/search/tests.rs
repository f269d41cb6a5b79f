use super::synthetic::{Costs, Formula, all_networks, exact, latency, run, run_whole, units};
use super::{
    BudgetSet, Cost, CostModel as _, Estimate, Hooks, Options, Price, Problem, Score, SearchError, Strategy,
    Trace, search,
};
use crate::network::{Channels, Graph, Unit};
use proptest::prelude::*;
use reports::record::{Budget, Resource};
use std::cell::Cell;

const BINS: &[usize] = &[8, 16, 24, 32, 40];

fn four_units() -> Graph {
    units(&[BINS; 4])
}

/// Concave in every unit, of different weights.
fn concave(c: &[usize]) -> f64 {
    c.iter().zip([1.0, 0.3, 2.0, 0.7]).map(|(&c, weight)| weight * (c as f64).sqrt()).sum::<f64>() / 30.0
}

fn every_channel_costs_the_same(c: &[usize]) -> Cost {
    exact(c.iter().sum::<usize>() as f64)
}

/// A chain of layers: channels cost the product with their neighbours'.
fn chain(c: &[usize]) -> Cost {
    exact(c.windows(2).map(|pair| (pair[0] * pair[1]) as f64).sum::<f64>() + c[0] as f64)
}

#[test]
fn greedy_finds_the_optimum_of_a_separable_concave_problem() {
    let graph = four_units();
    for limit in [40.0, 64.0, 96.0, 120.0, 152.0] {
        let costs = Costs(&graph, every_channel_costs_the_same);
        let trace = run_whole((&graph, &costs), concave, Strategy::Autoslim, &[latency(limit)]).unwrap();
        let affordable = |c: &Channels| c.0.iter().sum::<usize>() as f64 <= limit;
        let networks = all_networks(&graph).into_iter().filter(affordable);
        let best = networks.map(|c| concave(&c.0)).fold(0.0, f64::max);
        let found = &trace.found[0];
        assert!((found.estimate.accuracy - best).abs() < 1e-8, "{limit}: {:?}, optimum {best}", found);
    }
}

#[test]
fn one_descent_finds_for_several_budgets_what_separate_descents_find() {
    let graph = four_units();
    let costs = Costs(&graph, chain);
    let budgets = [latency(2000.0), latency(400.0), latency(1e9), latency(1000.0)];
    for strategy in Strategy::ALL {
        let together = run_whole((&graph, &costs), concave, strategy, &budgets).unwrap();
        for (budget, found) in budgets.iter().zip(&together.found) {
            let alone = run_whole((&graph, &costs), concave, strategy, std::slice::from_ref(budget)).unwrap();
            assert_eq!(&alone.found[0], found, "{strategy}");
        }
    }
}

#[test]
fn a_budget_above_the_widest_network_is_met_by_the_widest() {
    let graph = four_units();
    let costs = Costs(&graph, chain);
    for strategy in Strategy::ALL {
        let trace = run_whole((&graph, &costs), concave, strategy, &[latency(1e9)]).unwrap();
        assert_eq!(trace.found[0].channels, graph.widest(), "{strategy}");
        assert_eq!(trace.visits.len(), 1, "{strategy}");
    }
}

#[test]
fn an_impossible_budget_is_refused_before_the_first_estimate() {
    let graph = four_units();
    let costs = Costs(&graph, chain);
    for strategy in Strategy::ALL {
        let mut formula = Formula::new(concave);
        let budgets = [latency(1000.0), BudgetSet(vec![Budget { resource: Resource::Ram, limit: 150.0 }])];
        let error = run((&graph, &costs), &mut formula, strategy, &budgets, &[], &mut vec![]).unwrap_err();
        assert_eq!(formula.n_taken, 0);
        assert_eq!(
            error.to_string(),
            format!(
                "{strategy}: no subnet of synthetic has ram of at most 150 bytes, the smallest needs 200; raise \
                 the budget or train the supernet with a smaller min_width"
            )
        );
    }
}

#[test]
fn all_budgets_of_a_set_hold_at_once() {
    let graph = four_units();
    let costs = Costs(&graph, |c: &[usize]| Cost { ram: 1000.0 * c[0] as f64, ..chain(c) });
    let ram = Budget { resource: Resource::Ram, limit: 16_000.0 };
    let both = BudgetSet([latency(3000.0).0, vec![ram]].concat());
    for strategy in Strategy::ALL.into_iter().filter(|strategy| !strategy.limits_macs()) {
        let found =
            &run_whole((&graph, &costs), concave, strategy, std::slice::from_ref(&both)).unwrap().found[0];
        assert!(
            found.meets && found.channels.0[0] <= 16 && found.cost.amount(Resource::Latency) <= 3000.0,
            "{found:?}"
        );
    }
}

#[test]
fn macs_alone_miss_a_latency_that_they_do_not_explain() {
    let graph = units(&[BINS; 2]);
    // The first unit's channels are slow but few operations.
    let latency_of = |c: &[usize]| exact((9 * c[0] + c[1]) as f64).latency;
    let costs =
        Costs(&graph, |c: &[usize]| Cost { latency: latency_of(c), ..exact((c[0] + 9 * c[1]) as f64) });
    let accuracy = |c: &[usize]| (c[0] as f64 * 0.01 + c[1] as f64 * 0.001).min(0.9);
    let budget = [latency(200.0)];
    let flops = run_whole((&graph, &costs), accuracy, Strategy::Flops, &budget).unwrap();
    assert!(!flops.found[0].meets && flops.found[0].cost.macs <= 200.0);
    let autoslim = run_whole((&graph, &costs), accuracy, Strategy::Autoslim, &budget).unwrap();
    assert!(autoslim.found[0].meets);
}

#[test]
fn networks_with_layers_too_large_to_be_measured_are_passed_but_never_chosen() {
    let (graph, largest) = (four_units(), BINS[BINS.len() / 2]);
    let costs = Costs(&graph, |c: &[usize]| {
        let fits = c.iter().all(|&channels| channels <= largest);
        Cost { latency: chain(c).latency.filter(|_| fits), ..chain(c) }
    });
    let unlimited = BudgetSet(vec![]);
    for strategy in Strategy::ALL {
        let trace = run_whole((&graph, &costs), concave, strategy, std::slice::from_ref(&unlimited)).unwrap();
        assert!(trace.found[0].meets, "{strategy}");
        assert!(trace.found[0].channels.0.iter().all(|&c| c <= largest), "{strategy}: {:?}", trace.found);
    }
    let error = run_whole((&graph, &costs), concave, Strategy::Flops, &[latency(500.0)]).unwrap_err();
    assert!(error.to_string().contains("does not fit the board"), "{error}");
}

#[test]
fn ties_in_accuracy_go_to_the_lower_loss_and_then_to_the_first_unit() {
    let estimate =
        |accuracy, loss| Estimate { accuracy, loss, loss_error: 0.0, kl: 0.0, kl_error: 0.0, n: 10 };
    let harm = |accuracy, loss| estimate(accuracy, loss).harm(Score::Accuracy);
    assert!(harm(0.5, 1.0) < harm(0.4, 0.1) && harm(0.5, 1.0) < harm(0.5, 1.1));
    let graph = units(&[BINS; 3]);
    let flat =
        run_whole((&graph, &Costs(&graph, chain)), |_| 0.5, Strategy::Autoslim, &[latency(3000.0)]).unwrap();
    assert_eq!(flat.visits[flat.path[1]].channels.0, [32, 40, 40]);
}

#[test]
fn random_networks_use_up_the_budget_or_cannot_grow() {
    let graph = four_units();
    let costs = Costs(&graph, chain);
    for limit in [280.0, 700.0, 1500.0, 4000.0] {
        let trace = run_whole((&graph, &costs), concave, Strategy::Random, &[latency(limit)]).unwrap();
        assert!(trace.visits.len() >= 2, "{limit}: {} candidates", trace.visits.len());
        for visit in &trace.visits {
            let used = visit.cost.amount(Resource::Latency) / limit;
            let grown = (0..4).filter_map(|u| {
                let mut wider = visit.channels.0.clone();
                wider[u] = *BINS.iter().find(|&&b| b > wider[u])?;
                Some(chain(&wider).amount(Resource::Latency))
            });
            let maximal = grown.fold(f64::INFINITY, f64::min) > limit;
            assert!(used <= 1.0 && (used >= 0.9 || maximal), "{limit}: {visit:?}");
        }
        let best = trace.visits.iter().map(|v| v.estimate.unwrap().accuracy).fold(0.0, f64::max);
        assert_eq!(trace.found[0].estimate.accuracy, best);
    }
}

#[test]
fn uniform_finds_the_widest_ratio_that_meets_the_budget() {
    let graph = units(&[BINS, &[8, 16], &[4, 8, 12, 16, 20, 24], BINS]);
    let costs = Costs(&graph, chain);
    for limit in [300.0, 800.0, 1700.0] {
        let trace = run_whole((&graph, &costs), concave, Strategy::Uniform, &[latency(limit)]).unwrap();
        let at = |ratio: f64| -> Vec<usize> {
            let nearest = |unit: &Unit| {
                let distance = |b: usize| (b as f64 - ratio * unit.full as f64).abs();
                *unit.bins.iter().rev().min_by(|a, b| distance(**a).total_cmp(&distance(**b))).unwrap()
            };
            graph.units.iter().map(nearest).collect()
        };
        let mut ratios = (0..=20_000).rev().map(|i| f64::from(i) / 20_000.0);
        let widest = ratios.find(|&r| chain(&at(r)).amount(Resource::Latency) <= limit).unwrap();
        assert_eq!(trace.found[0].channels.0, at(widest), "{limit}");
        assert_eq!(trace.visits.iter().filter(|v| v.estimate.is_some()).count(), 1);
    }
}

#[test]
fn a_stopped_search_goes_on_to_the_bytes_of_an_uninterrupted_one() {
    let graph = four_units();
    let costs = Costs(&graph, chain);
    let budgets = [latency(1500.0), latency(500.0)];
    // Values that need all digits of an f64.
    let accuracy = |c: &[usize]| (concave(c) * 1.1).sin() / 3.0;
    for strategy in Strategy::ALL {
        let (mut whole, mut formula) = (vec![], Formula::new(accuracy));
        run((&graph, &costs), &mut formula, strategy, &budgets, &[], &mut whole).unwrap();
        let n_estimates = formula.n_taken;
        for stop_at in 1..n_estimates {
            let (mut saved, mut formula) = (vec![], Formula::new(accuracy));
            formula.stop_at = stop_at;
            let error = run((&graph, &costs), &mut formula, strategy, &budgets, &[], &mut saved).unwrap_err();
            assert!(
                matches!(error, SearchError::Stopped { n_estimates } if n_estimates == stop_at),
                "{error}"
            );
            let earlier: Trace = serde_json::from_slice(saved.last().unwrap()).unwrap();
            let mut formula = Formula::new(accuracy);
            run((&graph, &costs), &mut formula, strategy, &budgets, &[earlier], &mut saved).unwrap();
            assert_eq!(formula.n_taken, n_estimates - stop_at, "no estimate is taken twice");
            assert!(saved.last() == whole.last(), "{strategy} stopped at {stop_at}");
        }
    }
}

#[test]
fn strategies_share_estimates_but_not_those_of_another_estimator() {
    let graph = four_units();
    let costs = Costs(&graph, chain);
    let budgets = [latency(500.0)];
    let mut first = run_whole((&graph, &costs), concave, Strategy::Autoslim, &budgets).unwrap();
    let taken = |earlier: &Trace| {
        let mut formula = Formula::new(concave);
        let earlier = std::slice::from_ref(earlier);
        run((&graph, &costs), &mut formula, Strategy::Flops, &budgets, earlier, &mut vec![]).unwrap();
        formula.n_taken
    };
    assert_eq!(taken(&first), 0);
    first.estimator = "another supernet".into();
    assert!(taken(&first) > 0);
}

#[test]
fn a_cost_model_that_says_0_is_refused() {
    let graph = four_units();
    let costs = Costs(&graph, |c: &[usize]| Cost { latency: exact(0.0).latency, ..chain(c) });
    for strategy in Strategy::ALL {
        let error = run_whole((&graph, &costs), concave, strategy, &[latency(500.0)]).unwrap_err();
        assert!(matches!(error, SearchError::Unsound { .. }), "{error}");
    }
}

#[test]
fn an_accuracy_that_is_no_number_ends_the_search_and_keeps_the_others() {
    let calls = Cell::new(0);
    let fails_late = |c: &[usize]| {
        calls.set(calls.get() + 1);
        if calls.get() == 4 { f64::NAN } else { concave(c) }
    };
    let (mut saved, mut formula) = (vec![], Formula::new(fails_late));
    let (graph, budgets) = (four_units(), [latency(500.0)]);
    let result =
        run((&graph, &Costs(&graph, chain)), &mut formula, Strategy::Autoslim, &budgets, &[], &mut saved);
    assert!(matches!(result, Err(SearchError::NotFinite { .. })));
    let trace: Trace = serde_json::from_slice(saved.last().unwrap()).unwrap();
    assert_eq!(trace.visits.iter().filter(|v| v.estimate.is_some()).count(), 3);
}

#[test]
fn more_bins_per_step_need_fewer_estimates() {
    let graph = four_units();
    let costs = Costs(&graph, chain);
    let n_visits = |bins_per_step| {
        let mut formula = Formula::new(concave);
        let mut problem = Problem { graph: &graph, costs: &costs, accuracy: &mut formula, seed: 1 };
        let stop = std::sync::atomic::AtomicBool::new(false);
        let hooks = Hooks { stop: &stop, save: &mut |_| Ok(()), watch: &mut |_| {} };
        let options = Options { bins_per_step, ..Options::default() };
        search(&mut problem, Strategy::Autoslim, &[latency(500.0)], &options, &[], hooks)
            .unwrap()
            .visits
            .len()
    };
    assert!(n_visits(2) < n_visits(1));
}

/// Prices without any order: `[units][bins]` of value and width of the interval.
fn any_table() -> impl proptest::strategy::Strategy<Value = Vec<Vec<(f64, f64)>>> {
    prop::collection::vec(prop::collection::vec((1.0..100.0f64, 0.0..30.0f64), BINS.len()), 4)
}

proptest! {
    #[test]
    fn no_search_exceeds_its_budget(table in any_table(), share in 0.0..1.2f64, macs_share in 0.0..1.2f64) {
        let graph = four_units();
        let costs = Costs(&graph, |c: &[usize]| {
            let cells = c.iter().zip(&table).map(|(c, prices)| prices[c / 8 - 1]);
            let (value, width) = cells.fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
            let latency = Some(Price { value, low: value - width, high: value + width });
            Cost { latency, ..chain(c) }
        });
        let (small, wide) = (costs.cost(&graph.smallest()).unwrap(), costs.cost(&graph.widest()).unwrap());
        let between = |a: f64, b: f64, share: f64| a + (b - a).abs() * share;
        let macs = Budget { resource: Resource::Macs, limit: between(small.macs, wide.macs, macs_share) };
        let budgets = [
            latency(between(small.amount(Resource::Latency), wide.amount(Resource::Latency), share)),
            BudgetSet([latency(between(small.amount(Resource::Latency), wide.amount(Resource::Latency), share)).0, vec![macs]].concat()),
        ];
        for strategy in Strategy::ALL {
            let result = run_whole((&graph, &costs), concave, strategy, &budgets);
            if strategy.limits_macs() && matches!(result, Err(SearchError::Impossible { .. })) {
                continue; // its MACs are not those of the budget
            }
            for (budget, found) in budgets.iter().zip(result.unwrap().found) {
                let cost = costs.cost(&found.channels).unwrap();
                let holds = budget.0.iter().all(|b| match b.resource {
                    Resource::Latency => cost.amount(Resource::Latency) <= b.limit,
                    _ => cost.macs <= b.limit,
                });
                prop_assert_eq!(found.meets, holds);
                prop_assert!(holds || strategy.limits_macs(), "{} {:?} {:?}", strategy, budget, found);
            }
        }
    }
}
