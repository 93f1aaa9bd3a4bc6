/* The allocator of address ranges: random operations against a map of owners, and finding beside a writer. */
#include "simgpu/engine/alloc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void give(sim_alloc_t *a, uint32_t start) {
    uint32_t block = sim_alloc_block(a, start);

    assert_int_not_equal(block, 0);
    sim_alloc_hide(a, block);
    (void)sim_alloc_release(a, block);
}

static void everything_fits_exactly_once(void **state) {
    sim_alloc_t a;
    uint32_t start, big;

    (void)state;
    assert_int_equal(sim_alloc_init(&a, 1000), 0);
    assert_int_equal(sim_alloc_take(&a, 1000, 1, 0, 0, &big), 0);
    assert_int_equal(sim_alloc_take(&a, 1, 1, 0, 0, &start), -12);
    give(&a, big);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(sim_alloc_take(&a, 1, 1, 0, 0, &start), 0);
    assert_int_equal(sim_alloc_take(&a, 1, 1, 0, 0, &start), -12);
    assert_true(sim_alloc_check(&a));
    for (uint32_t i = 0; i < 1000; i++)
        give(&a, (i * 7) % 1000);
    assert_int_equal(sim_alloc_take(&a, 1000, 1, 0, 0, &start), 0);
    assert_true(sim_alloc_check(&a));
    sim_alloc_done(&a);
}

static void bad_requests_are_refused(void **state) {
    sim_alloc_t a;
    uint32_t start;

    (void)state;
    assert_int_equal(sim_alloc_init(&a, 1000), 0);
    assert_int_equal(sim_alloc_take(&a, 1001, 1, 0, 0, &start), -12);
    assert_int_equal(sim_alloc_take(&a, UINT32_MAX, 1, 0, 0, &start), -12);
    assert_int_equal(sim_alloc_take(&a, 1, 1u << 31, 0, 0, &start), -12);
    assert_int_equal(sim_alloc_block(&a, 0), 0);
    assert_int_equal(sim_alloc_block(&a, UINT32_MAX), 0);
    sim_alloc_done(&a);
}

enum { GRAINS = 20000, LIVE = 400 };

static void random_operations_match_a_map(void **state) {
    unsigned seed = (unsigned)time(NULL);
    static uint32_t owner[GRAINS]; /* live index + 1 */
    struct {
        uint32_t start, grains;
        uint64_t bytes;
        uint32_t tag;
    } live[LIVE] = {0};
    sim_alloc_t a;

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    memset(owner, 0, sizeof owner);
    assert_int_equal(sim_alloc_init(&a, GRAINS), 0);
    for (int step = 0; step < 100000; step++) {
        uint32_t i = (uint32_t)rand() % LIVE;

        if (live[i].grains) {
            for (uint32_t g = 0; g < live[i].grains; g++) {
                assert_int_equal(owner[live[i].start + g], i + 1);
                owner[live[i].start + g] = 0;
            }
            give(&a, live[i].start);
            live[i].grains = 0;
        } else {
            uint32_t grains = 1 + (uint32_t)rand() % (rand() % 10 ? 60 : 900),
                     align = 1u << rand() % 8, start;

            if (sim_alloc_take(&a, grains, align, grains * 3, i, &start) < 0)
                continue;
            assert_int_equal(start % align, 0);
            assert_true(start + grains <= GRAINS);
            live[i].start = start;
            live[i].grains = grains;
            for (uint32_t g = 0; g < grains; g++) {
                assert_int_equal(owner[start + g], 0);
                owner[start + g] = i + 1;
            }
        }
        for (int n = 0; n < 4; n++) {
            uint32_t at = (uint32_t)rand() % GRAINS;
            sim_block_t block;
            bool found = sim_alloc_find(&a, at, &block);

            assert_int_equal(found, owner[at] != 0);
            if (found) {
                assert_int_equal(block.start, live[owner[at] - 1].start);
                assert_int_equal(block.tag, owner[at] - 1);
                assert_int_equal(block.bytes, live[owner[at] - 1].grains * 3);
            }
        }
        if (step % 1000 == 0)
            assert_true(sim_alloc_check(&a));
    }
    assert_true(sim_alloc_check(&a));
    sim_alloc_done(&a);
}

static void a_hundred_thousand_live(void **state) {
    enum { N = 100000 };
    uint32_t *starts = malloc(N * sizeof *starts);
    sim_alloc_t a;

    (void)state;
    assert_int_equal(sim_alloc_init(&a, 1u << 29), 0);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(sim_alloc_take(&a, 1 + i % 97, 1, 0, i, &starts[i]), 0);
    for (uint32_t i = 0; i < N; i++) {
        sim_block_t block;

        assert_true(sim_alloc_find(&a, starts[i] + i % 97, &block));
        assert_int_equal(block.tag, i);
    }
    for (uint32_t i = 0; i < N; i++)
        give(&a, starts[(i * 7919u) % N]);
    assert_true(sim_alloc_check(&a));
    assert_int_equal(a.live, 0);
    free(starts);
    sim_alloc_done(&a);
}

/* --- readers ------------------------------------------------------------------------------------------------ */

typedef struct shared {
    sim_alloc_t a;
    uint32_t fixed[64];
    uint32_t stop;
} shared_t;

static void *reader(void *arg) {
    shared_t *s = arg;

    for (uint32_t i = 0; !__atomic_load_n(&s->stop, __ATOMIC_RELAXED); i++) {
        sim_block_t block;

        /* what lives all the time must be found at every look */
        if (!sim_alloc_find(&s->a, s->fixed[i % 64] + i % 5, &block) ||
            block.start != s->fixed[i % 64] || block.tag != 1000 + i % 64)
            return (void *)1;
    }
    return NULL;
}

static void finding_is_right_beside_a_writer(void **state) {
    static shared_t s;
    pthread_t threads[2];
    uint32_t starts[500] = {0};
    void *result;

    (void)state;
    assert_int_equal(sim_alloc_init(&s.a, 1u << 20), 0);
    for (uint32_t i = 0; i < 64; i++) {
        uint32_t between;

        assert_int_equal(sim_alloc_take(&s.a, 5, 1, 0, 1000 + i, &s.fixed[i]), 0);
        assert_int_equal(sim_alloc_take(&s.a, 3, 1, 0, 0, &between), 0);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, &s), 0);
    for (int step = 0; step < 200000; step++) {
        uint32_t *start = &starts[step * 31 % 500];

        if (*start) {
            give(&s.a, *start - 1);
            *start = 0;
        } else if (!sim_alloc_take(&s.a, 1 + (uint32_t)step % 50, 1, 0, 0, start)) {
            ++*start;
        }
    }
    __atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    sim_alloc_done(&s.a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_fits_exactly_once),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(random_operations_match_a_map),
        cmocka_unit_test(a_hundred_thousand_live),
        cmocka_unit_test(finding_is_right_beside_a_writer),
    };

    return cmocka_run_group_tests_name("simgpu allocator", tests, NULL, NULL);
}
