/*
 * Matrix product C = A * B with 16 x 16 tiles in shared memory, compared with the CPU. Every
 * partial sum is exact in float (small whole numbers), so the comparison is too.
 */
#include "cu.h"

#include <stdio.h>
#include <stdlib.h>

static const char help[] = "usage: matmul [--size N] [--gpu sim|N|UUID]\n"
                           "\n"
                           "Multiplies two N x N matrices on the GPU, in tiles held in shared\n"
                           "memory, and checks the result against the CPU.\n"
                           "\n"
                           "  --size N             rows and columns (default 96)\n" CU_GPU_HELP "\n"
                           "Exit status: 0 when the results agree, 1 when not.\n";

/*
 * Thread (tx, ty) of block (bx, by) makes C[row = by*16+ty][column = bx*16+tx]. For each of the
 * ceil(n/16) tiles it loads one element of A and one of B (0 beyond the edge), waits for the
 * others, and adds 16 products.
 */
static const char ptx[] =
    ".version 7.0\n"
    ".target sm_70\n"
    ".address_size 64\n"
    ".visible .entry matmul(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)\n"
    "{\n"
    "    .shared .align 4 .b8 tile_a[1024];\n"
    "    .shared .align 4 .b8 tile_b[1024];\n"
    "    .reg .pred %p, %q;\n"
    "    .reg .f32 %sum, %va, %vb;\n"
    "    .reg .b32 %n, %tx, %ty, %bx, %by, %row, %column, %base, %k, %i;\n"
    "    .reg .b32 %own_a, %own_b, %at_a, %at_b, %row_a, %column_b;\n"
    "    .reg .b64 %pa, %pb, %pc, %offset, %address;\n"
    "    ld.param.u64 %pa, [a];\n"
    "    ld.param.u64 %pb, [b];\n"
    "    ld.param.u64 %pc, [c];\n"
    "    ld.param.u32 %n, [n];\n"
    "    cvta.to.global.u64 %pa, %pa;\n"
    "    cvta.to.global.u64 %pb, %pb;\n"
    "    cvta.to.global.u64 %pc, %pc;\n"
    "    mov.u32 %tx, %tid.x;\n"
    "    mov.u32 %ty, %tid.y;\n"
    "    mov.u32 %bx, %ctaid.x;\n"
    "    mov.u32 %by, %ctaid.y;\n"
    "    mad.lo.u32 %row, %by, 16, %ty;\n"
    "    mad.lo.u32 %column, %bx, 16, %tx;\n"
    /*
     * Addresses in shared memory: this thread's element, the start of its row of A and its column
     * of B.
     */
    "    mov.u32 %own_a, tile_a;\n"
    "    mov.u32 %own_b, tile_b;\n"
    "    mad.lo.u32 %row_a, %ty, 64, %own_a;\n"
    "    mad.lo.u32 %column_b, %tx, 4, %own_b;\n"
    "    mad.lo.u32 %own_a, %tx, 4, %row_a;\n"
    "    mad.lo.u32 %own_b, %ty, 64, %column_b;\n"
    "    mov.f32 %sum, 0f00000000;\n"
    "    mov.u32 %base, 0;\n"
    "TILE:\n"
    "    setp.ge.u32 %p, %base, %n;\n"
    "    @%p bra STORE;\n"
    "    mov.f32 %va, 0f00000000;\n"
    "    add.u32 %k, %base, %tx;\n"
    "    setp.lt.u32 %p, %row, %n;\n"
    "    setp.lt.and.u32 %q, %k, %n, %p;\n"
    "    @!%q bra HAVE_A;\n"
    "    mad.lo.u32 %i, %row, %n, %k;\n"
    "    mul.wide.u32 %offset, %i, 4;\n"
    "    add.u64 %address, %pa, %offset;\n"
    "    ld.global.f32 %va, [%address];\n"
    "HAVE_A:\n"
    "    st.shared.f32 [%own_a], %va;\n"
    "    mov.f32 %vb, 0f00000000;\n"
    "    add.u32 %k, %base, %ty;\n"
    "    setp.lt.u32 %p, %column, %n;\n"
    "    setp.lt.and.u32 %q, %k, %n, %p;\n"
    "    @!%q bra HAVE_B;\n"
    "    mad.lo.u32 %i, %k, %n, %column;\n"
    "    mul.wide.u32 %offset, %i, 4;\n"
    "    add.u64 %address, %pb, %offset;\n"
    "    ld.global.f32 %vb, [%address];\n"
    "HAVE_B:\n"
    "    st.shared.f32 [%own_b], %vb;\n"
    "    bar.sync 0;\n"
    "    mov.u32 %at_a, %row_a;\n"
    "    mov.u32 %at_b, %column_b;\n"
    "    mov.u32 %k, 0;\n"
    "PRODUCT:\n"
    "    ld.shared.f32 %va, [%at_a];\n"
    "    ld.shared.f32 %vb, [%at_b];\n"
    "    fma.rn.f32 %sum, %va, %vb, %sum;\n"
    "    add.u32 %at_a, %at_a, 4;\n"
    "    add.u32 %at_b, %at_b, 64;\n"
    "    add.u32 %k, %k, 1;\n"
    "    setp.lt.u32 %p, %k, 16;\n"
    "    @%p bra PRODUCT;\n"
    "    bar.sync 0;\n"
    "    add.u32 %base, %base, 16;\n"
    "    bra TILE;\n"
    "STORE:\n"
    "    setp.lt.u32 %p, %row, %n;\n"
    "    setp.lt.and.u32 %q, %column, %n, %p;\n"
    "    @!%q bra DONE;\n"
    "    mad.lo.u32 %i, %row, %n, %column;\n"
    "    mul.wide.u32 %offset, %i, 4;\n"
    "    add.u64 %address, %pc, %offset;\n"
    "    st.global.f32 [%address], %sum;\n"
    "DONE:\n"
    "    ret;\n"
    "}\n";

static size_t differences_count(const float *a, const float *b, const float *c, size_t n) {
    size_t wrong = 0;

    for (size_t row = 0; row < n; row++)
        for (size_t column = 0; column < n; column++) {
            float sum = 0;

            for (size_t k = 0; k < n; k++)
                sum += a[row * n + k] * b[k * n + column];
            wrong += !(c[row * n + column] == sum);
        }
    return wrong;
}

int main(int argc, char **argv) {
    const char *gpu = NULL, *value;
    uint32_t n = 96, tiles;
    struct cu_device device;
    float *a, *b, *c;
    size_t count, bytes, wrong;
    CUdeviceptr da, db, dc;
    CUmodule module;
    CUfunction function;

    for (int i = 1; i < argc; i++) {
        if (cu_option(argc, argv, &i, "--gpu", &value))
            gpu = value;
        else if (cu_option(argc, argv, &i, "--size", &value))
            n = (uint32_t)cu_number("--size", value, 1, 4096);
        else
            cu_other_argument(argv[i], help);
    }
    count = (size_t)n * n;
    bytes = count * sizeof(float);
    tiles = (n + 15) / 16;
    a = cu_host(bytes);
    b = cu_host(bytes);
    c = cu_host(bytes);
    for (size_t i = 0; i < count; i++) {
        a[i] = (float)(i % 7) - 3.0f;
        b[i] = (float)(i % 5) - 2.0f;
    }

    cu_open(gpu, &device);
    module = cu_module_load(ptx);
    cu_do(ModuleGetFunction, &function, module, "matmul");
    cu_do(MemAlloc, &da, bytes);
    cu_do(MemAlloc, &db, bytes);
    cu_do(MemAlloc, &dc, bytes);
    cu_do(MemcpyHtoD, da, a, bytes);
    cu_do(MemcpyHtoD, db, b, bytes);
    cu_do(LaunchKernel, function, tiles, tiles, 1, 16, 16, 1, 0, NULL,
          (void *[]){&da, &db, &dc, &n}, NULL);
    cu_do(MemcpyDtoH, c, dc, bytes);
    wrong = differences_count(a, b, c, n);
    printf("matmul: %u x %u on %s: %s\n", n, n, device.name,
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
