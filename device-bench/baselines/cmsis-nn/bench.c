/* Calls CMSIS-NN once for every layer of layers.h, between the marks of the QEMU plugin; `cargo xtask cmsis-nn`.
 *
 * Data are made up: no kernel of int8 skips any. Clamps are the whole range, as after a ReLU whose zero point is -128. */
#include "arm_nnfunctions.h"
#include <stdint.h>

#define BEGIN() __asm volatile("mov r11, r11" ::: "memory")
#define END() __asm volatile("mov r10, r10" ::: "memory")

enum op { CONV, DEPTHWISE, LINEAR, AVG_POOL, ADD };
struct layer {
    enum op op;
    int32_t h, w, c_in, c_out, kh, kw, stride, top, left, out_h, out_w;
};
static const struct layer layers[] = {
#include "layers.h"
};

#define MAX_CHANNELS 1024
#define MAX_BYTES (256 * 1024)
static int8_t input[MAX_BYTES], second[MAX_BYTES], output[MAX_BYTES], weights[MAX_BYTES];
static int32_t buffer[MAX_BYTES / 4], multipliers[MAX_CHANNELS], shifts[MAX_CHANNELS], bias[MAX_CHANNELS];

static uint32_t state = 7;
static int8_t random8(void)
{
    state = state * 1664525u + 1013904223u;
    return (int8_t)(state >> 24);
}

static int run(const struct layer *l)
{
    const cmsis_nn_context ctx = {buffer, sizeof buffer};
    const cmsis_nn_per_channel_quant_params quant = {multipliers, shifts};
    const cmsis_nn_dims in = {1, l->h, l->w, l->c_in}, out = {1, l->out_h, l->out_w, l->c_out};
    const cmsis_nn_dims filter = {l->c_out, l->kh, l->kw, l->c_in}, by_channel = {1, 1, 1, l->c_out};
    const cmsis_nn_tile stride = {l->stride, l->stride}, padding = {l->left, l->top}, dilation = {1, 1};
    const cmsis_nn_activation all = {-128, 127};
    int status;
    switch (l->op) {
    case CONV: {
        const cmsis_nn_conv_params p = {128, -128, stride, padding, dilation, all};
        BEGIN();
        status = arm_convolve_wrapper_s8(&ctx, &p, &quant, &in, input, &filter, weights, &by_channel, bias, &out, output);
        END();
        return status;
    }
    case DEPTHWISE: {
        const cmsis_nn_dims depthwise = {1, l->kh, l->kw, l->c_out};
        const cmsis_nn_dw_conv_params p = {128, -128, 1, stride, padding, dilation, all};
        BEGIN();
        status = arm_depthwise_conv_wrapper_s8(&ctx, &p, &quant, &in, input, &depthwise, weights, &by_channel, bias, &out, output);
        END();
        return status;
    }
    case LINEAR: {
        const cmsis_nn_dims rows = {l->c_in, 1, 1, l->c_out}, vector = {1, 1, 1, l->c_in};
        const cmsis_nn_fc_params p = {128, 0, -128, all};
        const cmsis_nn_per_tensor_quant_params one = {multipliers[0], shifts[0]};
        BEGIN();
        status = arm_fully_connected_s8(&ctx, &p, &one, &vector, input, &rows, weights, &by_channel, bias, &out, output);
        END();
        return status;
    }
    case AVG_POOL: {
        const cmsis_nn_dims window = {1, l->kh, l->kw, 1};
        const cmsis_nn_pool_params p = {stride, padding, all};
        BEGIN();
        status = arm_avgpool_s8(&ctx, &p, &in, input, &window, &out, output);
        END();
        return status;
    }
    case ADD:
        BEGIN();
        status = arm_elementwise_add_s8(input, second, 128, 0x40000000, -1, 128, 0x50000000, -1, 20, output, -128,
                                        0x61234567, -18, -128, 127, l->h * l->w * l->c_in);
        END();
        return status;
    }
    return 1;
}

/* Ends QEMU by semihosting: 0x20026 is a regular exit, anything else is not. */
static void leave(int failed)
{
    register uint32_t operation __asm("r0") = 0x18;
    register uint32_t reason __asm("r1") = failed ? 0x20024 : 0x20026;
    __asm volatile("bkpt 0xab" ::"r"(operation), "r"(reason) : "memory");
    for (;;) {
    }
}

extern uint32_t bss_start, bss_end, stack_top;
void start(void)
{
    for (uint32_t *word = &bss_start; word < &bss_end; word++)
        *word = 0;
    for (int i = 0; i < MAX_BYTES; i++) {
        input[i] = random8();
        second[i] = random8();
        weights[i] = random8();
    }
    for (int i = 0; i < MAX_CHANNELS; i++) {
        multipliers[i] = 0x40000000 + (i << 20);
        shifts[i] = -9;
        bias[i] = random8();
    }
    int failed = 0;
    for (unsigned i = 0; i < sizeof layers / sizeof layers[0]; i++)
        failed |= run(&layers[i]) != 0;
    leave(failed);
}
static void fault(void)
{
    leave(1);
}
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, start, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault, fault};
