@ Armv6-M: one pixel times two channels, over all words of a patch; `Portable::pair1`.
@
@ r0, r1  words of the pixel, weights   r4, r5  a word of each, then its high half
@ r2      sum of both channels          r6      a low half of the input
@ r3      sum of the even channel       r7      a weight, then a product
@ arguments: r0, r1, r2 end of the words; returned in r0, r1: the sums of the even and of the odd channel
@
@ A group is 16 instructions of 2 bytes for 4 products; the loop is 4 groups, entered so that it ends with the patch.

 .syntax unified
 .thumb

 .macro EDGESLIM_GROUP x, w
 ldr r4, [r0, #(\x)]
 ldr r5, [r1, #(\w)]
 sxth r6, r4
 sxth r7, r5
 muls r7, r6, r7
 adds r2, r2, r7
 sxtb r7, r5
 muls r7, r6, r7
 adds r3, r3, r7
 asrs r4, r4, #16
 asrs r5, r5, #16
 sxtb r7, r5
 muls r7, r4, r7
 adds r3, r3, r7
 muls r5, r4, r5
 adds r2, r2, r5
 .endm

@ x, w: bytes from word to word of the pixel and of the weights
 .macro EDGESLIM_DOT name, x, w
 .section .text.\name, "ax", %progbits
 .global \name
 .type \name, %function
 .balign 4
 .thumb_func
\name:
 push {r4-r7, lr}
 mov r12, r2
 subs r3, r0, r2                @ minus \x a word
 movs r4, #(3 * \x)
 ands r3, r4                    @ \x for each group that the first round leaves out
 subs r0, r0, r3
 .if \x == 16
 lsrs r3, r3, #2
 .endif
 .if \w == 16
 lsls r4, r3, #2
 subs r1, r1, r4
 .else
 subs r1, r1, r3
 .endif
 lsls r3, r3, #3                @ 32 bytes of code for each
 adr r4, 1f
 adds r4, r4, r3
 adds r4, r4, #1
 movs r2, #0
 movs r3, #0
 bx r4
 .balign 4
1:
 EDGESLIM_GROUP 0, 0
 EDGESLIM_GROUP \x, \w
 EDGESLIM_GROUP 2 * \x, 2 * \w
 EDGESLIM_GROUP 3 * \x, 3 * \w
 adds r0, r0, #(4 * \x)
 adds r1, r1, #(4 * \w)
 cmp r0, r12
 bne 1b
 mov r0, r3
 subs r1, r2, r3
 asrs r1, r1, #8
 pop {r4-r7, pc}
 .endm

 EDGESLIM_DOT edgeslim_dot_of_four, 16, 4
 EDGESLIM_DOT edgeslim_dot, 4, 4
 EDGESLIM_DOT edgeslim_dot_in_block, 4, 16

@ A sum made an output; `Channel::finish`, with the high half of the product out of four.
@
@ arguments: r0 twice the sum, r1 the channel, r2 twice the zero point plus one
 .section .text.edgeslim_finish, "ax", %progbits
 .global edgeslim_finish
 .type edgeslim_finish, %function
 .balign 4
 .thumb_func
edgeslim_finish:
 push {r4-r7, lr}
 ldmia r1!, {r3, r4, r5}        @ bias, multiplier, shift
 adds r0, r0, r3
 lsls r2, r2, r5                @ rounding and zero point
 asrs r1, r0, #31               @ ties away from zero
 adds r2, r2, r1
 uxth r1, r0
 asrs r0, r0, #16
 uxth r3, r4
 lsrs r4, r4, #16
 mov r6, r1
 muls r6, r3, r6                @ low * low
 muls r3, r0, r3                @ high * low
 muls r1, r4, r1                @ low * high
 muls r0, r4, r0                @ high * high
 lsrs r6, r6, #16
 movs r7, #128
 lsls r7, r7, #8
 adds r6, r6, r7
 uxth r7, r3
 adds r6, r6, r7
 uxth r7, r1
 adds r6, r6, r7
 lsrs r6, r6, #16
 adds r0, r0, r6
 asrs r3, r3, #16
 adds r0, r0, r3
 lsrs r1, r1, #16
 adds r0, r0, r1
 adds r0, r0, r2
 asrs r0, r0, r5
 asrs r0, r0, #1
 sxtb r1, r0
 cmp r1, r0
 beq 1f
 asrs r0, r0, #31
 movs r1, #127
 eors r0, r1
1:
 pop {r4-r7, pc}

@ A depthwise window, two to four channels; `Portable::window4`.
@
@ r0, r1  inputs and weights of a tap   r4-r7    0, 1, 2, 3    r12, lr  taps left in the row, from tap to tap
@ r2, r3  an input and a weight         r8-r11   sums
@
@ lanes: channels; of less than four, r7 is a zero point to subtract
@ sp + 0  input, weights, taps in a row, rows
@ sp + 16 from tap to tap, from a row's end to the next row: inputs, weights; zero point to subtract
@ sp + 32 four sums
 .macro EDGESLIM_TAP lane, sum, lanes
 ldrsb r2, [r0, \lane]
 ldrsb r3, [r1, \lane]
 .if \lanes < 4
 subs r2, r2, r7
 .endif
 muls r2, r3, r2
 add \sum, r2
 .endm
 .macro EDGESLIM_WINDOW lanes
 .section .text.edgeslim_window\lanes, "ax", %progbits
 .global edgeslim_window\lanes
 .type edgeslim_window\lanes, %function
 .balign 4
 .thumb_func
edgeslim_window\lanes:
 push {r4-r7, lr}
 mov r4, r8
 mov r5, r9
 mov r6, r10
 mov r7, r11
 push {r4-r7}
 sub sp, sp, #36
 mov r1, sp
 ldmia r0!, {r2-r5}
 stmia r1!, {r2-r5}
 ldmia r0!, {r2-r6}
 stmia r1!, {r2-r6}
 movs r4, #0
 movs r5, #1
 movs r6, #2
 .if \lanes == 4
 movs r7, #3
 .else
 ldr r7, [sp, #28]
 .endif
 mov r8, r4
 mov r9, r4
 mov r10, r4
 mov r11, r4
 ldr r0, [sp]
 ldr r1, [sp, #4]
 ldr r2, [sp, #16]
 mov lr, r2
1:
 ldr r2, [sp, #8]
 mov r12, r2
2:
 EDGESLIM_TAP r4, r8, \lanes
 EDGESLIM_TAP r5, r9, \lanes
 .if \lanes > 2
 EDGESLIM_TAP r6, r10, \lanes
 .endif
 .if \lanes > 3
 EDGESLIM_TAP r7, r11, \lanes
 .endif
 add r0, lr
 add r1, lr
 mov r2, r12
 subs r2, r2, #1
 mov r12, r2
 bne 2b
 ldr r2, [sp, #20]
 adds r0, r0, r2
 ldr r2, [sp, #24]
 adds r1, r1, r2
 ldr r2, [sp, #12]
 subs r2, r2, #1
 str r2, [sp, #12]
 bne 1b
 ldr r0, [sp, #32]
 mov r4, r8
 mov r5, r9
 mov r6, r10
 mov r7, r11
 stmia r0!, {r4-r7}
 add sp, sp, #36
 pop {r4-r7}
 mov r8, r4
 mov r9, r5
 mov r10, r6
 mov r11, r7
 pop {r4-r7, pc}
 .endm

 EDGESLIM_WINDOW 2
 EDGESLIM_WINDOW 3
 EDGESLIM_WINDOW 4
