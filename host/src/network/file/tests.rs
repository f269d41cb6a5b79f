use super::*;
use crate::network::arbitrary::{self, Gene};
use crate::network::zoo::{self, ZooOptions};
use crate::network::{Graph, NetworkError, NodeOp, Shape, open};
use proptest::prelude::*;

const SMALL: Shape = Shape { h: 28, w: 28, c: 1 };

const NET: &str = r#"name = "my-net"

[[unit]]
name = "stem"
full = 16

[[node]]
name = "conv1"
op = "conv"
input = "image"
unit = "stem"
kernel = 3
stride = 2
padding = [0, 1, 0, 1]
activation = "relu"

[[node]]
name = "conv2"
op = "depthwise"
input = "conv1"
kernel = 3
padding = 1

[[node]]
name = "sum"
op = "add"
inputs = ["conv1", "conv2"]
activation = "relu"

[[node]]
name = "head"
op = "head"
input = "sum"
"#;

fn read(text: &str) -> Result<Graph, FileError> {
    parse(text, SMALL, 10, ZooOptions::default())
}

/// The message about `NET` with `from` replaced.
fn message(from: &str, to: &str) -> String {
    assert!(NET.contains(from));
    read(&NET.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn a_file_gives_the_graph_that_it_describes() {
    let graph = read(NET).unwrap();
    assert_eq!((graph.name.as_str(), graph.input, graph.classes), ("my-net", SMALL, 10));
    assert_eq!(graph.units[0].bins, [8, 16]);
    assert_eq!(graph.node_planes()[1..], [(14, 14), (14, 14), (14, 14), (1, 1)], "14 = (28 + 1 - 3) / 2 + 1");
    let NodeOp::Conv(depthwise) = &graph.nodes[2].op else { panic!("{:?}", graph.nodes[2]) };
    assert_eq!(
        (&depthwise.units[..], depthwise.stride, depthwise.activation),
        (&[0][..], 1, Activation::None)
    );
    assert!(matches!(graph.nodes[3].op, NodeOp::Add { a: 1, b: 2, activation: Activation::Relu }));
    assert_eq!(read(&to_toml(&graph)).unwrap(), graph);
}

#[test]
fn every_network_of_the_zoo_is_read_again_as_it_was_written() {
    let options = ZooOptions { max_width: 1.5, min_width: 0.5, bin_multiple: 4 };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.toml");
    for name in zoo::NAMES {
        let graph = open(name, SMALL, 10, options).unwrap();
        std::fs::write(&path, to_toml(&graph)).unwrap();
        let again = open(path.to_str().unwrap(), SMALL, 10, ZooOptions::default()).unwrap();
        assert_eq!(again, graph, "{name}");
    }
}

#[test]
fn the_example_of_the_documentation_is_a_network() {
    let lines = include_str!("../file.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let mut parts = lines.map(str::trim_start).collect::<Vec<_>>().join("\n");
    let (_, rest) = parts.split_once("```toml").unwrap();
    parts = rest.split_once("```").unwrap().0.to_owned();
    assert_eq!(read(&parts).unwrap().nodes.len(), 5);
}

#[test]
fn input_and_classes_of_a_file_have_to_be_the_datas() {
    let fixed = format!("input = [28, 28, 1]\nclasses = 10\n{NET}");
    assert_eq!(read(&fixed).unwrap(), read(NET).unwrap());
    let message = read(&fixed.replace("28, 28, 1", "32, 32, 3")).unwrap_err().to_string();
    assert!(message.contains("input 32x32x3, but the data has 28x28x1"), "{message}");
    let message = read(&fixed.replace("10", "100")).unwrap_err().to_string();
    assert!(message.contains("classes 100, but the data has 10"), "{message}");
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (from, to, parts) in [
        ("stride = 2", "strides = 2", &["line 13", "unknown field `strides`"][..]),
        ("op = \"head\"", "op = \"tail\"", &["line 32", "unknown variant `tail`"]),
        ("padding = 1\n", "padding = -1\n", &["line 22", "padding is a number up to 254 or four"]),
        ("full = 16\n", "full = 16 8\n", &["line 5"]),
        ("\"conv2\"]", "\"convv2\"]", &["line 27: node `sum`", "`convv2` (did you mean `conv2`?)"]),
        (
            "input = \"image\"",
            "input = \"sum\"",
            &["line 10: node `conv1`: no node above it is called `sum`"],
        ),
        ("unit = \"stem\"", "unit = \"stm\"", &["line 11", "no unit is called `stm` (did you mean `stem`?)"]),
        ("kernel = 3\nstride", "stride", &["line 8: node `conv1`: conv needs `kernel`"]),
        ("\"head\"\ninput", "\"head\"\nstride = 1\ninput", &["node `head`: head takes no `stride`"]),
        ("input = \"conv1\"", "input = \"image\"", &["node `conv2`: depthwise needs `unit`"]),
        ("name = \"head\"", "name = \"sum\"", &["the name `sum` is used twice"]),
        ("full = 16", "full = 99999999999", &["unit `stem`", "65535"]),
        ("full = 16", "full = 16\nbins = [8]", &["unit `stem`", "full count"]),
        ("kernel = 3\nstride", "kernel = 99\nstride", &["node `conv1`", "28x28"]),
        ("op = \"head\"", "op = \"conv\"\nunit = \"stem\"\nkernel = 1", &["the last node is the only head"]),
    ] {
        let message = message(from, to);
        assert!(parts.iter().all(|part| message.contains(part)), "{to}: {message}");
    }
}

#[test]
fn ties_that_an_operator_needs_are_named() {
    let with =
        |op: &str| NET.replace("op = \"add\"\ninputs = [\"conv1\", \"conv2\"]\nactivation = \"relu\"", op);
    for (op, part) in [
        ("op = \"shuffle\"\ninput = \"conv1\"\ngroups = 3", "every bin of its input's units is a multiple"),
        ("op = \"shuffle\"\ninput = \"conv1\"", "shuffle needs `groups`"),
        ("op = \"split\"\ninput = \"conv1\"\npart = 2\nparts = 2", "takes one of them"),
        (
            "op = \"conv\"\ninput = \"conv1\"\nunit = \"stem\"\nkernel = 1\ngroups = 5",
            "a grouped convolution has",
        ),
        ("op = \"linear\"\ninput = \"conv1\"\nunit = \"stem\"", "put a global average before it"),
        ("op = \"scale\"\ninputs = [\"conv1\", \"conv2\"]", "a plane of one pixel"),
        ("op = \"concat\"\ninputs = [\"conv1\", \"image\"]", "have one plane"),
        ("op = \"max_pool\"\ninput = \"conv1\"\nkernel = [2, 99]", "kernel 2x99"),
        ("op = \"conv\"\ninput = \"conv1\"\nunit = [\"stem\", \"stm\"]\nkernel = 1", "did you mean `stem`"),
        ("op = \"conv\"\ninput = \"conv1\"\nunit = []\nkernel = 1", "at least one unit"),
    ] {
        let message = read(&with(op)).unwrap_err().to_string();
        assert!(message.contains("`sum`") && message.contains(part), "{op}: {message}");
    }
}

#[test]
fn errors_of_files_name_the_path_and_unknown_names_the_near_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net");
    std::fs::write(&path, NET.replace("\"stem\"\nkernel", "\"stm\"\nkernel")).unwrap();
    let open = |name: &str| open(name, SMALL, 10, ZooOptions::default()).unwrap_err();
    let message = open(path.to_str().unwrap()).to_string();
    assert!(message.starts_with(&format!("{}: line 11: ", path.display())), "{message}");
    assert!(matches!(open("missing.toml"), NetworkError::Read { .. }));
    assert!(open("resnet-9").to_string().contains("did you mean `resnet-8`"));
}

/// Numbers, names and signs that may change what a file means.
const PIECES: [&str; 16] = [
    "0",
    "1",
    "255",
    "65535",
    "99999999999",
    "-1",
    "\"",
    "[",
    "]",
    "[[node]]\n",
    "=",
    "\n",
    "conv",
    "stem",
    "image",
    "é",
];

proptest! {
    #[test]
    fn any_graph_is_read_again_as_it_was_written(
        genes in prop::collection::vec(prop::array::uniform4(0..10_000usize), 1..30),
    ) {
        let genes: Vec<Gene> = genes;
        let graph = arbitrary::any_graph(&genes);
        prop_assert_eq!(graph.check(), Ok(()));
        prop_assert_eq!(parse(&to_toml(&graph), graph.input, graph.classes, ZooOptions::default()).unwrap(), graph);
    }

    #[test]
    fn an_edited_file_is_a_network_or_an_error(
        edits in prop::collection::vec((0..10_000usize, 0..30usize, prop::sample::select(&PIECES[..])), 1..4),
    ) {
        let mut text: Vec<char> = NET.chars().collect();
        for (at, removed, piece) in edits {
            let at = at % text.len();
            let end = (at + removed % 8).min(text.len());
            text.splice(at..end, piece.chars());
        }
        if let Ok(graph) = read(&text.iter().collect::<String>()) {
            prop_assert_eq!(read(&to_toml(&graph)).unwrap(), graph);
        }
    }

    #[test]
    fn a_file_of_any_numbers_is_a_network_or_an_error(
        numbers in prop::collection::vec(prop_oneof![0..9u64, 0..300u64, any::<u64>()], 6),
    ) {
        let mut text = NET.to_owned();
        for (key, n) in ["full = 16", "kernel = 3\ns", "stride = 2", "kernel = 3\np", "[0, 1,", "0, 1]"].iter().zip(numbers) {
            let digits = key.find(|c: char| c.is_ascii_digit()).unwrap();
            let rest = key[digits..].trim_start_matches(|c: char| c.is_ascii_digit());
            text = text.replacen(key, &format!("{}{n}{rest}", &key[..digits]), 1);
        }
        if let Ok(graph) = read(&text) {
            prop_assert_eq!(graph.check(), Ok(()));
        }
    }
}
