/* Pointers by name: random operations against a plain array. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define NAMES 500u

static void agrees_with_an_array(void **data) {
    static int values[2 * NAMES];
    uint64_t seed = (uint64_t)time(NULL);
    int *model[NAMES] = {0};
    struct divvy_map map = {0};
    size_t count = 0, cursor = 0, seen = 0;
    char name[16];

    (void)data;
    print_message("seed %llu\n", (unsigned long long)seed);
    srandom((unsigned int)seed);
    for (size_t step = 0; step < 200000; step++) {
        size_t i = (size_t)random() % NAMES;
        int *value = &values[(size_t)random() % (2 * NAMES)];

        (void)snprintf(name, sizeof name, "name-%zu", i);
        assert_ptr_equal(divvy_map_get(&map, name), model[i]);
        if (random() % 2) {
            assert_int_equal(divvy_map_put(&map, name, value), 0);
            count += !model[i];
            model[i] = value;
        } else {
            assert_ptr_equal(divvy_map_remove(&map, name), model[i]);
            count -= model[i] != NULL;
            model[i] = NULL;
        }
        assert_int_equal(map.count, count);
    }
    while (divvy_map_next(&map, &cursor))
        seen++;
    assert_int_equal(seen, count);
    divvy_map_done(&map);
    assert_null(divvy_map_get(&map, "name-1"));
    assert_null(divvy_map_remove(&map, "name-1"));
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(agrees_with_an_array)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
