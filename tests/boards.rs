//! Board files made for real chips: their firmware links where it belongs. None of these chips is connected.

use edgeslim::board::{BoardFile, MemoryMap, RunFrom, new_board};
use edgeslim::firmware;
use object::read::elf::{ElfFile32, ProgramHeader as _};
use object::{Endianness, Object as _, ObjectSymbol as _, elf::PT_LOAD};
use std::ops::Range;

/// A chip of every core type, for both layouts; the smallest of flash that takes the firmware among them.
const CHIPS: [(&str, RunFrom); 8] = [
    ("RP2040", RunFrom::Ram),
    ("STM32F072RBTx", RunFrom::Flash),
    ("STM32F207ZGTx", RunFrom::Ram),
    ("STM32F103C8", RunFrom::Flash),
    ("STM32L4R5ZITx", RunFrom::Ram),
    ("STM32F446RETx", RunFrom::Flash),
    ("nRF5340_xxAA", RunFrom::Ram),
    ("STM32L552ZETxQ", RunFrom::Flash),
];

#[test]
fn a_firmware_links_for_every_core_type_and_layout() {
    for (chip, run_from) in CHIPS {
        let (_, text) = new_board(chip, Some(run_from)).unwrap_or_else(|e| panic!("{e}"));
        let mut board: BoardFile = toml::from_str(&text).unwrap();
        let map = board.memory().unwrap();
        // One folder a target: the second chip links what the first compiled.
        board.name = format!("link-{}", board.target);
        let elf = firmware::build(&board, &map).unwrap_or_else(|e| panic!("{chip}: {e}"));
        check(chip, &map, &std::fs::read(elf).unwrap());
    }
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
    assert_eq!(address("__vector_table"), map.code.start, "{chip}");
    assert_eq!((address("_model_start"), address("_model_end")), (map.model.start, map.model.end), "{chip}");
    assert!(map.code.contains(&(address("main") & !1)), "{chip}");
    assert!(address("_stack_bottom") > address("__sheap") + 1024, "{chip}: no room for an arena");
    assert_eq!(address("_stack_start"), map.ram.end, "{chip}");
}
