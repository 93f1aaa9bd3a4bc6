/* Workers of a single node: see worker.h. */
#include "node/worker.h"

#include "core/parse.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const status_names[] = {"Pending", "DeviceAllocating", "Running", "Terminated"};
static const char *const isolation_names[] = {"shared", "soft", "hard", "partitioned"};

_Static_assert(sizeof status_names / sizeof status_names[0] == DIVVY_NODE_WORKER_STATUS_MAX, "a name for each status");
_Static_assert(sizeof isolation_names / sizeof isolation_names[0] == DIVVY_NODE_ISOLATION_MAX, "a name for each mode");

static int name_parse(const char *const *names, size_t count, const char *text) {
    for (size_t i = 0; i < count; i++)
        if (divvy_core_word_equal(text, strlen(text), names[i]))
            return (int)i;
    return -EINVAL;
}

const char *divvy_node_worker_status_name(enum divvy_node_worker_status status) {
    return (unsigned)status < DIVVY_NODE_WORKER_STATUS_MAX ? status_names[status] : NULL;
}

int divvy_node_worker_status_parse(const char *text, enum divvy_node_worker_status *ret_status) {
    int found = name_parse(status_names, DIVVY_NODE_WORKER_STATUS_MAX, text);

    if (found < 0)
        return found;
    *ret_status = (enum divvy_node_worker_status)found;
    return 0;
}

const char *divvy_node_isolation_name(enum divvy_node_isolation isolation) {
    return (unsigned)isolation < DIVVY_NODE_ISOLATION_MAX ? isolation_names[isolation] : NULL;
}

int divvy_node_isolation_parse(const char *text, enum divvy_node_isolation *ret_isolation) {
    int found = name_parse(isolation_names, DIVVY_NODE_ISOLATION_MAX, text);

    if (found < 0)
        return found;
    *ret_isolation = (enum divvy_node_isolation)found;
    return 0;
}

/* Permille of a device that a resource asks for; 0: it does not say. */
static int permille_of(const struct divvy_node_resource *resource, double tflops, uint32_t *ret_permille,
                       char why[DIVVY_NODE_TEXT_BYTES]) {
    double wanted = divvy_node_quantity_value(resource->tflops), percent = divvy_node_quantity_value(resource->compute);

    *ret_permille = 0;
    if (percent > 100) {
        (void)snprintf(why, DIVVY_NODE_TEXT_BYTES, "%g percent of a device is more than it has", percent);
        return -EINVAL;
    }
    if (percent > 0) {
        *ret_permille = (uint32_t)ceil(percent * 10);
        return 0;
    }
    if (!(wanted > 0))
        return 0;
    if (!(tflops > 0)) {
        (void)snprintf(why, DIVVY_NODE_TEXT_BYTES, "TFLOPS are asked for of a device whose power is not known; ask for percents");
        return -EINVAL;
    }
    /* a hair less than the device has in all is not more than it has */
    if (wanted > tflops * (1 + 1e-9)) {
        (void)snprintf(why, DIVVY_NODE_TEXT_BYTES, "%g TFLOPS are asked for of a device that has %g", wanted, tflops);
        return -EINVAL;
    }
    *ret_permille = (uint32_t)fmin(100, ceil(wanted / tflops * 100 - 1e-9)) * 10;
    return 0;
}

static int above_limit(const char *what, char why[DIVVY_NODE_TEXT_BYTES]) {
    (void)snprintf(why, DIVVY_NODE_TEXT_BYTES, "more %s is requested than the limit allows", what);
    return -EINVAL;
}

int divvy_node_worker_demand(const struct divvy_node_worker *worker, uint64_t memory_bytes, double tflops,
                             struct divvy_node_demand *ret_demand, char why[DIVVY_NODE_TEXT_BYTES]) {
    uint64_t request = worker->requests.vram_bytes, limit = worker->limits.vram_bytes;
    uint32_t request_permille, limit_permille;

    if (permille_of(&worker->requests, tflops, &request_permille, why) < 0 ||
        permille_of(&worker->limits, tflops, &limit_permille, why) < 0)
        return -EINVAL;
    if (memory_bytes && (request > memory_bytes || limit > memory_bytes)) {
        (void)snprintf(why, DIVVY_NODE_TEXT_BYTES, "%llu bytes of memory are asked for of a device that has %llu",
                       (unsigned long long)(limit > request ? limit : request), (unsigned long long)memory_bytes);
        return -EINVAL;
    }
    if (limit && request > limit)
        return above_limit("memory", why);
    if (limit_permille && request_permille > limit_permille)
        return above_limit("compute", why);
    *ret_demand = (struct divvy_node_demand){
        .reserve_bytes = request ? request : limit,
        .reserve_permille = request_permille ? request_permille : limit_permille,
        .limit_bytes = limit,
        .limit_permille = limit_permille ? limit_permille : DIVVY_NODE_PERMILLE_NONE,
    };
    ret_demand->weight_permille = ret_demand->reserve_permille;
    return 0;
}
