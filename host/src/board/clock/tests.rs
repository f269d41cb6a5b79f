use super::*;
use crate::board::{BoardInfo, embedded};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::convert::Infallible;

/// Cycles of one round of the spin.
const CYCLES_A_LOOP: f64 = 3.0;

/// A board that spins while the host's time goes on.
struct Scripted<'a> {
    now_s: f64,
    /// Hz at a time.
    clock: &'a dyn Fn(f64) -> f64,
    /// How late an answer is, s.
    late: &'a mut dyn FnMut() -> f64,
    /// The host looks for the answer so often, s.
    poll_s: f64,
}

impl Scripted<'_> {
    fn spin(&mut self, n_loops: u32) -> Result<Spin, Infallible> {
        let asked_s = self.now_s;
        let cycles = CYCLES_A_LOOP * f64::from(n_loops);
        // The clock of the middle of the spin.
        let about_s = cycles / (self.clock)(asked_s);
        let spun_s = cycles / (self.clock)(asked_s + about_s / 2.0);
        let polls = (spun_s / self.poll_s).ceil();
        self.now_s += polls * self.poll_s + (self.late)();
        Ok(Spin { ticks: cycles as u64, wall_s: self.now_s - asked_s })
    }
}

fn of(clock: &dyn Fn(f64) -> f64, poll_s: f64, late: &mut dyn FnMut() -> f64) -> ClockEstimate {
    let mut board = Scripted { now_s: 0.0, clock, late, poll_s };
    let found = estimate(|n_loops| board.spin(n_loops)).unwrap_or_else(|never| match never {});
    assert!(board.now_s < 13.0, "a measurement takes {} s", board.now_s);
    found.unwrap()
}

fn is_within_its_spread(found: ClockEstimate, true_hz: f64) -> bool {
    (f64::from(found.core_hz) - true_hz).abs() <= f64::from(found.spread_hz) + 0.5
}

#[test]
fn a_clock_that_is_seen_exactly_is_told_exactly() {
    for core_hz in [1_000_000, 4_000_000, 16_000_000, 120_000_000, 480_000_000, 1_000_000_000] {
        let found = of(&|_| f64::from(core_hz), 1e-9, &mut || 0.0);
        assert!(found.core_hz.abs_diff(core_hz) <= core_hz / 1_000_000, "{core_hz}: {found:?}");
        assert!(found.spread_hz <= 1 + core_hz / 1_000_000, "{core_hz}: {found:?}");
    }
}

#[test]
fn late_answers_move_the_clock_by_less_than_the_spread_that_is_told() {
    let (mut n_within, mut n_exact, mut n_sure) = (0, 0, 0);
    for seed in 0..1000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let core_hz = 10f64.powf(rng.random_range(6.0..8.7));
        let poll_s = 10f64.powf(rng.random_range(-4.0..-3.0));
        // Of one delay in ten the tail is heavy: 1 to 30 ms and more.
        let mut late = || match rng.random_range(0.0..1.0) {
            share if share < 0.1 => 0.001 / rng.random_range(0.01f64..1.0),
            share => 0.0005 * share,
        };
        let found = of(&|_| core_hz, poll_s, &mut late);
        n_within += usize::from(is_within_its_spread(found, core_hz));
        n_exact += usize::from((f64::from(found.core_hz) / core_hz - 1.0).abs() < DEFAULT_TOLERANCE);
        n_sure += usize::from(found.spread() < DEFAULT_TOLERANCE);
    }
    assert!(n_within >= 990, "{n_within} of 1000 are within the spread that is told");
    assert!(n_exact >= 995, "{n_exact} of 1000 are near enough to judge a crystal");
    assert!(n_sure >= 980, "{n_sure} of 1000 are sure enough to judge a crystal");
}

#[test]
fn answers_that_are_always_seen_at_the_same_beat_do_not_move_the_clock() {
    // USB looks once a millisecond; the lengths of the spins would otherwise meet the same part of it every time.
    let mut n_within = 0;
    for step in 0..1000 {
        let core_hz = 64e6 * (1.0 + f64::from(step) * 1e-4);
        let found = of(&|_| core_hz, 0.001, &mut || 0.0002);
        let off = f64::from(found.core_hz) / core_hz - 1.0;
        assert!(off.abs() < 0.003, "{core_hz}: {found:?}, {off}");
        n_within += usize::from(is_within_its_spread(found, core_hz));
    }
    assert!(n_within >= 990, "{n_within} of 1000 are within the spread that is told");
}

#[test]
fn an_oscillator_that_drifts_is_told_with_where_it_was_all_the_while() {
    let at = |seconds: f64| 16e6 * (1.0 + 0.01 * seconds);
    let found = of(&at, 0.0002, &mut || 0.0001);
    // The first spins, of well below a second, only learn the order of magnitude.
    assert!(is_within_its_spread(found, at(0.4)) && is_within_its_spread(found, at(1.6)), "{found:?}");
    assert!(found.spread() < 0.02, "{found:?}");
}

#[test]
fn a_counter_that_stands_still_or_a_host_without_time_is_no_clock() {
    let never = |found: Result<_, Infallible>| found.unwrap_or_else(|never| match never {});
    let stuck = |n_loops: u32| Ok(Spin { ticks: 7, wall_s: 1e-7 * f64::from(n_loops) });
    assert_eq!(never(estimate(stuck)), None);
    let hasty = |n_loops: u32| Ok(Spin { ticks: n_loops.into(), wall_s: 0.0 });
    assert_eq!(never(estimate(hasty)), None);
    let mut n_asked = 0u32;
    let backwards = |n_loops: u32| {
        n_asked += 1;
        Ok(Spin { ticks: n_loops.into(), wall_s: 100.0 - f64::from(n_asked) })
    };
    assert_eq!(never(estimate(backwards)), None);
}

#[test]
fn a_board_that_is_lost_meanwhile_is_told_as_such() {
    let mut n_asked = 0;
    let lost = |n_loops: u32| {
        n_asked += 1;
        let spun = Spin { ticks: n_loops.into(), wall_s: 1e-7 * f64::from(n_loops) };
        if n_asked == 20 { Err("lost") } else { Ok(spun) }
    };
    assert_eq!(estimate(lost), Err("lost"));
}

#[test]
fn a_wrong_crystal_is_refused_with_both_figures_and_a_known_one_is_not() {
    let mut board = embedded().into_iter().find(|board| board.name == "nucleo-f446re").unwrap();
    assert_eq!(board.core_hz, Some(180_000_000));
    let found = |share: f64| of(&|_| 180e6 * share, 0.0002, &mut || 0.0001);
    assert!(judge(&board, found(1.0)).is_ok() && judge(&board, found(0.998)).is_ok());
    for share in [0.99, 1.01, 0.033] {
        let told = judge(&board, found(share)).unwrap_err().to_string();
        let runs_at = format!("runs at {}", found(share));
        for part in [&runs_at[..], "is 180.000 MHz", "0.50 % is allowed", "crystal", "`core_hz`"] {
            assert!(told.contains(part), "{part} is missing in: {told}");
        }
    }
    board.core_hz_tolerance = Some(0.03);
    assert!(judge(&board, found(1.01)).is_ok() && judge(&board, found(1.04)).is_err());
    board.core_hz = None;
    assert!(judge(&board, found(0.033)).is_ok(), "a clock that the file does not name is what it is");
}

#[test]
fn a_clock_that_cannot_be_told_well_enough_is_neither_refused_nor_accepted() {
    let board = embedded().into_iter().find(|board| board.name == "nucleo-f446re").unwrap();
    let told = judge(&board, ClockEstimate { core_hz: 179_900_000, spread_hz: 1_050_000 }).unwrap_err();
    assert!(
        matches!(told, BoardError::ClockUnsteady { .. }) && told.to_string().contains("± 0.58 %"),
        "{told}"
    );
}

#[test]
fn a_measured_clock_is_recorded_with_its_spread_and_a_named_one_as_it_is_named() {
    let mut board = embedded().into_iter().find(|board| board.name == "nucleo-f446re").unwrap();
    let measured = Some(ClockEstimate { core_hz: 16_040_000, spread_hz: 20_000 });
    let recorded = |board: &BoardFile| {
        let p = crate::profile::provenance(board, &BoardInfo::default(), measured, 1);
        (p.core_hz, p.core_hz_spread)
    };
    assert_eq!(recorded(&board), (180_000_000, 0));
    board.core_hz = None;
    assert_eq!(recorded(&board), (16_040_000, 20_000));
    // The table's clock is all that is known of it without the board, and what `--latency 12ms` goes by.
    let table = crate::profile::provenance(&board, &BoardInfo::default(), measured, 1);
    let on_file = crate::profile::provenance_on_file(&board, &table).unwrap();
    assert_eq!((on_file.core_hz, on_file.core_hz_spread), (16_040_000, 20_000));
}
