//! Kills a small run at random moments: whatever it was doing, the next one ends with the bytes of a run in peace.

mod command;

use command::{Run, differing};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Moments, unless `EDGESLIM_KILLS` says how many (`cargo xtask torture`).
const KILLS: usize = 20;
/// Runs at a time.
const WORKERS: usize = 2;

#[test]
fn a_run_killed_at_any_moment_ends_with_the_same_bytes() {
    let n_kills =
        std::env::var("EDGESLIM_KILLS").map_or(KILLS, |n| n.parse().expect("EDGESLIM_KILLS is a number"));
    let finish = || {
        let (run, started) = (Run::small(), Instant::now());
        run.edgeslim(&["run", "--json"]);
        (run.bytes(), started.elapsed())
    };
    // The first one builds the firmware and fills the system's caches: it takes longer than those that are killed.
    let (wanted, _) = finish();
    let (again, took) = finish();
    assert!(differing(&again, &wanted).is_empty(), "two runs in peace differ");
    // Those that are killed share the cores.
    let usual = took.mul_f64(WORKERS as f64);
    let (next, killed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let idx = next.fetch_add(1, Ordering::Relaxed);
                    if idx >= n_kills {
                        break;
                    }
                    let moment = usual.mul_f64(ChaCha8Rng::seed_from_u64(idx as u64).random_range(0.0..1.0));
                    killed.fetch_add(usize::from(kill_after(moment, &wanted)), Ordering::Relaxed);
                }
            });
        }
    });
    let killed = killed.into_inner();
    println!("{killed} of {n_kills} runs were killed before they ended, within {usual:?}");
    assert!(killed * 2 >= n_kills, "only {killed} of {n_kills} were killed before they ended: no test");
}

#[test]
fn a_command_killed_while_its_emulator_starts_leaves_nothing() {
    let run = Run::small();
    let list = run.path("layers.toml");
    // One layer of half a minute: the command does not end before.
    let layer = "[[layer]]\nop = \"conv\"\nin_h = 64\nin_w = 64\nc_in = 192\nc_out = 192\nkernel = 3\n";
    std::fs::write(&list, layer).unwrap();
    let mut moments = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..10 {
        let mut running = run.start(&["profile", "--layers", list.to_str().unwrap(), "--json"]);
        running.wait_until("an emulator", |running| !running.emulators().is_empty());
        std::thread::sleep(Duration::from_millis(moments.random_range(0..100)));
        running.kill();
    }
}

/// Whether the run had not ended by then.
fn kill_after(moment: Duration, wanted: &std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>) -> bool {
    let run = Run::small();
    let mut running = run.start(&["run"]);
    std::thread::sleep(moment);
    let in_time = !running.has_ended();
    if in_time {
        running.kill();
    }
    run.edgeslim(&["run", "--json"]);
    let differing = differing(&run.bytes(), wanted);
    assert!(differing.is_empty(), "killed after {moment:?}: {differing:?} differ");
    in_time
}
