use super::*;
use crate::search::problem::Price;
use proptest::prelude::*;

const CYCLES: LatencyUnit<'_> = LatencyUnit { board: "nucleo-l4r5zi", unit: "cycles", core_hz: 120_000_000 };

fn full() -> Cost {
    let latency = Some(Price { value: 1e6, low: 0.9e6, high: 1.2e6 });
    Cost { latency, ram: 40_000.0, flash: 80_000.0, macs: 2.5e6 }
}

fn limit(text: &str) -> f64 {
    text.parse::<BudgetSpec>().unwrap().resolve(&full(), CYCLES).unwrap().limit
}

fn message(text: &str) -> String {
    text.parse::<BudgetSetSpec>().unwrap_err().to_string()
}

#[test]
fn a_share_of_a_latency_that_the_full_network_does_not_have_is_refused() {
    let too_large = Cost { latency: None, ..full() };
    let resolve = |text: &str| text.parse::<BudgetSpec>().unwrap().resolve(&too_large, CYCLES);
    let error = resolve("latency 50%").unwrap_err().to_string();
    assert!(error.contains("does not fit nucleo-l4r5zi") && error.contains("--latency 3.5M"), "{error}");
    assert_eq!(resolve("latency 3.5M").unwrap().limit, 3.5e6);
    assert_eq!(resolve("ram 50%").unwrap().limit, 20_000.0);
}

#[test]
fn what_has_no_latency_meets_no_budget() {
    let too_large = Cost { latency: None, ..full() };
    for limits in ["macs 1G", "ram 1MB", "latency 1G"] {
        let set: BudgetSetSpec = limits.parse().unwrap();
        let set = set.resolve(&full(), CYCLES).unwrap();
        assert!(set.is_met_by(&full()) && !set.is_met_by(&too_large), "{limits}");
    }
}

#[test]
fn amounts_come_to_the_limits_worked_by_hand() {
    for (text, expected) in [
        ("latency 50%", 500_000.0),
        ("latency 12ms", 1_440_000.0),
        ("latency 250 us", 30_000.0),
        ("latency 0.5s", 60_000_000.0),
        ("latency 3.5M", 3_500_000.0),
        ("latency 1.1M", 1_100_000.0),
        ("latency 1_500_000", 1_500_000.0),
        ("ram 20kB", 20_000.0),
        ("ram 25%", 10_000.0),
        ("flash 60KiB", 61_440.0),
        ("flash 512", 512.0),
        ("macs 1.5M", 1_500_000.0),
        ("macs 40%", 1_000_000.0),
        ("macs 150%", 3_750_000.0),
    ] {
        assert_eq!(limit(text), expected, "{text}");
    }
}

#[test]
fn a_time_needs_cycles_of_a_known_clock() {
    let spec: BudgetSpec = "latency 12ms".parse().unwrap();
    let emulated = LatencyUnit { board: "virtual-m4", unit: "instructions", core_hz: 0 };
    let error = spec.resolve(&full(), emulated).unwrap_err().to_string();
    assert_eq!(error, "the table of virtual-m4 is in instructions; give --latency 40% or --latency 3.5M");
    let unclocked = LatencyUnit { core_hz: 0, ..CYCLES };
    assert!(spec.resolve(&full(), unclocked).unwrap_err().to_string().contains("unknown clock"));
}

#[test]
fn a_unit_of_another_resource_names_those_that_fit() {
    assert!(message("ram 20ms").contains("ram cannot be given in `ms`; it takes %, B, kB"));
    assert!(message("ram 20k").contains("KiB"));
    assert!(message("latency 20kB").contains("ms or s"));
    assert!(message("macs 3s").contains("k, M or G"));
}

#[test]
fn what_is_no_budget_is_refused_with_an_example() {
    for text in ["", "latency", "50%", "latency 0%", "latency 0", "latency -5%", "latency 1.2.3", "ram nan"] {
        assert!(message(text).contains("such as"), "{text}: {}", message(text));
    }
    assert!(message("latancy 50%").contains("did you mean `latency`"));
    assert!(message(&format!("macs {}", "9".repeat(400))).contains("too large"));
}

#[test]
fn joined_budgets_must_hold_at_once() {
    let set: BudgetSetSpec = "latency 50% and ram 20kB".parse().unwrap();
    let set = set.resolve(&full(), CYCLES).unwrap();
    let cost =
        |high: f64, ram: f64| Cost { latency: Some(Price { value: 1.0, low: 1.0, high }), ram, ..full() };
    assert!(set.is_met_by(&cost(500_000.0, 20_000.0)));
    assert!(!set.is_met_by(&cost(500_001.0, 20_000.0)), "the upper end of the price counts");
    assert!(!set.is_met_by(&cost(500_000.0, 20_001.0)));
    assert_eq!(set.usage(&cost(250_000.0, 15_000.0)), 0.75);
}

fn any_spec() -> impl Strategy<Value = BudgetSpec> {
    let amount = 1e-6..1e15f64;
    (0..RESOURCES.len(), 0..3, amount, any::<bool>()).prop_map(|(resource, kind, x, whole)| {
        let resource = RESOURCES[resource].1;
        let x = if whole { x.ceil() } else { x };
        let amount = match kind {
            0 => Amount::Percent(x),
            1 if resource == Resource::Latency => Amount::Time { ms: x },
            _ => Amount::Absolute(x),
        };
        BudgetSpec { resource, amount }
    })
}

proptest! {
    #[test]
    fn what_is_displayed_parses_to_the_same(specs in prop::collection::vec(any_spec(), 1..4)) {
        let set = BudgetSetSpec(specs);
        prop_assert_eq!(set.to_string().parse(), Ok(set));
    }

    #[test]
    fn no_text_panics(text in "\\PC*", near in "(latency|ram|flash|macs|and| )* ?[0-9._]*(%|ms|µs|kB|KiB|M|é)?") {
        let _ = text.parse::<BudgetSetSpec>();
        let _ = near.parse::<BudgetSetSpec>();
        let _ = BudgetSpec::with_amount(Resource::Latency, &text);
    }
}
