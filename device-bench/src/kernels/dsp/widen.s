@ Widens rows of the windows of four pixels; `Portable::widen4`.
@
@ r0-r3  a row of each           r4-r7    four bytes of each
@ r12    target                  r8-r11   two of them, widened
@ lr     elements left           sp + 0   rows, bytes to the next rows, elements, rows left
@                                sp + 40  target, bytes from row to row

 .syntax unified
 .thumb

 .macro EDGESLIM_WIDEN_QUAD
 ldr r4, [r0], #4
 ldr r5, [r1], #4
 ldr r6, [r2], #4
 ldr r7, [r3], #4
 sxtb16 r8, r4
 sxtb16 r9, r5
 sxtb16 r10, r6
 sxtb16 r11, r7
 stmia r12!, {r8-r11}
 sxtb16 r4, r4, ror #8
 sxtb16 r5, r5, ror #8
 sxtb16 r6, r6, ror #8
 sxtb16 r7, r7, ror #8
 stmia r12!, {r4-r7}
 .endm
 .macro EDGESLIM_WIDEN_WORD
 sxtb16 r4, r4
 sxtb16 r5, r5
 sxtb16 r6, r6
 sxtb16 r7, r7
 stmia r12!, {r4-r7}
 .endm

 .section .text.edgeslim_widen4, "ax", %progbits
 .global edgeslim_widen4
 .type edgeslim_widen4, %function
 .balign 4
 .thumb_func
edgeslim_widen4:
 push {r4-r11, lr}
 sub sp, sp, #52
 ldm r0!, {r1-r8}
 stm sp, {r1-r8}
 ldm r0, {r5-r8}
 add r9, sp, #32
 stm r9, {r5-r8}
 mov r0, r1
 mov r1, r2
 mov r2, r3
 mov r3, r4
0:
 ldr lr, [sp, #32]
 ldr r12, [sp, #40]
 subs lr, lr, #8
 blt 2f
1:
 EDGESLIM_WIDEN_QUAD
 EDGESLIM_WIDEN_QUAD
 subs lr, lr, #8
 bge 1b
2:
 adds lr, lr, #8
 beq.w 9f
 cmp lr, #4
 blt 3f
 EDGESLIM_WIDEN_QUAD
 subs lr, lr, #4
 beq.w 9f
3:
 cmp lr, #2
 blt 4f
 beq 5f
 ldrh r4, [r0], #2              @ three are left: 0 and 2, 1 and nothing
 ldrb r8, [r0]
 ldrh r5, [r1], #2
 ldrb r9, [r1]
 ldrh r6, [r2], #2
 ldrb r10, [r2]
 ldrh r7, [r3], #2
 ldrb r11, [r3]
 orr r4, r4, r8, lsl #16
 orr r5, r5, r9, lsl #16
 orr r6, r6, r10, lsl #16
 orr r7, r7, r11, lsl #16
 sxtb16 r8, r4
 sxtb16 r9, r5
 sxtb16 r10, r6
 sxtb16 r11, r7
 stmia r12!, {r8-r11}
 sxtb16 r4, r4, ror #8
 sxtb16 r5, r5, ror #8
 sxtb16 r6, r6, ror #8
 sxtb16 r7, r7, ror #8
 stmia r12!, {r4-r7}
 b.w 9f
5:                              @ two: 0 and 1
 ldrh r4, [r0]
 ldrh r5, [r1]
 ldrh r6, [r2]
 ldrh r7, [r3]
 orr r4, r4, r4, lsl #8
 orr r5, r5, r5, lsl #8
 orr r6, r6, r6, lsl #8
 orr r7, r7, r7, lsl #8
 EDGESLIM_WIDEN_WORD
 b.w 9f
4:                              @ one: 0 and nothing
 ldrb r4, [r0]
 ldrb r5, [r1]
 ldrb r6, [r2]
 ldrb r7, [r3]
 EDGESLIM_WIDEN_WORD
9:
 ldr r8, [sp, #36]
 subs r8, r8, #1
 beq 8f
 str r8, [sp, #36]
 ldm sp, {r0-r7}
 add r0, r0, r4
 add r1, r1, r5
 add r2, r2, r6
 add r3, r3, r7
 stm sp, {r0-r3}
 ldrd r4, r5, [sp, #40]
 add r4, r4, r5
 str r4, [sp, #40]
 b.w 0b
8:
 add sp, sp, #52
 pop {r4-r11, pc}
