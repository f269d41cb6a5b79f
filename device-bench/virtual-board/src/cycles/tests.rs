use super::decode::{Class, decode};
use super::*;

const TEXT: &str = "\
20000000 0268 10 0 0
20000002 4368 10 0 0
20000004 02fb03f0 10 0 0
20000008 fad1 10 9 1

20000000 0268 1 0 0

";

/// Instructions one behind the other, each executed `n` times; the last jumps `n_jumps` times. Encodings are halfwords.
fn window(code: &[&[u16]], n: u64, n_jumps: u64) -> Vec<Executed> {
    let mut address = 0x2000_0000;
    let mut all: Vec<Executed> = Vec::new();
    for halfwords in code {
        let halfwords = [halfwords[0], halfwords.get(1).copied().unwrap_or(0)];
        all.push(Executed { address, halfwords, n, n_jumps: 0, n_missed: 0 });
        address = all[all.len() - 1].end();
    }
    if let Some(last) = all.last_mut() {
        last.n_jumps = n_jumps;
    }
    all
}

#[test]
fn windows_are_read_and_priced() {
    let windows = parse(TEXT).unwrap();
    assert_eq!(windows.len(), 2);
    assert_eq!(instructions(&windows[0]), 40);
    // Two loads, the second behind the first, a product, and a branch that is taken nine times in ten.
    assert_eq!(Model::M4.cycles(&windows[0]), Some(10 * (2 + 1 + 1 + 1) + 9 * 2));
    assert_eq!(Model::M4.cycles(&windows[1]), Some(2));
    assert_eq!(Model::M3.cycles(&windows[1]), Some(2));
    assert_eq!(Model::M0.cycles(&windows[1]), Some(2));
}

#[test]
fn a_file_that_is_cut_is_not_read() {
    assert_eq!(parse("20000000 0268 10 0 0\n"), None);
    assert_eq!(parse("20000000 026 10 0 0\n\n"), None);
    assert_eq!(parse("20000000 0268 ten 0 0\n\n"), None);
}

#[test]
fn what_is_no_instruction_has_no_price() {
    // A permanently undefined one, and the first half of a long one.
    assert_eq!(Model::M4.cycles(&window(&[&[0xFB02, 0xFFFF]], 1, 0)), None);
}

/// Encodings by GNU as 2.40: the halfwords of `arm-none-eabi-objdump -d`.
#[test]
fn instructions_have_their_class() {
    let multiple = |registers| Class::Multiple { registers };
    let (word, narrow) = (Class::Load { is_word: true }, Class::Load { is_word: false });
    let cases: &[(&[u16], Class)] = &[
        (&[0x6802], word),                                               // ldr r2, [r0]
        (&[0x6002], Class::Store),                                       // str r2, [r0]
        (&[0x7802], narrow),                                             // ldrb r2, [r0]
        (&[0x8002], Class::Store),                                       // strh r2, [r0]
        (&[0x5642], narrow),                                             // ldrsb r2, [r0, r1]
        (&[0x5442], Class::Store),                                       // strb r2, [r0, r1]
        (&[0x9a01], word),                                               // ldr r2, [sp, #4]
        (&[0x4a01], word),                                               // ldr r2, [pc, #4]
        (&[0xb510], multiple(2)),                                        // push {r4, lr}
        (&[0xbd10], multiple(2)),                                        // pop {r4, pc}
        (&[0xbf00], Class::Nothing),                                     // nop
        (&[0xc807], multiple(3)),                                        // ldmia r0!, {r0, r1, r2}
        (&[0xb082], Class::Alu),                                         // sub sp, #8
        (&[0xd1fe], Class::Branch { links: false }),                     // bne
        (&[0x4348], Class::Multiply { accumulates: false }),             // muls r0, r1
        (&[0xe8bd, 0x8ff0], multiple(9)),                                // pop {r4-r11, pc}
        (&[0xe92d, 0x4ff0], multiple(9)),                                // push {r4-r11, lr}
        (&[0xe8f0, 0x2302], multiple(2)),                                // ldrd r2, r3, [r0], #8
        (&[0xe9c0, 0x2302], multiple(2)),                                // strd r2, r3, [r0, #8]
        (&[0xe8df, 0xf001], narrow),                                     // tbb [pc, r1]
        (&[0xf851, 0x4b04], word),                                       // ldr r4, [r1], #4
        (&[0xf802, 0xab02], Class::Store),                               // strb r10, [r2], #2
        (&[0xf990, 0x2001], narrow),                                     // ldrsb r2, [r0, #1]
        (&[0xfb22, 0x6604], Class::Multiply { accumulates: true }),      // smlad r6, r2, r4, r6
        (&[0xfa2f, 0xf584], Class::Extend),                              // sxtb16 r5, r4
        (&[0xfb90, 0xf0f1], Class::Divide),                              // sdiv r0, r0, r1
        (&[0xfbb0, 0xf0f1], Class::Divide),                              // udiv r0, r0, r1
        (&[0xfb80, 0x2301], Class::MultiplyLong { accumulates: false }), // smull r2, r3, r0, r1
        (&[0xf000, 0xf800], Class::Branch { links: true }),              // bl
        (&[0xea4f, 0x0000], Class::Alu),                                 // mov.w r0, r0
        (&[0xeb01, 0x00c2], Class::ShiftedOperand),                      // add.w r0, r1, r2, lsl #3
        (&[0xf501, 0x50fe], Class::ShiftedOperand),                      // add.w r0, r1, #0x1fc0
        (&[0xf601, 0x70f9], Class::Alu),                                 // addw r0, r1, #0xff9
        (&[0xfa26, 0xf594], Class::ExtendAdd),                           // sxtab16 r5, r6, r4, ror #8
        (&[0xf321, 0x0047], Class::Saturate),                            // ssat r0, #8, r1, asr #1
    ];
    for (halfwords, class) in cases {
        let decoded = decode(&window(&[halfwords], 1, 0)).unwrap();
        assert_eq!(decoded[0].class, *class, "{halfwords:04x?}");
    }
}

/// Cycles of one of many rounds of a loop: the code behind a label, and `subs r7, #1; bne` to it.
fn a_round(model: Model, code: &[&[u16]]) -> f64 {
    const N: u64 = 100_000;
    let bytes: u32 = code.iter().map(|halfwords| 2 * halfwords.len() as u32).sum::<u32>() + 2;
    // An offset of eight bits, in halfwords, from four bytes behind the branch.
    let bne = 0xd100 | (256 - (bytes + 4) / 2) as u16;
    let mut code = code.to_vec();
    let end: [&[u16]; 2] = [&[0x3f01], &[bne]];
    code.extend(end);
    model.cycles(&window(&code, N, N - 1)).unwrap() as f64 / N as f64
}

const SMLAD_R6: &[u16] = &[0xfb22, 0x6604]; // smlad r6, r2, r4, r6
const ADD_R0: &[u16] = &[0xeb01, 0x0002]; // add.w r0, r1, r2
const ADD_R3: &[u16] = &[0xeb01, 0x0302]; // add.w r3, r1, r2
const ADD_R5_R0: &[u16] = &[0xeb00, 0x0502]; // add.w r5, r0, r2
const SXTB16: &[u16] = &[0xfa2f, 0xf584]; // sxtb16 r5, r4
const LDR_R4: &[u16] = &[0xf8d1, 0x4000]; // ldr.w r4, [r1]
const LDR_R2: &[u16] = &[0xf8d1, 0x2004]; // ldr.w r2, [r1, #4]
const STR_R5: &[u16] = &[0xf8c1, 0x5008]; // str.w r5, [r1, #8]

/// What the sources say of the Cortex-M7, each with the cycle of `subs` and `bne`.
#[test]
fn a_cortex_m7_issues_two_instructions_where_it_can() {
    let cycles = |code: &[&[u16]]| (a_round(Model::M7, code) - 1.0).round();
    assert_eq!(cycles(&[ADD_R0, ADD_R3]), 1.0, "two sums");
    assert_eq!(cycles(&[ADD_R0, ADD_R5_R0]), 2.0, "the second needs the first");
    assert_eq!(cycles(&[SMLAD_R6, SMLAD_R6, SMLAD_R6, SMLAD_R6]), 4.0, "one product, sums are handed on");
    assert_eq!(cycles(&[SMLAD_R6, ADD_R0, SMLAD_R6, ADD_R3]), 2.0, "a sum beside a product");
    assert_eq!(cycles(&[SXTB16, SMLAD_R6]), 1.0, "halfwords first");
    assert_eq!(cycles(&[SMLAD_R6, SXTB16]), 2.0, "and never second");
    assert_eq!(cycles(&[LDR_R4, LDR_R2]), 1.0, "two loads");
    assert_eq!(cycles(&[STR_R5, SMLAD_R6]), 2.0, "no store beside a product");
    assert_eq!(cycles(&[ADD_R5_R0, STR_R5]), 1.0, "what was made in this cycle is stored");
}

/// What was measured on the Cortex-M33, less two cycles of `subs` and `bne`, and one.
#[test]
fn a_cortex_m33_issues_one_instruction_as_soon_as_it_can() {
    let cycles = |code: &[&[u16]]| (a_round(Model::M33, code) - 3.0).round();
    assert_eq!(cycles(&[ADD_R0, ADD_R5_R0]), 2.0, "a sum is there at once");
    assert_eq!(cycles(&[SMLAD_R6, SMLAD_R6]), 2.0, "sums of products are handed on");
    assert_eq!(cycles(&[LDR_R4, LDR_R2, SMLAD_R6]), 4.0, "a product waits for what was loaded");
    assert_eq!(cycles(&[&[0xe8f0, 0x2302]]), 2.0, "two words");
}

/// The loop of `dsp/products.s` as it is for a Cortex-M7, and as for other cores, without moving addresses: LLVM 16's
/// `llvm-mca -mcpu=cortex-m7` says 10.02 and 11.02 cycles a round.
#[test]
fn a_cortex_m7_takes_what_llvm_mca_says() {
    let smlad = |sum: u16, x: u16, w: u16| [0xfb20 | x, sum << 12 | sum << 8 | w];
    let [r6, r7, r8, r9, r10, r11, r12, lr] = [6, 7, 8, 9, 10, 11, 12, 14];
    let (ldr_r4, sxtb16): (&[u16], &[u16]) = (&[0xf8d1, 0x4000], &[0xfa2f, 0xf584]);
    let ldrd: &[u16] = &[0xe9d0, 0x2300];
    let words = [[0xf8d0, 0x2000], [0xf850, 0x3c0c], [0xf850, 0x2c08], [0xf850, 0x3c04]];
    let products = [
        smlad(r6, 2, 4),
        smlad(r7, 3, 4),
        smlad(r10, 2, 5),
        smlad(r11, 3, 5),
        smlad(r8, 2, 4),
        smlad(r12, 2, 5),
        smlad(r9, 3, 4),
        smlad(lr, 3, 5),
    ];
    let [p0, p1, p2, p3, p4, p5, p6, p7] = products.each_ref().map(|p| p.as_slice());
    let [w0, w1, w2, w3] = words.each_ref().map(|w| w.as_slice());
    let own = [ldr_r4, w0, w1, sxtb16, p0, p1, p2, w2, p3, w3, p4, p5, p6, p7];
    let others = [ldrd, ldr_r4, sxtb16, p0, p2, p1, p3, ldrd, p4, p5, p6, p7];
    for (code, wanted) in [(own.as_slice(), 10.0), (&others, 11.0)] {
        // Less the cycle of `subs` and `bne`.
        let cycles = a_round(Model::M7, code) - 1.0;
        assert!((cycles - wanted).abs() <= 1.0, "{cycles}, {wanted} by llvm-mca");
    }
}
