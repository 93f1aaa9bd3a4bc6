/*
 * The table of allocations against a plain array: random entering, taking and sweeping; and threads
 * that never meet each other's records.
 */
#include "limiter/memory/table.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { KEYS = 3000 };

struct model {
    bool present;
    uint64_t bytes;
};

static struct model model[2][KEYS];

static uint64_t key_of(unsigned i) {
    return UINT64_C(0x7f0000000000) + (uint64_t)i * 512;
}

static unsigned model_count(void) {
    unsigned count = 0;

    for (int kind = 0; kind < 2; kind++)
        for (int i = 0; i < KEYS; i++)
            count += model[kind][i].present;
    return count;
}

static const divvy_record_kind_t kinds[2] = {DIVVY_RECORD_POINTER, DIVVY_RECORD_ARRAY};

static void one_step(void) {
    int kind = rand() % 2;
    unsigned i = (unsigned)rand() % KEYS;
    struct model *known = &model[kind][i];
    struct divvy_record record = {
        .kind = (uint16_t)kinds[kind], .key = key_of(i), .bytes = (uint64_t)rand()};
    struct divvy_record found;

    switch (rand() % 3) {
    case 0:
        assert_int_equal(divvy_table_put(&record, &found), 0);
        assert_int_equal(found.kind != 0, known->present);
        if (known->present)
            assert_int_equal(found.bytes, known->bytes);
        known->present = true;
        known->bytes = record.bytes;
        break;
    case 1:
        assert_int_equal(divvy_table_take(kinds[kind], key_of(i), &found), known->present);
        if (known->present)
            assert_int_equal(found.bytes, known->bytes);
        known->present = false;
        break;
    default:
        assert_int_equal(divvy_table_get(kinds[kind], key_of(i), &found), known->present);
        if (known->present)
            assert_int_equal(found.bytes, known->bytes);
        break;
    }
}

static bool visit_multiple(const struct divvy_record *record, void *argument) {
    uint64_t *seen = argument;

    (*seen)++;
    return record->bytes % 5 == 0;
}

static void test_model(void **state) {
    unsigned seed = (unsigned)time(NULL);

    (void)state;
    print_message("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < 20; round++) {
        uint64_t seen = 0;

        for (int step = 0; step < 20000; step++)
            one_step();
        assert_int_equal(divvy_table_count(), model_count());
        divvy_table_sweep(visit_multiple, &seen);
        assert_true(seen >= model_count());
        for (int kind = 0; kind < 2; kind++)
            for (int i = 0; i < KEYS; i++)
                if (model[kind][i].bytes % 5 == 0)
                    model[kind][i].present = false;
        assert_int_equal(divvy_table_count(), model_count());
    }
    divvy_table_clear();
    memset(model, 0, sizeof model);
    assert_int_equal(divvy_table_count(), 0);
}

static void test_many_in_any_order(void **state) {
    enum { MANY = 200000 };
    struct divvy_record found;

    (void)state;
    for (unsigned order = 0; order < 3; order++) {
        for (unsigned i = 0; i < MANY; i++) {
            struct divvy_record record = {
                .kind = DIVVY_RECORD_POINTER, .key = key_of(i), .bytes = i};

            assert_int_equal(divvy_table_put(&record, &found), 0);
        }
        for (unsigned i = 0; i < MANY; i++) {
            unsigned which = order == 0   ? i
                             : order == 1 ? MANY - 1 - i
                                          : (unsigned)((uint64_t)i * 7919 % MANY);

            assert_true(divvy_table_take(DIVVY_RECORD_POINTER, key_of(which), &found));
            assert_int_equal(found.bytes, which);
        }
        assert_int_equal(divvy_table_count(), 0);
    }
}

static void *thread_body(void *argument) {
    uint64_t base = (uint64_t)(uintptr_t)argument << 32;
    unsigned seed = (unsigned)(uintptr_t)argument;
    struct divvy_record found;

    for (unsigned i = 0; i < 50000; i++) {
        struct divvy_record record = {.kind = DIVVY_RECORD_POINTER,
                                      .key = base + (uint64_t)rand_r(&seed) % 500 * 256,
                                      .bytes = base};

        if (rand_r(&seed) % 2)
            (void)divvy_table_put(&record, &found);
        else if (divvy_table_take(DIVVY_RECORD_POINTER, record.key, &found) && found.bytes != base)
            return (void *)1;
    }
    return NULL;
}

static void test_threads(void **state) {
    pthread_t threads[4];
    void *failed;

    (void)state;
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_body, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    divvy_table_clear();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_many_in_any_order),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
