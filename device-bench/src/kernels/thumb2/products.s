@ Armv7-M without DSP: four pixels times two channels, over all words of a patch; see `dsp/products.s`, of which this is the
@ form with MLA, and `Portable::pair4` for what is computed.
@
@ r0       words of the four pixels               r6-r9        sums of both channels, pixels 0 to 3: x * (256 b + a)
@ r1       weights; high half of a product        r10-r12, lr  sums of the even channel: x * a
@ r2, r3   256 b + a, a; bias, multiplier         sp + 0       x before the loop's first group, end of x, output, c_out
@ r4       an input; shift                        sp + 16      channels, end of the output's first pixel, weights
@ r5       a word of weights; rounding            sp + 28      twice the zero point plus one, where the loop is entered
@
@ A group is 29 instructions of 4 bytes for 16 products; the loop is 4 groups, entered so that it ends with the patch.

 .syntax unified
 .thumb

 .macro EDGESLIM_FOUR at
 ldrsh.w r4, [r0, #(\at)]
 mla r6, r4, r2, r6
 mla r10, r4, r3, r10
 ldrsh.w r4, [r0, #(\at + 4)]
 mla r7, r4, r2, r7
 mla r11, r4, r3, r11
 ldrsh.w r4, [r0, #(\at + 8)]
 mla r8, r4, r2, r8
 mla r12, r4, r3, r12
 ldrsh.w r4, [r0, #(\at + 12)]
 mla r9, r4, r2, r9
 mla lr, r4, r3, lr
 .endm
 .macro EDGESLIM_GROUP at
 ldr.w r5, [r1], #4
 sxth.w r2, r5
 sxtb.w r3, r5
 EDGESLIM_FOUR \at
 asr.w r2, r5, #16
 sxtb.w r3, r5, ror #16
 EDGESLIM_FOUR (\at + 2)
 .endm

 .macro EDGESLIM_CHANNEL
 ldr r0, [sp, #16]
 ldmia r0!, {r2-r4}
 str r0, [sp, #16]
 ldr r5, [sp, #28]
 lsl r5, r5, r4
 .endm

@ A sum made an output; as in `dsp/products.s`, with a carry for SMMLAR's rounding.
 .macro EDGESLIM_FINISH sum, odd
 .if \odd
 add \sum, r2, \sum, asr #7
 .else
 add \sum, r2, \sum, lsl #1
 .endif
 smull r0, r1, \sum, r3
 adds r0, r0, #0x80000000
 adc r1, r1, r5
 add r1, r1, \sum, asr #31
 asr r1, r1, r4
 ssat \sum, #8, r1, asr #1
 .endm

@ what: 0 pairs, made outputs; 1 the sums of one pair; 2 the last channel, without an odd one
 .macro EDGESLIM_PRODUCTS name, what
 .section .text.\name, "ax", %progbits
 .global \name
 .type \name, %function
 .balign 4
 .thumb_func
\name:
 push {r4-r11, lr}
 sub sp, sp, #36
 ldm r0, {r1-r8}
 sub r9, r2, r1
 rsb r9, r9, #0
 and r9, r9, #48                @ 16 bytes for each group that the first round leaves out
 sub r1, r1, r9
 stm sp, {r1-r8}
 adr.w r10, 2f
 lsr r9, r9, #4
 movs r0, #116
 mla r9, r9, r0, r10
 orr r9, r9, #1
 str r9, [sp, #32]
1:
 ldr r0, [sp]
 ldr r1, [sp, #24]
 mov r6, #0
 mov r7, #0
 mov r8, #0
 mov r9, #0
 mov r10, #0
 mov r11, #0
 mov r12, #0
 mov lr, #0
 ldr.w pc, [sp, #32]
 .balign 4
2:
 EDGESLIM_GROUP 0
 EDGESLIM_GROUP 16
 EDGESLIM_GROUP 32
 EDGESLIM_GROUP 48
 add r0, r0, #64
 ldr r5, [sp, #4]
 cmp r0, r5
 bne.w 2b
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
 str r1, [sp, #24]
 sub r6, r6, r10
 sub r7, r7, r11
 sub r8, r8, r12
 sub r9, r9, lr
 EDGESLIM_CHANNEL
 EDGESLIM_FINISH r10, 0
 EDGESLIM_FINISH r11, 0
 EDGESLIM_FINISH r12, 0
 EDGESLIM_FINISH lr, 0
 EDGESLIM_CHANNEL
 EDGESLIM_FINISH r6, 1
 EDGESLIM_FINISH r7, 1
 EDGESLIM_FINISH r8, 1
 EDGESLIM_FINISH r9, 1
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
 cmp r2, r5
 bne.w 1b
 .else
 EDGESLIM_CHANNEL
 EDGESLIM_FINISH r10, 0
 EDGESLIM_FINISH r11, 0
 EDGESLIM_FINISH r12, 0
 EDGESLIM_FINISH lr, 0
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

 EDGESLIM_PRODUCTS edgeslim_products, 0
 EDGESLIM_PRODUCTS edgeslim_sums, 1
 EDGESLIM_PRODUCTS edgeslim_last_product, 2

@ Eight channels of a linear layer; `Portable::block8`.
@
@ r0, r1   words of the input, weights   r4, r5       weights of a channel pair: 256 b + a, a
@ r2, r3   two inputs                    r6-r12, lr   sums of four pairs: both channels, the even one
@ arguments: r0, r1, r2 end of the input, r3 eight sums; sp + 0 end of the input, sums
 .macro EDGESLIM_LINEAR_PAIR at, both, even
 ldrsh.w r4, [r1, #(\at)]
 sxtb r5, r4
 mla \both, r2, r4, \both
 mla \even, r2, r5, \even
 ldrsh.w r4, [r1, #(\at + 2)]
 sxtb r5, r4
 mla \both, r3, r4, \both
 mla \even, r3, r5, \even
 .endm
 .macro EDGESLIM_SPLIT both, even
 sub \both, \both, \even
 asr \both, \both, #8
 str \even, [r0], #4
 str \both, [r0], #4
 .endm
 .section .text.edgeslim_block8, "ax", %progbits
 .global edgeslim_block8
 .type edgeslim_block8, %function
 .balign 4
 .thumb_func
edgeslim_block8:
 push {r2-r11, lr}
 mov r6, #0
 mov r7, #0
 mov r8, #0
 mov r9, #0
 mov r10, #0
 mov r11, #0
 mov r12, #0
 mov lr, #0
1:
 ldrsh.w r2, [r0], #2
 ldrsh.w r3, [r0], #2
 EDGESLIM_LINEAR_PAIR 0, r6, r7
 EDGESLIM_LINEAR_PAIR 4, r8, r9
 EDGESLIM_LINEAR_PAIR 8, r10, r11
 EDGESLIM_LINEAR_PAIR 12, r12, lr
 add r1, r1, #16
 ldr r4, [sp]
 cmp r0, r4
 bne 1b
 ldr r0, [sp, #4]
 EDGESLIM_SPLIT r6, r7
 EDGESLIM_SPLIT r8, r9
 EDGESLIM_SPLIT r10, r11
 EDGESLIM_SPLIT r12, lr
 add sp, sp, #8
 pop {r4-r11, pc}
