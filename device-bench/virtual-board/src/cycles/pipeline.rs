//! Cores of which Arm publishes no table: instructions are issued in order, one or two a cycle, as soon as what they read is
//! there. [`super::m7`] and [`super::m33`] say what that means.

use super::decode::{Class, Instruction, Use};
use std::collections::HashMap;

/// How a core executes an instruction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Cycles in which nothing behind it is issued.
    pub cycles: u64,
    /// From its issue to that of an instruction that reads what it writes as a plain operand.
    pub latency: u64,
    /// Nothing is issued beside it.
    pub is_alone: bool,
    /// It is the first of a pair, never the second.
    pub is_first: bool,
    /// Parts of the core, a bit each, of which two instructions in one cycle may not use the same.
    pub units: u8,
}

/// A core.
pub(super) trait Core {
    /// Whether two instructions can be issued in a cycle.
    const IS_DUAL: bool;

    /// How `this` is executed, behind `before`.
    fn shape(this: &Instruction, before: Option<&Instruction>) -> Shape;

    /// Cycles by which a register that `producer` wrote is needed sooner for this use than for a plain one; or later.
    fn early(by: Use, consumer: Class, producer: Class) -> i64;

    /// What the jumps of a branch cost beyond its cycle, all executions together.
    fn jumps(this: &Instruction, before: Option<&Instruction>) -> u64;
}

/// Cycles of all instructions.
pub(super) fn cycles<C: Core>(instructions: &[Instruction]) -> u64 {
    let jumps = instructions.iter().enumerate().map(|(i, this)| C::jumps(this, before(instructions, i)));
    jumps.sum::<u64>() + blocks(instructions).map(|block| block[0].n * of_block::<C>(block)).sum::<u64>()
}

fn before(instructions: &[Instruction], i: usize) -> Option<&Instruction> {
    i.checked_sub(1).map(|i| &instructions[i]).filter(|before| before.end() == instructions[i].address)
}

/// Instructions that are executed one behind the other, each as often.
fn blocks(instructions: &[Instruction]) -> impl Iterator<Item = &[Instruction]> {
    instructions.chunk_by(|a, b| {
        a.end() == b.address && a.n == b.n && a.n_jumps == 0 && !matches!(a.class, Class::Branch { .. })
    })
}

/// Cycles of one execution: of a loop's second, as its first finds all registers ready.
fn of_block<C: Core>(block: &[Instruction]) -> u64 {
    let is_loop = block.last().is_some_and(|last| last.target == Some(block[0].address));
    let mut state = State::default();
    let first = state.issue_all::<C>(block);
    if is_loop { state.issue_all::<C>(block) - first } else { first }
}

#[derive(Default)]
struct State {
    /// The cycle of the last issue, and how many were issued in it.
    now: u64,
    issued: u32,
    /// Units in use in this cycle, and registers written in it.
    units: u8,
    written: Vec<u16>,
    /// Where nothing more can be issued in this cycle.
    is_closed: bool,
    /// Of each register: when it was written, how long that takes, by what.
    registers: HashMap<u16, (u64, u64, Class)>,
    /// Address registers that were moved, and when.
    moved: HashMap<u16, u64>,
}

impl State {
    /// The cycle behind the block.
    fn issue_all<C: Core>(&mut self, block: &[Instruction]) -> u64 {
        for (i, this) in block.iter().enumerate() {
            self.issue::<C>(this, i.checked_sub(1).map(|i| &block[i]));
        }
        // A taken branch ends the cycle.
        self.next(self.now + u64::from(self.issued > 0));
        self.now
    }

    fn next(&mut self, cycle: u64) {
        if cycle > self.now {
            (self.now, self.issued, self.units, self.is_closed) = (cycle, 0, 0, false);
            self.written.clear();
        }
    }

    fn issue<C: Core>(&mut self, this: &Instruction, before: Option<&Instruction>) {
        let shape = C::shape(this, before);
        if shape.cycles == 0 {
            return;
        }
        let ready = this.reads.iter().map(|&(register, by)| self.ready::<C>(register, by, this.class)).max();
        self.next(ready.unwrap_or(0));
        let fits = self.issued == 0
            || C::IS_DUAL
                && self.issued == 1
                && !(self.is_closed || shape.is_alone || shape.is_first)
                && self.units & shape.units == 0
                && !this.writes.iter().any(|register| self.written.contains(register));
        if !fits {
            self.next(self.now + 1);
        }
        self.issued += 1;
        self.units |= shape.units;
        self.is_closed |= shape.is_alone;
        for &register in &this.writes {
            self.moved.remove(&register);
            self.registers.insert(register, (self.now + shape.cycles - 1, shape.latency, this.class));
            self.written.push(register);
        }
        if let Some(register) = this.moves {
            self.moved.insert(register, self.now);
        }
        if shape.cycles > 1 {
            self.next(self.now + shape.cycles);
        }
    }

    fn ready<C: Core>(&self, register: u16, by: Use, consumer: Class) -> u64 {
        if let Some(&moved) = self.moved.get(&register) {
            // Addresses are moved by the unit that reads them.
            return moved + 1;
        }
        let Some(&(written, latency, producer)) = self.registers.get(&register) else { return 0 };
        let latency = latency as i64 + C::early(by, consumer, producer);
        written + latency.max(0) as u64
    }
}
