@ Depthwise convolution, 3 x 3; see `depthwise.rs`.

 .syntax unified
 .thumb

@ Writes a run of rows of four channels to four planes, each word a pair of neighbouring pixels of one channel.
@
@ r0       four channels of a pixel       r4-r9   pixels and pairs
@ r1       channels of a pixel, bytes     r12     pairs left
@ r2, r3, r10, r11  the planes            lr      1: a pair of padding and the first pixel, 2: one of the last and padding,
@                                                 4 times pairs of padding
@ sp + 0   input, channels, target, bytes of a plane
@ sp + 16  pairs, flags, padding as four bytes, rows
@ sp + 32  bytes of an input row, bytes from a row's last word to the next row's first
 .macro EDGESLIM_PAIR first, second
 pkhbt r6, \first, \second, lsl #16
 pkhtb r7, \second, \first, asr #16
 sxtb16 r8, r6
 sxtb16 r6, r6, ror #8
 sxtb16 r9, r7
 sxtb16 r7, r7, ror #8
 str r8, [r2], #4
 str r6, [r3], #4
 str r9, [r10], #4
 str r7, [r11], #4
 .endm
 .section .text.edgeslim_planes, "ax", %progbits
 .global edgeslim_planes
 .type edgeslim_planes, %function
 .balign 4
 .thumb_func
edgeslim_planes:
 push {r4-r11, lr}
 sub sp, sp, #44
 ldm r0, {r1-r10}
 stm sp, {r1-r10}
 mov r0, r1
 mov r1, r2
 mov r2, r3
 add r3, r2, r4
 add r10, r3, r4
 add r11, r10, r4
1:
 ldrd r12, lr, [sp, #16]
 lsls r4, lr, #31
 beq 2f
 ldr r5, [sp, #24]
 ldr r4, [r0]
 add r0, r0, r1
 EDGESLIM_PAIR r5, r4
2:
 subs r12, r12, #2
 blt 4f
3:                              @ two pairs at a time
 ldr r4, [r0]
 ldr r5, [r0, r1]
 add r0, r0, r1, lsl #1
 ldr r6, [r0]
 ldr r7, [r0, r1]
 add r0, r0, r1, lsl #1
 pkhbt r8, r4, r5, lsl #16
 pkhtb r4, r5, r4, asr #16
 pkhbt r9, r6, r7, lsl #16
 pkhtb r6, r7, r6, asr #16
 sxtb16 r5, r8
 sxtb16 r7, r9
 strd r5, r7, [r2], #8
 sxtb16 r8, r8, ror #8
 sxtb16 r9, r9, ror #8
 strd r8, r9, [r3], #8
 sxtb16 r5, r4
 sxtb16 r7, r6
 strd r5, r7, [r10], #8
 sxtb16 r4, r4, ror #8
 sxtb16 r6, r6, ror #8
 strd r4, r6, [r11], #8
 subs r12, r12, #2
 bge 3b
4:
 lsls r12, r12, #31
 beq 5f
 ldr r4, [r0]
 ldr r5, [r0, r1]
 add r0, r0, r1, lsl #1
 EDGESLIM_PAIR r4, r5
5:
 lsls r4, lr, #30
 bpl 6f
 ldr r4, [r0]
 ldr r5, [sp, #24]
 EDGESLIM_PAIR r4, r5
6:
 lsrs lr, lr, #2
 beq 8f
 ldr r5, [sp, #24]
 sxtb16 r5, r5
7:
 str r5, [r2], #4
 str r5, [r3], #4
 str r5, [r10], #4
 str r5, [r11], #4
 subs lr, lr, #1
 bne 7b
8:
 ldr r4, [sp, #28]
 ldr r0, [sp]
 ldrd r5, r6, [sp, #32]
 add r0, r0, r5
 str r0, [sp]
 add r2, r2, r6
 add r3, r3, r6
 add r10, r10, r6
 add r11, r11, r6
 subs r4, r4, #1
 str r4, [sp, #28]
 bne.w 1b
 add sp, sp, #44
 pop {r4-r11, pc}

@ Some rows of outputs of up to four channels, two outputs at a time. A row of words ends where its address is a multiple
@ of the pitch, or one word later.
@
@ r0       words of the first of three rows     r4, r5    twice the sums of two outputs
@ r1       output                               r6-r11    doubled weights of each row: (w0, w1), (w1, w2)
@ r2, r3   words of a row; rounding, less one   r12, lr   multiplier, shift
@ sp + 0   rounding and zero point, bytes of a pixel, bias, bias
@ sp + 16  rows left, bytes to the next row, pairs of outputs in a row (0: none), a single output behind them (0 or 1)
@ sp + 32  rows, words of the next plane, its output, weights
@ sp + 48  parameters, bytes of a plane, twice the zero point plus one, channels left
@ sp + 64  shift

@ The weights and parameters of a channel; a function without a frame of its own.
 .section .text.edgeslim_depthwise_channel, "ax", %progbits
 .type edgeslim_depthwise_channel, %function
 .balign 4
 .thumb_func
edgeslim_depthwise_channel:
 ldr r0, [sp, #44]
 ldr r1, [sp, #4]
 ldrsb r2, [r0]
 ldrsb r3, [r0, r1]
 add r12, r0, #1
 str r12, [sp, #44]
 add r0, r0, r1, lsl #1
 ldrsb r4, [r0]
 ldrsb r5, [r0, r1]
 add r0, r0, r1, lsl #1
 pkhbt r6, r2, r3, lsl #16
 pkhbt r7, r3, r4, lsl #16
 ldrsb r2, [r0]
 ldrsb r3, [r0, r1]
 add r0, r0, r1, lsl #1
 pkhbt r8, r5, r2, lsl #16
 pkhbt r9, r2, r3, lsl #16
 ldrsb r4, [r0]
 ldrsb r5, [r0, r1]
 ldrsb r2, [r0, r1, lsl #1]
 pkhbt r10, r4, r5, lsl #16
 pkhbt r11, r5, r2, lsl #16
 sadd16 r6, r6, r6
 sadd16 r7, r7, r7
 sadd16 r8, r8, r8
 sadd16 r9, r9, r9
 sadd16 r10, r10, r10
 sadd16 r11, r11, r11
 ldr r0, [sp, #48]
 ldr r2, [sp, #56]
 ldm r0!, {r3, r4, r5}
 str r0, [sp, #48]
 mov r12, r4
 mov r4, r3
 strd r3, r4, [sp, #8]
 lsls r2, r5
 str r2, [sp]
 str r5, [sp, #64]
 ldr r2, [sp, #32]
 str r2, [sp, #16]
 ldrd r0, r1, [sp, #36]
 ldr r2, [sp, #52]
 adds r2, r2, r0
 adds r3, r1, #1
 strd r2, r3, [sp, #36]
 bx lr

@ The products of a row with both outputs: of a stride of 1 from the words in r2 and r3, of a stride of 2 from a third one too.
@ at: where the row's words lie, from those of the first row on, which moves r0 on to the next outputs but on a Cortex-M7
@ next: where the next row's lie, which a Cortex-M7 loads beside the products; nothing behind the last row
 .macro EDGESLIM_ROW stride, first, second, at, next
 .if \stride == 1
 .if EDGESLIM_DUAL_ISSUE
 smlad r4, r2, \first, r4
 smlatb r5, r2, \first, r5
 .ifnb \next
 ldr.w r2, [r0, #(\next)]
 .endif
 smlabt r4, r3, \second, r4
 smlad r5, r3, \second, r5
 .ifnb \next
 ldr.w r3, [r0, #(\next + 4)]
 .endif
 .else
 .if \at == 0
 ldrd r2, r3, [r0], #4
 .else
 ldrd r2, r3, [r0, #(\at - 4)]
 .endif
 smlad r4, r2, \first, r4
 smlatb r5, r2, \first, r5
 smlabt r4, r3, \second, r4
 smlad r5, r3, \second, r5
 .endif
 .else
 .if EDGESLIM_DUAL_ISSUE
 smlad r4, r2, \first, r4
 ldr.w r2, [r0, #(\at + 8)]
 smlabt r4, r3, \second, r4
 smlad r5, r3, \first, r5
 .ifnb \next
 ldr.w r3, [r0, #(\next + 4)]
 .endif
 smlabt r5, r2, \second, r5
 .ifnb \next
 ldr.w r2, [r0, #(\next)]
 .endif
 .else
 .if \at == 0
 ldrd r2, r3, [r0]
 smlad r4, r2, \first, r4
 ldr r2, [r0, #8]!
 .else
 ldrd r2, r3, [r0, #(\at - 8)]
 smlad r4, r2, \first, r4
 ldr.w r2, [r0, #(\at)]
 .endif
 smlabt r4, r3, \second, r4
 smlad r5, r3, \first, r5
 smlabt r5, r2, \second, r5
 .endif
 .endif
 .endm
 .macro EDGESLIM_ONE first, second
 smlad r4, r2, \first, r4
 smlabt r4, r3, \second, r4
 .endm
 .macro EDGESLIM_DEPTHWISE stride, pitch
 .section .text.edgeslim_depthwise_s\stride\()_\pitch, "ax", %progbits
 .global edgeslim_depthwise_s\stride\()_\pitch
 .type edgeslim_depthwise_s\stride\()_\pitch, %function
 .balign 4
 .thumb_func
edgeslim_depthwise_s\stride\()_\pitch:
 push {r4-r11, lr}
 sub sp, sp, #68
 ldm r0!, {r1-r4}
 str r1, [sp, #4]
 add r5, sp, #20
 stm r5, {r2-r4}
 ldm r0, {r1-r8}
 add r0, sp, #32
 stm r0, {r1-r8}
5:
 bl edgeslim_depthwise_channel
 ldr lr, [sp, #64]
 ldr r2, [sp, #24]
 cmp r2, #0
 beq.w 3f
2:
 .if EDGESLIM_DUAL_ISSUE
 ldr r2, [r0]
 ldr r3, [r0, #4]
 ldr r4, [sp, #8]
 ldr r5, [sp, #12]
 .else
 ldrd r4, r5, [sp, #8]
 .endif
 EDGESLIM_ROW \stride, r6, r7, 0, \pitch
 EDGESLIM_ROW \stride, r8, r9, \pitch, 2 * \pitch
 EDGESLIM_ROW \stride, r10, r11, 2 * \pitch
 ldr r2, [sp]
 .if EDGESLIM_DUAL_ISSUE
 adds r0, r0, #(4 * \stride)
 .endif
 add r3, r2, r4, asr #31
 smmlar r4, r4, r12, r3
 add r2, r2, r5, asr #31
 smmlar r5, r5, r12, r2
 ldr r3, [sp, #4]
 asr r4, r4, lr
 asr r5, r5, lr
 ssat r4, #8, r4, asr #1
 ssat r5, #8, r5, asr #1
 tst r0, #(\pitch - 1)
 strb r4, [r1]
 strb r5, [r1, r3]
 add r1, r1, r3, lsl #1
 bne 2b
 ldr r2, [sp, #28]
 cbz r2, 4f
3:                              @ a single output
 ldr r4, [sp, #8]
 ldrd r2, r3, [r0]
 EDGESLIM_ONE r6, r7
 ldrd r2, r3, [r0, #\pitch]
 EDGESLIM_ONE r8, r9
 ldrd r2, r3, [r0, #(2 * \pitch)]
 EDGESLIM_ONE r10, r11
 ldr r2, [sp]
 add r2, r2, r4, asr #31
 smmlar r4, r4, r12, r2
 ldrd r2, r3, [sp, #16]
 ldr r5, [sp, #4]
 asr r4, r4, lr
 ssat r4, #8, r4, asr #1
 strb r4, [r1]
 adds r1, r1, r5
 ldr r4, [sp, #24]
 adds r0, r0, r3
 cbz r4, 6f
 subs r2, r2, #1
 str r2, [sp, #16]
 bne.w 2b
 b 7f
6:                              @ nothing but single outputs
 subs r2, r2, #1
 str r2, [sp, #16]
 bne 3b
 b 7f
4:
 ldrd r2, r3, [sp, #16]
 adds r0, r0, r3
 subs r2, r2, #1
 str r2, [sp, #16]
 bne.w 2b
7:
 ldr r2, [sp, #60]
 subs r2, r2, #1
 str r2, [sp, #60]
 bne.w 5b
 add sp, sp, #68
 pop {r4-r11, pc}
 .endm

 EDGESLIM_DEPTHWISE 1, 32
 EDGESLIM_DEPTHWISE 1, 64
 EDGESLIM_DEPTHWISE 1, 128
 EDGESLIM_DEPTHWISE 1, 256
 EDGESLIM_DEPTHWISE 2, 32
 EDGESLIM_DEPTHWISE 2, 64
 EDGESLIM_DEPTHWISE 2, 128
 EDGESLIM_DEPTHWISE 2, 256
