//! docs/own-network.md, typed as it stands there.

use std::fs;
use std::path::Path;
use std::process::Command;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// A command of the page, and what the page says that it prints.
struct Typed {
    command: String,
    printed: String,
}

/// The commands of all blocks of a console, in order.
fn typed(page: &str) -> Vec<Typed> {
    let blocks = page.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let commands = |block: &str| {
        let one = |text: &str| {
            let (command, printed) = text.split_once('\n').unwrap_or((text, ""));
            Typed { command: command.into(), printed: printed.into() }
        };
        format!("\n{block}").split("\n$ ").skip(1).map(one).collect::<Vec<_>>()
    };
    blocks.flat_map(commands).collect()
}

/// Whether a line of a shell succeeds, and what it prints and then complains of.
fn enter(line: &str, dir: &Path) -> (bool, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_edgeslim")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    // What a run says while it works is not on the page, and nothing else goes into JSON.
    let apart = line.starts_with("edgeslim run") || line.ends_with("--json");
    let complaints = if apart { "" } else { " 2>&1" };
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{line}{complaints}")]).current_dir(dir).env("PATH", path);
    let output = shell.env_remove("PROBE_RS_PROBE").output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

/// The first word of each line.
fn first_words(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn the_page_about_own_networks_prints_what_it_says() {
    let page = fs::read_to_string(format!("{DOCS}/own-network.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("docs")).unwrap();
    fs::copy(format!("{DOCS}/own-network.toml"), folder.path().join("docs/own-network.toml")).unwrap();
    let typed = typed(&page);
    assert!(typed.len() >= 8, "{}", typed.len());
    for Typed { command, printed } in &typed {
        let (succeeds, found) = enter(command, folder.path());
        assert_eq!(
            succeeds,
            !command.contains("wrong.toml") || command.starts_with("sed"),
            "{command}: {found}"
        );
        if command.starts_with("edgeslim run") {
            // Accuracies are those of one kind of processor.
            assert_eq!(first_words(&found), first_words(printed), "{command}: {found}");
        } else {
            assert_eq!(found.trim_end(), printed.trim_end(), "{command}");
        }
    }
    let drawn = fs::read(folder.path().join("own-network.png")).unwrap();
    assert!(
        drawn == fs::read(format!("{DOCS}/own-network.png")).unwrap(),
        "docs/own-network.png is another picture"
    );
}

#[test]
fn a_script_gets_the_mistakes_of_a_file_and_what_a_network_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(format!("{DOCS}/own-network.toml")).unwrap();
    let wrong = text.replace("unit = \"wide\"", "unit = \"wyde\"");
    fs::write(folder.path().join("wrong.toml"), &wrong).unwrap();
    fs::write(folder.path().join("right.toml"), text).unwrap();
    let json = |line: &str| {
        let (succeeds, printed) = enter(line, folder.path());
        (
            succeeds,
            serde_json::from_str::<serde_json::Value>(&printed).unwrap_or_else(|e| panic!("{e}: {printed}")),
        )
    };
    let (succeeds, told) = json("edgeslim networks check wrong.toml --json");
    let line = 1 + wrong.lines().position(|line| line == "unit = \"wyde\"").unwrap();
    assert!(!succeeds && told["mistakes"].as_array().unwrap().len() == 1, "{told}");
    assert_eq!(told["mistakes"][0]["line"], line);
    let (succeeds, told) = json("edgeslim networks check right.toml --input 32,32,3 --classes 7 --json");
    assert!(succeeds && told["mistakes"].as_array().unwrap().is_empty(), "{told}");
    assert_eq!(told["network"]["nodes"][0]["plane"], serde_json::json!([32, 32]));
    assert_eq!(told["network"]["units"][0]["layers"], serde_json::json!(["stem", "project"]));
    let (succeeds, printed) = enter("edgeslim networks check resnt-8", folder.path());
    assert!(!succeeds && printed.contains("did you mean `resnet-8`"), "{printed}");
    let (succeeds, printed) = enter("edgeslim networks check right.toml --input 32,32", folder.path());
    assert!(!succeeds && printed.contains("such as 28,28,1"), "{printed}");
}
