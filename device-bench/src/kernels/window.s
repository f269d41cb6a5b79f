@ A depthwise window, four channels at a time, or one to three in all; `Portable::window4` and `Channel::finish`.
@ EDGESLIM_DSP: 1 where there is the DSP extension.
@
@ r0, r1   inputs and weights of a tap        r6   zero point to subtract   r8-r11   sums
@ r2, r3   an input and a weight; parameters  r7   taps left in the row     r12, lr  from tap to tap, rows left
@ r4, r5   two of each, widened; parameters
@ sp + 0   input, weights, taps in a row, rows
@ sp + 16  from tap to tap, from a row's end to the next row: inputs, weights; zero point to subtract
@ sp + 32  sums to add or null, parameters, twice the zero point plus one, output
@ sp + 48  groups of four channels left, channels that the last one has in common with the one before

 .syntax unified
 .thumb

 .macro EDGESLIM_LANE lane, sum, zero
 ldrsb r2, [r0, #\lane]
 ldrsb r3, [r1, #\lane]
 .if \zero
 sub r2, r2, r6
 .endif
 mla \sum, r2, r3, \sum
 .endm
 .macro EDGESLIM_TAP zero, lanes
 .if EDGESLIM_DSP
 ldr r2, [r0]
 ldr r3, [r1]
 add r0, r0, r12
 add r1, r1, r12
 sxtb16 r4, r2
 sxtb16 r5, r3
 .if \zero
 ssub16 r4, r4, r6
 .endif
 smlabb r8, r4, r5, r8
 smlatt r10, r4, r5, r10
 sxtb16 r4, r2, ror #8
 sxtb16 r5, r3, ror #8
 .if \zero
 ssub16 r4, r4, r6
 .endif
 smlabb r9, r4, r5, r9
 smlatt r11, r4, r5, r11
 .else
 EDGESLIM_LANE 0, r8, \zero
 .if \lanes > 1
 EDGESLIM_LANE 1, r9, \zero
 .endif
 .if \lanes > 2
 EDGESLIM_LANE 2, r10, \zero
 .endif
 .if \lanes > 3
 EDGESLIM_LANE 3, r11, \zero
 .endif
 add r0, r0, r12
 add r1, r1, r12
 .endif
 .endm
 .macro EDGESLIM_OUTPUT sum
 ldmia r1!, {r3-r5}
 add \sum, r3, \sum, lsl #1
 lsl r12, r7, r5
 .if EDGESLIM_DSP
 add r12, r12, \sum, asr #31
 smmlar r4, \sum, r4, r12
 .else
 smull r3, r4, \sum, r4
 adds r3, r3, #0x80000000
 adc r4, r4, r12
 add r4, r4, \sum, asr #31
 .endif
 asr r4, r4, r5
 ssat r4, #8, r4, asr #1
 strb r4, [r2], #1
 .endm
@ What the zero point adds to a channel's sum; r0 is where it lies.
 .macro EDGESLIM_ADD_SUM at, sum
 ldr r1, [r0, #\at]
 add \sum, \sum, r1
 .endm
@ lanes: 4, with the groups of four channels after each other, or all channels that there are
 .macro EDGESLIM_WINDOW name, zero, lanes
 .section .text.\name, "ax", %progbits
 .global \name
 .type \name, %function
 .balign 4
 .thumb_func
\name:
 push {r4-r11, lr}
 sub sp, sp, #60
 ldm r0!, {r1-r8}
 stm sp, {r1-r8}
 ldm r0, {r1-r6}
 add r0, sp, #32
 stm r0, {r1-r6}
 .if \lanes == 4
 cmp r5, #1
 beq.w 4f
 .endif
1:
 ldrd r0, r1, [sp]
 ldr lr, [sp, #12]
 ldr r12, [sp, #16]
 .if \zero
 ldr r6, [sp, #28]
 .if EDGESLIM_DSP
 pkhbt r6, r6, r6, lsl #16
 .endif
 .endif
 mov r8, #0
 mov r9, #0
 mov r10, #0
 mov r11, #0
2:
 ldr r7, [sp, #8]
3:
 EDGESLIM_TAP \zero, \lanes
 subs r7, r7, #1
 bne 3b
 ldrd r2, r3, [sp, #20]
 add r0, r0, r2
 add r1, r1, r3
 subs lr, lr, #1
 bne 2b
 .if \zero
 ldr r0, [sp, #32]
 .if \lanes == 4
 ldmia r0!, {r1-r4}
 str r0, [sp, #32]
 add r8, r8, r1
 add r9, r9, r2
 add r10, r10, r3
 add r11, r11, r4
 .else
 EDGESLIM_ADD_SUM 0, r8
 .if \lanes > 1
 EDGESLIM_ADD_SUM 4, r9
 .endif
 .if \lanes > 2
 EDGESLIM_ADD_SUM 8, r10
 .endif
 .endif
 .endif
 ldr r1, [sp, #36]
 ldr r7, [sp, #40]
 ldr r2, [sp, #44]
 EDGESLIM_OUTPUT r8
 .if \lanes > 1
 EDGESLIM_OUTPUT r9
 .endif
 .if \lanes > 2
 EDGESLIM_OUTPUT r10
 .endif
 .if \lanes == 4
 EDGESLIM_OUTPUT r11
 str r1, [sp, #36]
 str r2, [sp, #44]
 ldrd r0, r1, [sp]
 add r0, r0, #4
 add r1, r1, #4
 strd r0, r1, [sp]
 ldr r2, [sp, #48]
 subs r2, r2, #1
 str r2, [sp, #48]
 beq.w 5f
 cmp r2, #1
 bne.w 1b
4:                              @ the last group
 ldr r2, [sp, #52]
 ldrd r0, r1, [sp]
 sub r0, r0, r2
 sub r1, r1, r2
 strd r0, r1, [sp]
 ldr r0, [sp, #32]
 sub r0, r0, r2, lsl #2
 str r0, [sp, #32]
 ldr r0, [sp, #44]
 sub r0, r0, r2
 str r0, [sp, #44]
 add r2, r2, r2, lsl #1
 ldr r0, [sp, #36]
 sub r0, r0, r2, lsl #2
 str r0, [sp, #36]
 b.w 1b
5:
 .endif
 add sp, sp, #60
 pop {r4-r11, pc}
 .endm
 EDGESLIM_WINDOW edgeslim_window, 0, 4
 EDGESLIM_WINDOW edgeslim_window_at_edge, 1, 4
 .if EDGESLIM_DSP == 0
 EDGESLIM_WINDOW edgeslim_window_of_1, 0, 1
 EDGESLIM_WINDOW edgeslim_window_of_2, 0, 2
 EDGESLIM_WINDOW edgeslim_window_of_3, 0, 3
 EDGESLIM_WINDOW edgeslim_window_of_1_at_edge, 1, 1
 EDGESLIM_WINDOW edgeslim_window_of_2_at_edge, 1, 2
 EDGESLIM_WINDOW edgeslim_window_of_3_at_edge, 1, 3
 .endif
