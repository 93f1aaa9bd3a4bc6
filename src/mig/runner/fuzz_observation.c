/*
 * Fuzz target of the lines at the latency socket: every line counts exactly once, and a datagram in parts at its line ends says
 * what it says whole.
 */
#include "mig/runner/latency.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct divvy_runner_latency whole = {0}, parts = {0};
    uint64_t lines = 0, in_buckets = 0;
    char *text = calloc(1, size ? size : 1);
    size_t begin = 0;

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    divvy_runner_latency_take(&whole, text, size);
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\n' && i + 1 != size)
            continue;
        divvy_runner_latency_take(&parts, text + begin, i + 1 - begin);
        begin = i + 1;
        lines++;
    }
    for (size_t i = 0; i <= DIVVY_RUNNER_BUCKETS; i++)
        in_buckets += whole.buckets[i];
    if (memcmp(&whole, &parts, sizeof whole) != 0 || whole.told + whole.errors + whole.refused > lines ||
        whole.told != whole.count || in_buckets != whole.count)
        abort();
    free(text);
    return 0;
}
