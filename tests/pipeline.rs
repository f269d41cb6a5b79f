//! The whole pipeline through the command line, small: every stage on an emulated board, then again.

mod command;

use command::{Run, differing, json};
use std::path::PathBuf;
use std::time::Instant;

const NONE: [PathBuf; 0] = [];

/// Two units and two epochs: minutes become seconds.
fn small() -> Run {
    Run::new("virtual-m4", "seed = 3", &["latency 60%"])
}

#[test]
fn a_run_verifies_on_the_board_and_a_rerun_does_nothing() {
    let run = small();
    let summary = json(&run.edgeslim(&["run", "--json"]));
    let candidates = summary["candidates"].as_array().unwrap();
    let names: Vec<&str> = candidates.iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["full", "autoslim-latency-60%", "uniform-latency-60%"]);
    for candidate in candidates {
        let number = |key: &str| candidate[key].as_f64().unwrap_or_else(|| panic!("{key} of {candidate}"));
        assert_eq!(candidate["images_equal"], candidate["images_compared"], "{candidate}");
        assert_eq!(number("images_compared"), 20.0);
        assert_eq!(candidate["accuracy_int8_board"], candidate["accuracy_int8_host"], "{candidate}");
        assert_eq!(number("ram_bytes_predicted"), number("ram_bytes_measured"), "{candidate}");
        // Between two layers lie about 500 instructions that no layer's price holds: much for so small a network.
        let (predicted, measured) = (number("latency_predicted"), number("latency_measured"));
        assert!((predicted / measured - 1.0).abs() < 0.02, "{predicted} predicted, {measured} measured");
        if let Some(limit) = candidate["budget"]["limit"].as_f64() {
            assert!(measured <= limit, "{candidate}");
        }
    }
    for chart in summary["charts"].as_array().unwrap() {
        assert!(std::path::Path::new(chart.as_str().unwrap()).exists(), "{chart}");
    }
    let before = run.bytes();
    let started = Instant::now();
    run.edgeslim(&["run", "--json"]);
    assert!(started.elapsed().as_secs_f64() < 2.0, "a rerun took {:?}", started.elapsed());
    assert_eq!(differing(&run.bytes(), &before), NONE, "a rerun changed a file");
    for drawn in ["report/channels.png", "report/index.html"] {
        std::fs::remove_file(run.path(drawn)).unwrap();
        run.edgeslim(&["report", "--json"]);
        assert_eq!(differing(&run.bytes(), &before), NONE, "{drawn} was not drawn again");
    }
}

#[test]
fn two_runs_of_one_seed_write_the_same_bytes() {
    let (a, b) = (small(), small());
    for run in [&a, &b] {
        for stage in ["profile", "train", "search"] {
            run.edgeslim(&[stage, "--json"]);
        }
    }
    assert_eq!(differing(&a.bytes(), &b.bytes()), NONE);
}

#[test]
fn a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes() {
    let (whole, killed) = (small(), small());
    whole.edgeslim(&["run", "--json"]);
    for file in [
        "cost-table.partial.csv",
        "supernet.safetensors",
        "search/autoslim.json",
        "search.json",
        "verify.json",
    ] {
        killed.kill_at(&["run"], file);
    }
    killed.edgeslim(&["run", "--json"]);
    assert_eq!(differing(&killed.bytes(), &whole.bytes()), NONE);
}

#[test]
fn of_a_network_too_large_for_the_board_a_part_is_found_that_fits() {
    // 14 × 14 maps of 64 channels are 12.5 kB; the firmware leaves a network 8 of the micro:bit's 16 KiB.
    let run = Run::new("virtual-m0", "seed = 3", &["ram 90%", "latency 300%"]);
    run.edit_network("full = 8\nbins = [4, 8]", "full = 64\nbins = [4, 8, 64]");
    let refused = run.refused(&["run", "--json"]);
    assert!(refused.contains("full network's latency") && refused.contains("--latency 3.5M"), "{refused}");
    assert!(!run.path("supernet.safetensors").exists(), "refused before anything is trained");
    run.edit("\"latency 300%\"", "\"latency 100M\"");
    let summary = json(&run.edgeslim(&["run", "--json"]));
    let candidates = summary["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 5);
    let full = &candidates[0];
    assert!(full["latency_predicted"].is_null() && full["latency_measured"].is_null(), "{full}");
    assert!(full["images_compared"] == 0 && full["accuracy_int8_board"].is_null(), "{full}");
    assert!(full["accuracy_float_all"].as_f64().unwrap() > 0.2, "{full}");
    for candidate in &candidates[1..] {
        assert_eq!(candidate["channels"][0], 8, "the widest stem that fits: {candidate}");
        assert_eq!((&candidate["images_equal"], &candidate["images_compared"]), (&20.into(), &20.into()));
        assert!(candidate["ram_bytes_measured"].as_f64().unwrap() < 16384.0, "{candidate}");
    }
    let search: serde_json::Value = json(&std::fs::read_to_string(run.path("search.json")).unwrap());
    for candidate in search["candidates"].as_array().unwrap().iter().skip(1) {
        let limits = candidate["budgets"].as_array().unwrap();
        assert!(limits.iter().any(|l| l["resource"] == "ram" && l["limit"].as_f64().unwrap() < 16384.0));
    }
}

#[test]
fn a_table_that_is_too_cheap_is_corrected_until_the_budget_holds() {
    let run = small();
    run.edgeslim(&["profile", "--json"]);
    run.edgeslim(&["train", "--json"]);
    let table = run.path("cost-table.csv");
    let cheap = command::scale_samples(&std::fs::read_to_string(&table).unwrap(), 0.8);
    let path = run.path("cheap.csv");
    std::fs::write(&path, cheap).unwrap();
    let full = json(&run.edgeslim(&["profile", "--json", "--cost-table", path.to_str().unwrap()]));
    assert!(full["entries"].as_array().is_some_and(|entries| !entries.is_empty()));
    let flags = ["--cost-table", path.to_str().unwrap(), "--json"];
    for budget in ["260k", "70%"] {
        let search = json(&run.edgeslim(&[&["search", "--latency", budget], &flags[..]].concat()));
        assert!(search["correction"].as_f64().unwrap() > 1.1, "{budget}: {}", search["correction"]);
        assert!(search["rounds"].as_array().unwrap().iter().any(|round| round["budget_met"] == false));
        let latency = |candidate: &serde_json::Value| candidate["latency_measured"].as_f64().unwrap();
        let candidates = search["candidates"].as_array().unwrap();
        let most = if budget == "260k" { 260e3 } else { 0.7 * latency(&candidates[0]) };
        for candidate in &candidates[1..] {
            assert_eq!(candidate["meets"], true, "{candidate}");
            assert!(latency(candidate) <= most, "{candidate}");
        }
    }
}
