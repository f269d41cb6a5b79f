use super::*;

/// A stem and `n` residual blocks of one unit, each with a convolution of its own unit.
fn residual(n: usize) -> NetworkRecord {
    let node = |name: String, op: &str, inputs: Vec<usize>, units: Vec<usize>| NodeRecord {
        name,
        op: op.into(),
        shape: "14x14x16".into(),
        inputs,
        units,
    };
    let mut nodes = vec![
        node("image".into(), "image", vec![], vec![]),
        node("stem".into(), "conv 3x3/2 relu", vec![0], vec![0]),
    ];
    for block in 1..=n {
        let input = nodes.len() - 1;
        nodes.push(node(format!("block{block}.conv1"), "conv 3x3 relu", vec![input], vec![block]));
        nodes.push(node(format!("block{block}.conv2"), "conv 3x3", vec![input + 1], vec![0]));
        nodes.push(node(format!("block{block}.sum"), "add relu", vec![input + 2, input], vec![0]));
    }
    let unit = |i| UnitRecord { name: format!("unit{i}"), channels: "16 of 8, 16".into() };
    NetworkRecord {
        title: "residual".into(),
        subtitle: "made up".into(),
        nodes,
        units: (0..=n).map(unit).collect(),
    }
}

/// Any network of `n` nodes whose nodes read one to three earlier ones.
fn any(seed: u64, n: usize) -> NetworkRecord {
    let mut state = seed.wrapping_mul(2654435761).wrapping_add(1);
    let mut below = |n: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % n
    };
    let mut network = residual(4);
    for id in network.nodes.len()..n {
        let inputs = (0..1 + below(3)).map(|_| id - 1 - below(id.min(9))).collect();
        let units = (0..below(5)).map(|_| below(5)).collect();
        network.nodes.push(NodeRecord {
            name: format!("node{id}"),
            op: "any".into(),
            shape: "1x1".into(),
            inputs,
            units,
        });
    }
    network
}

fn is_within(data: &Data, (x, y): (i32, i32)) -> bool {
    (0..=data.size.0).contains(&x) && (0..=data.size.1).contains(&y)
}

/// The sides of a box: left, top, right, bottom.
fn sides(data: &Data, node: &NodeBox) -> [i32; 4] {
    [node.at.0, node.at.1, node.at.0 + data.box_size.0, node.at.1 + data.box_size.1]
}

/// Straight pieces of all lines: left, top, right, bottom, and the point where the line begins.
fn pieces(data: &Data) -> Vec<([i32; 4], (i32, i32))> {
    let of_line = |line: &Vec<(i32, i32)>| {
        let first = line[0];
        let piece = move |pair: &[(i32, i32)]| {
            let [(x1, y1), (x2, y2)] = [pair[0], pair[1]];
            ([x1.min(x2), y1.min(y2), x1.max(x2), y1.max(y2)], first)
        };
        line.windows(2).map(piece).collect::<Vec<_>>()
    };
    data.lines.iter().flat_map(of_line).collect()
}

fn meet(a: &[i32; 4], b: &[i32; 4]) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

#[test]
fn in_any_network_boxes_lie_apart_and_lines_pass_beside_them() {
    for seed in 0..60 {
        let data = series(&any(seed, 18 + seed as usize)).unwrap();
        let boxes: Vec<[i32; 4]> = data.boxes.iter().map(|node| sides(&data, node)).collect();
        for (i, a) in boxes.iter().enumerate() {
            assert!(is_within(&data, (a[0], a[1])) && is_within(&data, (a[2], a[3])));
            assert!(boxes[..i].iter().all(|b| !meet(a, b)), "seed {seed}: box {i}");
        }
        for ([left, top, right, bottom], _) in pieces(&data) {
            assert!(left == right || top == bottom, "lines run down or across");
            assert!(is_within(&data, (left, top)) && is_within(&data, (right, bottom)));
            let drawn = [left - 1, top, right + 1, bottom];
            let hit = boxes.iter().find(|b| {
                meet(&drawn, b)
                    || meet(&[left, top - 1, right, bottom + 1], &[b[0], b[1] + 2, b[2], b[3] - 2])
            });
            assert_eq!(hit, None, "seed {seed}: a line through a box");
        }
    }
}

#[test]
fn every_line_goes_from_a_box_to_one_that_reads_it() {
    for seed in 0..30 {
        let network = any(seed, 40);
        let data = series(&network).unwrap();
        let mut expected: Vec<(usize, usize)> = Vec::new();
        for (reader, node) in network.nodes.iter().enumerate() {
            expected.extend(node.inputs.iter().map(|&source| (source, reader)));
        }
        let on_side = |(x, y): (i32, i32), side: usize| {
            data.boxes.iter().position(|node| {
                let sides = sides(&data, node);
                (sides[0]..=sides[2]).contains(&x) && y == sides[side]
            })
        };
        let ends = |line: &Vec<(i32, i32)>| {
            (on_side(line[0], 3).unwrap(), on_side(*line.last().unwrap(), 1).unwrap())
        };
        let mut drawn: Vec<(usize, usize)> = data.lines.iter().map(ends).collect();
        expected.sort_unstable();
        drawn.sort_unstable();
        assert_eq!(drawn, expected, "seed {seed}");
    }
}

#[test]
fn lines_of_different_boxes_cross_but_never_run_on_each_other() {
    for seed in 0..60 {
        let data = series(&any(seed, 18 + seed as usize)).unwrap();
        let pieces = pieces(&data);
        for (i, (a, from)) in pieces.iter().enumerate() {
            for (b, other) in &pieces[..i] {
                let down = a[0] == a[2] && b[0] == b[2] && a[0] == b[0] && a[1] < b[3] && b[1] < a[3];
                let across = a[1] == a[3] && b[1] == b[3] && a[1] == b[1] && a[0] < b[2] && b[0] < a[2];
                assert!(from == other || !(down || across), "seed {seed}: {a:?} and {b:?}");
            }
        }
    }
}

#[test]
fn texts_fit_their_boxes_and_the_legend_names_every_unit() {
    let mut network = residual(12);
    network.nodes[3].name = "a.name.that.is.longer.than.any.box.would.be.wide".into();
    let data = series(&network).unwrap();
    for node in &data.boxes {
        let most = data.box_size.0 - MARK - 11;
        assert!(
            node.text.iter().all(|line| width_of(line, NAME_SIZE.min(TEXT_SIZE)) <= most),
            "{:?}",
            node.text
        );
        assert!(width_of(&node.text[0], NAME_SIZE) <= most);
    }
    assert_eq!(data.boxes[3].text[0].chars().count(), MOST_LETTERS);
    assert!(data.legend.iter().zip(&network.units).all(|(entry, unit)| entry.text.starts_with(&unit.name)));
    for Entry { at: (x, y), text } in &data.legend {
        assert!(x + MARK + 10 + width_of(text, TEXT_SIZE) <= data.size.0 && y + 12 < data.size.1);
    }
}

#[test]
fn png_and_svg_are_the_same_each_time() {
    let dir = tempfile::tempdir().unwrap();
    let data = series(&residual(3)).unwrap();
    for name in ["a.png", "b.png", "a.svg", "b.svg"] {
        draw(&data, &dir.path().join(name)).unwrap();
    }
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert!(read("a.png") == read("b.png") && read("a.svg") == read("b.svg"));
    assert!(read("a.png").starts_with(b"\x89PNG"));
    let svg = String::from_utf8(read("a.svg")).unwrap();
    assert!(
        svg.starts_with("<svg") && svg.contains("block3.conv1") && svg.contains("DejaVu Sans, Verdana"),
        "{svg}"
    );
}

#[test]
fn records_that_are_no_network_are_refused() {
    assert!(matches!(series(&NetworkRecord::default()), Err(ChartError::Empty { .. })));
    let mut network = residual(1);
    network.nodes[2].inputs = vec![2];
    assert!(series(&network).unwrap_err().to_string().contains("block1.conv1"));
    let mut network = residual(1);
    network.nodes[2].units = vec![9];
    assert!(series(&network).unwrap_err().to_string().contains("block1.conv1"));
}

#[test]
fn a_picture_too_large_for_a_png_says_what_to_do() {
    let data = Data { size: (50_000, 50_000), ..series(&residual(1)).unwrap() };
    let error = draw(&data, Path::new("unwritten.png")).unwrap_err().to_string();
    assert!(error.contains("50000x50000") && error.contains(".svg"), "{error}");
}
