//! A QEMU plugin that counts how often each instruction is executed between two marks, and how often what follows it is not
//! the next one: `qemu-system-arm -plugin libwindow_counts.so,out=FILE`.
//!
//! The marks are `mov r11, r11` and `mov r10, r10`, which `device_bench::bench::window` executes. At the end of each window
//! lines are added to the file: address, the instruction's bytes, executions, jumps, how often that was not what a predictor of two
//! bits expected, then an empty line. The plugin API is
//! declared here, by what its documentation says; it needs version 4 of it, which QEMU has since 9.2.

mod api;

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::Mutex;

/// The version of the API that this is written for; QEMU refuses a plugin of another.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = api::VERSION;

/// Begins a window: `mov r11, r11`.
const BEGIN: [u8; 4] = [0xDB, 0x46, 0, 0];
/// Ends it: `mov r10, r10`.
const END: [u8; 4] = [0xD2, 0x46, 0, 0];

/// An instruction that was translated.
#[derive(Debug, Clone, Copy)]
struct Instruction {
    address: u32,
    bytes: [u8; 4],
    len: u32,
    n_executed: u64,
    n_jumps: u64,
    n_missed: u64,
    /// From 0, it surely goes on, to 3, it surely jumps: as a branch predictor's two bits.
    expected: u8,
}

impl Instruction {
    /// Counts what followed it.
    fn went(&mut self, jumped: bool) {
        self.n_jumps += u64::from(jumped);
        self.n_missed += u64::from(jumped != (self.expected >= 2));
        self.expected = if jumped { (self.expected + 1).min(3) } else { self.expected.saturating_sub(1) };
    }
}

/// All that the plugin knows.
#[derive(Debug, Default)]
struct Counts {
    instructions: Vec<Instruction>,
    index: HashMap<(u32, [u8; 4]), usize>,
    /// The last instruction, in a window.
    last: Option<usize>,
    in_window: bool,
    out: Option<File>,
}

impl Counts {
    /// The index of an instruction.
    fn known(&mut self, address: u32, bytes: [u8; 4], len: u32) -> usize {
        *self.index.entry((address, bytes)).or_insert_with(|| {
            self.instructions.push(Instruction {
                address,
                bytes,
                len,
                n_executed: 0,
                n_jumps: 0,
                n_missed: 0,
                expected: 0,
            });
            self.instructions.len() - 1
        })
    }

    fn execute(&mut self, i: usize) {
        let Instruction { address, bytes, .. } = self.instructions[i];
        match bytes {
            BEGIN => {
                (self.in_window, self.last) = (true, None);
                for instruction in &mut self.instructions {
                    (instruction.n_executed, instruction.n_jumps, instruction.n_missed) = (0, 0, 0);
                }
            }
            END if self.in_window => {
                self.in_window = false;
                self.write();
            }
            _ if self.in_window => {
                if let Some(last) = self.last.map(|last| &mut self.instructions[last]) {
                    last.went(last.address + last.len != address);
                }
                self.instructions[i].n_executed += 1;
                self.last = Some(i);
            }
            _ => {}
        }
    }

    /// A window's lines; a file that cannot be written is shorter than its reader expects.
    fn write(&mut self) {
        let mut text = String::new();
        for i in self.instructions.iter().filter(|i| i.n_executed > 0) {
            let bytes: String = i.bytes[..i.len as usize].iter().map(|byte| format!("{byte:02x}")).collect();
            let _ = writeln!(text, "{:x} {bytes} {} {} {}", i.address, i.n_executed, i.n_jumps, i.n_missed);
        }
        text.push('\n');
        if let Some(out) = &mut self.out {
            let _ = out.write_all(text.as_bytes());
        }
    }
}

static COUNTS: Mutex<Option<Counts>> = Mutex::new(None);

/// Runs `change` on the one plugin's counts; nothing before they are there.
fn with(change: impl FnOnce(&mut Counts)) {
    if let Ok(mut counts) = COUNTS.lock() {
        counts.as_mut().map(change);
    }
}

extern "C" fn translated(_id: api::Id, block: *mut api::Block) {
    // SAFETY: QEMU hands over a block that lives for this call, and asks for its instructions by their index.
    unsafe {
        for i in 0..api::qemu_plugin_tb_n_insns(block) {
            let instruction = api::qemu_plugin_tb_get_insn(block, i);
            let (mut bytes, len) = ([0; 4], api::qemu_plugin_insn_size(instruction).min(4));
            api::qemu_plugin_insn_data(instruction, bytes.as_mut_ptr().cast(), len);
            let address = api::qemu_plugin_insn_vaddr(instruction) as u32;
            with(|counts| {
                let i = counts.known(address, bytes, len as u32);
                let userdata = std::ptr::without_provenance_mut(i);
                api::qemu_plugin_register_vcpu_insn_exec_cb(
                    instruction,
                    executed,
                    api::NO_REGISTERS,
                    userdata,
                );
            });
        }
    }
}

extern "C" fn executed(_cpu: c_uint, index: *mut c_void) {
    with(|counts| counts.execute(index.addr()));
}

/// QEMU's entry: `out=FILE` is the only argument.
///
/// # Safety
/// QEMU calls this once, with `argc` strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: api::Id,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let arguments = (0..argc as usize).map(|i| {
        // SAFETY: the caller's promise.
        unsafe { CStr::from_ptr(*argv.add(i)) }.to_string_lossy()
    });
    let mut counts = Counts::default();
    for argument in arguments {
        let Some(path) = argument.strip_prefix("out=") else {
            eprintln!("window-counts: `{argument}` is no argument; there is out=FILE");
            return -1;
        };
        match OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => counts.out = Some(file),
            Err(error) => {
                eprintln!("window-counts: {path} cannot be opened: {error}");
                return -1;
            }
        }
    }
    if let Ok(mut installed) = COUNTS.lock() {
        *installed = Some(counts);
    }
    // SAFETY: the callback has the type that QEMU expects.
    unsafe { api::qemu_plugin_register_vcpu_tb_trans_cb(id, translated) };
    0
}
