use super::*;
use crate::board::layout::{CODE_BYTES, MIN_DATA_BYTES, MIN_MODEL_BYTES, RESERVED_FLASH, UNSERVED_RISCV};
use crate::board::{BoardFile, parse};
use std::path::Path;

/// Every chip of probe-rs, by name.
fn chips() -> Vec<String> {
    let registry = Registry::from_builtin_families();
    let variants = registry.families().iter().flat_map(|family| family.variants());
    variants.map(|variant| variant.name.clone()).collect()
}

/// What the two ways to run, or the lack of any, are called in counts.
fn outcome(result: &Result<(String, String), NewBoardError>) -> &'static str {
    match result {
        Ok((_, text)) if text.contains("run_from = \"ram\"") => "ram",
        Ok(_) => "flash",
        Err(NewBoardError::Layout { source: LayoutError::RiscV { .. }, .. }) => "RISC-V, not yet",
        Err(NewBoardError::Layout { source: LayoutError::Core { .. }, .. }) => "another core",
        Err(NewBoardError::Layout { .. } | NewBoardError::Nowhere { .. }) => "too small",
        Err(NewBoardError::Unknown { .. }) => "unknown",
    }
}

#[test]
fn every_chip_of_probe_rs_gets_a_valid_file_or_a_reason() {
    virtual_board::register();
    let registry = Registry::from_builtin_families();
    let chips = chips();
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for chip in &chips {
        let made = new_board(chip, None);
        *outcomes.entry(outcome(&made)).or_default() += 1;
        let Ok((name, text)) = made else { continue };
        let board = parse(&text, Path::new("new.toml")).unwrap_or_else(|e| panic!("{chip}: {e}\n{text}"));
        assert_eq!((&board.name, &board.chip), (&name, chip));
        check(&registry.get_target_by_name(chip).unwrap(), board.run_from);
    }
    println!("{} chips: {outcomes:?}", chips.len());
    let fit = outcomes["ram"] + outcomes["flash"];
    assert!(chips.len() >= 4379 && fit * 4 > chips.len() * 3, "{outcomes:?}");
    assert!(!outcomes.contains_key("unknown"), "{outcomes:?}");
}

fn check(target: &Target, run_from: RunFrom) {
    let map = MemoryMap::of(target, run_from, None).unwrap();
    let (chip, MemoryMap { code, model, ram }) = (&target.name, &map);
    let bytes = |range: &std::ops::Range<u64>| range.end - range.start;
    assert!(bytes(code) >= CODE_BYTES && bytes(model) >= MIN_MODEL_BYTES, "{chip}: {map:x?}");
    assert!(bytes(ram) >= MIN_DATA_BYTES && ram.end <= 1 << 32, "{chip}: {map:x?}");
    assert!(model.start == code.end && code.start % 256 == 0 && model.start % 8 == 0, "{chip}: {map:x?}");
    assert!(ram.start % 8 == 0 && ram.end % 8 == 0, "{chip}: {map:x?}");
    assert!(ram.end <= code.start || ram.start >= model.end, "{chip}: data over the model: {map:x?}");
    for range in [code, model, ram] {
        let within = |address: u64| target.memory_map.iter().any(|region| region.contains(address));
        assert!(within(range.start) && within(range.end - 1), "{chip}: {range:x?} is no memory");
    }
}

#[test]
fn an_unknown_chip_is_answered_with_a_near_name() {
    let error = new_board("STM32L4R6ZITz", None).unwrap_err().to_string();
    assert!(error.contains("did you mean `STM32L4R"), "{error}");
    let error = new_board("nrf52840_xxab", None).unwrap_err().to_string();
    assert!(error.contains("did you mean `nRF52840_xxAA`"), "as probe-rs spells it: {error}");
}

#[test]
fn flash_that_holds_more_than_firmware_is_not_written() {
    let chips = chips();
    for (prefix, why) in RESERVED_FLASH {
        let chip = chips.iter().find(|chip| chip.starts_with(prefix));
        let error = new_board(chip.unwrap_or_else(|| panic!("no chip is a {prefix}")), Some(RunFrom::Flash));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains("run_from = \"ram\""), "{error}");
    }
}

#[test]
fn the_model_begins_at_a_sector_of_its_own() {
    // Four sectors of 16 KiB, one of 64 KiB, then 128 KiB each (RM0390, table 5).
    let (_, text) = new_board("STM32F446RETx", Some(RunFrom::Flash)).unwrap();
    let map = toml::from_str::<BoardFile>(&text).unwrap().memory().unwrap();
    assert_eq!((map.code, map.model), (0x0800_0000..0x0801_0000, 0x0801_0000..0x0808_0000));
}

#[test]
fn risc_v_chips_get_a_file_where_the_firmware_has_all_that_it_needs() {
    for (chip, run_from) in [
        ("RP235x_riscv", RunFrom::Ram),
        ("HPM5361", RunFrom::Ram),
        ("earlgrey", RunFrom::Ram),
        ("GD32VF103CBT6", RunFrom::Ram),
        ("fe310-g002", RunFrom::Flash),
        ("virtual-virt", RunFrom::Ram),
    ] {
        let (_, text) = new_board(chip, None).unwrap();
        let board: BoardFile = toml::from_str(&text).unwrap();
        assert!(board.is_riscv() && board.run_from == run_from, "{chip}: {text}");
    }
}

#[test]
fn risc_v_chips_that_are_not_served_are_told_what_is_missing() {
    let chips = chips();
    for (prefix, _) in UNSERVED_RISCV {
        assert!(chips.iter().any(|chip| chip.starts_with(prefix)), "no chip is a {prefix}");
    }
    for (chip, told) in [
        ("CH32V003F4P6", "RV32EC"),
        ("CH641F", "RV32EC"),
        ("CH643W", "no mcycle"),
        ("CH32V307VCT6", "no mcycle"),
        ("CH32H417QEU6", "no mcycle"),
        ("FU740-C000", "64-bit RISC-V"),
        ("Nuclei_EvalSoC_UX600", "64-bit RISC-V"),
    ] {
        let error = new_board(chip, None).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}
