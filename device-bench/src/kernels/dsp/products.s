@ Four pixels times two channels, over all words of a patch; see `products.rs` for the arguments and `Portable::pair4` for
@ what is computed.
@
@ r0       words of the four pixels, in turn       r6-r9        sums of both channels, pixels 0 to 3: x * (256 b + a)
@ r1       words of weights, 256 b + a             r10-r12, lr  sums of the even channel: x * a
@ r2, r3   words of two pixels; bias, multiplier   sp + 0       x, end of x, output, c_out
@ r4       a word of weights; shift                sp + 16      channels, end of the output's first pixel, weights
@ r5       its low bytes, widened; rounding        sp + 28      twice the zero point plus one, where the loop is entered
@
@ A group is 12 instructions of 4 bytes for 16 products; loops are of some groups, entered so that they end with the patch.
@ EDGESLIM_DUAL_ISSUE: 1 for a Cortex-M7.

 .syntax unified
 .thumb

 .macro EDGESLIM_MULTIPLY first, sum, x, weights
 .if \first
 smuad \sum, \x, \weights
 .else
 smlad \sum, \x, \weights, \sum
 .endif
 .endm

@ The Cortex-M7 issues one product a cycle, with one other instruction beside it, but nothing beside an LDRD: words are loaded one
@ by one there, and nothing is used before the third cycle.
 .macro EDGESLIM_GROUP first
 .if EDGESLIM_DUAL_ISSUE
 ldr.w r4, [r1], #4
 ldr.w r2, [r0], #16
 ldr r3, [r0, #-12]
 sxtb16 r5, r4
 EDGESLIM_MULTIPLY \first, r6, r2, r4
 EDGESLIM_MULTIPLY \first, r7, r3, r4
 EDGESLIM_MULTIPLY \first, r10, r2, r5
 ldr r2, [r0, #-8]
 EDGESLIM_MULTIPLY \first, r11, r3, r5
 ldr r3, [r0, #-4]
 EDGESLIM_MULTIPLY \first, r8, r2, r4
 EDGESLIM_MULTIPLY \first, r12, r2, r5
 EDGESLIM_MULTIPLY \first, r9, r3, r4
 EDGESLIM_MULTIPLY \first, lr, r3, r5
 .else
 ldr.w r4, [r1], #4
 ldrd r2, r3, [r0], #8
 sxtb16 r5, r4
 EDGESLIM_MULTIPLY \first, r6, r2, r4
 EDGESLIM_MULTIPLY \first, r10, r2, r5
 EDGESLIM_MULTIPLY \first, r7, r3, r4
 EDGESLIM_MULTIPLY \first, r11, r3, r5
 ldrd r2, r3, [r0], #8
 EDGESLIM_MULTIPLY \first, r8, r2, r4
 EDGESLIM_MULTIPLY \first, r12, r2, r5
 EDGESLIM_MULTIPLY \first, r9, r3, r4
 EDGESLIM_MULTIPLY \first, lr, r3, r5
 .endif
 .endm
 .if EDGESLIM_DUAL_ISSUE
 .equ EDGESLIM_GROUP_BYTES, 56
 .else
 .equ EDGESLIM_GROUP_BYTES, 48
 .endif

@ The parameters of the next channel; r0 is free afterwards.
 .macro EDGESLIM_CHANNEL
 ldr r0, [sp, #16]
 ldmia r0!, {r2-r4}
 str r0, [sp, #16]
 ldr r5, [sp, #28]
 lsl r5, r5, r4
 .endm

@ Four sums made outputs; `Channel::finish`. r5 is half a step and the zero point, both shifted to where the high half of the
@ product has them, so that one instruction multiplies, rounds and adds. Of negative sums it is one less: ties go away from
@ zero. Two sums in turn, as each instruction needs what the last but one made.
@ odd: the registers hold 256 times the sum; else the sum itself.
 .macro EDGESLIM_FINISH_TWO a, b, odd
 .if \odd
 add \a, r2, \a, asr #7
 add \b, r2, \b, asr #7
 .else
 add \a, r2, \a, lsl #1
 add \b, r2, \b, lsl #1
 .endif
 add r0, r5, \a, asr #31
 smmlar \a, \a, r3, r0
 add r0, r5, \b, asr #31
 smmlar \b, \b, r3, r0
 asr \a, \a, r4
 asr \b, \b, r4
 ssat \a, #8, \a, asr #1
 ssat \b, #8, \b, asr #1
 .endm
 .macro EDGESLIM_FINISH_FOUR a, b, c, d, odd
 EDGESLIM_FINISH_TWO \a, \b, \odd
 EDGESLIM_FINISH_TWO \c, \d, \odd
 .endm

@ what: 0 pairs, made outputs; 1 the sums of one pair; 2 the last channel, without an odd one
@ groups: of the loop, a power of two
 .macro EDGESLIM_PRODUCTS name, what, groups
 .section .text.\name, "ax", %progbits
 .global \name
 .type \name, %function
 .balign 4
 .thumb_func
\name:
 push {r4-r11, lr}
 sub sp, sp, #36
 ldm r0, {r1-r8}
 stm sp, {r1-r8}
 sub r4, r2, r1
 lsrs r4, r4, #4                @ groups
 rsb r5, r4, #1
 and r5, r5, #(\groups - 1)
 movs r6, #EDGESLIM_GROUP_BYTES
 adr.w r7, 2f
 mla r5, r5, r6, r7
 cmp r4, #1
 it eq
 adreq.w r5, 3f
 orr r5, r5, #1
 str r5, [sp, #32]
 mov r0, r1
 ldr r1, [sp, #24]
1:
 EDGESLIM_GROUP 1
 ldr.w pc, [sp, #32]
 .balign 4
2:
 .rept \groups
 EDGESLIM_GROUP 0
 .endr
 ldr r5, [sp, #4]
 cmp r0, r5
 bne.w 2b
 .balign 4
3:
 .if \what == 1
 ldr r0, [sp, #8]
 sub r6, r6, r10
 sub r7, r7, r11
 sub r8, r8, r12
 sub r9, r9, lr
 asr r6, r6, #8
 asr r7, r7, #8
 asr r8, r8, #8
 asr r9, r9, #8
 stmia r0!, {r10-r12, lr}
 stmia r0!, {r6-r9}
 .elseif \what == 0
 sub r6, r6, r10
 sub r7, r7, r11
 sub r8, r8, r12
 sub r9, r9, lr
 EDGESLIM_CHANNEL
 EDGESLIM_FINISH_FOUR r10, r11, r12, lr, 0
 EDGESLIM_CHANNEL
 EDGESLIM_FINISH_FOUR r6, r7, r8, r9, 1
 ldrd r2, r3, [sp, #8]
 strb r6, [r2, #1]
 strb r10, [r2], #2
 str r2, [sp, #8]
 add r4, r2, r3
 strb r11, [r4, #-2]
 strb r7, [r4, #-1]
 add r4, r4, r3
 strb r12, [r4, #-2]
 strb r8, [r4, #-1]
 add r4, r4, r3
 strb lr, [r4, #-2]
 strb r9, [r4, #-1]
 ldr r5, [sp, #20]
 ldr r0, [sp]
 cmp r2, r5
 bne.w 1b
 .else
 EDGESLIM_CHANNEL
 EDGESLIM_FINISH_FOUR r10, r11, r12, lr, 0
 ldrd r2, r3, [sp, #8]
 strb r10, [r2]
 add r2, r2, r3
 strb r11, [r2]
 add r2, r2, r3
 strb r12, [r2]
 strb lr, [r2, r3]
 .endif
 add sp, sp, #36
 pop {r4-r11, pc}
 .endm

 EDGESLIM_PRODUCTS edgeslim_products, 0, 16
 EDGESLIM_PRODUCTS edgeslim_sums, 1, 4
 EDGESLIM_PRODUCTS edgeslim_last_product, 2, 4

@ Eight channels of a linear layer; `Portable::block8`.
@
@ r0  words of the input          r3, r4       words of weights of two channel pairs
@ r1  weights, four words each    r5           low bytes of one of them, widened
@ r2  a word of the input         r6-r12, lr   sums of four pairs: both channels, the even one
@ arguments: r0, r1, r2 end of the input, r3 eight sums; sp + 0 end of the input, sums
 .macro EDGESLIM_LINEAR_GROUP
 ldr.w r2, [r0], #4
 ldrd r3, r4, [r1], #8
 sxtb16 r5, r3
 smlad r6, r2, r3, r6
 smlad r7, r2, r5, r7
 sxtb16 r5, r4
 smlad r8, r2, r4, r8
 smlad r9, r2, r5, r9
 ldrd r3, r4, [r1], #8
 sxtb16 r5, r3
 smlad r10, r2, r3, r10
 smlad r11, r2, r5, r11
 sxtb16 r5, r4
 smlad r12, r2, r4, r12
 smlad lr, r2, r5, lr
 .endm
 .section .text.edgeslim_block8, "ax", %progbits
 .global edgeslim_block8
 .type edgeslim_block8, %function
 .balign 4
 .thumb_func
edgeslim_block8:
 push {r2-r11, lr}
 sub r4, r0, r2                 @ -4 a word
 and r4, r4, #12
 movs r5, #15
 mul r4, r4, r5                 @ 60 bytes a group
 adr.w r5, 1f
 add r4, r4, r5
 orr r4, r4, #1
 movs r6, #0
 movs r7, #0
 mov r8, r6
 mov r9, r6
 mov r10, r6
 mov r11, r6
 mov r12, r6
 mov lr, r6
 bx r4
 .balign 4
1:
 .rept 4
 EDGESLIM_LINEAR_GROUP
 .endr
 ldr r5, [sp]
 cmp r0, r5
 bne.w 1b
 ldr r0, [sp, #4]
 .macro EDGESLIM_SPLIT both, even
 sub \both, \both, \even
 asr \both, \both, #8
 str \even, [r0], #4
 str \both, [r0], #4
 .endm
 EDGESLIM_SPLIT r6, r7
 EDGESLIM_SPLIT r8, r9
 EDGESLIM_SPLIT r10, r11
 EDGESLIM_SPLIT r12, lr
 add sp, sp, #8
 pop {r4-r11, pc}

@ One pair of channels for one pixel; `Portable::pair1`.
@
@ r0  words of the input     r4   a word of the input     r8   the sum of both channels
@ r1  weights                r5   a word of weights       lr   the sum of the even one
@                            r7   its low bytes, widened
@ arguments: r0, r1, r2 end of the input, r3 two sums
@ step: bytes from word to word of the input
 .macro EDGESLIM_PAIR1 name, step
 .section .text.\name, "ax", %progbits
 .global \name
 .type \name, %function
 .balign 4
 .thumb_func
\name:
 push {r4-r8, lr}
 sub r4, r0, r2                 @ minus a step for each word
 and r4, r4, #(7 * \step)
 .if \step == 16
 lsr r4, r4, #2
 .endif
 add r4, r4, r4, lsl #2         @ 20 bytes a word
 adr.w r5, 1f
 add r4, r4, r5
 orr r4, r4, #1
 mov r8, #0
 mov lr, #0
 bx r4
 .balign 4
1:
 .rept 8
 ldr.w r4, [r0], #\step
 ldr.w r5, [r1], #4
 sxtb16 r7, r5
 smlad r8, r4, r5, r8
 smlad lr, r4, r7, lr
 .endr
 cmp r0, r2
 bne.w 1b
 sub r8, r8, lr
 asr r8, r8, #8
 strd lr, r8, [r3]
 pop {r4-r8, pc}
 .endm
 EDGESLIM_PAIR1 edgeslim_pair1, 4
 EDGESLIM_PAIR1 edgeslim_pair1_of_four, 16

@ Widens a run of one pixel, a multiple of eight elements.
@
@ arguments: r0 the run, r1 its end, r2 target
 .section .text.edgeslim_widen1, "ax", %progbits
 .global edgeslim_widen1
 .type edgeslim_widen1, %function
 .balign 4
 .thumb_func
edgeslim_widen1:
 push {r4-r7}
1:
 ldr r3, [r0], #4
 ldr r5, [r0], #4
 sxtb16 r4, r3
 sxtb16 r6, r5
 sxtb16 r3, r3, ror #8
 sxtb16 r5, r5, ror #8
 strd r4, r3, [r2], #8
 strd r6, r5, [r2], #8
 cmp r0, r1
 bne 1b
 pop {r4-r7}
 bx lr
