/* Verbs of divvy-client that measure: copies, round trips, launches. */
#include "core/clock.h"
#include "remote/client/tool.h"
#include "remote/kernels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void figure_print(const struct tool *tool, const char *what, double value, const char *unit) {
    (void)printf(tool->json ? "{\"what\":\"%s\",\"value\":%.3f,\"unit\":\"%s\"}\n" : "%-24s %12.3f %s\n", what, value, unit);
}

static double gigabytes_per_second(uint64_t bytes, uint64_t ns) {
    return (double)bytes / (double)(ns ? ns : 1);
}

/* There and back; what comes back must be what went. */
static int copies_measure(struct tool *tool, uint64_t size, char *out, char *back) {
    uint64_t context, address = 0, start, there, end;
    int status = divvy_client_context_primary(tool->client, 0, &context);

    if (status == 0)
        status = divvy_client_memory_allocate(tool->client, size, &address);
    if (status == 0)
        status = divvy_client_copy_in(tool->client, address, out, size < 65536 ? size : 65536, 0);
    if (status == 0)
        status = divvy_client_context_sync(tool->client);
    start = divvy_core_clock_ns();
    if (status == 0)
        status = divvy_client_copy_in(tool->client, address, out, size, 0);
    if (status == 0)
        status = divvy_client_context_sync(tool->client);
    there = divvy_core_clock_ns();
    if (status == 0)
        status = divvy_client_copy_out(tool->client, address, size, 0, back);
    end = divvy_core_clock_ns();
    if (status == 0)
        status = divvy_client_memory_free(tool->client, address);
    if (status != 0)
        return status;
    figure_print(tool, "to the GPU", gigabytes_per_second(size, there - start), "GB/s");
    figure_print(tool, "from the GPU", gigabytes_per_second(size, end - there), "GB/s");
    return 0;
}

int tool_bandwidth(struct tool *tool) {
    char *out, *back;
    uint64_t size;
    int status = -ENOMEM;

    if (!tool_number(tool, 0, UINT64_C(64) << 20, 1, UINT64_C(8) << 30, &size))
        return TOOL_USAGE;
    out = malloc(size);
    back = malloc(size);
    for (uint64_t i = 0; out && i < size; i++)
        out[i] = (char)(i * 131 + (i >> 12));
    if (out && back) {
        /* Not what is expected, and every page is there: the kernel's work for new ones is no part of a copy. */
        for (uint64_t i = 0; i < size; i++)
            back[i] = (char)~out[i];
        status = copies_measure(tool, size, out, back);
    }
    if (status != 0)
        status = tool_fail(tool, "bandwidth", status);
    else if (memcmp(out, back, size) != 0) {
        (void)fprintf(stderr, "divvy-client: bandwidth: what came back is not what was sent\n");
        status = TOOL_FAILED;
    }
    free(out);
    free(back);
    return status;
}

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

static const char small_job[] = "{\"operation\":\"vector_add\",\"array_a\":[1,2,3],\"array_b\":[4,5,6]}";

static int ping_once(struct tool *tool) {
    return divvy_client_ping(tool->client, "divvy!!!", 8);
}

static int job_once(struct tool *tool) {
    char *answer;
    size_t length;
    int status = divvy_client_job(tool->client, small_job, sizeof small_job - 1, &answer, &length);

    if (status == 0) {
        status = strstr(answer, "[5, 7, 9]") ? 0 : -EPROTO;
        free(answer);
    }
    return status;
}

static int trips_measure(struct tool *tool, const char *what, uint64_t count, double *times,
                         int (*once)(struct tool *)) {
    char name[64];
    double sum_us = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t start = divvy_core_clock_ns();
        int status = once(tool);

        if (status != 0)
            return status;
        times[i] = (double)(divvy_core_clock_ns() - start) / 1000;
        sum_us += times[i];
    }
    qsort(times, count, sizeof *times, compare);
    (void)snprintf(name, sizeof name, "%s median", what);
    figure_print(tool, name, times[count / 2], "us");
    (void)snprintf(name, sizeof name, "%s p95", what);
    figure_print(tool, name, times[count * 95 / 100], "us");
    (void)snprintf(name, sizeof name, "%s p99", what);
    figure_print(tool, name, times[count * 99 / 100], "us");
    (void)snprintf(name, sizeof name, "%s rate", what);
    figure_print(tool, name, 1e6 * (double)count / sum_us, "/s");
    return 0;
}

int tool_latency(struct tool *tool) {
    uint64_t count;
    double *times;
    int status;

    if (!tool_number(tool, 0, 1000, 1, 10000000, &count))
        return TOOL_USAGE;
    times = malloc(count * sizeof *times);
    if (!times)
        return tool_fail(tool, "latency", -ENOMEM);
    status = trips_measure(tool, "empty", count, times, ping_once);
    if (status == 0)
        status = job_once(tool);
    if (status == 0)
        status = trips_measure(tool, "3-element add", count, times, job_once);
    free(times);
    return status == 0 ? TOOL_OK : tool_fail(tool, "latency", status);
}

int tool_launches(struct tool *tool) {
    const struct divvy_client_shape shape = {.grid = {1, 1, 1}, .block = {1, 1, 1}};
    struct divvy_client_function function;
    uint64_t count, unused = 0, start, sent;
    const void *parameters[] = {&unused};
    int status;

    if (!tool_number(tool, 0, 100000, 1, 1000000000, &count))
        return TOOL_USAGE;
    status = tool_kernel(tool, DIVVY_REMOTE_PTX_NOTHING, "nothing", &function);
    start = divvy_core_clock_ns();
    for (uint64_t i = 0; status == 0 && i < count; i++)
        status = divvy_client_launch(tool->client, &function, &shape, 0, parameters);
    if (status == 0)
        status = divvy_client_flush(tool->client);
    sent = divvy_core_clock_ns();
    if (status == 0)
        status = divvy_client_context_sync(tool->client);
    if (status != 0)
        return tool_fail(tool, "launches", status);
    figure_print(tool, "launches sent", (double)count / ((double)(sent - start) / 1e9), "/s");
    figure_print(tool, "launches done", (double)count / ((double)(divvy_core_clock_ns() - start) / 1e9), "/s");
    return TOOL_OK;
}
