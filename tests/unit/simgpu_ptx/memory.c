/* Loads, stores, address spaces, calls, atomics; and accesses that must fail. */
#include "kit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGISTERS                                                                                  \
    ".reg .u16 %h<8>; .reg .u32 %r<16>; .reg .u64 %d<16>; .reg .pred %p<8>; .reg .f32 %f<8>; "     \
    ".reg .f64 %g<4>;\n"
/* %d0 is in, %d1 is out, both plus 8 bytes per thread in %d2 and %d3; %r0 the thread's number. */
#define KERNEL(text)                                                                               \
    HEADER ".visible .entry k(.param .u64 in, .param .u64 out) {\n" REGISTERS                      \
           "ld.param.u64 %d0, [in]; ld.param.u64 %d1, [out]; mov.u32 %r0, %tid.x;\n"               \
           "mul.wide.u32 %d2, %r0, 8; add.u64 %d3, %d1, %d2; add.u64 %d2, %d0, %d2;\n" text        \
           "\nret;\n}\n"

typedef struct {
    _Alignas(16) uint64_t in[64], out[64];
    kit_memory_t memory;
    uint64_t params[2];
} bench_t;

static void bench_init(bench_t *bench) {
    memset(bench, 0, sizeof(*bench));
    for (uint64_t k = 0; k < 64; k++)
        bench->in[k] = k * UINT64_C(0x8182838485868788) + 0xfe;
    kit_memory_add(&bench->memory, bench->in, sizeof(bench->in), false);
    kit_memory_add(&bench->memory, bench->out, sizeof(bench->out), true);
    bench->params[0] = (uintptr_t)bench->in;
    bench->params[1] = (uintptr_t)bench->out;
}

static void run(bench_t *bench, const char *text, uint32_t threads, divvy_ptx_status_t status) {
    kit_run(text, 1, threads, bench->params, 2, &bench->memory, status);
}

static void test_extension(void **unused) {
    (void)unused;
    static const struct {
        const char *type;
        unsigned bits;
        bool is_signed;
    } types[] = {{"u8", 8, false},   {"s8", 8, true},    {"b8", 8, false},  {"u16", 16, false},
                 {"s16", 16, true},  {"u32", 32, false}, {"s32", 32, true}, {"b32", 32, false},
                 {"u64", 64, false}, {"s64", 64, true}};
    for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
        bench_t bench;
        char text[2048];
        const char *const words[] = {"TYPE", types[k].type, NULL};
        bench_init(&bench);
        kit_replace(KERNEL("ld.global.TYPE %d4, [%d2]; st.global.u64 [%d3], %d4;"), words, text,
                    sizeof(text));
        run(&bench, text, 64, DIVVY_PTX_DONE);
        for (int t = 0; t < 64; t++) {
            uint64_t wanted = bench.in[t] << (64 - types[k].bits);
            wanted = types[k].is_signed ? (uint64_t)((int64_t)wanted >> (64 - types[k].bits))
                                        : wanted >> (64 - types[k].bits);
            assert_int_equal(bench.out[t], wanted);
        }
    }
}

static void test_narrow_stores(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    run(&bench,
        KERNEL("ld.global.u64 %d4, [%d2]; st.global.u8 [%d3], %d4; st.global.u16 [%d3+2], %d4;\n"
               "cvt.u32.u64 %r1, %d4; st.global.b32 [%d3+4], %r1; cvt.u16.u32 %h1, %r1; "
               "st.global.s8 [%d3+1], %h1;"),
        64, DIVVY_PTX_DONE);
    for (int t = 0; t < 64; t++) {
        uint64_t v = bench.in[t];
        assert_int_equal(bench.out[t], (v & 0xff) | (v & 0xff) << 8 | (v & 0xffff) << 16 | v << 32);
    }
}

static void test_vectors(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    run(&bench,
        KERNEL("ld.global.v2.u64 {%d0, %d4}, [%d0+16]; st.global.v2.u64 [%d1], {%d4, %d0};\n"
               "ld.global.v4.u32 {%r1, _, %r3, %r4}, [%d2+32]; st.global.v4.b32 [%d1+16], {%r4, "
               "%r3, 7, %r1};\n"
               "ld.global.v4.u8 {%r1, %r2, %r3, %r4}, [%d2+8]; st.global.v4.u16 [%d1+32], {%r4, "
               "%r3, %r2, %r1};\n"
               "ld.global.v2.s16 {%r1, %r2}, [%d2]; st.global.v2.u32 [%d1+40], {%r1, %r2};"),
        1, DIVVY_PTX_DONE);
    const uint32_t *words = (const uint32_t *)bench.in;
    const uint8_t *in_bytes = (const uint8_t *)bench.in;
    const int16_t *shorts = (const int16_t *)bench.in;
    uint32_t wanted[4] = {words[11], words[10], 7, words[8]};
    uint16_t wide[4] = {in_bytes[11], in_bytes[10], in_bytes[9], in_bytes[8]};
    int32_t extended[2] = {shorts[0], shorts[1]};
    assert_int_equal(bench.out[0], bench.in[3]);
    assert_int_equal(bench.out[1], bench.in[2]);
    assert_memory_equal(&bench.out[2], wanted, 16);
    assert_memory_equal(&bench.out[4], wide, 8);
    assert_memory_equal(&bench.out[5], extended, 8);
}

static void test_spaces(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    /*
     * Each thread turns its word around through shared, then local memory, directly and by generic
     * address.
     */
    run(&bench,
        HEADER
        ".shared .align 8 .b8 pad[24]; .shared .align 8 .b8 box[512];\n"
        ".visible .entry k(.param .u64 in, .param .u64 out) {\n" REGISTERS
        ".local .align 8 .b8 stack[32]; .reg .b32 lo, hi;\n"
        "ld.param.u64 %d0, [in]; ld.param.u64 %d1, [out]; mov.u32 %r0, %tid.x; st.shared.u8 [pad], "
        "%r0;\n"
        "mul.wide.u32 %d2, %r0, 8; add.u64 %d3, %d1, %d2; add.u64 %d2, %d0, %d2; ld.global.u64 "
        "%d4, [%d2];\n"
        "mov.u32 %r1, box; mad.lo.u32 %r1, %r0, 8, %r1; st.shared.u64 [%r1], %d4;\n"
        "cvt.u64.u32 %d5, %r1; cvta.shared.u64 %d6, %d5; ld.u64 %d7, [%d6];\n"
        "mov.u64 %d8, stack; cvta.local.u64 %d9, %d8; st.u64 [%d9+8], %d7; ld.local.u64 %d10, "
        "[stack+8];\n"
        "add.u64 %d11, %d8, 24; st.local.u64 [%d11], %d10; ld.local.v2.u32 {lo, hi}, [%d8+24];\n"
        "mov.b64 %d12, {hi, lo}; st.global.u64 [%d3], %d12;\n"
        "isspacep.shared %p1, %d6; isspacep.local %p2, %d9; isspacep.global %p3, %d2; "
        "isspacep.global %p4, %d6;\n"
        "isspacep.shared %p5, %d9; cvta.to.shared.u64 %d13, %d6; setp.eq.u64 %p6, %d13, %d5;\n"
        "and.pred %p1, %p1, %p2; and.pred %p1, %p1, %p3; and.pred %p1, %p1, %p6; or.pred %p4, %p4, "
        "%p5;\n"
        "not.pred %p4, %p4; and.pred %p1, %p1, %p4; @!%p1 trap; ret;\n}\n",
        64, DIVVY_PTX_DONE);
    for (int t = 0; t < 64; t++)
        assert_int_equal(bench.out[t], bench.in[t] << 32 | bench.in[t] >> 32);
}

static void test_params(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    struct {
        uint64_t out;
        uint8_t a;
        int16_t b;
        struct {
            int32_t c[3];
            double d;
        } s;
        float e;
    } params = {bench.params[1], 200, -5, {{1, 2, 3}, 4.5}, 0.25f};
    divvy_ptx_module_t *module = kit_parse(
        HEADER
        ".entry k(.param .u64 out, .param .u8 a, .param .s16 b, .param .align 8 .b8 s[24], .param "
        ".f32 e) {\n" REGISTERS "ld.param.u64 %d1, [out]; ld.param.u8 %r1, [a]; ld.param.s16 %r2, "
                                "[b]; ld.param.u32 %r3, [s+8];\n"
        "ld.param.f64 %g1, [s+16]; ld.param.f32 %f1, [e]; mov.b64 %d4, s; ld.param.u32 %r4, "
        "[%d4+4];\n"
        "cvta.param.u64 %d5, %d4; ld.u32 %r5, [%d5];\n"
        "st.global.v4.u32 [%d1], {%r1, %r2, %r3, %r4}; st.global.u32 [%d1+16], %r5;\n"
        "cvt.f64.f32 %g2, %f1; add.f64 %g1, %g1, %g2; st.global.f64 [%d1+24], %g1; ret; }\n");
    divvy_ptx_launch_t launch = kit_launch(module, "k", 1, 1, (void *)&params, 0, &bench.memory);
    launch.params_bytes = sizeof(params);
    assert_int_equal(divvy_ptx_execute(&launch, NULL), DIVVY_PTX_DONE);
    int32_t wanted[5] = {200, -5, 3, 2, 1};
    double sum;
    memcpy(&sum, &bench.out[3], sizeof(sum));
    assert_memory_equal(bench.out, wanted, sizeof(wanted));
    assert_true(sum == 4.75);
    launch.params_bytes = 40; /* too short */
    assert_int_equal(divvy_ptx_execute(&launch, NULL), -22);
    divvy_ptx_module_free(module);
}

static void test_variables(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    divvy_ptx_module_t *module = kit_parse(
        HEADER
        ".const .u32 table[4] = {10, 20, 30, 40};\n.global .u32 counter = 5;\n.global .u64 pointer "
        "= table+8;\n"
        ".func (.reg .u32 o) get(.reg .u32 i) { .reg .u64 a; mov.u64 a, table; mad.wide.u32 a, i, "
        "4, a;\n"
        "ld.const.u32 o, [a]; ret; }\n"
        ".entry k(.param .u64 out) { .reg .u64 d<4>; .reg .u32 r<8>; ld.param.u64 d0, [out];\n"
        "ld.const.u32 r0, [table+4]; call (r1), get, (3); ld.global.u64 d1, [pointer]; ld.u32 r2, "
        "[d1];\n"
        "atom.global.add.u32 r3, [counter], 2; ld.global.u32 r4, [counter]; mov.u64 d2, table+12;\n"
        "sub.u64 d2, d2, d1; cvt.u32.u64 r5, d2;\n"
        "st.global.v4.u32 [d0], {r0, r1, r2, r3}; st.global.v2.u32 [d0+16], {r4, r5}; ret; }\n");
    uint64_t storage[3][4], addresses[3];
    for (uint32_t k = 0; k < 3; k++)
        addresses[k] = (uintptr_t)storage[k];
    for (uint32_t k = 0; k < 3; k++)
        divvy_ptx_variable_init(module, k, addresses, storage[k]);
    kit_memory_add(&bench.memory, storage, sizeof(storage), true);
    divvy_ptx_launch_t launch = kit_launch(module, "k", 1, 1, &bench.params[1], 1, &bench.memory);
    assert_int_equal(divvy_ptx_execute(&launch, NULL), -22); /* addresses missing */
    launch.variables = addresses;
    assert_int_equal(divvy_ptx_execute(&launch, NULL), DIVVY_PTX_DONE);
    assert_memory_equal(bench.out, ((uint32_t[6]){20, 40, 30, 5, 7, 4}), 24);
    divvy_ptx_module_free(module);
}

/*
 * Functions with parameters in memory and in registers, of several results' sizes, nested and
 * recursive.
 */
static void test_calls(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    for (uint64_t k = 0; k < 64; k++)
        bench.in[k] = k % 20;
    run(&bench,
        HEADER
        ".func (.param .b64 r) fib(.param .b64 n);\n"
        ".func (.param .b64 r) fib(.param .b64 n) {\n" REGISTERS
        "ld.param.u64 %d1, [n]; setp.lt.u64 %p1, %d1, 2; @%p1 bra DONE;\n"
        "{ .param .b64 a; .param .b64 o; sub.u64 %d2, %d1, 1; st.param.b64 [a], %d2;\n"
        "call.uni (o), fib, (a); ld.param.b64 %d3, [o]; }\n"
        "{ .param .b64 a; .param .b64 o; sub.u64 %d2, %d1, 2; st.param.b64 [a+0], %d2;\n"
        "call.uni (o), fib, (a); ld.param.b64 %d4, [o+0]; }\n"
        "add.u64 %d1, %d3, %d4;\nDONE: st.param.b64 [r], %d1; ret; }\n"
        ".func (.reg .s32 o) twice(.reg .s16 i, .reg .pred p) { .reg .s32 t; mov.u32 o, 0; @!p "
        "ret;\n"
        "cvt.s32.s16 t, i; add.s32 o, t, t; }\n"
        ".func (.param .align 8 .b8 o[16]) swap(.param .align 8 .b8 i[16]) { .reg .b64 a, b;\n"
        "ld.param.v2.b64 {a, b}, [i]; st.param.b64 [o], b; st.param.b64 [o+8], a; ret; }\n"
        ".visible .entry k(.param .u64 in, .param .u64 out) {\n" REGISTERS
        ".param .align 8 .b8 pi[16]; .param .align 8 .b8 po[16]; .param .b64 fi; .param .b64 fo; "
        ".reg .s16 %s;\n"
        "ld.param.u64 %d0, [in]; ld.param.u64 %d1, [out]; mov.u32 %r0, %tid.x; mul.wide.u32 %d2, "
        "%r0, 8;\n"
        "add.u64 %d3, %d1, %d2; add.u64 %d2, %d0, %d2; ld.global.u64 %d4, [%d2]; st.param.b64 "
        "[fi], %d4;\n"
        "call (fo), fib, (fi); ld.param.b64 %d5, [fo]; setp.ne.u32 %p1, %r0, 1; cvt.s16.u64 %s, "
        "%d5; neg.s16 %s, %s;\n"
        "call (%r1), twice, (%s, %p1); cvt.s64.s32 %d6, %r1; st.param.b64 [pi], %d5; st.param.b64 "
        "[pi+8], %d6;\n"
        "call (po), swap, (pi); ld.param.b64 %d7, [po]; ld.param.b64 %d8, [po+8];\n"
        "mad.lo.s64 %d7, %d7, 1000000, %d8; st.global.u64 [%d3], %d7; ret; }\n",
        64, DIVVY_PTX_DONE);
    for (uint64_t k = 0; k < 64; k++) {
        int64_t a = 0, b = 1;
        for (uint64_t i = 0; i < k % 20; i++) {
            int64_t next = a + b;
            a = b;
            b = next;
        }
        int64_t doubled = k == 1 ? 0 : -2 * a;
        assert_int_equal((int64_t)bench.out[k], doubled * 1000000 + a);
    }
    run(&bench,
        HEADER ".func f() { .local .b8 l[64]; call f; ret; }\n.entry k(.param .u64 a, .param .u64 "
               "b) { call f; ret; }\n",
        1, DIVVY_PTX_STACK_OVERFLOW);
}

static void test_faults(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        divvy_ptx_status_t status;
    } cases[] = {
        {KERNEL("ld.global.u32 %r1, [0];"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL("ld.global.u8 %r1, [0];"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL("st.global.u64 [%d0], %d1;"), DIVVY_PTX_ILLEGAL_ADDRESS}, /* read only */
        {KERNEL("ld.global.u64 %d4, [%d0]; st.global.u64 [%d0], %d4;"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL("ld.global.u64 %d4, [%d1+512];"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL("ld.global.u64 %d4, [%d0-8];"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL("ld.global.v2.u64 {%d4, %d5}, [%d1+504];"), DIVVY_PTX_MISALIGNED_ADDRESS},
        {KERNEL("add.u64 %d4, %d1, 2; ld.global.u32 %r1, [%d4];"), DIVVY_PTX_MISALIGNED_ADDRESS},
        {KERNEL("ld.global.u16 %r1, [%d1+1];"), DIVVY_PTX_MISALIGNED_ADDRESS},
        {KERNEL("ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d1+8];"), DIVVY_PTX_MISALIGNED_ADDRESS},
        {KERNEL("atom.global.add.u32 %r1, [%d0], 1;"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL("red.global.add.u64 [%d1+4], %d1;"), DIVVY_PTX_MISALIGNED_ADDRESS},
        {KERNEL("ld.global.u64 %d4, [0xfffffffffffffff8];"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL(".shared .b32 s[4]; st.shared.u32 [s+16], %r0;"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL(".shared .b32 s[4]; st.shared.u32 [s-4], %r0;"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL(".shared .b32 s[4]; ld.shared.u32 %r1, [s+2];"), DIVVY_PTX_MISALIGNED_ADDRESS},
        {KERNEL(".shared .b32 s[4]; atom.shared.add.u32 %r1, [s+16], 1;"),
         DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL(".shared .b32 s[4]; mov.u64 %d4, s; cvta.shared.u64 %d4, %d4; ld.u32 %r1, "
                "[%d4+4096];"),
         DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL(".local .b8 l[16]; st.local.u64 [l+16], %d1;"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL("mov.u64 %d4, in; ld.param.u64 %d5, [%d4+16];"), DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL("mov.u64 %d4, in; cvta.param.u64 %d4, %d4; st.u64 [%d4], %d4;"),
         DIVVY_PTX_ILLEGAL_ADDRESS},
        {KERNEL("trap;"), DIVVY_PTX_TRAP},
        {KERNEL("ts: .branchtargets A, B; A: B: brx.idx 2, ts;"), DIVVY_PTX_INVALID_PC},
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        bench_t bench;
        bench_init(&bench);
        run(&bench, cases[k].text, 1, cases[k].status);
    }
}

/* The result names the thread, the line and the address. */
static void test_fault_place(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    divvy_ptx_module_t *module = kit_parse(
        KERNEL("mov.u32 %r1, %ctaid.y; mov.u32 %r2, %tid.y; mad.lo.u32 %r3, %r1, 100, %r2; "
               "setp.ne.u32 %p1, %r3, 203;\n"
               "setp.ne.or.u32 %p1, %r0, 1, %p1;\n\n@!%p1 st.global.u32 [12345676], %r0;"));
    divvy_ptx_launch_t launch = kit_launch(module, "k", 1, 1, bench.params, 2, &bench.memory);
    launch.grid[1] = 4;
    launch.block[0] = 2;
    launch.block[1] = 5;
    divvy_ptx_result_t result;
    assert_int_equal(divvy_ptx_execute(&launch, &result), DIVVY_PTX_ILLEGAL_ADDRESS);
    assert_int_equal(result.fault_address, 12345676);
    assert_int_equal(result.fault_line, 11);
    assert_memory_equal(result.fault_block, ((uint32_t[3]){0, 2, 0}), 12);
    assert_memory_equal(result.fault_thread, ((uint32_t[3]){1, 3, 0}), 12);
    assert_int_equal(result.blocks_done, 2);
    divvy_ptx_module_free(module);
}

/* One allocation is asked for once, not for every access. */
static void test_spans(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    run(&bench, KERNEL("ld.global.u64 %d4, [%d2]; st.global.u64 [%d3], %d4;"), 64, DIVVY_PTX_DONE);
    assert_int_equal(bench.memory.asked, 2);
}

/* ---- Atomics --------------------------------------------------------------------------------- */

typedef uint64_t (*step_t)(uint64_t old, uint64_t operand);
static uint64_t add32(uint64_t o, uint64_t v) {
    return (uint32_t)(o + v);
}
static uint64_t add64(uint64_t o, uint64_t v) {
    return o + v;
}
static uint64_t min_u(uint64_t o, uint64_t v) {
    return (uint32_t)o < (uint32_t)v ? (uint32_t)o : (uint32_t)v;
}
static uint64_t max_s(uint64_t o, uint64_t v) {
    return (uint32_t)((int32_t)o > (int32_t)v ? o : v);
}
static uint64_t min_s64(uint64_t o, uint64_t v) {
    return (int64_t)o < (int64_t)v ? o : v;
}
static uint64_t max_u64(uint64_t o, uint64_t v) {
    return o > v ? o : v;
}
static uint64_t and32(uint64_t o, uint64_t v) {
    return (uint32_t)(o & v);
}
static uint64_t or64(uint64_t o, uint64_t v) {
    return o | v;
}
static uint64_t xor32(uint64_t o, uint64_t v) {
    return (uint32_t)(o ^ v);
}
static uint64_t exch(uint64_t o, uint64_t v) {
    return (void)o, v;
}
static uint64_t inc(uint64_t o, uint64_t v) {
    return (uint32_t)o >= (uint32_t)v ? 0 : (uint32_t)o + 1;
}
static uint64_t dec(uint64_t o, uint64_t v) {
    return (uint32_t)o == 0 || (uint32_t)o > (uint32_t)v ? (uint32_t)v : (uint32_t)o - 1;
}
static uint64_t add_f32(uint64_t o, uint64_t v) {
    uint32_t a = (uint32_t)o, b = (uint32_t)v;
    float x, y;
    memcpy(&x, &a, 4);
    memcpy(&y, &b, 4);
    x += y;
    memcpy(&a, &x, 4);
    return x == x ? a : 0x7fffffff;
}
static uint64_t add_f64(uint64_t o, uint64_t v) {
    double x, y;
    memcpy(&x, &o, 8);
    memcpy(&y, &v, 8);
    x += y;
    memcpy(&o, &x, 8);
    return o;
}

static void test_atomics(void **unused) {
    (void)unused;
    static const struct {
        const char *op, *type;
        bool wide;
        step_t step;
    } ops[] = {
        {"add", "u32", false, add32},  {"add", "u64", true, add64},
        {"add", "s32", false, add32},  {"min", "u32", false, min_u},
        {"max", "s32", false, max_s},  {"min", "s64", true, min_s64},
        {"max", "u64", true, max_u64}, {"and", "b32", false, and32},
        {"or", "b64", true, or64},     {"xor", "b32", false, xor32},
        {"exch", "b64", true, exch},   {"inc", "u32", false, inc},
        {"dec", "u32", false, dec},    {"add", "f32", false, add_f32},
        {"add", "f64", true, add_f64},
    };
    uint64_t state = kit_seed();
    for (size_t k = 0; k < 2 * sizeof(ops) / sizeof(ops[0]); k++) {
        bench_t bench;
        char text[4096];
        bool shared = k & 1;
        const char *type = ops[k / 2].type;
        bench_init(&bench);
        for (int i = 0; i < 64; i++) {
            uint64_t v = kit_random(&state);
            bench.in[i] = i % 3 == 0 ? v % 40 : v;
        }
        if (type[0] == 'f') {
            for (int i = 0; i < 64; i++) {
                float f = (float)(int32_t)bench.in[i] / 16;
                double g = (double)f;
                memcpy(&bench.in[i], ops[k / 2].wide ? (void *)&g : (void *)&f,
                       ops[k / 2].wide ? 8 : 4);
            }
        }
        /* One thread works through all operands, on the first word of out or of shared memory. */
        const char *const words[] = {"TYPE",   type,
                                     "OP",     ops[k / 2].op,
                                     "SPACE",  shared ? "shared" : "global",
                                     "WHERE",  shared ? "box" : "%d1",
                                     "SHARED", shared ? "1" : "0",
                                     NULL};
        kit_replace(
            KERNEL(".shared .align 8 .b64 box; .reg .TYPE v, o; mov.u32 %r1, 0; mov.u64 %d4, %d1;\n"
                   "st.shared.u64 [box], 0;\n"
                   "LOOP: ld.global.TYPE v, [%d0]; atom.SPACE.OP.TYPE o, [WHERE], v; "
                   "st.global.TYPE [%d4+8], o;\n"
                   "add.u64 %d0, %d0, 8; add.u64 %d4, %d4, 8; add.u32 %r1, %r1, 1; setp.lt.u32 "
                   "%p1, %r1, 63;\n"
                   "@%p1 bra LOOP; ld.shared.u64 %d5, [box]; setp.eq.u32 %p2, SHARED, 1;\n"
                   "@%p2 st.global.u64 [%d1], %d5;"),
            words, text, sizeof(text));
        run(&bench, text, 1, DIVVY_PTX_DONE);
        uint64_t mask = ops[k / 2].wide ? UINT64_MAX : UINT32_MAX;
        uint64_t value = 0;
        for (int i = 0; i < 63; i++) {
            assert_int_equal(bench.out[i + 1], value);
            value = ops[k / 2].step(value, bench.in[i]) & mask;
        }
        assert_int_equal(bench.out[0] & mask, value);
    }
}

static void test_cas(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    bench.out[0] = 5;
    bench.out[3] = 0x1234567811112222;
    run(&bench,
        KERNEL("atom.global.cas.b32 %r1, [%d1], 5, 9; atom.global.cas.b32 %r2, [%d1], 5, 11; "
               "mov.b64 %d4, {%r1, %r2};\n"
               "st.global.u64 [%d1+8], %d4; atom.cas.b64 %d5, [%d1+16], 0, 77; st.global.u64 "
               "[%d1+32], %d5;\n"
               "atom.global.cas.b16 %h1, [%d1+26], 0x1111, 0x9999; red.global.or.b32 [%d1+24], 1;"),
        1, DIVVY_PTX_DONE);
    assert_int_equal(bench.out[0], 9);
    assert_int_equal(bench.out[1], 5 | UINT64_C(9) << 32);
    assert_int_equal(bench.out[2], 77);
    assert_int_equal(bench.out[3], 0x1234567899992223);
    assert_int_equal(bench.out[4], 0);
}

/* Several launches in threads at once, of many blocks each, on the same words. */
enum { LAUNCHES = 4, CONCURRENT_BLOCKS = 20, CONCURRENT_THREADS = 96 };
typedef struct {
    const divvy_ptx_module_t *module;
    bench_t *bench;
} job_t;
static void *concurrent(void *argument) {
    const job_t *job = argument;
    divvy_ptx_launch_t launch = kit_launch(job->module, "k", CONCURRENT_BLOCKS, CONCURRENT_THREADS,
                                           job->bench->params, 2, &job->bench->memory);
    return (void *)(intptr_t)divvy_ptx_execute(&launch, NULL);
}
static void test_concurrent(void **unused) {
    (void)unused;
    bench_t bench;
    bench_init(&bench);
    divvy_ptx_module_t *module = kit_parse(KERNEL(
        "red.global.add.u32 [%d1], 1; atom.global.add.u64 %d4, [%d1+8], 3; red.add.f32 [%d1+16], "
        "0f3f800000;\n"
        "LOCK: atom.global.acquire.gpu.cas.b32 %r1, [%d1+24], 0, 1; setp.ne.u32 %p1, %r1, 0; @%p1 "
        "bra LOCK;\n"
        "ld.global.u64 %d5, [%d1+32]; add.u64 %d5, %d5, 1; st.global.u64 [%d1+32], %d5;\n"
        "atom.global.release.gpu.exch.b32 %r1, [%d1+24], 0; red.global.max.u32 [%d1+40], %r0;"));
    pthread_t threads[LAUNCHES];
    job_t job = {module, &bench};
    for (int k = 0; k < LAUNCHES; k++)
        assert_int_equal(pthread_create(&threads[k], NULL, concurrent, &job), 0);
    for (int k = 0; k < LAUNCHES; k++) {
        void *status;
        pthread_join(threads[k], &status);
        assert_null(status); /* DIVVY_PTX_DONE */
    }
    uint64_t total = (uint64_t)LAUNCHES * CONCURRENT_BLOCKS * CONCURRENT_THREADS;
    float sum;
    memcpy(&sum, &bench.out[2], sizeof(sum));
    assert_int_equal(bench.out[0], total);
    assert_int_equal(bench.out[1], 3 * total);
    assert_true(sum == (float)total);
    assert_int_equal(bench.out[4], total);
    assert_int_equal(bench.out[5], CONCURRENT_THREADS - 1);
    divvy_ptx_module_free(module);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extension),   cmocka_unit_test(test_narrow_stores),
        cmocka_unit_test(test_vectors),     cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_params),      cmocka_unit_test(test_variables),
        cmocka_unit_test(test_calls),       cmocka_unit_test(test_faults),
        cmocka_unit_test(test_fault_place), cmocka_unit_test(test_spans),
        cmocka_unit_test(test_atomics),     cmocka_unit_test(test_cas),
        cmocka_unit_test(test_concurrent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
