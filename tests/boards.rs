//! Boards that come with edgeslim and the tables of the virtual ones, and board files made for real chips: their firmware links where it belongs. None of them
//! is connected.

use cost_tables::price::Prices;
use cost_tables::table::CostTable;
use device_bench::kernels::KERNEL_REVISION;
use edgeslim::board::{BoardFile, MemoryMap, RunFrom, Unit, embedded, new_board};
use edgeslim::firmware;
use edgeslim::network::Shape;
use edgeslim::network::lower::lower;
use edgeslim::network::zoo::{ZooOptions, network};
use object::read::elf::{ElfFile32, ProgramHeader as _};
use object::{Architecture, Endianness, Object as _, ObjectSymbol as _, elf::PT_LOAD};
use std::ops::Range;
use std::path::Path;

/// What the boards leave out of the core types and both layouts; the smallest of flash that takes the firmware among them.
const CHIPS: [(&str, RunFrom); 9] = [
    ("STM32F072RBTx", RunFrom::Flash),
    ("STM32F207ZGTx", RunFrom::Ram),
    ("STM32F103C8", RunFrom::Flash),
    ("STM32L4R5ZITx", RunFrom::Ram),
    ("STM32L552ZETxQ", RunFrom::Flash),
    ("RP235x_riscv", RunFrom::Ram),
    ("HPM5361", RunFrom::Ram),
    ("GD32VF103CBT6", RunFrom::Flash),
    ("fe310-g002", RunFrom::Flash),
];

#[test]
fn a_firmware_links_for_every_real_board_core_type_and_layout() {
    let made = CHIPS.into_iter().map(|(chip, run_from)| {
        let (_, text) = new_board(chip, Some(run_from)).unwrap_or_else(|e| panic!("{e}"));
        toml::from_str(&text).unwrap()
    });
    for board in embedded().into_iter().filter(|board| board.machine.is_none()).chain(made) {
        link(board);
    }
}

/// The demo's network on all virtual boards but the smallest, which has layers that fit it.
#[test]
fn every_virtual_board_has_a_committed_table_of_the_kernels_as_they_are() {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cost-tables/virtual");
    let input = Shape { h: 28, w: 28, c: 1 };
    let options = ZooOptions { max_width: 1.0, min_width: 0.15, ..ZooOptions::default() };
    let graph = network("mobilenet-v1-tiny", input, 10, options).unwrap();
    for board in embedded().into_iter().filter(|board| board.machine.is_some()) {
        let name = &board.name;
        let table = CostTable::read(&tables.join(format!("{name}.csv"))).unwrap();
        let found = &table.provenance;
        assert_eq!(
            (&found.board, found.unit.as_str(), found.emulated, &found.target),
            (name, board.unit.name(), true, &board.target)
        );
        assert_eq!(found.cycle_model.is_empty(), board.unit == Unit::Instructions, "{name}");
        if let (Unit::ModelledCycles, Some(model)) = (board.unit, board.cycle_model()) {
            assert_eq!(found.cycle_model, model.name());
        }
        assert_eq!(found.kernel_revision, KERNEL_REVISION, "{name}: run `cargo xtask tables`");
        if board.core == "Cortex-M0" {
            assert!(table.len() > 10, "{name}");
            continue;
        }
        let prices = Prices::new(&table);
        for channels in [graph.full(), graph.smallest()] {
            for layer in lower(&graph, &channels).unwrap().layers {
                assert!(prices.price(&layer.spec).is_ok(), "{name}: {}", layer.spec);
            }
        }
    }
}

fn link(mut board: BoardFile) {
    let name = format!("{}, {}", board.name, board.chip);
    let map = board.memory().unwrap();
    // One folder a target and core: the second chip links what the first compiled.
    board.name = format!("link-{}-{}", board.target, board.target_cpu().unwrap_or("any"));
    let elf = firmware::build(&board, &map).unwrap_or_else(|e| panic!("{name}: {e}"));
    check(&name, &map, &std::fs::read(elf).unwrap());
}

fn check(chip: &str, map: &MemoryMap, image: &[u8]) {
    let elf = ElfFile32::<Endianness>::parse(image).unwrap();
    let mut n_loaded = 0;
    for segment in elf.elf_program_headers() {
        let bytes = u64::from(segment.p_memsz(Endianness::Little));
        let start = u64::from(segment.p_vaddr(Endianness::Little));
        if segment.p_type(Endianness::Little) == PT_LOAD && bytes > 0 {
            let within = |region: &Range<u64>| region.start <= start && start + bytes <= region.end;
            assert!(within(&map.code) || within(&map.ram), "{chip}: {start:#x} + {bytes:#x} in {map:x?}");
            n_loaded += u64::from(segment.p_filesz(Endianness::Little));
        }
    }
    assert!(n_loaded > 16 * 1024, "{chip}: only {n_loaded} bytes are loaded");
    let address = |name: &str| elf.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap().address();
    let first = if elf.architecture() == Architecture::Riscv32 { "_start" } else { "__vector_table" };
    assert_eq!(address(first), map.code.start, "{chip}");
    assert_eq!((address("_model_start"), address("_model_end")), (map.model.start, map.model.end), "{chip}");
    assert!(map.code.contains(&(address("main") & !1)), "{chip}");
    assert!(address("_stack_bottom") > address("__sheap") + 1024, "{chip}: no room for an arena");
    assert_eq!(address("_stack_start"), map.ram.end, "{chip}");
}
