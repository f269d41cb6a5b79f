//! The whole pipeline through the command line, small: every stage on an emulated board, then again.

mod command;

use command::{Run, differing, finished, json};
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

const NONE: [PathBuf; 0] = [];

#[test]
fn a_run_verifies_on_the_board_and_a_rerun_does_nothing() {
    let run = finished(Run::small);
    let summary = json(&run.edgeslim(&["report", "--json"]));
    let candidates = summary["candidates"].as_array().unwrap();
    let names: Vec<&str> = candidates.iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["full", "autoslim-latency-75%", "uniform-latency-75%"]);
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
        fs::remove_file(run.path(drawn)).unwrap();
        run.edgeslim(&["report", "--json"]);
        assert_eq!(differing(&run.bytes(), &before), NONE, "{drawn} was not drawn again");
    }
}

#[test]
fn a_run_on_a_risc_v_board_verifies_every_byte() {
    let run = Run::new("virtual-rv32", "seed = 3", &["latency 75%"]);
    let summary = json(&run.edgeslim(&["run", "--json"]));
    let candidates = summary["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3);
    for candidate in candidates {
        let number = |key: &str| candidate[key].as_f64().unwrap_or_else(|| panic!("{key} of {candidate}"));
        assert_eq!(
            (&candidate["images_equal"], number("images_compared")),
            (&20.into(), 20.0),
            "{candidate}"
        );
        assert_eq!(number("ram_bytes_predicted"), number("ram_bytes_measured"), "{candidate}");
        let (predicted, measured) = (number("latency_predicted"), number("latency_measured"));
        // About 1000 instructions between two layers, and some that depend on the data.
        assert!((predicted / measured - 1.0).abs() < 0.03, "{predicted} predicted, {measured} measured");
        if let Some(limit) = candidate["budget"]["limit"].as_f64() {
            assert!(measured <= limit, "{candidate}");
        }
    }
    let deployed = run.edgeslim(&["deploy", "autoslim-latency-75%", "--json"]);
    assert_eq!(json(&deployed)["board"], "virtual-rv32", "{deployed}");
}

#[test]
fn two_runs_of_one_seed_write_the_same_bytes() {
    let (a, b) = (Run::small(), Run::small());
    for run in [&a, &b] {
        for stage in ["profile", "train", "search"] {
            run.edgeslim(&[stage, "--json"]);
        }
    }
    assert_eq!(differing(&a.bytes(), &b.bytes()), NONE);
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
    let search: serde_json::Value = json(&fs::read_to_string(run.path("search.json")).unwrap());
    for candidate in search["candidates"].as_array().unwrap().iter().skip(1) {
        let limits = candidate["budgets"].as_array().unwrap();
        assert!(limits.iter().any(|l| l["resource"] == "ram" && l["limit"].as_f64().unwrap() < 16384.0));
    }
}

#[test]
fn a_table_that_is_too_cheap_is_corrected_until_the_budget_holds() {
    let run = Run::small();
    run.edgeslim(&["profile", "--json"]);
    run.edgeslim(&["train", "--json"]);
    let table = run.path("cost-table.csv");
    let cheap = command::scale_samples(&fs::read_to_string(&table).unwrap(), 0.8);
    let path = run.path("cheap.csv");
    fs::write(&path, cheap).unwrap();
    let full = json(&run.edgeslim(&["profile", "--json", "--cost-table", path.to_str().unwrap()]));
    assert!(full["entries"].as_array().is_some_and(|entries| !entries.is_empty()));
    let flags = ["--cost-table", path.to_str().unwrap(), "--json"];
    for budget in ["95k", "70%"] {
        let search = json(&run.edgeslim(&[&["search", "--latency", budget], &flags[..]].concat()));
        assert!(search["correction"].as_f64().unwrap() > 1.1, "{budget}: {}", search["correction"]);
        assert!(search["rounds"].as_array().unwrap().iter().any(|round| round["budget_met"] == false));
        let latency = |candidate: &serde_json::Value| candidate["latency_measured"].as_f64().unwrap();
        let candidates = search["candidates"].as_array().unwrap();
        let most = if budget == "95k" { 95e3 } else { 0.7 * latency(&candidates[0]) };
        for candidate in &candidates[1..] {
            assert_eq!(candidate["meets"], true, "{candidate}");
            assert!(latency(candidate) <= most, "{candidate}");
        }
    }
}

#[test]
fn a_candidate_is_deployed_by_its_name() {
    let run = finished(Run::small);
    let blob = fs::metadata(run.path("subnets/8-24/int8.model")).unwrap().len();
    let deployed = json(&run.edgeslim(&["deploy", "full", "--json"]));
    assert_eq!((&deployed["board"], &deployed["candidate"]), (&"virtual-m4".into(), &"full".into()));
    assert_eq!(deployed["bytes"].as_u64(), Some(blob), "{deployed}");
    let said = run.edgeslim(&["deploy", "full"]);
    let address = format!("{:#010x}", deployed["address"].as_u64().unwrap());
    let bytes = format!("{blob} bytes");
    for part in ["virtual-m4", "full", &address, &bytes, "int8.model"] {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    let refused = run.refused(&["deploy", "autoslim-latency-7%"]);
    assert!(refused.contains("did you mean `autoslim-latency-75%`"), "{refused}");
}

/// The layers of the small network: 2 + 2 + 6 + 3 + 3.
const N_LAYERS: usize = 16;

fn rows(table: &str) -> Vec<&str> {
    table.lines().filter(|line| !line.starts_with('#') && !line.starts_with("op,")).collect()
}

#[test]
fn a_profile_without_time_measures_what_the_search_cannot_do_without() {
    let run = Run::small();
    let told = run.told(&["profile", "--time", "0"]);
    let table = fs::read_to_string(run.path("cost-table.csv")).unwrap();
    // The outermost channels of every operator.
    assert_eq!(rows(&table).len(), 2 + 2 + 4 + 2 + 2, "{table}");
    assert!(
        told.contains("12 of 16 layers measured") && told.contains("too few were measured to tell"),
        "{told}"
    );
    run.edgeslim(&["train", "--json"]);
    let search = json(&run.edgeslim(&["search", "--json"]));
    for candidate in search["candidates"].as_array().unwrap() {
        assert_eq!(candidate["meets"], true, "{candidate}");
    }
}

#[test]
fn a_profile_without_time_measures_the_outermost_channels_and_no_more() {
    let run = Run::small();
    run.edit("small.toml", "mobilenet-v1-tiny");
    let told = run.told(&["profile", "--time", "0"]);
    // Two ends of the 8 operators with one axis of channels, 4 + 4 + 5 corners of the convolutions with two.
    assert!(told.contains("29 of 208 layers measured"), "{told}");
}

#[test]
fn a_profile_that_interpolates_tells_how_well() {
    let run = Run::small();
    run.edgeslim(&["profile", "--json"]);
    let path = run.path("cost-table.csv");
    let whole = fs::read_to_string(&path).unwrap();
    assert_eq!(rows(&whole).len(), N_LAYERS);
    let lost = rows(&whole).into_iter().find(|row| row.starts_with("conv,7,7,8,16,")).unwrap();
    let partial = whole.replace(&format!("{lost}\n"), "");
    fs::write(run.path("cost-table.partial.csv"), &partial).unwrap();
    fs::remove_file(&path).unwrap();
    let told = run.told(&["profile", "--time", "0"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), partial);
    assert!(told.contains("15 of 16 layers measured") && told.contains("nine in ten within"), "{told}");
}
