//! The README's "Your own board", typed as it stands there, with an emulator taken for the new board.

mod command;

use command::Run;
use cost_tables::price::Prices;
use cost_tables::table::CostTable;
use edgeslim::config::RunConfig;
use edgeslim::memory::Capacity;
use edgeslim::network::{self, Channels, Shape, zoo::ZooOptions};
use edgeslim::search::{CostModel as _, TableCosts};
use reports::record::Resource;
use std::fs;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");
/// The board of the section, and the one that the section offers to those who have none.
const CHIPS: [&str; 2] = ["STM32F446RETx", "virtual-mps2-an386"];

/// The lines of the first block of a section, without their comments.
fn typed(section: &str) -> Vec<&'static str> {
    let text = README.split("\n## ").find(|text| text.starts_with(section)).unwrap();
    let block = text.split("```").nth(1).unwrap();
    block
        .lines()
        .map(|line| line.split(" #").next().unwrap().trim())
        .filter(|line| !line.is_empty())
        .collect()
}

/// What a line prints.
fn enter(line: &str, dir: &Path) -> String {
    let mut words = line.split_whitespace();
    assert_eq!(words.next(), Some("edgeslim"), "{line}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgeslim"));
    let output = command.args(words).current_dir(dir).env_remove("PROBE_RS_PROBE").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_lines_for_a_new_board_work_as_they_are_typed() {
    let (folder, small) = (tempfile::tempdir().unwrap(), Run::small());
    let lines = typed("Your own board");
    assert_eq!(lines.len(), 6, "{lines:?}");
    assert!(CHIPS.iter().all(|chip| README.contains(&format!("--chip {chip}"))));
    let mut printed = Vec::new();
    for line in lines {
        if line.starts_with("$EDITOR ") {
            let board = folder.path().join(line.split_whitespace().nth(1).unwrap());
            let text = fs::read_to_string(&board).unwrap();
            assert!(text.contains("core = \"Armv7E-M\""), "{text}");
            fs::write(board, text.replace("core = \"Armv7E-M\"", "core = \"Cortex-M4\"")).unwrap();
            continue;
        }
        printed.push(enter(&line.replace(CHIPS[0], CHIPS[1]), folder.path()));
        // A network whose whole pipeline takes seconds.
        if let Some(run) = line.strip_prefix("edgeslim init ") {
            for file in ["edgeslim.toml", "small.toml"] {
                fs::copy(small.path(file), folder.path().join(run).join(file)).unwrap();
            }
        }
    }
    let [_, doctor, _, profile, run] = printed.try_into().unwrap();
    assert!(doctor.lines().all(|line| line.starts_with("ok ")), "{doctor}");
    let table = fs::read_to_string(folder.path().join(profile.trim())).unwrap();
    for line in ["# board = \"virtual-mps2-an386\"", "# emulated = true", "# unit = \"instructions\""] {
        assert!(table.contains(line), "{line} is missing in {table}");
    }
    assert!(run.contains("instructions (emulated") && run.contains("autoslim-latency-75%"), "{run}");
}

#[test]
fn the_budgets_of_a_new_run_are_more_than_its_smallest_network_takes() {
    let folder = tempfile::tempdir().unwrap();
    enter("edgeslim init .", folder.path());
    let table = enter("edgeslim profile", folder.path());
    let prices = Prices::new(&CostTable::read(&folder.path().join(table.trim())).unwrap());
    let RunConfig { network, search, .. } = RunConfig::load(&folder.path().join("edgeslim.toml")).unwrap();
    let (max_width, min_width, bin_multiple) = (network.max_width, network.min_width, network.bin_multiple);
    let options = ZooOptions { max_width, min_width, bin_multiple };
    let graph = network::open(&network.name, Shape { h: 28, w: 28, c: 1 }, 10, options).unwrap();
    let costs = TableCosts::new(&graph, &prices, Capacity::UNLIMITED);
    let latency = |channels: &Channels| costs.cost(channels).unwrap().amount(Resource::Latency);
    let least = 100.0 * latency(&graph.smallest()) / latency(&graph.full());
    for budget in &search.budgets {
        let percent = budget.strip_prefix("latency ").and_then(|limit| limit.strip_suffix('%')).unwrap();
        // With room for a correction of the prices.
        assert!(
            1.1 * least < percent.parse::<f64>().unwrap(),
            "{budget}, but the smallest takes {least:.1} %"
        );
    }
}
