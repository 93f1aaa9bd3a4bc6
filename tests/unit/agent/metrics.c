/* Figures for the platform: they come by themselves, and none is invented for GPUs that are none. */
#include "agent/metrics.h"

#include "core/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unistd.h>

#include <cmocka.h>

static void ready(void *data) {
    __atomic_add_fetch((int *)data, 1, __ATOMIC_RELAXED);
}

static void figures_come(void **state) {
    int count = 0;
    struct divvy_agent_metrics *metrics;
    json_t *body = NULL;

    (void)state;
    assert_int_equal(setenv("GPU_GO_MOCK_GPUS", "2", 1), 0);
    metrics = divvy_agent_metrics_new(NULL, 2 * DIVVY_NS_PER_MS, ready, &count);
    assert_non_null(metrics);
    while (!(body = divvy_agent_metrics_take(metrics)))
        (void)usleep(1000);
    assert_true(__atomic_load_n(&count, __ATOMIC_RELAXED) >= 1);
    assert_true(json_is_string(json_object_get(body, "timestamp")));
    assert_true(json_integer_value(
                    json_object_get(json_object_get(body, "system"), "memory_total_mb")) > 0);
    assert_int_equal(json_array_size(json_object_get(body, "gpus")), 0);
    json_decref(body);
    divvy_agent_metrics_free(metrics);
    divvy_agent_metrics_free(NULL);
}

/* Ended at once, again and again: no thread is left, nothing is lost. */
static void ends_at_any_moment(void **state) {
    int count = 0;

    (void)state;
    for (int i = 0; i < 200; i++) {
        struct divvy_agent_metrics *metrics =
            divvy_agent_metrics_new("/nonexistent", (uint64_t)(i % 3) * 100000, ready, &count);

        assert_non_null(metrics);
        divvy_agent_metrics_free(metrics);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(figures_come),
                                       cmocka_unit_test(ends_at_any_moment)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
