/* The text of /metrics. */
#include "mig/runner/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char text[DIVVY_RUNNER_METRICS_BYTES];

static struct divvy_runner_figures usual(const struct divvy_runner_latency *latency) {
    return (struct divvy_runner_figures){.instance = "runner-1",
                                         .mig_uuid = "MIG-1",
                                         .profile = "1g.10gb",
                                         .model_id = "small \"x\"\\\n",
                                         .latency = latency,
                                         .is_running = true,
                                         .restarts = 2,
                                         .quota_exceeded = 3,
                                         .vram_used_bytes = 1,
                                         .vram_limit_bytes = 3,
                                         .memory_used_bytes = 5,
                                         .memory_limit_bytes = 4,
                                         .requests = 7,
                                         .errors = 1,
                                         .proxy_refused = DIVVY_RUNNER_UNKNOWN};
}

static void has(const char *line) {
    char whole[256];

    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    if (!strstr(text, whole))
        fail_msg("no line %s in\n%s", line, text);
}

static void lines(void **state) {
    struct divvy_runner_latency latency = {0};
    struct divvy_runner_figures figures = usual(&latency);
    size_t length;

    (void)state;
    divvy_runner_latency_add(&latency, 7000000);
    divvy_runner_latency_add(&latency, 90000000);
    divvy_runner_latency_add(&latency, UINT64_C(20000000001));
    length = divvy_runner_metrics_render(&figures, text, sizeof text);
    assert_int_equal(length, strlen(text));
    has("hypercore_gpu_quota_exceeded_total{instance=\"runner-1\",mig_uuid=\"MIG-1\"} 3");
    has("hypercore_infer_latency_seconds_bucket{instance=\"runner-1\",le=\"0.005\"} 0");
    has("hypercore_infer_latency_seconds_bucket{instance=\"runner-1\",le=\"0.01\"} 1");
    has("hypercore_infer_latency_seconds_bucket{instance=\"runner-1\",le=\"0.025\"} 1");
    has("hypercore_infer_latency_seconds_bucket{instance=\"runner-1\",le=\"0.1\"} 2");
    has("hypercore_infer_latency_seconds_bucket{instance=\"runner-1\",le=\"2.5\"} 2");
    has("hypercore_infer_latency_seconds_bucket{instance=\"runner-1\",le=\"10\"} 2");
    has("hypercore_infer_latency_seconds_bucket{instance=\"runner-1\",le=\"+Inf\"} 3");
    has("hypercore_infer_latency_seconds_sum{instance=\"runner-1\"} 20.097000001");
    has("hypercore_infer_latency_seconds_count{instance=\"runner-1\"} 3");
    has("hypercore_model_restarts_total{instance=\"runner-1\"} 2");
    has("hypercore_gpu_vram_utilization_percent{instance=\"runner-1\"} 33.3333");
    has("hypercore_gpu_cpu_mem_utilization_percent{instance=\"runner-1\"} 125.0000");
    has("hypercore_runner_info{instance=\"runner-1\",mig_uuid=\"MIG-1\",profile=\"1g.10gb\",model_id=\"small \\\"x\\\"\\\\?\"} 1");
    assert_null(strstr(text, "proxy"));
}

/* One HELP and one TYPE for each name, before its lines. */
static void once(void **state) {
    struct divvy_runner_latency latency = {0};
    struct divvy_runner_figures figures = usual(&latency);
    int count = 0;

    (void)state;
    figures.proxy_refused = 1;
    (void)divvy_runner_metrics_render(&figures, text, sizeof text);
    for (const char *at = strstr(text, "# TYPE "); at; at = strstr(at + 1, "# TYPE ")) {
        char name[128];

        assert_int_equal(sscanf(at, "# TYPE %127s", name), 1);
        for (const char *other = strstr(at + 1, "# TYPE "); other; other = strstr(other + 1, "# TYPE "))
            assert_int_not_equal(strncmp(other + 7, name, strlen(name)) == 0 && other[7 + strlen(name)] == ' ', 1);
        count++;
    }
    assert_int_equal(count, 12);
}

static void unknown_is_left_out(void **state) {
    struct divvy_runner_latency latency = {0};
    struct divvy_runner_figures figures = usual(&latency);

    (void)state;
    figures.vram_limit_bytes = DIVVY_RUNNER_UNKNOWN;
    figures.memory_limit_bytes = 0;
    (void)divvy_runner_metrics_render(&figures, text, sizeof text);
    assert_null(strstr(text, "vram_utilization"));
    assert_null(strstr(text, "cpu_mem"));
}

static void longest(void **state) {
    struct divvy_runner_latency latency;
    char name[1024];
    struct divvy_runner_figures figures;

    (void)state;
    memset(&latency, 0x7f, sizeof latency);
    memset(name, '"', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    figures = usual(&latency);
    figures.instance = figures.mig_uuid = figures.profile = figures.model_id = name;
    figures.restarts = figures.quota_exceeded = figures.requests = figures.errors = UINT64_MAX - 1;
    figures.vram_used_bytes = UINT64_MAX - 1;
    figures.vram_limit_bytes = 1;
    figures.proxy_refused = figures.proxy_connections = UINT64_MAX - 1;
    assert_true(divvy_runner_metrics_render(&figures, text, sizeof text) < sizeof text - 1);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(once), cmocka_unit_test(unknown_is_left_out),
                                       cmocka_unit_test(longest)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
