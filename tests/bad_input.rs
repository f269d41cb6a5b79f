//! Bad input through the command line: each is refused with what, where, and what to do next.

mod command;

use command::{Run, json};
use std::fs;

/// A run with a table and a supernet, to be spoilt.
fn profiled_and_trained() -> Run {
    let run = Run::small();
    run.edgeslim(&["profile", "--json"]);
    run.edgeslim(&["train", "--json"]);
    run
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
}

#[test]
fn a_board_that_does_not_exist_is_answered_with_the_nearest() {
    says(&Run::small().refused(&["profile", "--board", "virtul-m4"]), &["did you mean `virtual-m4`"]);
}

#[test]
fn a_probe_that_is_not_connected_is_named_with_the_next_step() {
    let run = Run::small();
    let board =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../device-bench/boards/virtual-m4.toml"));
    let board = board.unwrap().replace("probe = \"virtual\"", "probe = \"usb\"");
    fs::write(run.path("desk.toml"), board).unwrap();
    says(
        // One that is not attached, whatever is where the tests run.
        &run.refused(&[
            "profile",
            "--probe",
            "0483:374b:none",
            "--board",
            run.path("desk.toml").to_str().unwrap(),
        ]),
        &["no debug probe 0483:374b:none found", "cable"],
    );
}

#[test]
fn probe_flags_are_those_of_probe_rs_and_what_a_probe_refuses_is_told() {
    let run = Run::small();
    fs::write(
        run.path("layers.toml"),
        "[[layer]]\nop = \"linear\"\nin_h = 1\nin_w = 1\nc_in = 8\nc_out = 8\n",
    )
    .unwrap();
    let layers = run.path("layers.toml");
    let profile = ["profile", "--layers", layers.to_str().unwrap(), "--board", "virtual-m4", "--json"];
    let with = |flags: &[&'static str]| [&profile[..], flags].concat();
    let plain = run.edgeslim(&profile);
    let flags =
        ["--probe", "f055:0000:mps2-an386", "--speed", "1000", "--protocol", "swd", "--connect-under-reset"];
    assert_eq!(run.edgeslim(&with(&flags)), plain, "a probe's options move no figure and are no provenance");
    says(
        &run.refused(&with(&["--protocol", "jtag"])),
        &["virtual-m4", "--protocol", "does not support the JTAG"],
    );
    says(&run.refused(&with(&["--probe", "f055:0000:microbit"])), &["f055:0000:mps2-an386", "microbit"]);
    says(&run.refused(&with(&["--probe", "stlink"])), &["--probe", "VID:PID"]);
    let desk = ["profile", "--board", "nucleo-f446re"];
    let with = |probe: &'static str| [&desk[..], &["--probe", probe]].concat();
    says(&run.refused(&with("0483:374b:66")), &["no debug probe 0483:374b:66 found"]);
    says(&run.refused(&with("f055:0000:mps2-an386")), &["emulator", "unit = \"instructions\""]);
}

#[test]
fn a_run_without_a_configuration_says_how_to_get_one() {
    let run = Run::small();
    fs::remove_file(run.path("edgeslim.toml")).unwrap();
    let refused = run.refused(&["train"]);
    says(&refused, &["edgeslim.toml", "edgeslim init"]);
    assert_eq!(refused.matches("No such file").count(), 1, "a cause is told once: {refused}");
}

#[test]
fn a_wrong_key_in_the_configuration_is_refused_with_its_line() {
    let run = Run::small();
    run.edit("search_images", "serach_images");
    says(&run.refused(&["train"]), &["edgeslim.toml", "line 9", "serach_images"]);
}

#[test]
fn stages_in_the_wrong_order_name_the_one_that_is_missing() {
    let run = Run::small();
    says(&run.refused(&["search"]), &["run `edgeslim profile` first"]);
    says(&run.refused(&["retrain"]), &["run `edgeslim search` first"]);
    says(&run.refused(&["verify"]), &["run `edgeslim search` first"]);
    says(&run.refused(&["report"]), &["run `edgeslim train` first"]);
}

#[test]
fn tables_of_another_board_kernel_or_firmware_and_damaged_ones_are_refused() {
    let run = profiled_and_trained();
    let table = fs::read_to_string(run.path("cost-table.csv")).unwrap();
    let path = run.path("other.csv");
    let refused = |text: String| {
        fs::write(&path, text).unwrap();
        run.refused(&["search", "--cost-table", path.to_str().unwrap()])
    };
    says(
        &refused(table.replace("# board = \"virtual-m4\"", "# board = \"other\"")),
        &["board", "other", "virtual-m4"],
    );
    let revision = format!("# kernel_revision = {}", device_bench::kernels::KERNEL_REVISION);
    assert!(table.contains(&revision), "{table}");
    says(&refused(table.replace(&revision, "# kernel_revision = 999")), &["kernel_revision", "999"]);
    let firmware = format!("# firmware = \"{}\"", edgeslim::firmware::version().unwrap());
    assert!(table.contains(&firmware), "{table}");
    says(&refused(table.replace(&firmware, "# firmware = \"0.1.0-0badf00d\"")), &["firmware", "0badf00d"]);
    says(&refused(table.replace("# core_hz = 0", "# core_hz = 80000000")), &["core_hz", "80000000"]);
    says(&refused(table.replacen("depthwise,", "depthwize,", 1)), &["other.csv:", "depthwize"]);
    says(&refused(table[..table.len() * 2 / 3].trim_end_matches(|c| c != ',').to_owned()), &["other.csv:"]);
}

#[test]
fn an_impossible_budget_names_the_smallest_cost() {
    let run = profiled_and_trained();
    says(&run.refused(&["search", "--latency", "1%"]), &["smallest needs", "instructions"]);
    says(&run.refused(&["search", "--ram", "1kB"]), &["smallest needs", "bytes"]);
}

#[test]
fn a_run_refuses_an_impossible_budget_before_it_trains() {
    let run = Run::new("virtual-m4", "seed = 3", &["latency 80% and ram 1kB"]);
    says(&run.refused(&["run"]), &["autoslim", "ram of at most 1000 bytes", "smallest needs"]);
    assert!(!run.path("supernet.safetensors").exists());
}

#[test]
fn budgets_that_hold_at_once_can_be_typed() {
    let run = profiled_and_trained();
    let searched = json(&run.edgeslim(&["search", "--json", "--budget", "latency 80% and flash 80%"]));
    for candidate in &searched["candidates"].as_array().unwrap()[1..] {
        let resources: Vec<&str> = candidate["budgets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| b["resource"].as_str().unwrap())
            .collect();
        assert_eq!(resources, ["latency", "flash", "ram", "flash"], "asked for, and the board's");
        assert_eq!(candidate["meets"], true, "{candidate}");
    }
}

#[test]
fn a_unit_that_the_table_does_not_have_is_refused_with_what_it_has() {
    let run = profiled_and_trained();
    says(&run.refused(&["search", "--latency", "12ms"]), &["instructions", "virtual-m4"]);
    says(&run.refused(&["search", "--ram", "12ms"]), &["ram"]);
    says(&run.refused(&["search", "--strategy", "autoslm"]), &["did you mean `autoslim`"]);
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name() {
    let run = profiled_and_trained();
    let path = run.path("supernet.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    says(&run.refused(&["search"]), &["supernet.safetensors"]);
}

#[test]
fn a_supernet_of_another_recipe_or_seed_is_not_searched() {
    let run = profiled_and_trained();
    says(&run.refused(&["search", "--seed", "4"]), &["supernet.safetensors", "run `edgeslim train` first"]);
    run.edit("epochs = 2", "epochs = 3");
    says(&run.refused(&["search"]), &["supernet.safetensors", "run `edgeslim train` first"]);
}

#[test]
fn an_edited_table_is_measured_again() {
    let run = Run::small();
    run.edgeslim(&["profile", "--json"]);
    let path = run.path("cost-table.csv");
    let measured = fs::read_to_string(&path).unwrap();
    fs::write(&path, command::scale_samples(&measured, 2.0)).unwrap();
    run.edgeslim(&["profile", "--json"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), measured);
}

#[test]
fn a_loss_that_is_no_number_stops_the_training() {
    let run = Run::small();
    run.edit("learning_rate = 0.1", "learning_rate = 1e30");
    let told = ["loss", "no checkpoint was written before", "lower train.learning_rate"];
    says(&run.refused(&["train"]), &told);
}

#[test]
fn damaged_images_are_refused_with_file_and_byte() {
    let run = Run::small();
    let data = run.path("images");
    fs::create_dir(&data).unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/data/fashion-mnist-subset");
    for file in fs::read_dir(source).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), data.join(file.file_name())).unwrap();
    }
    let images = data.join("train-images-idx3-ubyte.gz");
    let bytes = fs::read(&images).unwrap();
    fs::write(&images, &bytes[..bytes.len() / 2]).unwrap();
    let data = data.to_str().unwrap();
    says(&run.refused(&["train", "--data", data]), &["train-images-idx3-ubyte", "byte"]);
    says(&run.refused(&["train", "--data", "/nowhere"]), &["/nowhere"]);
}

#[test]
fn a_layer_too_large_for_the_board_says_what_it_needs() {
    let run = Run::small();
    let list = run.path("layers.toml");
    fs::write(&list, "[[layer]]\nop = \"conv\"\nin_h = 96\nin_w = 96\nc_in = 64\nc_out = 64\nkernel = 1\n")
        .unwrap();
    let list = list.to_str().unwrap();
    says(
        &run.refused(&["profile", "--layers", list, "--board", "virtual-m0"]),
        &["conv 96x96x64->64", "bytes"],
    );
}

#[test]
fn a_candidate_that_does_not_exist_is_answered_with_the_names() {
    let run = profiled_and_trained();
    run.edgeslim(&["search", "--json"]);
    says(&run.refused(&["deploy", "autoslim"]), &["autoslim-latency-75%"]);
    says(&run.refused(&["deploy", "full"]), &["run `edgeslim retrain` first"]);
}

#[test]
fn models_that_are_outdated_or_edited_are_neither_deployed_nor_verified() {
    let run = profiled_and_trained();
    for stage in ["search", "retrain", "quantize"] {
        run.edgeslim(&[stage, "--json"]);
    }
    let path = run.path("subnets/8-24/int8.model");
    let mut model = fs::read(&path).unwrap();
    model.push(0);
    fs::write(&path, model).unwrap();
    says(&run.refused(&["deploy", "full"]), &["int8.model", "run `edgeslim quantize` first"]);
    run.edgeslim(&["quantize", "--json"]);
    run.edit("epochs = 2", "epochs = 3");
    for stage in ["train", "search", "retrain"] {
        run.edgeslim(&[stage, "--json"]);
    }
    says(&run.refused(&["verify"]), &["run `edgeslim quantize` first"]);
    says(&run.refused(&["deploy", "full"]), &["run `edgeslim quantize` first"]);
}

#[test]
fn channels_out_of_range_are_refused_by_unit() {
    let run = profiled_and_trained();
    run.edgeslim(&["search", "--json"]);
    let path = run.path("search.json");
    let mut search = command::json(&fs::read_to_string(&path).unwrap());
    search["candidates"][1]["channels"][1] = 4000.into();
    fs::write(&path, search.to_string()).unwrap();
    says(&run.refused(&["retrain"]), &["body", "4000"]);
}
