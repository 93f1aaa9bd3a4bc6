/* Barriers, warp operations, divergence, cooperation between blocks, and what can never go on. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* %t the thread's number in the grid, %l its lane, %in and %out plus 4 bytes per thread. */
#define KERNEL(text)                                                                               \
    HEADER ".visible .entry k(.param .u64 pin, .param .u64 pout) {\n"                              \
           ".reg .u32 %r<16>, %t, %l, %n; .reg .u64 %d<8>, %in, %out, %o; .reg .pred %p<8>;\n"     \
           "ld.param.u64 %in, [pin]; ld.param.u64 %o, [pout]; mov.u32 %t, %tid.x; mov.u32 %r0, "   \
           "%ctaid.x;\n"                                                                           \
           "mov.u32 %n, %ntid.x; mad.lo.u32 %t, %r0, %n, %t; mov.u32 %l, %laneid;\n"               \
           "mul.wide.u32 %d0, %t, 4; add.u64 %in, %in, %d0; add.u64 %out, %o, %d0;\n" text         \
           "\nret;\n}\n"

enum { WORDS = 4096 };
static uint32_t in[WORDS], out[WORDS];
static uint64_t params[2];
static kit_memory_t memory;

static void run(const char *text, uint32_t blocks, uint32_t threads, divvy_ptx_status_t status) {
    memset(out, 0, sizeof(out));
    memory.count = 0;
    kit_memory_add(&memory, in, sizeof(in), true);
    kit_memory_add(&memory, out, sizeof(out), true);
    params[0] = (uintptr_t)in;
    params[1] = (uintptr_t)out;
    kit_run(text, blocks, threads, params, 2, &memory, status);
}

static int fill(void **unused) {
    (void)unused;
    uint64_t state = kit_seed();
    for (int k = 0; k < WORDS; k++)
        in[k] = (uint32_t)kit_random(&state);
    return 0;
}

/* ---- Barriers -------------------------------------------------------------------------------- */

static void test_reverse(void **unused) {
    (void)unused;
    /*
     * Reverses each block through shared memory, twice over, so that a missing barrier would show.
     */
    const char *text = KERNEL(
        ".shared .b32 box[1024]; mov.u32 %r1, %tid.x; mov.u32 %r2, box; mad.lo.u32 %r3, %r1, 4, "
        "%r2;\n"
        "sub.u32 %r4, %n, %r1; sub.u32 %r4, %r4, 1; mad.lo.u32 %r4, %r4, 4, %r2; ld.global.u32 "
        "%r5, [%in]; mov.u32 %r6, 0;\n"
        "LOOP: st.shared.u32 [%r3], %r5; bar.sync 0; ld.shared.u32 %r5, [%r4]; "
        "barrier.sync.aligned 0;\n"
        "add.u32 %r6, %r6, 1; setp.lt.u32 %p1, %r6, 5; @%p1 bra LOOP; st.global.u32 [%out], %r5;");
    static const uint32_t sizes[] = {1, 2, 31, 32, 33, 100, 1024};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        uint32_t n = sizes[s];
        run(text, 3, n, DIVVY_PTX_DONE);
        for (uint32_t k = 0; k < 3 * n; k++)
            assert_int_equal(out[k], in[k / n * n + n - 1 - k % n]);
    }
}

/* Threads that leave early do not hold up the others. */
static void test_early_exit(void **unused) {
    (void)unused;
    run(KERNEL("and.b32 %r1, %t, 3; setp.eq.u32 %p1, %r1, 0; @%p1 exit; bar.sync 0; st.global.u32 "
               "[%out], 7;\n"
               "setp.gt.u32 %p1, %t, 50; @%p1 ret; bar.sync 0; st.global.u32 [%out], 8;"),
        1, 90, DIVVY_PTX_DONE);
    for (uint32_t k = 0; k < 90; k++)
        assert_int_equal(out[k], k % 4 == 0 ? 0 : k > 50 ? 7 : 8);
}

/*
 * Producers arrive at one barrier and consumers wait there; numbers in registers; the block ends in
 * a warp.
 */
static void test_named_barriers(void **unused) {
    (void)unused;
    run(KERNEL(
            ".shared .b32 box[64]; mov.u32 %r1, box; setp.ge.u32 %p1, %t, 64; @%p1 bra CONSUME;\n"
            "mad.lo.u32 %r2, %t, 4, %r1; mad.lo.u32 %r3, %t, 3, 1; st.shared.u32 [%r2], %r3; "
            "bar.arrive 2, 128; bra END;\n"
            "CONSUME: mov.u32 %r4, 2; mov.u32 %r5, 128; bar.sync %r4, %r5; sub.u32 %r2, %t, 64; "
            "mad.lo.u32 %r2, %r2, 4, %r1;\n"
            "ld.shared.u32 %r3, [%r2]; st.global.u32 [%out], %r3; END:"),
        1, 110, DIVVY_PTX_DONE);
    for (uint32_t k = 0; k < 110; k++)
        assert_int_equal(out[k], k < 64 ? 0 : (k - 64) * 3 + 1);
}

static void test_reductions(void **unused) {
    (void)unused;
    run(KERNEL("setp.lt.u32 %p1, %t, 37; bar.red.popc.u32 %r1, 1, %p1; bar.red.popc.u32 %r2, 1, "
               "!%p1;\n"
               "bar.red.and.pred %p2, 0, %p1; setp.lt.u32 %p3, %t, 500; bar.red.and.pred %p4, 0, "
               "%p3;\n"
               "barrier.cta.red.or.pred %p5, 3, 96, %p1; bar.red.or.pred %p6, 3, !%p3;\n"
               "selp.u32 %r3, 1, 0, %p2; selp.u32 %r4, 2, 0, %p4; selp.u32 %r5, 4, 0, %p5; "
               "selp.u32 %r6, 8, 0, %p6;\n"
               "add.u32 %r3, %r3, %r4; add.u32 %r3, %r3, %r5; add.u32 %r3, %r3, %r6; mad.lo.u32 "
               "%r3, %r1, 100, %r3;\n"
               "mad.lo.u32 %r3, %r2, 10000, %r3; st.global.u32 [%out], %r3;"),
        1, 96, DIVVY_PTX_DONE);
    for (uint32_t k = 0; k < 96; k++)
        assert_int_equal(out[k], 59 * 10000 + 37 * 100 + 6);
}

static void test_bad_barriers(void **unused) {
    (void)unused;
    run(KERNEL("mov.u32 %r1, 16; bar.sync %r1;"), 1, 32, DIVVY_PTX_ILLEGAL_INSTRUCTION);
    run(KERNEL("bar.sync 0, 33;"), 1, 64, DIVVY_PTX_ILLEGAL_INSTRUCTION);
    run(KERNEL("bar.sync 0, 0;"), 1, 64, DIVVY_PTX_ILLEGAL_INSTRUCTION);
    run(KERNEL("bar.sync 0, 128;"), 1, 64, DIVVY_PTX_ILLEGAL_INSTRUCTION);
}

static void test_deadlock(void **unused) {
    (void)unused;
    run(KERNEL("setp.eq.u32 %p1, %t, 0; @%p1 bar.sync 1; bar.sync 2;"), 1, 64, DIVVY_PTX_DEADLOCK);
    run(KERNEL("setp.eq.u32 %p1, %l, 0; @%p1 bar.sync 1; @!%p1 bar.warp.sync -1; bar.sync 0;"), 1,
        32, DIVVY_PTX_DEADLOCK);
    run(KERNEL("bar.sync 0, 64;"), 1, 128, DIVVY_PTX_DONE); /* two pairs of warps */
    run(KERNEL("setp.lt.u32 %p1, %t, 32; @%p1 bar.sync 0, 64;"), 1, 64, DIVVY_PTX_DEADLOCK);
}

/* ---- Warp operations ------------------------------------------------------------------------- */

/* The definition of shfl, for one lane. */
static uint32_t shuffled(const char *mode, const uint32_t *values, int lane, int b, int c,
                         bool *inside) {
    int segment = c >> 8 & 31, clamp = c & 31;
    int max = (lane & segment) | (clamp & ~segment), min = lane & segment;
    int j = mode[0] == 'u'   ? lane - b
            : mode[0] == 'd' ? lane + b
            : mode[0] == 'b' ? lane ^ b
                             : (min | (b & ~segment));
    *inside = mode[0] == 'u' ? j >= max : j <= max;
    return values[*inside ? j : lane];
}

static void test_shuffles(void **unused) {
    (void)unused;
    static const char *const modes[] = {"up", "down", "bfly", "idx"};
    static const int clamps[] = {0x1f, 0, 0x181f, 0x1800, 0x1c03, 0x0007};
    for (int m = 0; m < 4; m++) {
        for (int b = 0; b < 32; b += 3) {
            for (size_t c = 0; c < sizeof(clamps) / sizeof(clamps[0]); c++) {
                char text[2048], b_text[16], c_text[16];
                snprintf(b_text, sizeof(b_text), "%d", b);
                snprintf(c_text, sizeof(c_text), "%d", clamps[c]);
                const char *const words[] = {"MODE",  modes[m], "LANE", b_text,
                                             "CLAMP", c_text,   NULL};
                kit_replace(KERNEL("ld.global.u32 %r1, [%in]; shfl.sync.MODE.b32 %r1|%p1, %r1, "
                                   "LANE, CLAMP, -1;\n"
                                   "st.global.u32 [%out], %r1; selp.u32 %r2, 1, 0, %p1; "
                                   "st.global.u32 [%out+4096], %r2;"),
                            words, text, sizeof(text));
                run(text, 2, 64, DIVVY_PTX_DONE);
                for (int k = 0; k < 128; k++) {
                    bool inside;
                    assert_int_equal(out[k], shuffled(modes[m], in + k / 32 * 32, k % 32, b,
                                                      clamps[c], &inside));
                    assert_int_equal(out[k + 1024], inside);
                }
            }
        }
    }
}

/* Lane and clamp differ between the lanes. */
static void test_gather(void **unused) {
    (void)unused;
    run(KERNEL("ld.global.u32 %r1, [%in]; mad.lo.u32 %r2, %l, 7, 3; shfl.sync.idx.b32 %r3, %r1, "
               "%r2, 31, 0xffffffff;\n"
               "st.global.u32 [%out], %r3;"),
        1, 32, DIVVY_PTX_DONE);
    for (int k = 0; k < 32; k++)
        assert_int_equal(out[k], in[(k * 7 + 3) % 32]);
}

/*
 * Halves of a warp on different ways meet only with their own; a partial warp with those there are.
 */
static void test_divergence(void **unused) {
    (void)unused;
    run(KERNEL("and.b32 %r1, %l, 1; setp.eq.u32 %p1, %r1, 0; @%p1 bra EVEN;\n"
               "mov.u32 %r2, 0; SPIN: add.u32 %r2, %r2, 1; setp.lt.u32 %p2, %r2, 10000; @%p2 bra "
               "SPIN;\n"
               "redux.sync.add.u32 %r3, %l, 0xaaaaaaaa; bra JOIN;\n"
               "EVEN: redux.sync.max.s32 %r3, %l, 0x55555555;\n"
               "JOIN: bar.warp.sync 0xffffffff; shfl.sync.bfly.b32 %r4, %r3, 1, 31, -1; mad.lo.u32 "
               "%r3, %r4, 1000, %r3;\n"
               "st.global.u32 [%out], %r3;"),
        1, 64, DIVVY_PTX_DONE);
    for (uint32_t k = 0; k < 64; k++)
        assert_int_equal(out[k], k % 2 ? 30 * 1000 + 256 : 256 * 1000 + 30);
    run(KERNEL("shfl.sync.down.b32 %r1, %t, 1, 31, -1; st.global.u32 [%out], %r1;"), 1, 40,
        DIVVY_PTX_DONE);
    for (uint32_t k = 0; k < 39; k++) {
        if (k != 31)
            assert_int_equal(out[k], k + 1);
    }
    assert_int_equal(out[31], 31);
}

static void test_votes(void **unused) {
    (void)unused;
    run(KERNEL("setp.gt.u32 %p1, %l, 20; vote.sync.ballot.b32 %r1, %p1, -1; vote.sync.any.pred "
               "%p2, %p1, -1;\n"
               "vote.sync.all.pred %p3, !%p1, -1; vote.sync.uni.pred %p4, %p2, -1; "
               "vote.sync.all.pred %p5, %p4, -1;\n"
               "st.global.u32 [%out], %r1; selp.u32 %r2, 1, 0, %p2; selp.u32 %r3, 2, 0, %p3; "
               "selp.u32 %r4, 4, 0, %p4;\n"
               "add.u32 %r2, %r2, %r3; add.u32 %r2, %r2, %r4; selp.u32 %r5, 8, 0, %p5; add.u32 "
               "%r2, %r2, %r5;\n"
               "st.global.u32 [%out+4096], %r2;"),
        1, 32, DIVVY_PTX_DONE);
    for (int k = 0; k < 32; k++) {
        assert_int_equal(out[k], 0xffe00000);
        assert_int_equal(out[k + 1024], 13);
    }
}

static void test_match(void **unused) {
    (void)unused;
    run(KERNEL("rem.u32 %r1, %l, 5; match.any.sync.b32 %r2, %r1, -1; st.global.u32 [%out], %r2; "
               "cvt.u64.u32 %d1, %n;\n"
               "match.all.sync.b64 %r3|%p1, %d1, -1; match.all.sync.b32 %r4|%p2, %r1, -1; selp.u32 "
               "%r5, 1, 0, %p1;\n"
               "selp.u32 %r6, 2, 0, %p2; add.u32 %r5, %r5, %r6; xor.b32 %r3, %r3, %r4; shl.b32 "
               "%r5, %r5, 8; xor.b32 %r3, %r3, %r5;\n"
               "elect.sync %r7|%p3, 0xffffffff; @%p3 add.u32 %r3, %r3, 1; st.global.u32 "
               "[%out+4096], %r3;"),
        1, 32, DIVVY_PTX_DONE);
    for (int k = 0; k < 32; k++) {
        uint32_t same = 0;
        for (int j = 0; j < 32; j++)
            same |= (uint32_t)(j % 5 == k % 5) << j;
        assert_int_equal(out[k], same);
        assert_int_equal(out[k + 1024], (0xffffffff ^ 0x100) + (k == 0));
    }
}

static void test_activemask(void **unused) {
    (void)unused;
    run(KERNEL("activemask.b32 %r1; setp.lt.u32 %p1, %l, 9; @%p1 bra FEW; activemask.b32 %r2; bra "
               "STORE;\n"
               "FEW: activemask.b32 %r2; STORE: xor.b32 %r1, %r1, %r2; st.global.u32 [%out], %r1;"),
        1, 50, DIVVY_PTX_DONE);
    for (uint32_t k = 0; k < 50; k++) {
        uint32_t all = k < 32 ? UINT32_MAX : 0x3ffff, few = 0x1ff;
        assert_int_equal(out[k], all ^ (k % 32 < 9 ? few : all & ~few));
    }
}

/* ---- Threads and blocks that wait for each other --------------------------------------------- */

/*
 * Lane 0 spins until lane 31 has set a flag; a lock is taken and given by all threads of a block.
 */
static void test_spinning(void **unused) {
    (void)unused;
    run(KERNEL(
            ".shared .b32 flag, lock, sum; setp.ne.u32 %p1, %t, 0; @%p1 bra OTHERS;\n"
            "WAIT: ld.volatile.shared.u32 %r1, [flag]; setp.eq.u32 %p2, %r1, 0; @%p2 bra WAIT; bra "
            "LOCK;\n"
            "OTHERS: setp.eq.u32 %p2, %t, 31; @%p2 st.volatile.shared.u32 [flag], 1;\n"
            "LOCK: atom.shared.cas.b32 %r1, [lock], 0, 1; setp.ne.u32 %p1, %r1, 0; @%p1 bra LOCK;\n"
            "ld.shared.u32 %r2, [sum]; add.u32 %r2, %r2, %t; st.shared.u32 [sum], %r2; "
            "membar.cta;\n"
            "atom.shared.exch.b32 %r1, [lock], 0; bar.sync 0; ld.shared.u32 %r2, [sum]; "
            "st.global.u32 [%out], %r2;"),
        1, 128, DIVVY_PTX_DONE);
    for (int k = 0; k < 128; k++)
        assert_int_equal(out[k], 127 * 128 / 2);
}

static const char grid_barrier[] = KERNEL(
    /* every thread adds to its word what the next block wrote, after all have written */
    "mad.lo.u32 %r1, %r0, 1000, %tid.x; st.global.u32 [%out], %r1; bar.sync 0; setp.ne.u32 %p1, "
    "%tid.x, 0; @%p1 bra MET;\n"
    "membar.gl; atom.global.add.u32 %r2, [%o+8192], 1; mov.u32 %r3, %nctaid.x;\n"
    "WAIT: ld.acquire.gpu.global.u32 %r2, [%o+8192]; setp.lt.u32 %p2, %r2, %r3; @%p2 bra WAIT;\n"
    "MET: bar.sync 0; add.u32 %r4, %r0, 1; mov.u32 %r3, %nctaid.x; rem.u32 %r4, %r4, %r3; "
    "mad.lo.u32 %r4, %r4, %n, %tid.x;\n"
    "mul.wide.u32 %d1, %r4, 4; add.u64 %d1, %o, %d1; ld.global.u32 %r5, [%d1]; st.global.u32 "
    "[%out+4096], %r5;");

static void check_grid_barrier(bool cooperative) {
    enum { BLOCKS = 12, THREADS = 64 };
    divvy_ptx_module_t *module = kit_parse(grid_barrier);
    memset(out, 0, sizeof(out));
    divvy_ptx_launch_t launch = kit_launch(module, "k", BLOCKS, THREADS, params, 2, &memory);
    launch.cooperative = cooperative;
    assert_int_equal(divvy_ptx_execute(&launch, NULL), DIVVY_PTX_DONE);
    for (uint32_t k = 0; k < BLOCKS * THREADS; k++)
        assert_int_equal(out[1024 + k], (k / THREADS + 1) % BLOCKS * 1000 + k % THREADS);
    divvy_ptx_module_free(module);
}

/* A barrier over the whole grid: cooperative, and by blocks that merely are resident together. */
static void test_grid_barrier(void **unused) {
    (void)unused;
    check_grid_barrier(true);
    check_grid_barrier(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reverse),        cmocka_unit_test(test_early_exit),
        cmocka_unit_test(test_named_barriers), cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_bad_barriers),   cmocka_unit_test(test_deadlock),
        cmocka_unit_test(test_shuffles),       cmocka_unit_test(test_gather),
        cmocka_unit_test(test_divergence),     cmocka_unit_test(test_votes),
        cmocka_unit_test(test_match),          cmocka_unit_test(test_activemask),
        cmocka_unit_test(test_spinning),       cmocka_unit_test(test_grid_barrier),
    };
    return cmocka_run_group_tests(tests, fill, NULL);
}
