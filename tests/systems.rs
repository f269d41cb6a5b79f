//! The training systems through the command line.

mod command;

use command::{Run, json};
use std::fs;

/// A run whose `[train]` has these lines too.
fn run(lines: &str) -> Run {
    let run = Run::small();
    run.edit("[train]\n", &format!("[train]\n{lines}\n"));
    run
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
}

#[test]
fn every_system_is_trained_and_its_widths_are_evaluated() {
    for (system, weights, names) in [
        ("i-net", "i-net.safetensors", &["x1"][..]),
        ("s-net", "s-net.safetensors", &["x0.25", "x0.5", "x0.75", "x1"]),
        ("us-net", "supernet.safetensors", &["x0.333", "x0.5", "x0.75", "x1"]),
        ("nonuniform", "supernet.safetensors", &[]),
    ] {
        let run = Run::small();
        let record = json(&run.edgeslim(&["train", "--system", system, "--json"]));
        assert_eq!(record["system"], system);
        let widths = record["widths"].as_array().unwrap();
        let found: Vec<&str> = widths.iter().map(|width| width["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{system}");
        for width in widths {
            let number = |key: &str| width[key].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&number("accuracy")) && number("loss") > 0.0, "{width}");
        }
        let macs: Vec<u64> = widths.iter().map(|width| width["macs"].as_u64().unwrap()).collect();
        assert!(macs.is_sorted(), "{macs:?}");
        let epochs = record["training"]["epochs"].as_array().unwrap();
        assert!(epochs.iter().all(|epoch| epoch["train_error"].as_f64().unwrap() < 0.95), "{epochs:?}");
        assert!(run.path(weights).exists());
        let before = run.bytes();
        let table = run.edgeslim(&["train", "--system", system]);
        assert_eq!(run.bytes(), before, "a rerun changed a file");
        names.iter().for_each(|name| says(&table, &[name]));
    }
}

#[test]
fn a_search_refuses_a_system_whose_units_were_not_trained_apart() {
    says(
        &run("system = \"s-net\"").refused(&["run"]),
        &["units were trained apart", "nonuniform", "not s-net"],
    );
    let us_net = run("system = \"us-net\"");
    says(&us_net.refused(&["run"]), &["search.strategies: autoslim", "one ratio", "uniform alone"]);
    us_net.edgeslim(&["profile", "--json"]);
    us_net.edgeslim(&["train", "--json"]);
    let found = json(&us_net.edgeslim(&["search", "--strategy", "uniform", "--json"]));
    assert_eq!(found["candidates"].as_array().unwrap().len(), 2, "the full network, and one");
}

#[test]
fn an_option_that_does_nothing_for_the_system_is_refused() {
    let run = run("distil = false");
    says(&run.refused(&["train", "--system", "s-net"]), &["train.distil does nothing for the system s-net"]);
    says(&run.refused(&["train", "--system", "snet"]), &["did you mean `s-net`"]);
    run.edit("distil = false", "distill = false");
    says(&run.refused(&["train"]), &["edgeslim.toml", "line", "distill", "did you mean `distil`"]);
}

#[test]
fn candidates_that_were_trained_jointly_are_deployed_one_by_one() {
    let run = Run::small();
    run.edit("seeds = 1", "seeds = 1\njointly = true");
    let summary = json(&run.edgeslim(&["run", "--json"]));
    let candidates = summary["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3);
    for candidate in candidates {
        assert_eq!(candidate["images_equal"], candidate["images_compared"], "{candidate}");
        assert!(candidate["accuracy_float_all"].as_f64().unwrap() > 0.2, "{candidate}");
    }
    let retrained =
        |run: &Run| json(&fs::read_to_string(run.path("retrain.json")).unwrap())["trainings"].clone();
    let together = retrained(&run);
    assert_eq!(together.as_array().unwrap().len(), 1);
    assert!(together[0]["subnets"].as_array().unwrap().len() > 1, "{together}");
    run.edit("jointly = true", "jointly = false");
    run.edgeslim(&["retrain", "--json"]);
    assert!(retrained(&run).as_array().unwrap().len() > 1, "each by itself again");
}
