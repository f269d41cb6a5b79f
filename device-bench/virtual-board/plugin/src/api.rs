//! The few calls of QEMU's plugin API that are used; see "QEMU TCG Plugins" in QEMU's documentation.

use std::ffi::{c_int, c_uint, c_void};

/// The version of the API.
pub const VERSION: c_int = 4;

/// A callback reads no registers.
pub const NO_REGISTERS: c_int = 0;

/// A plugin's number.
pub type Id = u64;

/// A block of translated code.
#[repr(C)]
pub struct Block {
    _private: [u8; 0],
}

/// An instruction of it.
#[repr(C)]
pub struct Insn {
    _private: [u8; 0],
}

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: extern "C" fn(Id, *mut Block));
    pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Insn;
    pub fn qemu_plugin_insn_vaddr(instruction: *const Insn) -> u64;
    pub fn qemu_plugin_insn_size(instruction: *const Insn) -> usize;
    pub fn qemu_plugin_insn_data(instruction: *const Insn, target: *mut c_void, len: usize) -> usize;
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Insn,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        userdata: *mut c_void,
    );
}
