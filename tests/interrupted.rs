//! Runs that are interrupted or killed, and boards that are lost: nothing is left behind, nothing is lost.

mod command;

use command::running::signal;
use command::{Run, differing, finished};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const NONE: [PathBuf; 0] = [];
/// Written first after 16 layers of a profile.
const PARTIAL: &str = "cost-table.partial.csv";

/// Every stage takes long enough to be interrupted: 44 layers, 6 epochs.
fn longer() -> Run {
    let run = Run::small();
    run.edit_network("[4, 8]", "[2, 4, 6, 8]");
    run.edit_network("[8, 16, 24]", "[4, 8, 12, 16, 20, 24]");
    run.edit("samples = 3", "samples = 40");
    run.edit("epochs = 2", "epochs = 6");
    run.edit("recalibration_images = 200", "recalibration_images = 1000");
    run.edit("[verify]\nimages = 20", "[verify]\nimages = 100");
    run
}

#[test]
fn a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes() {
    let (whole, killed) = (finished(longer), longer());
    for file in [PARTIAL, "supernet.safetensors", "search/autoslim.json", "search.json", "verify.json"] {
        let mut running = killed.start(&["run"]);
        running.wait_for(file);
        running.kill();
    }
    killed.edgeslim(&["run", "--json"]);
    assert_eq!(differing(&killed.bytes(), &whole.bytes()), NONE);
}

#[test]
fn a_second_command_in_a_directory_is_refused_with_the_process_that_works_there() {
    let run = longer();
    let mut first = run.start(&["run"]);
    first.wait_for(PARTIAL);
    let refused = run.refused(&["train"]);
    assert!(
        refused.contains(&format!("process {}", first.id())) && refused.contains("wait for it"),
        "{refused}"
    );
    first.kill();
    run.edgeslim(&["profile", "--json"]);
}

#[test]
fn ctrl_c_ends_any_stage_and_the_next_run_ends_with_the_same_bytes() {
    let (whole, interrupted) = (finished(longer), longer());
    for (begun, unwritten, message) in [
        (PARTIAL, "cost-table.csv", "of 44 layers; run it again"),
        ("supernet.safetensors", "train.json", "stopped in epoch"),
        ("search/autoslim.json", "search.json", "estimates; run it again"),
        ("subnets/8-24/seed-3.safetensors", "retrain.json", "stopped in epoch"),
        ("subnets/8-24/verify.json", "verify.json", "of 100 images; run it again"),
    ] {
        let mut running = interrupted.start(&["run"]);
        running.wait_for(begun);
        running.interrupt();
        let pressed = Instant::now();
        let (status, said) = running.end();
        assert!(pressed.elapsed() < Duration::from_secs(5), "{begun}: {:?}", pressed.elapsed());
        assert_eq!(status.code(), Some(130), "{begun}: {said}");
        assert!(said.contains(message) && said.contains("run it again"), "{begun}: {said}");
        assert!(!interrupted.path(unwritten).exists(), "{begun}: {unwritten} was written");
        let half_written = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "tmp");
        assert!(!interrupted.bytes().keys().any(half_written), "{begun}");
    }
    interrupted.edgeslim(&["run", "--json"]);
    assert_eq!(differing(&interrupted.bytes(), &whole.bytes()), NONE);
}

#[test]
fn a_second_ctrl_c_waits_for_nothing() {
    let run = Run::small();
    // One layer of half a minute, between two safe points.
    let list = run.path("layers.toml");
    fs::write(&list, "[[layer]]\nop = \"conv\"\nin_h = 64\nin_w = 64\nc_in = 192\nc_out = 192\nkernel = 3\n")
        .unwrap();
    let mut running = run.start(&["profile", "--layers", list.to_str().unwrap()]);
    running.wait_until("a board", |running| !running.emulators().is_empty());
    running.interrupt();
    running.wait_until("an answer", |running| running.said().contains("press Ctrl-C again to stop at once"));
    running.interrupt();
    let pressed = Instant::now();
    let (status, said) = running.end();
    assert!(pressed.elapsed() < Duration::from_secs(5), "{:?}", pressed.elapsed());
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(!said.contains("error:"), "{said}");
}

#[test]
fn a_board_that_is_lost_while_it_is_profiled_is_opened_again() {
    let (whole, lost) = (finished(longer), longer());
    let mut running = lost.start(&["profile"]);
    running.wait_for(PARTIAL);
    let first = running.emulators();
    assert!(first.len() == 1 && signal("KILL", first[0]), "no board to lose: {first:?}");
    running
        .wait_until("another emulator", |running| running.emulators().iter().any(|pid| !first.contains(pid)));
    assert!(!lost.path("cost-table.csv").exists(), "the profile had ended before its board was lost");
    let (status, said) = running.end();
    assert!(status.success(), "{said}");
    let table = |run: &Run| fs::read_to_string(run.path("cost-table.csv")).unwrap();
    assert_eq!(table(&lost), table(&whole));
}

#[test]
fn a_board_that_keeps_dying_ends_the_profile_and_what_was_measured_is_kept() {
    let (whole, dying) = (finished(longer), longer());
    let mut running = dying.start(&["profile"]);
    running.wait_for(PARTIAL);
    let mut killed = BTreeSet::new();
    while !running.has_ended() {
        killed.extend(running.emulators().into_iter().filter(|&pid| signal("KILL", pid)));
        std::thread::sleep(Duration::from_millis(1));
    }
    let (status, said) = running.end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(killed.len() >= 4, "the board that measured, and three that were opened again: {killed:?}");
    for part in
        ["k1 s1: the board was lost, also after opening it again 3 times", "run it again", "QEMU ended"]
    {
        assert_eq!(said.matches(part).count(), 1, "{part} is missing or told twice in: {said}");
    }
    let rows = |file: &str| {
        let text = fs::read_to_string(dying.path(file)).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    let kept = rows(PARTIAL);
    assert!(kept.len() > 16, "{kept:?}");
    dying.edgeslim(&["profile", "--json"]);
    let table = rows("cost-table.csv");
    assert!(kept.iter().all(|row| table.contains(row)), "what was kept was measured again");
    let table = |run: &Run| fs::read_to_string(run.path("cost-table.csv")).unwrap();
    assert_eq!(table(&dying), table(&whole));
}
