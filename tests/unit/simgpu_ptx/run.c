/*
 * Runs as a whole: launches, special registers, steps, abort, clocks, parts of a grid, the cost
 * model.
 */
#include "kit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t out[8192];
static uint64_t params[1];
static kit_memory_t memory;

static int set_up(void **unused) {
    (void)unused;
    memset(out, 0, sizeof(out));
    memory.count = 0;
    kit_memory_add(&memory, out, sizeof(out), true);
    params[0] = (uintptr_t)out;
    return 0;
}

#define KERNEL(text)                                                                               \
    HEADER ".visible .entry k(.param .u64 p) { .reg .u32 %r<16>; .reg .u64 %d<8>; .reg .pred "     \
           "%p<4>; .reg .u16 %h;\n"                                                                \
           "ld.param.u64 %d0, [p];\n" text "\nret; }\n"

static void test_special_registers(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module = kit_parse(KERNEL(
        "mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %tid.z; mov.u32 %r4, %ntid.x; "
        "mov.u32 %r5, %ntid.y;\n"
        "mad.lo.u32 %r6, %r3, %r5, %r2; mad.lo.u32 %r6, %r6, %r4, %r1;\n" /* thread */
        "mov.u32 %r7, %ctaid.z; mov.u32 %r8, %nctaid.y; mad.lo.u32 %r7, %r7, %r8, %ctaid.y;\n"
        "mad.lo.u32 %r7, %r7, %nctaid.x, %ctaid.x; mov.u32 %r9, %ntid.z; mul.lo.u32 %r10, %r4, "
        "%r5; mul.lo.u32 %r10, %r10, %r9;\n"
        "mad.lo.u32 %r11, %r7, %r10, %r6; mul.wide.u32 %d1, %r11, 32; add.u64 %d0, %d0, %d1;\n"
        "mov.u32 %r1, %laneid; mov.u32 %r2, %warpid; mov.u32 %r3, %lanemask_lt; mov.u32 %r4, "
        "%lanemask_ge;\n"
        "st.global.v4.u32 [%d0], {%r1, %r2, %r3, %r4}; mov.u32 %r1, %smid; mov.u32 %r2, %nctaid.z; "
        "mov.u16 %h, %tid.x;\n"
        "cvt.u32.u16 %r3, %h; mov.u64 %d2, %gridid; cvt.u32.u64 %r4, %d2; st.global.v4.u32 "
        "[%d0+16], {%r1, %r2, %r3, %r4};"));
    divvy_ptx_launch_t launch = kit_launch(module, "k", 1, 1, params, 1, &memory);
    memcpy(launch.grid, ((uint32_t[3]){3, 2, 2}), sizeof(launch.grid));
    memcpy(launch.block, ((uint32_t[3]){5, 4, 3}), sizeof(launch.block));
    launch.sm_count = 5;
    launch.grid_id = 99;
    assert_int_equal(divvy_ptx_execute(&launch, NULL), DIVVY_PTX_DONE);
    for (uint32_t block = 0; block < 12; block++) {
        for (uint32_t thread = 0; thread < 60; thread++) {
            uint32_t lane = thread % 32, below = (1u << lane) - 1;
            uint32_t wanted[8] = {lane, thread / 32, below, ~below, block % 5, 2, thread % 5, 99};
            assert_memory_equal(&out[(block * 60 + thread) * 8], wanted, sizeof(wanted));
        }
    }
    divvy_ptx_module_free(module);
}

static void test_bad_launches(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module = kit_parse(KERNEL(""));
    const divvy_ptx_launch_t good = kit_launch(module, "k", 2, 2, params, 1, &memory);
    divvy_ptx_launch_t bad[12];
    for (int k = 0; k < 12; k++)
        bad[k] = good;
    bad[0].grid[1] = 0;
    bad[1].block[2] = 0;
    bad[2].block[0] = 1025;
    bad[3].block[0] = bad[3].block[1] = 33;
    bad[4].grid[1] = 65536;
    bad[5].grid[0] = 0x80000000;
    bad[6].entry = 1;
    bad[7].params = NULL;
    bad[8].params_bytes = 7;
    bad[9].access = NULL;
    bad[10].first_block = 2;
    bad[11].first_block = 1, bad[11].block_count = 2;
    for (int k = 0; k < 12; k++)
        assert_int_equal(divvy_ptx_execute(&bad[k], NULL), -EINVAL);
    assert_int_equal(divvy_ptx_execute(&good, NULL), DIVVY_PTX_DONE);
    divvy_ptx_run_free(NULL);
    divvy_ptx_module_free(module);
}

/* A run in small steps gives what a run in one gives, and never exceeds its budget. */
static void test_steps(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module =
        kit_parse(KERNEL(".shared .b32 sum; mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 0; @%p1 "
                         "st.shared.u32 [sum], 0; bar.sync 0;\n"
                         "mov.u32 %r2, 0; LOOP: atom.shared.add.u32 %r3, [sum], %r1; add.u32 %r2, "
                         "%r2, 1; setp.lt.u32 %p2, %r2, 10;\n"
                         "@%p2 bra LOOP; bar.sync 0; @!%p1 ret; ld.shared.u32 %r4, [sum]; mov.u32 "
                         "%r5, %ctaid.x; mul.wide.u32 %d1, %r5, 4;\n"
                         "add.u64 %d0, %d0, %d1; st.global.u32 [%d0], %r4;"));
    divvy_ptx_launch_t launch = kit_launch(module, "k", 20, 70, params, 1, &memory);
    divvy_ptx_result_t whole, part;
    assert_int_equal(divvy_ptx_execute(&launch, &whole), DIVVY_PTX_DONE);
    assert_int_equal(whole.blocks_done, 20);
    assert_true(whole.instructions > 20 * 70 * 40);
    for (uint64_t step = 1; step < 5000; step = step * 3 + 1) {
        divvy_ptx_run_t *run;
        memset(out, 0, sizeof(out));
        assert_int_equal(divvy_ptx_run_new(&launch, &run), 0);
        uint64_t before = 0;
        divvy_ptx_status_t status;
        while ((status = divvy_ptx_run_step(run, step, &part)) == DIVVY_PTX_RUNNING) {
            assert_true(part.instructions - before <= step);
            before = part.instructions;
        }
        assert_int_equal(status, DIVVY_PTX_DONE);
        assert_int_equal(divvy_ptx_run_step(run, step, &part), DIVVY_PTX_DONE);
        assert_int_equal(part.instructions, whole.instructions);
        assert_int_equal(part.blocks_done, 20);
        for (int k = 0; k < 20; k++)
            assert_int_equal(out[k], 10 * 69 * 70 / 2);
        divvy_ptx_run_free(run);
    }
    divvy_ptx_run_t *run; /* given up half way */
    assert_int_equal(divvy_ptx_run_new(&launch, &run), 0);
    assert_int_equal(divvy_ptx_run_step(run, 1000, NULL), DIVVY_PTX_RUNNING);
    divvy_ptx_run_free(run);
    divvy_ptx_module_free(module);
}

/* A grid in parts by several threads at once. */
typedef struct {
    divvy_ptx_launch_t launch;
    int status;
} part_t;
static void *run_part(void *argument) {
    part_t *part = argument;
    part->status = divvy_ptx_execute(&part->launch, NULL);
    return NULL;
}
static void test_parts(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module =
        kit_parse(KERNEL("mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mad.lo.u32 %r1, %r1, %r2, "
                         "%tid.x; mul.wide.u32 %d1, %r1, 4;\n"
                         "add.u64 %d0, %d0, %d1; atom.global.add.u32 %r2, [%d0], 1;"));
    part_t parts[4];
    pthread_t threads[4];
    for (uint64_t k = 0; k < 4; k++) {
        parts[k].launch = kit_launch(module, "k", 100, 64, params, 1, &memory);
        parts[k].launch.first_block = 25 * k;
        parts[k].launch.block_count = 25;
        assert_int_equal(pthread_create(&threads[k], NULL, run_part, &parts[k]), 0);
    }
    for (int k = 0; k < 4; k++) {
        pthread_join(threads[k], NULL);
        assert_int_equal(parts[k].status, DIVVY_PTX_DONE);
    }
    for (int k = 0; k < 6400; k++)
        assert_int_equal(out[k], 1);
    divvy_ptx_module_free(module);
}

static _Atomic uint32_t abort_flag;
static void *abort_later(void *unused) {
    usleep(20000);
    abort_flag = 1;
    return unused;
}
static void test_abort(void **unused) {
    (void)unused;
    static const char *const texts[] = {
        KERNEL("LOOP: bra LOOP;"),
        KERNEL("LOOP: bar.sync 0; bra LOOP;"),
        KERNEL("LOOP: shfl.sync.idx.b32 %r1, %r1, 0, 31, -1; nanosleep.u32 100; bra LOOP;"),
        KERNEL("LOOP: mov.u64 %d1, %clock64; activemask.b32 %r1; bra LOOP;"),
    };
    for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
        divvy_ptx_module_t *module = kit_parse(texts[k]);
        divvy_ptx_launch_t launch = kit_launch(module, "k", 1000, 64, params, 1, &memory);
        pthread_t thread;
        abort_flag = 0;
        launch.abort_flag = &abort_flag;
        launch.cooperative = k == 1;
        pthread_create(&thread, NULL, abort_later, NULL);
        assert_int_equal(divvy_ptx_execute(&launch, NULL), DIVVY_PTX_ABORTED);
        pthread_join(thread, NULL);
        divvy_ptx_module_free(module);
    }
}

/*
 * A kernel that waits for two milliseconds of its clock, or its timer, takes about as long by the
 * cost model.
 */
static void test_clocks(void **unused) {
    (void)unused;
    static const char *const texts[] = {
        KERNEL("mov.u64 %d1, %clock64; LOOP: mov.u64 %d2, %clock64; sub.u64 %d3, %d2, %d1; "
               "setp.lt.u64 %p1, %d3, 4000000;\n"
               "@%p1 bra LOOP;"),
        KERNEL("mov.u64 %d1, %globaltimer; LOOP: mov.u64 %d2, %globaltimer; sub.u64 %d3, %d2, %d1; "
               "setp.lt.u64 %p1, %d3, 2000000;\n"
               "@%p1 bra LOOP; st.global.u64 [%d0], %d1;"),
        KERNEL("mov.u32 %r1, 0; LOOP: nanosleep.u32 20000; add.u32 %r1, %r1, 1; setp.lt.u32 %p1, "
               "%r1, 100; @%p1 bra LOOP;"),
    };
    for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
        divvy_ptx_module_t *module = kit_parse(texts[k]);
        divvy_ptx_launch_t launch = kit_launch(module, "k", 4, 32, params, 1, &memory);
        divvy_ptx_result_t result;
        launch.clock_khz = 2000000;
        launch.start_ns = 123456789;
        assert_int_equal(divvy_ptx_execute(&launch, &result), DIVVY_PTX_DONE);
        divvy_ptx_cost_t cost = {.blocks = 4,
                                 .threads_per_block = 32,
                                 .instructions = result.instructions,
                                 .critical_cycles = result.critical_cycles,
                                 .sm_count = 4,
                                 .clock_khz = 2000000,
                                 .max_blocks_per_sm = 16};
        uint64_t ns = divvy_ptx_cost_ns(&cost);
        assert_in_range(ns, 2000000, 2010000);
        divvy_ptx_module_free(module);
    }
    uint64_t start;
    memcpy(&start, out, sizeof(start));
    assert_in_range(start, 123456789, 123456789 + 1000);
}

static void test_cost(void **unused) {
    (void)unused;
    divvy_ptx_cost_t cost = {.blocks = 132,
                             .threads_per_block = 256,
                             .instructions = 132 * 256 * 1000,
                             .sm_count = 132,
                             .clock_khz = 1000000,
                             .max_blocks_per_sm = 8};
    uint64_t one = divvy_ptx_cost_ns(&cost);
    assert_int_equal(one, 2000 + 4000); /* 1000 instructions of 4 cycles; issue would take 2000 */
    cost.blocks *= 8;
    cost.instructions *= 8;
    assert_int_equal(divvy_ptx_cost_ns(&cost),
                     2000 + 8 * 8 * 1000 / 4); /* one wave, bound by issue */
    cost.blocks *= 2;
    cost.instructions *= 2;
    assert_int_equal(divvy_ptx_cost_ns(&cost), 2000 + 16 * 8 * 1000 / 4);
    cost.clock_khz = 2000000;
    assert_int_equal(divvy_ptx_cost_ns(&cost), 2000 + 16 * 8 * 1000 / 8);
    cost.max_threads_per_sm = 256; /* one block at a time: 16 waves of 4 microseconds */
    cost.clock_khz = 1000000;
    assert_int_equal(divvy_ptx_cost_ns(&cost), 2000 + 16 * 4000);
    divvy_ptx_cost_t zero = {.blocks = 0};
    assert_in_range(divvy_ptx_cost_ns(&zero), 1, 10000);
    divvy_ptx_cost_t huge = {.blocks = UINT64_MAX,
                             .threads_per_block = 1024,
                             .instructions = UINT64_MAX,
                             .critical_cycles = UINT64_MAX,
                             .sm_count = 1,
                             .clock_khz = 1};
    assert_true(divvy_ptx_cost_ns(&huge) == UINT64_MAX);
    for (unsigned k = 0; k <= DIVVY_PTX_STATUS_MAX; k++)
        assert_true(divvy_ptx_status_name((divvy_ptx_status_t)k)[0] != 0);
}

/* Indices beyond 32 bits of threads, dynamic shared memory, and a jump table. */
static void test_large_grid(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module =
        kit_parse(KERNEL("mov.u32 %r1, %ctaid.z; st.global.u32 [%d0], %r1; mov.u32 %r2, %ctaid.x; "
                         "st.global.u32 [%d0+4], %r2;"));
    divvy_ptx_launch_t launch = kit_launch(module, "k", INT32_MAX, 1, params, 1, &memory);
    launch.grid[2] = 3;
    launch.first_block = 3 * (uint64_t)INT32_MAX - 1;
    assert_int_equal(divvy_ptx_execute(&launch, NULL), DIVVY_PTX_DONE);
    assert_int_equal(out[0], 2);
    assert_int_equal(out[1], INT32_MAX - 1);
    divvy_ptx_module_free(module);
}

static void test_dynamic_shared(void **unused) {
    (void)unused;
    divvy_ptx_module_t *module =
        kit_parse(KERNEL(".shared .b8 one; .extern .shared .align 16 .b32 box[]; mov.u32 %r1, box; "
                         "and.b32 %r1, %r1, 15; @%p0 trap;\n"
                         "st.shared.u32 [box+60], 41; ld.shared.u32 %r2, [box+60]; add.u32 %r2, "
                         "%r2, %r1; st.shared.u8 [one], %r1;\n"
                         "mov.u32 %r3, %dynamic_smem_size; st.global.v2.u32 [%d0], {%r2, %r3};"));
    divvy_ptx_launch_t launch = kit_launch(module, "k", 1, 1, params, 1, &memory);
    assert_true(divvy_ptx_entry_get(module, 0)->shared_dynamic);
    assert_int_equal(divvy_ptx_execute(&launch, NULL), DIVVY_PTX_ILLEGAL_ADDRESS);
    launch.shared_dynamic_bytes = 64;
    assert_int_equal(divvy_ptx_execute(&launch, NULL), DIVVY_PTX_DONE);
    assert_int_equal(out[0], 41);
    assert_int_equal(out[1], 64);
    divvy_ptx_module_free(module);
}

static void test_jump_table(void **unused) {
    (void)unused;
    kit_run(KERNEL("mov.u32 %r1, %tid.x; mul.wide.u32 %d1, %r1, 4; add.u64 %d0, %d0, %d1; rem.u32 "
                   "%r2, %r1, 3;\n"
                   "ts: .branchtargets A, B, C;\nbrx.idx %r2, ts; A: mov.u32 %r3, 10; bra E; B: "
                   "mov.u32 %r3, 20; bra E;\n"
                   "C: mov.u32 %r3, 30; E: st.global.u32 [%d0], %r3;"),
            1, 99, params, 1, &memory, DIVVY_PTX_DONE);
    for (uint32_t k = 0; k < 99; k++)
        assert_int_equal(out[k], 10 * (k % 3 + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_special_registers, set_up),
        cmocka_unit_test_setup(test_bad_launches, set_up),
        cmocka_unit_test_setup(test_steps, set_up),
        cmocka_unit_test_setup(test_parts, set_up),
        cmocka_unit_test_setup(test_abort, set_up),
        cmocka_unit_test_setup(test_clocks, set_up),
        cmocka_unit_test_setup(test_cost, set_up),
        cmocka_unit_test_setup(test_large_grid, set_up),
        cmocka_unit_test_setup(test_dynamic_shared, set_up),
        cmocka_unit_test_setup(test_jump_table, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
