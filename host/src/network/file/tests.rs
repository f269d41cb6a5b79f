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

fn read(text: &str) -> Result<Graph, Mistakes> {
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
        ("stride = 2", "strides = 2", &["line 13", "unknown key `strides` (did you mean `stride`?)"][..]),
        ("op = \"head\"", "op = \"tail\"", &["line 32", "no operator is called `tail`"]),
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

/// A network with a mistake or two in nearly every table; the comments tell what is wrong in the line.
const WRONG: &str = r#"name = "wrong"
colour = "red"              # unknown key
classes = 7                 # the data has 10

[[unit]]
name = "stem"
full = 16
bins = [16, 8]              # not ascending: told at the unit's name

[[unit]]
name = "body"
full = "many"               # no number

[[unit]]
name = "stem"               # twice
full = 8

[[node]]
name = "conv1"
op = "convolution"          # no operator
input = "image"
knernel = 3                 # unknown key

[[node]]
name = "conv2"              # needs a kernel
op = "conv"
input = "conv1"
unit = "bdoy"               # unknown unit

[[node]]
name = "conv3"              # takes no parts
op = "conv"
input = "con1"              # unknown node
unit = "body"
kernel = 3
parts = 2
stride = -1                 # no stride
activation = "rleu"         # unknown activation

[[node]]
name = "conv4"              # larger than the plane
op = "conv"
input = "image"
unit = "body"
kernel = 99

[[node]]
name = "conv5"
op = "conv"
input = "image"
unit = "body"
kernel = 3

[[node]]
name = "conv6"
op = "conv"
input = "conv5"
unit = "body"
kernel = 3

[[node]]
name = "sum"                # of two planes
op = "add"
inputs = ["conv5", "conv6"]

[[node]]
name = "split"              # of one part
op = "split"
input = "head"              # below
part = 0
parts = 1

[[node]]
op = "head"                 # without a name: told where its table starts
input = "sum"

[[node]]
name = "head"
op = "head"
input = "sum"
"#;

#[test]
fn every_mistake_of_a_file_is_told_at_once_and_by_line() {
    let mistakes = read(WRONG).unwrap_err();
    let expected = [
        (2, "the network: unknown key `colour`"),
        (3, "classes 7, but the data has 10"),
        (6, "unit `stem`: bins are ascending"),
        (12, "unit `body`: `full`: invalid type: string \"many\", expected a number of at least 0"),
        (15, "the name `stem` is used twice"),
        (20, "node `conv1`: no operator is called `convolution` (did you mean `conv`?); there are conv,"),
        (22, "node `conv1`: unknown key `knernel` (did you mean `kernel`?)"),
        (25, "node `conv2`: conv needs `kernel`"),
        (28, "node `conv2`: no unit is called `bdoy` (did you mean `body`?)"),
        (31, "node `conv3`: conv takes no `parts`"),
        (33, "node `conv3`: no node above it is called `con1` (did you mean `conv1`?)"),
        (37, "node `conv3`: `stride`: invalid value: integer `-1`, expected a number of at least 0"),
        (38, "node `conv3`: no activation is called `rleu` (did you mean `relu`?); there are none, relu"),
        (41, "node `conv4`: kernel 99x99, stride 1 and padding do not fit a plane of 28x28"),
        (
            62,
            "node `sum`: the terms of a sum have one unit and one plane; `conv5` has 26x26 pixels of unit `body`; `conv6` has 24x24",
        ),
        (69, "node `split`: no node above it is called `head`; it stands below, move it up"),
        (73, "node 9 needs `name`"),
        (73, "the last node is the only head"),
    ];
    let told: Vec<String> = mistakes.list().iter().map(ToString::to_string).collect();
    for ((line, part), told) in expected.iter().zip(&told) {
        assert!(told.starts_with(&format!("line {line}: ")) && told.contains(part), "{line}: {part}: {told}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    assert!(mistakes.to_string().ends_with("; and 17 more, which `edgeslim networks check FILE` tells"));
}

#[test]
fn what_follows_from_another_mistake_is_not_told() {
    for (from, to, n_mistakes) in [
        ("name = \"conv2\"", "name = \"conv3\"", 1),
        ("full = 16", "full = \"16\"", 1),
        ("unit = \"stem\"", "unit = \"stm\"", 1),
        ("op = \"depthwise\"", "op = \"deepwise\"", 1),
        ("op = \"head\"", "op = \"tail\"", 1),
        ("[[node]]\nname = \"conv1\"", "[[knot]]\nname = \"conv1\"", 3),
    ] {
        let mistakes = read(&NET.replacen(from, to, 1)).unwrap_err();
        assert_eq!(mistakes.list().len(), n_mistakes, "{to}: {:#?}", mistakes.list());
    }
}

#[test]
fn mistakes_of_syntax_are_all_told_before_any_other() {
    let text =
        NET.replace("full = 16", "full 16").replace("stride = 2", "stride = = 2").replace("conv2", "conv1");
    let mistakes = read(&text).unwrap_err();
    let lines: std::collections::BTreeSet<usize> =
        mistakes.list().iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines.into_iter().collect::<Vec<_>>(), [5, 13], "{:#?}", mistakes.list());
    assert!(mistakes.list().iter().all(|mistake| matches!(mistake.error, FileError::Syntax(_))));
}

#[test]
fn a_file_of_nothing_but_mistakes_is_told_a_hundred() {
    let nodes: String = (0..500).map(|i| format!("[[node]]\nname = \"n{i}\"\nop = \"x{i}\"\n")).collect();
    assert_eq!(read(&format!("name = \"wrong\"\n{nodes}")).unwrap_err().list().len(), 100);
}

#[test]
fn a_file_without_nodes_is_told_what_it_needs() {
    let message = read("name = \"none\"").unwrap_err().to_string();
    assert!(message.contains("the last node is the only head"), "{message}");
    assert!(read("").unwrap_err().to_string().contains("the network needs `name`"));
}

#[test]
fn parts_of_parts_beyond_64_bits_are_refused() {
    let text = "name = \"split\"\n[[unit]]\nname = \"u\"\nfull = 32768\nbins = [32768]\n\
        [[node]]\nname = \"c\"\nop = \"conv\"\ninput = \"image\"\nunit = \"u\"\nkernel = 1\n\
        [[node]]\nname = \"a\"\nop = \"split\"\ninput = \"c\"\npart = 0\nparts = 32768\n\
        [[node]]\nname = \"b\"\nop = \"split\"\ninput = \"a\"\npart = 0\nparts = 1125899906842624\n\
        [[node]]\nname = \"head\"\nop = \"head\"\ninput = \"b\"\n";
    let message = read(text).unwrap_err().to_string();
    assert!(message.starts_with("line 19: node `b`: a channel split has"), "{message}");
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
        let mistakes = read(&with(op)).unwrap_err();
        let told: Vec<String> = mistakes.list().iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|told| told.contains("`sum`") && told.contains(part)), "{op}: {told:#?}");
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
