//! What an instruction is, as far as its time depends on it.

use super::Executed;
use capstone::arch::arm::{ArchExtraMode, ArchMode, ArmCC, ArmInsnDetail, ArmOperandType, ArmShift};
use capstone::prelude::*;

/// Instructions that a core treats alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Moves, sums, logic, comparisons.
    Alu,
    /// The same with an operand that is shifted, or a constant that is a shifted byte.
    ShiftedOperand,
    /// A shift alone.
    Shift,
    /// SXTB and the like, SXTB16 too.
    Extend,
    /// SXTAB16 and the like, PKHBT, PKHTB.
    ExtendAdd,
    /// Fields and orders of bits.
    Bits,
    /// Halfwords or bytes side by side.
    Parallel,
    /// SSAT, QADD and the like.
    Saturate,
    /// A product of a word or less, with what is added to it.
    Multiply {
        /// Whether something is.
        accumulates: bool,
    },
    /// A product of two words.
    MultiplyLong {
        /// Whether two words are added.
        accumulates: bool,
    },
    /// SDIV and UDIV.
    Divide,
    /// One from memory.
    Load {
        /// A word, not a halfword or byte.
        is_word: bool,
    },
    /// One to memory.
    Store,
    /// Several words from or to memory.
    Multiple {
        /// How many.
        registers: u32,
    },
    /// A jump, but those of loads.
    Branch {
        /// Whether its link register is written.
        links: bool,
    },
    /// IT.
    IfThen,
    /// NOP.
    Nothing,
    /// Of the floating-point unit, but its loads and stores.
    Float,
    /// Barriers and special registers.
    System,
}

/// What a register is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// An operand.
    Plain,
    /// One that is shifted first.
    Shifted,
    /// An address.
    Address,
    /// What a product is added to.
    Accumulator,
    /// What is stored.
    Stored,
}

/// What stands for the flags among the registers.
pub(super) const FLAGS: u16 = u16::MAX;

/// An instruction with its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    pub address: u32,
    pub is_short: bool,
    pub n: u64,
    pub n_jumps: u64,
    pub n_missed: u64,
    pub class: Class,
    pub reads: Vec<(u16, Use)>,
    pub writes: Vec<u16>,
    /// An address register that is written beside.
    pub moves: Option<u16>,
    pub sets_flags: bool,
    /// Where a branch with a constant leads.
    pub target: Option<u32>,
}

impl Instruction {
    /// The address behind it.
    pub fn end(&self) -> u32 {
        self.address + if self.is_short { 2 } else { 4 }
    }
}

/// The instructions of a window by address; `None` where one cannot be decoded.
pub(super) fn decode(window: &[Executed]) -> Option<Vec<Instruction>> {
    let engine = Capstone::new().arm().mode(ArchMode::Thumb);
    let extras = [ArchExtraMode::MClass].into_iter();
    let engine = engine.extra_mode(extras).detail(true).build().ok()?;
    let mut sorted: Vec<&Executed> = window.iter().collect();
    sorted.sort_by_key(|executed| executed.address);
    let mut all = Vec::with_capacity(sorted.len());
    // Neighbours are decoded together: IT says of those behind it that they are conditional.
    for chain in sorted.chunk_by(|a, b| a.end() == b.address) {
        let bytes: Vec<u8> = chain.iter().flat_map(|executed| executed.bytes()).collect();
        let decoded = engine.disasm_all(&bytes, chain[0].address.into()).ok()?;
        if decoded.len() != chain.len() {
            return None;
        }
        for (insn, executed) in decoded.iter().zip(chain) {
            let detail = engine.insn_detail(insn).ok()?;
            let detail = detail.arch_detail();
            all.push(instruction(&engine.insn_name(insn.id())?, insn.mnemonic()?, detail.arm()?, executed));
        }
    }
    Some(all)
}

fn instruction(name: &str, mnemonic: &str, detail: &ArmInsnDetail<'_>, executed: &Executed) -> Instruction {
    let operands: Vec<_> = detail.operands().collect();
    let is_shifted = operands.iter().any(|o| !matches!(o.shift, ArmShift::Invalid))
        || operands
            .iter()
            .any(|o| matches!(o.op_type, ArmOperandType::Imm(i) if is_shifted_byte(i, mnemonic)));
    let n_registers = operands.iter().filter(|o| matches!(o.op_type, ArmOperandType::Reg(_))).count();
    let class = match class(name, n_registers as u32) {
        Class::System if mnemonic.starts_with("nop") => Class::Nothing,
        Class::Alu if is_shifted => Class::ShiftedOperand,
        class => class,
    };
    let mut this = Instruction {
        address: executed.address,
        is_short: executed.is_short(),
        n: executed.n,
        n_jumps: executed.n_jumps,
        n_missed: executed.n_missed,
        class,
        reads: Vec::new(),
        writes: Vec::new(),
        moves: None,
        sets_flags: detail.update_flags() || matches!(name, "cmp" | "cmn" | "tst" | "teq"),
        target: None,
    };
    for (i, operand) in operands.iter().enumerate() {
        match operand.op_type {
            ArmOperandType::Reg(register) => {
                let access = operand.access;
                let accumulates = matches!(
                    class,
                    Class::MultiplyLong { accumulates: true } | Class::Multiply { accumulates: true }
                );
                // The decoder leaves out that some registers are read.
                let is_long_sum = class == (Class::MultiplyLong { accumulates: true }) && i < 2;
                if is_long_sum || access.is_none_or(|access| access.is_readable()) {
                    let use_ = match class {
                        Class::Store | Class::Multiple { .. } => Use::Stored,
                        _ if is_long_sum || accumulates && i == 3 => Use::Accumulator,
                        _ if !matches!(operand.shift, ArmShift::Invalid) => Use::Shifted,
                        _ => Use::Plain,
                    };
                    this.reads.push((register.0, use_));
                }
                if access.is_some_and(|access| access.is_writable()) {
                    this.writes.push(register.0);
                }
            }
            ArmOperandType::Mem(memory) => {
                let registers = [memory.base(), memory.index()];
                this.reads.extend(registers.iter().filter(|r| r.0 != 0).map(|r| (r.0, Use::Address)));
                this.moves = detail.writeback().then_some(memory.base().0);
            }
            ArmOperandType::Imm(target) if matches!(class, Class::Branch { .. }) => {
                this.target = Some(target as u32);
            }
            _ => {}
        }
    }
    // A branch is predicted, and IT names a condition for those behind it.
    let always = matches!(detail.cc(), ArmCC::ARM_CC_AL | ArmCC::ARM_CC_INVALID);
    if !(always || matches!(class, Class::Branch { .. } | Class::IfThen)) {
        this.reads.push((FLAGS, Use::Plain));
    }
    if this.sets_flags {
        this.writes.push(FLAGS);
    }
    this
}

/// Whether a constant takes the shifter: neither a byte, nor bytes side by side, nor one that has an encoding of its own.
fn is_shifted_byte(value: i32, mnemonic: &str) -> bool {
    let [a, b, c, d] = value.to_le_bytes();
    let is_pattern = (a, b) == (c, d) && (a == b || a == 0 || b == 0);
    !(0..=255).contains(&value) && !is_pattern && !matches!(mnemonic, "addw" | "subw" | "movw" | "movt")
}

fn class(name: &str, registers: u32) -> Class {
    let has = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match name {
        "it" => Class::IfThen,
        "b" | "bx" | "cbz" | "cbnz" => Class::Branch { links: false },
        "bl" | "blx" => Class::Branch { links: true },
        "sdiv" | "udiv" => Class::Divide,
        "ldrd" | "strd" => Class::Multiple { registers: 2 },
        "push" | "pop" | "vpush" | "vpop" => Class::Multiple { registers },
        _ if has(&["ldm", "stm", "vldm", "vstm"]) => {
            // The address register is an operand too.
            Class::Multiple { registers: registers.saturating_sub(1) }
        }
        "ldr" | "ldrex" | "ldrt" | "vldr" => Class::Load { is_word: true },
        _ if has(&["ldr", "tbb", "tbh"]) => Class::Load { is_word: false },
        _ if has(&["str", "vstr"]) => Class::Store,
        _ if has(&["smull", "umull"]) => Class::MultiplyLong { accumulates: false },
        _ if has(&["smlal", "umlal", "umaal", "smlsld"]) => Class::MultiplyLong { accumulates: true },
        _ if has(&["mla", "mls", "smla", "smls", "smmla", "smmls"]) => Class::Multiply { accumulates: true },
        _ if has(&["mul", "smul", "smmul", "smua", "smus"]) => Class::Multiply { accumulates: false },
        _ if has(&["sxta", "uxta", "pkh"]) => Class::ExtendAdd,
        _ if has(&["sxt", "uxt"]) => Class::Extend,
        _ if has(&["bfi", "bfc", "sbfx", "ubfx", "rbit", "rev", "clz"]) => Class::Bits,
        _ if has(&["ssat", "usat"]) => Class::Saturate,
        "sel" | "usad8" | "usada8" => Class::Parallel,
        _ if ["add8", "add16", "sub8", "sub16", "asx", "sax"].iter().any(|end| name.ends_with(end)) => {
            Class::Parallel
        }
        "qadd" | "qsub" | "qdadd" | "qdsub" => Class::Saturate,
        "lsl" | "lsr" | "asr" | "ror" | "rrx" => Class::Shift,
        _ if has(&["mrs", "msr", "cps", "dmb", "dsb", "isb", "svc", "bkpt", "wf", "hint"]) => Class::System,
        _ if has(&["v"]) => Class::Float,
        _ => Class::Alu,
    }
}
