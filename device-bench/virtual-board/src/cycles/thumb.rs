//! What an instruction of Thumb is, as far as its time depends on it. Source: Armv7-M Architecture Reference Manual, A5.

/// Instructions of one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// One word, halfword or byte from memory.
    Load,
    /// One to memory.
    Store,
    /// Several words from or to memory.
    Multiple {
        /// How many.
        registers: u32,
    },
    /// SDIV and UDIV.
    Divide,
    /// All else; jumps are counted apart.
    Other,
}

/// Whether an instruction that begins so has a second halfword.
pub(super) fn is_long(first: u16) -> bool {
    first >= 0xE800
}

/// The class of an instruction.
pub(super) fn class([first, second]: [u16; 2]) -> Class {
    if is_long(first) { long(first, second) } else { short(first) }
}

fn short(first: u16) -> Class {
    let access = |is_load: bool| if is_load { Class::Load } else { Class::Store };
    match first >> 11 {
        // LDR of a literal.
        0b01001 => Class::Load,
        // With a register as offset: STR, STRH, STRB, LDRSB, LDR, LDRH, LDRB, LDRSH.
        0b01010 | 0b01011 => access(first >> 9 & 7 >= 3),
        // With an immediate: words, bytes, halfwords, by the stack pointer.
        0b01100..=0b10011 => access(first & 0x0800 != 0),
        // PUSH and POP; the ninth bit is the link register or the program counter.
        0b10110 | 0b10111 if first & 0x0600 == 0x0400 => {
            Class::Multiple { registers: (first & 0x01FF).count_ones() }
        }
        // STM and LDM.
        0b11000 | 0b11001 => Class::Multiple { registers: (first & 0xFF).count_ones() },
        _ => Class::Other,
    }
}

fn long(first: u16, second: u16) -> Class {
    match first >> 9 {
        // LDM and STM; or two words, exclusive accesses and table branches.
        0b111_0100 if first & 0x0040 == 0 => Class::Multiple { registers: second.count_ones() },
        0b111_0100 if first & 0xFFF0 == 0xE8D0 && second & 0xFFE0 == 0xF000 => Class::Load,
        0b111_0100 => Class::Multiple { registers: 2 },
        // Single accesses.
        0b111_1100 if first & 0x0010 != 0 => Class::Load,
        0b111_1100 => Class::Store,
        // SDIV and UDIV among the long multiplications.
        0b111_1101 if matches!(first & 0xFFF0, 0xFB90 | 0xFBB0) => Class::Divide,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodings by GNU as 2.40: the halfwords of `arm-none-eabi-objdump -d`.
    #[test]
    fn instructions_have_their_class() {
        let multiple = |registers| Class::Multiple { registers };
        let cases = [
            ([0x6802, 0], Class::Load),        // ldr r2, [r0]
            ([0x6002, 0], Class::Store),       // str r2, [r0]
            ([0x7802, 0], Class::Load),        // ldrb r2, [r0]
            ([0x8002, 0], Class::Store),       // strh r2, [r0]
            ([0x5642, 0], Class::Load),        // ldrsb r2, [r0, r1]
            ([0x5442, 0], Class::Store),       // strb r2, [r0, r1]
            ([0x9a01, 0], Class::Load),        // ldr r2, [sp, #4]
            ([0x4a01, 0], Class::Load),        // ldr r2, [pc, #4]
            ([0xb510, 0], multiple(2)),        // push {r4, lr}
            ([0xbd10, 0], multiple(2)),        // pop {r4, pc}
            ([0xbf00, 0], Class::Other),       // nop
            ([0xc807, 0], multiple(3)),        // ldmia r0!, {r0, r1, r2}
            ([0xb082, 0], Class::Other),       // sub sp, #8
            ([0xd1fe, 0], Class::Other),       // bne
            ([0x4348, 0], Class::Other),       // muls r0, r1
            ([0xe8bd, 0x8ff0], multiple(9)),   // pop {r4-r11, pc}
            ([0xe92d, 0x4ff0], multiple(9)),   // push {r4-r11, lr}
            ([0xe8f0, 0x2302], multiple(2)),   // ldrd r2, r3, [r0], #8
            ([0xe9c0, 0x2302], multiple(2)),   // strd r2, r3, [r0, #8]
            ([0xe8df, 0xf001], Class::Load),   // tbb [pc, r1]
            ([0xf851, 0x4b04], Class::Load),   // ldr r4, [r1], #4
            ([0xf802, 0xab02], Class::Store),  // strb r10, [r2], #2
            ([0xf990, 0x2001], Class::Load),   // ldrsb r2, [r0, #1]
            ([0xfb22, 0x6604], Class::Other),  // smlad r6, r2, r4, r6
            ([0xfa2f, 0xf584], Class::Other),  // sxtb16 r5, r4
            ([0xfb90, 0xf0f1], Class::Divide), // sdiv r0, r0, r1
            ([0xfbb0, 0xf0f1], Class::Divide), // udiv r0, r0, r1
            ([0xfb80, 0x2301], Class::Other),  // smull r2, r3, r0, r1
            ([0xf000, 0xf800], Class::Other),  // bl
            ([0xea4f, 0x0000], Class::Other),  // mov.w r0, r0
        ];
        for (halfwords, class) in cases {
            assert_eq!(super::class(halfwords), class, "{halfwords:04x?}");
        }
    }
}
