@ Sums of two tensors, four elements at a time, through a table for each; `Micro::add`.
@
@ r0, r1   the inputs                    r6, r7   four bytes of each
@ r2       output                        r8, r9   an element of each, then what the tables make of them
@ r3, r4   their tables                  r10      multiplier
@ r5       end of the first input        r11      rounding and zero point
@ r12      shift                         lr       a product

 .syntax unified
 .thumb

 .macro EDGESLIM_ADD byte
 .if \byte == 0
 uxtb r8, r6
 uxtb r9, r7
 .else
 uxtb r8, r6, ror #(8 * \byte)
 uxtb r9, r7, ror #(8 * \byte)
 .endif
 ldr r8, [r3, r8, lsl #2]
 ldr r9, [r4, r9, lsl #2]
 add r8, r8, r9
 smmlar lr, r8, r10, r11
 add lr, lr, r8, asr #31
 asr lr, lr, r12
 ssat lr, #8, lr, asr #1
 strb lr, [r2], #1
 .endm

 .section .text.edgeslim_add4, "ax", %progbits
 .global edgeslim_add4
 .type edgeslim_add4, %function
 .balign 4
 .thumb_func
edgeslim_add4:
 push {r4-r11, lr}
 mov lr, r0
 ldm lr!, {r0-r5}
 ldm lr, {r10-r12}
1:
 ldr r6, [r0], #4
 ldr r7, [r1], #4
 EDGESLIM_ADD 0
 EDGESLIM_ADD 1
 EDGESLIM_ADD 2
 EDGESLIM_ADD 3
 cmp r0, r5
 bne 1b
 pop {r4-r11, pc}
