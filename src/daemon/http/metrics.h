/* /metrics: the text format 0.0.4 of Prometheus, from one table. Pure. */
#ifndef DIVVY_DAEMON_HTTP_METRICS_H
#define DIVVY_DAEMON_HTTP_METRICS_H

#include "daemon/http/mig.h"
#include "daemon/state.h"

#include <stddef.h>
#include <stdint.h>

#define DIVVY_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* All that is told, copied before. */
struct divvy_metrics_figures {
    const char *version, *node;
    const struct divvy_daemon_health *health;
    const struct divvy_node_device *devices;
    size_t device_count;
    const struct divvy_node_tenant *tenants;
    size_t tenant_count;
    size_t connections; /* of the HTTP server */
    const struct divvy_http_mig_device *mig; /* instances, and whole GPUs, which are passed over */
    size_t mig_count, mig_allocations;
};

/* The text, malloc'd; NULL when out of memory. What is unknown is left out. */
char *divvy_metrics_render(const struct divvy_metrics_figures *figures, size_t *ret_length);

/* Entry `place` of the table, for the documentation's test; NULL beyond. */
const char *divvy_metrics_name(size_t place);

#endif
