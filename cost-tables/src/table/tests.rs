use super::*;
use device_bench::{Op, Padding};
use proptest::prelude::*;

fn provenance() -> Provenance {
    Provenance {
        board: "virtual-m4".into(),
        chip: "virtual-mps2-an386".into(),
        core: "Cortex-M4F".into(),
        target: "thumbv7em-none-eabihf".into(),
        core_hz: 0,
        core_hz_spread: 0,
        emulated: true,
        unit: "instructions".into(),
        cycle_model: String::new(),
        memory: "run from ram, no caches".into(),
        kernels: "dsp".into(),
        kernel_revision: 1,
        firmware: "1f3a".into(),
        compiler: "rustc 1.90.0, opt-level 3".into(),
        seed: 7,
        edgeslim: "0.1.0".into(),
        alignment: String::new(),
    }
}

fn table() -> CostTable {
    let mut table = CostTable::new(provenance());
    let conv = LayerSpec::conv(28, 28, 16, 32, 3, 1, Padding::all(1));
    table.insert(conv, Entry { cold: 90, n_calls: 1, samples: vec![70, 71] }).unwrap();
    let linear = LayerSpec::linear(64, 10);
    table.insert(linear, Entry { cold: 40, n_calls: 30, samples: vec![900] }).unwrap();
    table
}

fn parse(text: &str) -> Result<CostTable, TableError> {
    CostTable::parse(text, Path::new("cost-table.csv"))
}

/// The error of the table's text with the first `old` replaced by `new`.
fn error_after(old: &str, new: &str) -> String {
    let text = table().to_csv();
    assert!(text.contains(old), "{old}");
    parse(&text.replacen(old, new, 1)).unwrap_err().to_string()
}

#[test]
fn the_file_is_this() {
    let expected = "\
# edgeslim cost table; do not edit; written by `edgeslim profile`
# board = \"virtual-m4\"
# chip = \"virtual-mps2-an386\"
# core = \"Cortex-M4F\"
# target = \"thumbv7em-none-eabihf\"
# core_hz = 0
# emulated = true
# unit = \"instructions\"
# memory = \"run from ram, no caches\"
# kernels = \"dsp\"
# kernel_revision = 1
# firmware = \"1f3a\"
# compiler = \"rustc 1.90.0, opt-level 3\"
# seed = 7
# edgeslim = \"0.1.0\"
op,in_h,in_w,c_in,c_out,kernel_h,kernel_w,stride,groups,pad_top,pad_bottom,pad_left,pad_right,quantity,cold,n_calls,samples
conv,28,28,16,32,3,3,1,1,1,1,1,1,latency,90,1,70 71
linear,1,1,64,10,1,1,1,1,0,0,0,0,latency,40,30,900
";
    assert_eq!(table().to_csv(), expected);
}

#[test]
fn a_written_table_reads_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cost-table.csv");
    table().write(&path).unwrap();
    assert_eq!(CostTable::read(&path).unwrap(), table());
    let missing = CostTable::read(&dir.path().join("other.csv")).unwrap_err().to_string();
    assert!(missing.contains("other.csv: cannot read") && missing.contains("edgeslim profile"), "{missing}");
}

#[test]
fn a_broken_line_is_named_with_its_column() {
    let cases = [
        ("# edgeslim", "# other", "cost-table.csv:1: not a cost table"),
        ("# core_hz = 0", "# core_hz = fast", "cost-table.csv:6: `core_hz` of the provenance: "),
        ("# kernel_revision = 1\n", "", "cost-table.csv:15: the provenance lacks `kernel_revision`"),
        ("# seed = 7", "# seed 7", "cost-table.csv:14: the provenance has lines `# key = value`"),
        ("# seed = 7", "# seed = 7\n# seed = 8", "cost-table.csv:15: the provenance has `seed` twice"),
        ("# seed = 7", "# seed = 7\n# volt = 3", "cost-table.csv:15: the provenance has `volt`"),
        ("c_in,c_out", "c_out,c_in", "cost-table.csv:16: the columns are not `op,in_h"),
        ("conv,", "gemm,", "cost-table.csv:17: column `op`: `gemm` is not an operator"),
        ("conv,28", "conv,70000", "cost-table.csv:17: column `in_h`: `70000` is not a whole number"),
        ("latency", "energy", "cost-table.csv:17: column `quantity`: `energy` is not a quantity"),
        ("70 71", "70 x", "cost-table.csv:17: column `samples`: `x` is not a whole number"),
        ("70 71", "70  71", "cost-table.csv:17: column `samples`: `` is not a whole number"),
        ("70 71", "", "cost-table.csv:17: conv 28x28x16->32 k3 s1 p1,1,1,1: `samples` is empty"),
        ("90,1,70", "90,0,70", "cost-table.csv:17: conv 28x28x16->32 k3 s1 p1,1,1,1: `n_calls` is 0"),
        ("64,10,1,1,1,1,0", "64,10,1,1,2,1,0", "cost-table.csv:18: linear 1x1x64->10: kernel and padding"),
        (",latency,40,30,900", "", "cost-table.csv:18: 13 cells instead of 17"),
        ("900\n", "90", "cost-table.csv:18: the line is cut off"),
    ];
    for (old, new, expected) in cases {
        let error = error_after(old, new);
        assert!(error.starts_with(expected), "{error}");
    }
    let conv = table().to_csv().lines().nth(16).unwrap().to_owned();
    let error = error_after("linear", &format!("{conv}\nlinear"));
    assert!(error.starts_with("cost-table.csv:18: conv 28x28x16->32"), "{error}");
    assert!(error.ends_with("has been measured in line 17 already"), "{error}");
}

#[test]
fn layers_that_no_kernel_runs_and_entries_without_figures_are_not_taken() {
    let mut table = table();
    let entry = Entry { cold: 1, n_calls: 1, samples: vec![] };
    assert_eq!(table.insert(LayerSpec::linear(1, 1), entry.clone()), Err(EntryError::NoSamples));
    assert!(matches!(table.insert(LayerSpec::linear(0, 1), entry), Err(EntryError::Shape(_))));
    assert_eq!(table, self::table());
}

#[test]
fn a_table_holds_only_for_what_it_was_measured_on() {
    type Change = fn(&mut Provenance);
    let differs = |change: Change| {
        let mut wanted = provenance();
        change(&mut wanted);
        table().check(&wanted).err().map(|error| error.to_string())
    };
    let error = differs(|p| p.memory = "run from flash, no caches".into()).unwrap();
    assert_eq!(
        error,
        "the cost table of virtual-m4 was measured with memory \"run from ram, no caches\", but memory \
         \"run from flash, no caches\" is in use; run `edgeslim profile`"
    );
    let changes: [(&str, Change); 13] = [
        ("board", |p| p.board.push('x')),
        ("chip", |p| p.chip.push('x')),
        ("core", |p| p.core.push('x')),
        ("target", |p| p.target.push('x')),
        ("core_hz", |p| p.core_hz = 120_000_000),
        ("emulated", |p| p.emulated = false),
        ("unit", |p| p.unit.push('x')),
        ("cycle_model", |p| p.cycle_model.push('x')),
        ("memory", |p| p.memory.push('x')),
        ("kernels", |p| p.kernels.push('x')),
        ("kernel_revision", |p| p.kernel_revision += 1),
        ("firmware", |p| p.firmware.push('x')),
        ("compiler", |p| p.compiler.push('x')),
    ];
    for (field, change) in changes {
        let error = differs(change).unwrap();
        assert!(error.contains(&format!("measured with {field} ")), "{error}");
    }
    assert_eq!(differs(|p| (p.seed, p.edgeslim) = (8, "0.2.0".into())), None);
}

#[test]
fn a_measured_clock_may_differ_by_its_tolerance() {
    let at = |core_hz| Provenance { core_hz, ..provenance() };
    let table = CostTable::new(at(4_000_000));
    assert!(table.check(&at(4_030_000)).is_ok());
    assert!(table.check(&at(4_050_000)).is_err());
}

#[test]
fn the_spread_of_a_measured_clock_and_of_an_alignment_are_kept_and_not_compared() {
    let alignment = "-1.00 % to +2.50 %".to_owned();
    let measured = Provenance { core_hz: 4_020_000, core_hz_spread: 9_000, alignment, ..provenance() };
    let table = CostTable::new(measured.clone());
    let kept = "\n# core_hz_spread = 9000\n# alignment = \"-1.00 % to +2.50 %\"\n";
    assert!(table.to_csv().contains(kept), "{}", table.to_csv());
    assert_eq!(parse(&table.to_csv()).unwrap(), table);
    assert!(table.check(&Provenance { core_hz_spread: 1, alignment: String::new(), ..measured }).is_ok());
}

/// Any text, with quotes, line breaks and what looks like the file's own syntax.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), Just("# a = \"b\"\r\nop,in_h\n".into())]
}

fn any_provenance() -> impl Strategy<Value = Provenance> {
    let texts = [(); 11].map(|()| text());
    (texts, any::<(u64, u64, bool, u32, u32)>()).prop_map(|(texts, numbers)| {
        let (core_hz, core_hz_spread, emulated, kernel_revision, seed) = numbers;
        let [board, chip, core, target, unit, memory, kernels, firmware, compiler, alignment, cycle_model] =
            texts;
        let edgeslim = "0.1.0".into();
        Provenance {
            board,
            chip,
            core,
            target,
            core_hz,
            core_hz_spread,
            emulated,
            unit,
            cycle_model,
            memory,
            kernels,
            kernel_revision,
            firmware,
            compiler,
            seed,
            edgeslim,
            alignment,
        }
    })
}

fn layer() -> impl Strategy<Value = LayerSpec> {
    let numbers = ([1u16..40, 1..40, 1..600, 1..600], [1u8..6, 1..6, 1..4], [0u8..3, 0..3, 0..3, 0..3]);
    let spec = (prop::sample::select(&Op::ALL[..]), numbers).prop_map(|(op, (sizes, kernel, padding))| {
        let ([in_h, in_w, c_in, c_out], [kernel_h, kernel_w, stride]) = (sizes, kernel);
        let [top, bottom, left, right] = padding;
        let padding = Padding { top, bottom, left, right };
        let groups = if op == Op::GroupedConv { 2 + c_in % 3 } else { 1 };
        let spec = LayerSpec { op, in_h, in_w, c_in, c_out, kernel_h, kernel_w, stride, groups, padding };
        match op {
            Op::Conv => spec,
            Op::Linear => LayerSpec::linear(c_in, c_out),
            Op::Add => LayerSpec::add(in_h, in_w, c_in),
            Op::GroupedConv => {
                LayerSpec { c_in: c_in.next_multiple_of(groups), c_out: c_out * groups, ..spec }
            }
            Op::Concat => LayerSpec::concat(in_h, in_w, c_in, c_in + c_out),
            Op::Select => LayerSpec::select(in_h, in_w, c_in, c_out),
            Op::Scale => LayerSpec::scale(in_h, in_w, c_in),
            Op::Lookup => LayerSpec::lookup(in_h, in_w, c_in),
            _ => LayerSpec { c_out: c_in, ..spec },
        }
    });
    spec.prop_filter("a kernel runs it", |spec| spec.check().is_ok())
}

fn any_table() -> impl Strategy<Value = CostTable> {
    let entry = (any::<u64>(), 1..u32::MAX, prop::collection::vec(any::<u64>(), 1..12))
        .prop_map(|(cold, n_calls, samples)| Entry { cold, n_calls, samples });
    let entries = prop::collection::btree_map(layer(), entry, 0..20);
    (any_provenance(), entries).prop_map(|(provenance, entries)| CostTable { provenance, entries })
}

proptest! {
    #[test]
    fn any_table_reads_as_it_was_written(table in any_table()) {
        let text = table.to_csv();
        let read = parse(&text).unwrap();
        prop_assert_eq!(&read, &table);
        prop_assert_eq!(read.to_csv(), text);
    }

    #[test]
    fn a_damaged_file_is_read_or_refused_with_a_line_of_it(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = table().to_csv().into_bytes();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(end.map_or(bytes.len(), |end| end.index(bytes.len())));
        let text = String::from_utf8_lossy(&bytes);
        match parse(&text) {
            Ok(table) => prop_assert_eq!(parse(&table.to_csv()).unwrap(), table),
            Err(TableError::Parse { line, .. }) => prop_assert!((1..=text.lines().count().max(1)).contains(&line)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
