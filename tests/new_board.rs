//! An emulated board taken for a new one: its file is made by `boards new`, its firmware and models are flashed.

use cost_tables::table::{CostTable, Entry, Provenance};
use device_bench::kernels::KernelSet;
use device_bench::{LayerSpec, Op};
use edgeslim::board::{
    BoardError, BoardFile, LayerPlan, Link, ProbeOptions, RunFrom, new_board, setup::Step,
};
use edgeslim::firmware;
use edgeslim::profile::alignment;
use edgeslim_tests::case::{Random, bytes, random_case};
use object::read::elf::ElfFile32;
use object::{Endianness, Object as _, ObjectSection as _};

/// MPS2's user LEDs: a register that keeps what is written.
const LEDS: u32 = 0x4002_8000;

fn file(chip: &str, run_from: RunFrom) -> BoardFile {
    let (_, text) = new_board(chip, Some(run_from)).unwrap();
    toml::from_str(&text).unwrap()
}

fn open(board: &BoardFile) -> Result<Link, BoardError> {
    let elf = firmware::build(board, &board.memory().unwrap()).unwrap();
    Link::open(board, &elf, &ProbeOptions::default())
}

#[test]
fn models_in_flash_are_byte_exact_and_replace_each_other() {
    let board = file("virtual-mps2-an386-flash", RunFrom::Flash);
    let mut link = open(&board).unwrap();
    let mut random = Random(11);
    let cases: Vec<_> = [Op::Conv, Op::Depthwise, Op::Linear].map(|op| random_case(&mut random, op)).into();
    // Back to the first: what was flashed over it must be erased, as programming only clears bits.
    for case in cases.iter().chain(&cases[..1]) {
        let blob = case.blob();
        let wanted = case.run(&blob, KernelSet::Portable);
        // The second time the model is already there.
        for _ in 0..2 {
            link.load_model(bytes(&blob)).unwrap();
            assert_eq!(link.run_model(&case.input()).unwrap(), wanted, "{}", case.spec);
        }
    }
}

#[test]
fn a_layer_takes_as_many_instructions_from_flash_as_from_ram() {
    let spec = LayerSpec::linear(64, 10);
    let plan = LayerPlan { warmups: 1, samples: 3, seed: 1 };
    let time = |chip, run_from| {
        let timing = open(&file(chip, run_from)).unwrap().time_layer(&spec, &plan).unwrap();
        (timing.samples, timing.n_calls)
    };
    let flash = time("virtual-mps2-an386-flash", RunFrom::Flash);
    assert_eq!(flash, time("virtual-mps2-an386", RunFrom::Ram));
}

#[test]
fn code_that_lies_elsewhere_takes_as_many_instructions() {
    let board = file("virtual-mps2-an386-flash", RunFrom::Flash);
    let memory = board.memory().unwrap();
    let elves =
        [firmware::build(&board, &memory).unwrap(), firmware::build_shifted(&board, &memory).unwrap()];
    let code_start = elves.each_ref().map(|elf| {
        let image = std::fs::read(elf).unwrap();
        let elf = ElfFile32::<Endianness>::parse(&*image).unwrap();
        elf.section_by_name(".text").unwrap().address()
    });
    assert_eq!(code_start[0] + firmware::SHIFT_BYTES, code_start[1]);

    let (spec, plan) = (LayerSpec::linear(64, 10), LayerPlan { warmups: 1, samples: 3, seed: 1 });
    let [mut usual, mut shifted] =
        elves.map(|elf| Link::open(&board, &elf, &ProbeOptions::default()).unwrap());
    let timing = usual.time_layer(&spec, &plan).unwrap();
    let mut table = CostTable::new(Provenance::default());
    table.insert(spec, Entry { cold: timing.cold, n_calls: 1, samples: timing.samples }).unwrap();
    let moved = alignment::remeasure(&mut shifted, &table, &plan).unwrap();
    assert_eq!((moved[0].layer, moved[0].share()), (spec, 0.0), "{moved:?}");
}

#[test]
fn a_set_up_script_runs_before_the_firmware_and_a_failed_wait_ends_it() {
    let mut board = file("virtual-mps2-an386-flash", RunFrom::Flash);
    let step = |wait: bool| {
        let (address, mask, value, what) = (LEDS, 3, 2, "the second LED".to_owned());
        if wait {
            Step::Wait { address, mask, value, timeout_ms: 50, what }
        } else {
            Step::Modify { address, mask, value, what }
        }
    };
    board.setup = vec![step(false), step(true)];
    let mut link = open(&board).unwrap();
    let case = random_case(&mut Random(5), Op::Linear);
    link.load_model(bytes(&case.blob())).unwrap();

    board.setup.remove(0);
    let Err(error) = open(&board) else { panic!("a LED that nobody switched on is on") };
    let error = error.to_string();
    assert!(error.contains("step 1, the second LED") && error.contains("is still 0x00000000"), "{error}");
}

#[test]
fn firmware_that_the_core_cannot_run_is_refused_before_it_is_loaded() {
    let mut board = file("virtual-mps2-an386", RunFrom::Ram);
    let elf = firmware::build(&board, &board.memory().unwrap()).unwrap();
    board.target = "thumbv8m.main-none-eabihf".to_owned();
    let Err(error) = Link::open(&board, &elf, &ProbeOptions::default()) else { panic!("an M4 runs Armv8-M") };
    let error = error.to_string();
    assert!(error.contains("Cortex-M4") && error.contains("thumbv7em-none-eabihf"), "{error}");
}
