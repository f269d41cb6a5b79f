//! The set-up scripts of the boards that come with edgeslim, run against models of their clock trees.
//!
//! A model holds what the reference manuals say: which bits follow which, what may be written when, how fast each part may
//! run. It refuses a write that breaks a rule and tells the core clock from the registers. No model was compared with a chip.

mod chip;
mod efm32gg11;
mod nrf;
mod rp;
mod stm32f;
mod stm32h7;
mod stm32l4;

use super::*;
use crate::board::{BoardFile, embedded};
use chip::Chip;

/// A board, the states in which its chip may be when the script begins, and a register that the script leaves behind with no
/// effect on the clock: flash wait states, prefetch, flash caches.
struct Case {
    board: &'static str,
    chips: fn() -> Vec<Chip>,
    /// `(address, mask, value)`
    flash: Option<(u32, u32, u32)>,
}

const CASES: [Case; 9] = [
    Case { board: "nucleo-l4r5zi", chips: stm32l4::chips, flash: Some((stm32l4::ACR, 0x70f, 0x705)) },
    Case { board: "nucleo-f446re", chips: stm32f::f446, flash: Some((stm32f::ACR, 0x70f, 0x705)) },
    Case { board: "nucleo-h743zi", chips: stm32h7::chips, flash: Some((stm32h7::ACR, 0x3f, 0x22)) },
    Case { board: "stm32f746g-disco", chips: stm32f::f746, flash: Some((stm32f::ACR, 0x30f, 0x007)) },
    Case { board: "nrf52840-dk", chips: nrf::nrf52840, flash: Some((nrf::ICACHECNF, 1, 1)) },
    Case { board: "nrf5340-dk", chips: nrf::nrf5340, flash: Some((nrf::CACHE_ENABLE, 1, 1)) },
    Case { board: "pico", chips: rp::rp2040, flash: None },
    Case { board: "pico2", chips: rp::rp2350, flash: None },
    Case {
        board: "slstk3701a",
        chips: efm32gg11::chips,
        flash: Some((efm32gg11::READCTRL, 0x0300_0000, 0x0200_0000)),
    },
];

/// Where a wait cannot be fulfilled, its time is spent; the models never need as long.
const TIMEOUT_MS: u32 = 20;

impl Case {
    fn board(&self) -> BoardFile {
        embedded().into_iter().find(|board| board.name == self.board).unwrap()
    }

    /// What is wrong with `script` on any of the chips, if anything is.
    fn complaint(&self, script: &[Step], core_hz: u32) -> Option<String> {
        (self.chips)().into_iter().find_map(|chip| self.complaint_of(chip, script, core_hz))
    }

    fn complaint_of(&self, mut chip: Chip, script: &[Step], core_hz: u32) -> Option<String> {
        if let Err(error) = run(script, &mut chip) {
            return Some(error.to_string());
        }
        if let Some(address) = chip.unsettled() {
            return Some(format!("{address:#010x} still changes when the firmware starts"));
        }
        if let Some((address, mask, value)) = self.flash
            && chip.get(address) & mask != value
        {
            return Some(format!("{address:#010x} is {:#x} in the end", chip.get(address)));
        }
        match chip.core_hz() {
            Ok(found) if found == core_hz => None,
            Ok(found) => Some(format!("the core runs at {found} Hz")),
            Err(rule) => Some(rule),
        }
    }
}

/// The script with short waits.
fn hurried(script: &[Step]) -> Vec<Step> {
    let mut script = script.to_vec();
    for step in &mut script {
        if let Step::Wait { timeout_ms, .. } = step {
            *timeout_ms = TIMEOUT_MS;
        }
    }
    script
}

fn what(step: &Step) -> &str {
    match step {
        Step::Write { what, .. } | Step::Modify { what, .. } | Step::Wait { what, .. } => what,
    }
}

#[test]
fn every_real_board_has_a_model() {
    let real = embedded().into_iter().filter(|board| board.machine.is_none()).map(|board| board.name);
    let mut boards: Vec<_> = CASES.iter().map(|case| case.board).collect();
    let mut real: Vec<_> = real.collect();
    boards.sort();
    real.sort();
    assert_eq!(boards, real);
}

#[test]
fn every_script_sets_the_clock_of_its_board_file_and_breaks_no_rule() {
    for case in &CASES {
        let board = case.board();
        assert_eq!(case.complaint(&board.setup, board.core_hz.unwrap()), None, "{}", case.board);
    }
}

#[test]
fn no_step_can_be_left_out() {
    for case in &CASES {
        let board = case.board();
        let script = hurried(&board.setup);
        for step_idx in 0..script.len() {
            let mut shorter = script.clone();
            let left_out = shorter.remove(step_idx);
            let complaint = case.complaint(&shorter, board.core_hz.unwrap());
            assert!(complaint.is_some(), "{}: nothing happens without {}", case.board, what(&left_out));
        }
    }
}

/// Steps that may stand anywhere: nothing else depends on them.
const ANYWHERE: [&str; 3] = ["NVMC.ICACHECNF", "CLOCK.HFCLKCTRL", "CACHE.ENABLE"];

#[test]
fn no_step_may_come_first_and_last() {
    for case in &CASES {
        let board = case.board();
        let (script, core_hz) = (hurried(&board.setup), board.core_hz.unwrap());
        for step_idx in 0..script.len() {
            let mut moved = script.clone();
            let step = moved.remove(step_idx);
            let first = [std::slice::from_ref(&step), &moved].concat();
            let last = [moved, vec![step.clone()]].concat();
            let noticed =
                case.complaint(&first, core_hz).is_some() || case.complaint(&last, core_hz).is_some();
            let anywhere = ANYWHERE.iter().any(|free| what(&step).starts_with(free));
            assert_eq!(noticed, !anywhere, "{}: {}", case.board, what(&step));
        }
    }
}

#[test]
fn no_wait_may_change_places_with_the_step_before_it() {
    for case in &CASES {
        let board = case.board();
        let script = hurried(&board.setup);
        for step_idx in 1..script.len() {
            if matches!(script[step_idx], Step::Wait { .. })
                && !matches!(script[step_idx - 1], Step::Wait { .. })
            {
                let mut swapped = script.clone();
                swapped.swap(step_idx - 1, step_idx);
                let complaint = case.complaint(&swapped, board.core_hz.unwrap());
                assert!(complaint.is_some(), "{}: {}", case.board, what(&script[step_idx]));
            }
        }
    }
}
