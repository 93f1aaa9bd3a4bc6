/* Vector addition: c = a + b on the GPU, compared with the CPU element by element. */
#include "cu.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] = "usage: vector_add [--size N] [--gpu sim|N|UUID]\n"
                           "\n"
                           "Adds two vectors on the GPU and checks the result against the CPU.\n"
                           "\n"
                           "  --size N             elements (default 65536)\n" CU_GPU_HELP "\n"
                           "Exit status: 0 when the results agree, 1 when not.\n";

static const char ptx[] = ".version 7.0\n"
                          ".target sm_70\n"
                          ".address_size 64\n"
                          ".visible .entry vector_add(\n"
                          "    .param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)\n"
                          "{\n"
                          "    .reg .pred %past_end;\n"
                          "    .reg .f32 %x, %y, %sum;\n"
                          "    .reg .b32 %count, %block, %size, %thread, %i;\n"
                          "    .reg .b64 %pa, %pb, %pc, %offset;\n"
                          "    ld.param.u64 %pa, [a];\n"
                          "    ld.param.u64 %pb, [b];\n"
                          "    ld.param.u64 %pc, [c];\n"
                          "    ld.param.u32 %count, [n];\n"
                          "    mov.u32 %block, %ctaid.x;\n"
                          "    mov.u32 %size, %ntid.x;\n"
                          "    mov.u32 %thread, %tid.x;\n"
                          "    mad.lo.s32 %i, %block, %size, %thread;\n"
                          "    setp.ge.u32 %past_end, %i, %count;\n"
                          "    @%past_end bra DONE;\n"
                          "    mul.wide.u32 %offset, %i, 4;\n"
                          "    cvta.to.global.u64 %pa, %pa;\n"
                          "    cvta.to.global.u64 %pb, %pb;\n"
                          "    cvta.to.global.u64 %pc, %pc;\n"
                          "    add.s64 %pa, %pa, %offset;\n"
                          "    add.s64 %pb, %pb, %offset;\n"
                          "    add.s64 %pc, %pc, %offset;\n"
                          "    ld.global.f32 %x, [%pa];\n"
                          "    ld.global.f32 %y, [%pb];\n"
                          "    add.rn.f32 %sum, %x, %y;\n"
                          "    st.global.f32 [%pc], %sum;\n"
                          "DONE:\n"
                          "    ret;\n"
                          "}\n";

static void vectors_fill(float *a, float *b, size_t count) {
    for (size_t i = 0; i < count; i++) {
        a[i] = (float)(i % 1013) * 0.5f;
        b[i] = (float)(i % 717) - 300.0f;
    }
}

static size_t differences_count(const float *a, const float *b, const float *c, size_t count) {
    size_t wrong = 0;

    for (size_t i = 0; i < count; i++)
        wrong += !(c[i] == a[i] + b[i]);
    return wrong;
}

int main(int argc, char **argv) {
    const unsigned int threads = 256;
    const char *gpu = NULL, *value;
    uint32_t count = 65536;
    struct cu_device device;
    float *a, *b, *c;
    size_t bytes, wrong;
    CUdeviceptr da, db, dc;
    CUmodule module;
    CUfunction function;

    for (int i = 1; i < argc; i++) {
        if (cu_option(argc, argv, &i, "--gpu", &value))
            gpu = value;
        else if (cu_option(argc, argv, &i, "--size", &value))
            count = (uint32_t)cu_number("--size", value, 1, 1u << 30);
        else
            cu_other_argument(argv[i], help);
    }
    bytes = count * sizeof(float);
    a = cu_host(bytes);
    b = cu_host(bytes);
    c = cu_host(bytes);
    vectors_fill(a, b, count);

    cu_open(gpu, &device);
    module = cu_module_load(ptx);
    cu_do(ModuleGetFunction, &function, module, "vector_add");
    cu_do(MemAlloc, &da, bytes);
    cu_do(MemAlloc, &db, bytes);
    cu_do(MemAlloc, &dc, bytes);
    cu_do(MemcpyHtoD, da, a, bytes);
    cu_do(MemcpyHtoD, db, b, bytes);
    cu_do(LaunchKernel, function, (count + threads - 1) / threads, 1, 1, threads, 1, 1, 0, NULL,
          (void *[]){&da, &db, &dc, &count}, NULL);
    cu_do(MemcpyDtoH, c, dc, bytes);
    wrong = differences_count(a, b, c, count);
    printf("vector_add: %u elements on %s: %s\n", count, device.name,
           wrong ? "WRONG" : "all equal to the CPU's");

    cu_do(MemFree, da);
    cu_do(MemFree, db);
    cu_do(MemFree, dc);
    cu_do(ModuleUnload, module);
    cu_close(&device);
    free(a);
    free(b);
    free(c);
    return wrong ? 1 : 0;
}
