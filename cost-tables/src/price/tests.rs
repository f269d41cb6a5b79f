use super::*;
use device_bench::{Op, Padding};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn conv(c_in: u16, c_out: u16) -> LayerSpec {
    LayerSpec::conv(14, 14, c_in, c_out, 3, 1, Padding::all(1))
}

fn depthwise(c: u16) -> LayerSpec {
    LayerSpec::depthwise(14, 14, c, 3, 1, Padding::all(1))
}

fn table_of(layers: impl IntoIterator<Item = (LayerSpec, u64)>) -> CostTable {
    let mut table = CostTable::new(Provenance { board: "virtual-m4".into(), ..Provenance::default() });
    for (spec, ticks) in layers {
        table.insert(spec, Entry { cold: ticks, n_calls: 1, samples: vec![ticks] }).unwrap();
    }
    table
}

fn grid(step: usize) -> Vec<LayerSpec> {
    let counts = || (8..=128).step_by(step);
    counts().flat_map(|c_in| counts().map(move |c_out| conv(c_in, c_out))).collect()
}

/// Weights leave the cache somewhere in the middle: a cost that no bilinear model has.
fn cliff(spec: &LayerSpec) -> u64 {
    let (x, y) = (f64::from(spec.c_in), f64::from(spec.c_out));
    let missed = 1.0 / (1.0 + ((600.0 - x * y) / 80.0).exp());
    (100.0 * (500.0 + 30.0 * x + 90.0 * y + 4.0 * x * y) * (1.0 + missed)) as u64
}

fn relative_error(prices: &Prices, spec: &LayerSpec, truth: u64) -> f64 {
    (prices.price(spec).unwrap().value / truth as f64 - 1.0).abs()
}

#[test]
fn what_was_measured_is_priced_by_its_own_samples() {
    let mut table = table_of(grid(40).into_iter().map(|spec| (spec, cliff(&spec))));
    let odd = Entry { cold: 1, n_calls: 10, samples: vec![70, 50, 60, 90] };
    table.insert(conv(48, 48), odd).unwrap();
    let price = Prices::new(&table).price(&conv(48, 48)).unwrap();
    assert_eq!(price, Price { value: 6.5, low: 5.0, high: 9.0, how: How::Measured });
}

#[test]
fn an_unknown_family_is_refused_by_name() {
    let prices = Prices::new(&table_of([(conv(8, 8), 100)]));
    let error = prices.price(&depthwise(8)).unwrap_err();
    assert_eq!(error, PriceError::Missing { board: "virtual-m4".into(), layer: depthwise(8) });
    assert_eq!(
        error.to_string(),
        "virtual-m4: neither depthwise 14x14x8->8 k3 s1 p1,1,1,1 nor the same layer with other channels was \
         measured; run `edgeslim profile` for this network"
    );
}

#[test]
fn extrapolation_is_refused_with_the_measured_range() {
    let prices = Prices::new(&table_of([(conv(8, 8), 100), (conv(8, 64), 700), (conv(64, 16), 900)]));
    assert!(prices.price(&conv(20, 20)).is_ok());
    for layer in [conv(7, 8), conv(65, 16), conv(8, 65), conv(64, 64)] {
        let (c_in, c_out) = ((8, 64), (8, 64));
        let expected = PriceError::OutOfRange { board: "virtual-m4".into(), layer, c_in, c_out };
        assert_eq!(prices.price(&layer), Err(expected));
    }
    let error = prices.price(&conv(7, 8)).unwrap_err().to_string();
    assert!(error.contains("(c_in 8 to 64, c_out 8 to 64)"), "{error}");
}

#[test]
fn too_few_layers_to_hold_out_give_the_bounds_of_the_family() {
    let prices = Prices::new(&table_of([(depthwise(8), 100), (depthwise(64), 660)]));
    let price = prices.price(&depthwise(32)).unwrap();
    assert!((price.value - 340.0).abs() < 1e-6);
    assert_eq!((price.low, price.high, price.how), (100.0, 660.0, How::Interpolated));
    assert_eq!(prices.held_out_error(), None);
}

#[test]
fn a_total_adds_values_and_bounds() {
    let prices = Prices::new(&table_of([(depthwise(8), 100), (depthwise(64), 660), (conv(8, 8), 50)]));
    let total = prices.total(&[conv(8, 8), depthwise(8)]).unwrap();
    assert_eq!(total, Price { value: 150.0, low: 150.0, high: 150.0, how: How::Measured });
    let total = prices.total(&[depthwise(32), conv(8, 8)]).unwrap();
    assert_eq!((total.low, total.high, total.how), (150.0, 710.0, How::Interpolated));
    assert!(prices.total(&[conv(8, 8), conv(9, 8)]).is_err());
}

#[test]
fn corrections_multiply() {
    let prices = Prices::new(&table_of([(conv(8, 8), 100)]));
    let prices = prices.with_correction(1.5).and_then(|prices| prices.with_correction(2.0)).unwrap();
    let price = prices.price(&conv(8, 8)).unwrap();
    assert_eq!((price.value, price.low, price.high), (300.0, 300.0, 300.0));
    for factor in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(prices.clone().with_correction(factor).is_err());
    }
}

#[test]
fn bounds_hold_for_nine_of_ten_layers_between_the_measured() {
    let measured = grid(24);
    let prices = Prices::new(&table_of(measured.iter().map(|spec| (*spec, cliff(spec)))));
    let others: Vec<_> = grid(8).into_iter().filter(|spec| !measured.contains(spec)).collect();
    let within = others.iter().filter(|spec| {
        let price = prices.price(spec).unwrap();
        (price.low..=price.high).contains(&(cliff(spec) as f64))
    });
    assert!(within.count() * 10 >= others.len() * 9);
}

#[test]
fn the_outermost_layers_are_measured_first() {
    let mut wanted = grid(8);
    wanted.extend([depthwise(16), depthwise(8), depthwise(24)]);
    let first = next_to_measure(&table_of([]), &wanted, 20);
    let corners = [conv(8, 8), conv(128, 8), conv(128, 128), conv(8, 128), depthwise(8), depthwise(24)];
    assert_eq!(first, corners);
    assert_eq!(next_to_measure(&table_of([]), &wanted, 2), corners[..2]);
}

#[test]
fn measuring_the_least_certain_layers_beats_measuring_evenly() {
    let wanted = grid(8);
    let even = table_of(grid(24).into_iter().map(|spec| (spec, cliff(&spec))));
    let mut table = table_of([]);
    while table.len() < even.len() {
        for spec in next_to_measure(&table, &wanted, 4.min(even.len() - table.len())) {
            let ticks = cliff(&spec);
            table.insert(spec, Entry { cold: ticks, n_calls: 1, samples: vec![ticks] }).unwrap();
        }
    }
    let ticks_off = |table: &CostTable| {
        let prices = Prices::new(table);
        let off = |spec: &LayerSpec| relative_error(&prices, spec, cliff(spec)) * cliff(spec) as f64;
        wanted.iter().map(off).sum::<f64>()
    };
    assert!(ticks_off(&table) < ticks_off(&even), "{} {}", ticks_off(&table), ticks_off(&even));
}

/// Coefficients of a cost that is exactly the model's.
fn bilinear() -> impl Strategy<Value = [u64; 4]> {
    [0u64..1_000_000, 0..10_000, 0..10_000, 1..1_000]
}

fn cost([a, b, c, d]: [u64; 4], spec: &LayerSpec) -> u64 {
    let (x, y) = (u64::from(spec.c_in), u64::from(spec.c_out));
    a + b * x + c * y + d * x * y
}

/// A few layers anywhere and the four corners around them.
fn scattered() -> impl Strategy<Value = BTreeSet<LayerSpec>> {
    prop::collection::btree_set((8u16..=256, 8u16..=256), 0..30).prop_map(|inner| {
        let corners = [(8, 8), (8, 256), (256, 8), (256, 256)];
        inner.into_iter().chain(corners).map(|(c_in, c_out)| conv(c_in, c_out)).collect()
    })
}

proptest! {
    #[test]
    fn a_bilinear_cost_is_interpolated_exactly(
        cost_of in bilinear(), measured in scattered(), asked in (8u16..=256, 8u16..=256),
    ) {
        let prices = Prices::new(&table_of(measured.iter().map(|spec| (*spec, cost(cost_of, spec)))));
        let asked = conv(asked.0, asked.1);
        prop_assert!(relative_error(&prices, &asked, cost(cost_of, &asked)) < 1e-6);
        prop_assert!(prices.held_out_error().is_none_or(|held_out| held_out.max < 1e-6));
    }

    #[test]
    fn a_linear_cost_of_one_axis_is_interpolated_exactly(
        (a, b) in (0u64..1_000_000, 1u64..10_000), asked in 8u16..=256, inner in prop::collection::btree_set(9u16..256, 0..9),
        op in prop::sample::select(&[Op::Depthwise, Op::AvgPool, Op::MaxPool, Op::Add][..]),
    ) {
        let spec = |c| match op {
            Op::Add => LayerSpec::add(7, 7, c),
            _ => LayerSpec { op, ..LayerSpec::depthwise(7, 7, c, 3, 2, Padding::NONE) },
        };
        let cost = |c: u16| a + b * u64::from(c);
        let counts = inner.into_iter().chain([8, 256]);
        let prices = Prices::new(&table_of(counts.map(|c| (spec(c), cost(c)))));
        prop_assert!(relative_error(&prices, &spec(asked), cost(asked)) < 1e-6);
    }

    #[test]
    fn layers_of_tied_channels_are_priced_along_their_line(cost_of in bilinear(), asked in 8u16..=128) {
        let measured = (8..=128).step_by(24).map(|c| (conv(c, c), cost(cost_of, &conv(c, c))));
        let prices = Prices::new(&table_of(measured));
        let asked = conv(asked, asked);
        prop_assert!(relative_error(&prices, &asked, cost(cost_of, &asked)) < 1e-6);
    }

    #[test]
    fn no_price_lies_outside_its_bounds(
        ticks in prop::collection::vec(0u64..1_000_000, 49), asked in (8u16..=128, 8u16..=128),
    ) {
        let prices = Prices::new(&table_of(grid(20).into_iter().zip(ticks)));
        let price = prices.price(&conv(asked.0, asked.1)).unwrap();
        prop_assert!(0.0 <= price.low && price.low <= price.value && price.value <= price.high, "{:?}", price);
        prop_assert!(price.high.is_finite());
    }

    #[test]
    fn asking_again_measures_everything_wanted_once(n in 1usize..20, ticks in 1u64..1000) {
        let mut wanted = grid(30);
        wanted.extend((8..64).map(depthwise));
        let mut table = table_of([]);
        loop {
            let next = next_to_measure(&table, &wanted, n);
            prop_assert!(next.len() <= n);
            if next.is_empty() {
                break;
            }
            for spec in next {
                prop_assert!(wanted.contains(&spec) && table.get(&spec).is_none());
                table.insert(spec, Entry { cold: 0, n_calls: 1, samples: vec![ticks * spec.macs()] }).unwrap();
            }
        }
        prop_assert_eq!(table.len(), wanted.len());
    }
}

/// The same noise in every run: of enough random draws some have a median far from what is expected of it.
#[test]
fn the_held_out_error_is_of_the_size_of_the_noise() {
    for seed in 0..200u64 {
        let mut state = seed;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut below = |most: f64| (most * uniform()) as u64;
        let cost_of = [below(1e6), below(1e4), below(1e4), 1 + below(999.0)];
        let size = [0.001, 0.01, 0.1][seed as usize % 3];
        let noisy = grid(20).into_iter().map(|spec| {
            let noise = 2.0 * uniform() - 1.0;
            (spec, (1e3 * cost(cost_of, &spec) as f64 * (1.0 + size * noise)) as u64)
        });
        let held_out = Prices::new(&table_of(noisy)).held_out_error().unwrap();
        assert_eq!(held_out.n, 45);
        // Uniform noise of half-width `size` has a median of size / 2 and ends at size.
        assert!((0.2 * size..1.2 * size).contains(&held_out.median), "{seed}: {held_out:?} {size}");
        assert!((0.5 * size..2.5 * size).contains(&held_out.p90), "{seed}: {held_out:?} {size}");
    }
}

#[test]
fn a_slight_slope_is_not_lost_right_beside_a_measured_layer() {
    let cost = |c: u16| 297_475 + u64::from(c);
    let prices = Prices::new(&table_of([8, 256].map(|c| (depthwise(c), cost(c)))));
    for c in 9..256 {
        let error = relative_error(&prices, &depthwise(c), cost(c));
        assert!(error < 1e-8, "{c}: {error}");
    }
}
