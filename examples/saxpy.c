/*
 * SAXPY: y = alpha * x + y on the GPU with one fused multiply-add per element, repeated, compared
 * with the CPU.
 */
#include "cu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] = "usage: saxpy [--size N] [--repeat N] [--gpu sim|N|UUID]\n"
                           "\n"
                           "Computes y = a*x + y on the GPU, several times over, and checks the\n"
                           "result against the CPU.\n"
                           "\n"
                           "  --size N             elements (default 65536)\n"
                           "  --repeat N           times (default 4)\n" CU_GPU_HELP "\n"
                           "Exit status: 0 when the results agree, 1 when not.\n";

/* A grid-stride loop: any grid handles any number of elements. */
static const char ptx[] = ".version 7.0\n"
                          ".target sm_70\n"
                          ".address_size 64\n"
                          ".visible .entry saxpy(\n"
                          "    .param .f32 alpha, .param .u64 x, .param .u64 y, .param .u32 n)\n"
                          "{\n"
                          "    .reg .pred %more;\n"
                          "    .reg .f32 %a, %vx, %vy;\n"
                          "    .reg .b32 %count, %block, %size, %thread, %blocks, %i, %stride;\n"
                          "    .reg .b64 %px, %py, %at_x, %at_y, %offset;\n"
                          "    ld.param.f32 %a, [alpha];\n"
                          "    ld.param.u64 %px, [x];\n"
                          "    ld.param.u64 %py, [y];\n"
                          "    ld.param.u32 %count, [n];\n"
                          "    cvta.to.global.u64 %px, %px;\n"
                          "    cvta.to.global.u64 %py, %py;\n"
                          "    mov.u32 %block, %ctaid.x;\n"
                          "    mov.u32 %size, %ntid.x;\n"
                          "    mov.u32 %thread, %tid.x;\n"
                          "    mov.u32 %blocks, %nctaid.x;\n"
                          "    mad.lo.u32 %i, %block, %size, %thread;\n"
                          "    mul.lo.u32 %stride, %blocks, %size;\n"
                          "LOOP:\n"
                          "    setp.lt.u32 %more, %i, %count;\n"
                          "    @!%more bra DONE;\n"
                          "    mul.wide.u32 %offset, %i, 4;\n"
                          "    add.u64 %at_x, %px, %offset;\n"
                          "    add.u64 %at_y, %py, %offset;\n"
                          "    ld.global.f32 %vx, [%at_x];\n"
                          "    ld.global.f32 %vy, [%at_y];\n"
                          "    fma.rn.f32 %vy, %a, %vx, %vy;\n"
                          "    st.global.f32 [%at_y], %vy;\n"
                          "    add.u32 %i, %i, %stride;\n"
                          "    bra LOOP;\n"
                          "DONE:\n"
                          "    ret;\n"
                          "}\n";

int main(int argc, char **argv) {
    const char *gpu = NULL, *value;
    uint32_t count = 65536, repeat = 4;
    float alpha = 1.25f;
    struct cu_device device;
    float *x, *y, *expected;
    size_t bytes, wrong = 0;
    CUdeviceptr dx, dy;
    CUmodule module;
    CUfunction function;

    for (int i = 1; i < argc; i++) {
        if (cu_option(argc, argv, &i, "--gpu", &value))
            gpu = value;
        else if (cu_option(argc, argv, &i, "--size", &value))
            count = (uint32_t)cu_number("--size", value, 1, 1u << 30);
        else if (cu_option(argc, argv, &i, "--repeat", &value))
            repeat = (uint32_t)cu_number("--repeat", value, 1, 1000000);
        else
            cu_other_argument(argv[i], help);
    }
    bytes = count * sizeof(float);
    x = cu_host(bytes);
    y = cu_host(bytes);
    expected = cu_host(bytes);
    for (uint32_t i = 0; i < count; i++) {
        x[i] = (float)(i % 513) / 8.0f;
        y[i] = expected[i] = (float)(i % 101) - 50.0f;
        for (uint32_t r = 0; r < repeat; r++)
            expected[i] = fmaf(alpha, x[i], expected[i]);
    }

    cu_open(gpu, &device);
    module = cu_module_load(ptx);
    cu_do(ModuleGetFunction, &function, module, "saxpy");
    cu_do(MemAlloc, &dx, bytes);
    cu_do(MemAlloc, &dy, bytes);
    cu_do(MemcpyHtoD, dx, x, bytes);
    cu_do(MemcpyHtoD, dy, y, bytes);
    for (uint32_t r = 0; r < repeat; r++)
        cu_do(LaunchKernel, function, 64, 1, 1, 128, 1, 1, 0, NULL,
              (void *[]){&alpha, &dx, &dy, &count}, NULL);
    cu_do(MemcpyDtoH, y, dy, bytes);
    for (uint32_t i = 0; i < count; i++)
        wrong += !(y[i] == expected[i]);
    printf("saxpy: %u elements, %u times on %s: %s\n", count, repeat, device.name,
           wrong ? "WRONG" : "all equal to the CPU's");

    cu_do(MemFree, dx);
    cu_do(MemFree, dy);
    cu_do(ModuleUnload, module);
    cu_close(&device);
    free(x);
    free(y);
    free(expected);
    return wrong ? 1 : 0;
}
