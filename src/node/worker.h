/*
 * A worker of a single node as the state file describes it, and what it asks of each of its devices. Plain data; pure.
 */
#ifndef DIVVY_NODE_WORKER_H
#define DIVVY_NODE_WORKER_H

#include "node/quantity.h"
#include "node/registry.h"

#define DIVVY_NODE_WORKER_DEVICES    64u
#define DIVVY_NODE_WORKER_ID_BYTES   128u
#define DIVVY_NODE_WORKER_UUID_BYTES 64u /* of a device or a partition of any vendor */

enum divvy_node_worker_status {
    DIVVY_NODE_WORKER_PENDING,
    DIVVY_NODE_WORKER_ALLOCATING,
    DIVVY_NODE_WORKER_RUNNING,
    DIVVY_NODE_WORKER_TERMINATED,
    DIVVY_NODE_WORKER_STATUS_MAX
};

enum divvy_node_isolation {
    DIVVY_NODE_SHARED,      /* nothing is limited */
    DIVVY_NODE_SOFT,        /* limits that the limiter keeps, and that may change */
    DIVVY_NODE_HARD,        /* limits that are set once */
    DIVVY_NODE_PARTITIONED, /* a partition of the device's own making */
    DIVVY_NODE_ISOLATION_MAX
};

struct divvy_node_resource {
    divvy_node_quantity_t tflops;
    divvy_node_quantity_t compute; /* percent of a device */
    uint64_t vram_bytes;
};

struct divvy_node_worker {
    char uid[DIVVY_NODE_WORKER_ID_BYTES];
    char namespace[DIVVY_NODE_WORKER_ID_BYTES], name[DIVVY_NODE_WORKER_ID_BYTES];
    char workload[DIVVY_NODE_WORKER_ID_BYTES], workload_namespace[DIVVY_NODE_WORKER_ID_BYTES];
    char template_id[DIVVY_NODE_WORKER_UUID_BYTES]; /* of its partitions */
    enum divvy_node_worker_status status;
    bool has_status;
    enum divvy_node_qos qos;
    enum divvy_node_isolation isolation;
    bool has_isolation; /* else `isolation` is of no meaning: the node's own counts */
    struct divvy_node_resource requests, limits; /* per device */
    int64_t deleted_at; /* > 0: it is gone */
    uint32_t device_count;
    char devices[DIVVY_NODE_WORKER_DEVICES][DIVVY_NODE_WORKER_UUID_BYTES];
};

/* What a worker asks of one device. */
struct divvy_node_demand {
    uint64_t reserve_bytes;   /* kept for it: the request, else the limit */
    uint32_t reserve_permille;
    uint64_t limit_bytes;     /* it is held to; 0: the whole device */
    uint32_t limit_permille;  /* 1..1000; 1000: the whole device */
    uint32_t weight_permille; /* of the request, else of the limit: its part where several want more than there is */
};

/*
 * What the worker asks of a device with this much memory and compute power (0: not known). Compute comes from the percentages, else from
 * TFLOPS, rounded up to whole percents; without either it is the whole device, and nothing is reserved. -EINVAL with `why`: a limit above the
 * device's memory or 100 percent, a request above its limit, TFLOPS of a device whose power is not known.
 */
int divvy_node_worker_demand(const struct divvy_node_worker *worker, uint64_t memory_bytes, double tflops,
                             struct divvy_node_demand *ret_demand, char why[DIVVY_NODE_TEXT_BYTES]);

/* Names as in the state file: "DeviceAllocating", "soft". NULL out of range. Parsing takes any case: 0 or -EINVAL. */
const char *divvy_node_worker_status_name(enum divvy_node_worker_status status);
int divvy_node_worker_status_parse(const char *text, enum divvy_node_worker_status *ret_status);
const char *divvy_node_isolation_name(enum divvy_node_isolation isolation);
int divvy_node_isolation_parse(const char *text, enum divvy_node_isolation *ret_isolation);

#endif
