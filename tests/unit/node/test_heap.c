/* The heap with places against a plain array: random inserts and removals, also with keys that wrap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "node/heap.h"

enum { ITEMS = 200, STEPS = 200000 };

static uint64_t state;

static uint32_t random_below(uint32_t n) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)((state >> 33) % n);
}

static void random_operations(int64_t base) {
    static uint32_t items[ITEMS], place[ITEMS];
    static int64_t keys[ITEMS], model[ITEMS];
    static bool in[ITEMS];
    struct divvy_node_heap heap = {.items = items, .keys = keys, .place = place};
    uint32_t count = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        place[i] = DIVVY_NODE_HEAP_ABSENT;
        in[i] = false;
    }
    for (int step = 0; step < STEPS; step++) {
        uint32_t item = random_below(ITEMS);
        if (in[item]) {
            divvy_node_heap_remove(&heap, item);
            count--;
        } else {
            model[item] = (int64_t)((uint64_t)base + random_below(1000));
            divvy_node_heap_insert(&heap, item, model[item]);
            count++;
        }
        in[item] = !in[item];
        assert_int_equal(heap.count, count);
        for (uint32_t i = 0; count && i < ITEMS; i++)
            if (in[i])
                assert_false(divvy_node_key_before(model[i], heap.keys[0]));
        if (count)
            assert_true(in[heap.items[0]] && model[heap.items[0]] == heap.keys[0]);
    }
}

static void test_random(void **unused) {
    (void)unused;
    state = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)state);
    random_operations(0);
}

static void test_keys_wrap(void **unused) {
    (void)unused;
    random_operations(INT64_MAX - 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random),
                                       cmocka_unit_test(test_keys_wrap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
